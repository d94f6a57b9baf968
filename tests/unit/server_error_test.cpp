#include "pg/server_error.hpp"

#include <gtest/gtest.h>

#include <string_view>
#include <utility>
#include <vector>

namespace matview::pg {
namespace {

TEST(SqlState, MeansTheSameWhateverTheStatement) {
  const std::vector<std::pair<std::string_view, errc>> table{
      {"42501", errc::permission_denied}, {"42P07", errc::view_exists},
      {"2BP01", errc::dependents_exist},  {"55P03", errc::lock_timeout},
      {"57P01", errc::connection_lost},   {"53300", errc::connection_failed},
      {"57014", errc::cancelled},         {"40P01", errc::server_error},
      {"XX000", errc::server_error},      {"", errc::server_error},
  };
  for (const auto& [state, code] : table) EXPECT_EQ(code_of(state), code) << state;
}

TEST(SqlState, HasAHintWhereAPersonWouldAsk) {
  for (const std::string_view state : {"53100", "25006", "53300", "53200", "40P01", "40001"}) {
    EXPECT_FALSE(hint_for(state).empty()) << state;
  }
  EXPECT_TRUE(hint_for("XX000").empty());
}

TEST(OneLine, FoldsBreaksAndBlanks) {
  EXPECT_EQ(one_line("server closed\n\tthis  probably\r\nmeans\n"),
            "server closed this probably means");
  EXPECT_EQ(one_line("\n \t"), "");
}

}  // namespace
}  // namespace matview::pg
