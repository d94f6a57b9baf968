#include "pg/server_programs.hpp"

#include "pg/embedded_fixture.hpp"
#include "support/refusal.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <set>
#include <string_view>
#include <vector>

namespace matview::pg {
namespace {

using namespace embedded_testing;
using test::refusal;

TEST(ServerPrograms, AreFoundNewestFirst) {
  const environment_variable unset("MATVIEW_PG_BINDIR", nullptr);
  const std::vector<server_programs> all = find_server_programs();
  ASSERT_FALSE(all.empty());
  EXPECT_TRUE(std::ranges::is_sorted(all, std::greater{}, &server_programs::major));
  std::set<fs::path> places;
  for (const server_programs& one : all) {
    EXPECT_GE(one.major, 10);
    EXPECT_TRUE(fs::exists(one.bin / "initdb")) << one.bin;
    EXPECT_TRUE(places.insert(one.bin).second) << one.bin << " is there twice";
  }
}

TEST(ServerPrograms, AreOnlyWhereTheVariableSays) {
  const scratch_folder scratch;
  std::vector<server_programs> all;
  {
    const environment_variable unset("MATVIEW_PG_BINDIR", nullptr);
    all = find_server_programs();
    ASSERT_FALSE(all.empty());
  }
  fs::create_directory_symlink(all.back().bin, scratch.path() / "bin");
  const environment_variable set("MATVIEW_PG_BINDIR", (scratch.path() / "bin").c_str());
  const std::vector<server_programs> named = find_server_programs();
  ASSERT_EQ(named.size(), 1U);
  EXPECT_EQ(named.front().bin, scratch.path() / "bin");
  EXPECT_EQ(named.front().major, all.back().major);
}

TEST(ServerPrograms, AreRefusedWhereTheVariableIsWrong) {
  const scratch_folder scratch;
  const environment_variable wrong("MATVIEW_PG_BINDIR", scratch.path().c_str());
  for (const auto& call : {std::function<void()>([] { static_cast<void>(find_server_programs()); }),
                           std::function<void()>([&] {
                             static_cast<void>(embedded_server::use(scratch.server(), {}));
                           })}) {
    const auto thrown = refusal([&] {
      call();
      return 0;
    });
    ASSERT_TRUE(thrown.has_value());
    EXPECT_EQ(thrown->code(), errc::invalid_option);
    EXPECT_NE(std::string_view(thrown->what()).find("MATVIEW_PG_BINDIR"), std::string_view::npos);
    EXPECT_FALSE(thrown->hint().empty());
  }
  EXPECT_FALSE(fs::exists(scratch.server()));
}

}  // namespace
}  // namespace matview::pg
