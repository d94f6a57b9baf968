// `embedded:PATH` as an alias: what the functions of the library make of a private server.

#include "pg/embedded_fixture.hpp"
#include <matview/matview.hpp>

#include <gtest/gtest.h>

#include <csignal>
#include <cstdint>
#include <optional>
#include <string>

namespace matview::pg::embedded_testing {
namespace {

class EmbeddedAlias : public ::testing::Test {
 protected:
  EmbeddedAlias() { configure({{"default", "embedded:" + folder_.server().string()}}); }
  ~EmbeddedAlias() override { configure({}); }

  [[nodiscard]] pid_t postmaster() const { return postmaster_of(folder_.server()); }

  scratch_folder folder_;
};

TEST_F(EmbeddedAlias, StartsOnFirstUseAndStopsWhenItIsForgotten) {
  EXPECT_FALSE(fs::exists(folder_.server() / "data"));
  create_matview("v", "SELECT 1 AS n");
  EXPECT_EQ(list_matviews(), std::vector<std::string>{"v"});
  const pid_t running = postmaster();
  EXPECT_TRUE(alive(running));
  configure({});
  EXPECT_TRUE(stopped(folder_.server(), running));
}

TEST_F(EmbeddedAlias, IsStartedAnewWhenItsServerWasKilled) {
  create_matview("v", "SELECT g AS n FROM generate_series(1, 10) AS g");
  const pid_t killed = postmaster();
  kill(killed, SIGKILL);
  EXPECT_TRUE(holds_soon([&] { return !alive(killed); }));
  // A call may still meet a connection that is just breaking, as backends outlive the postmaster
  // for a moment; it says so.
  std::optional<std::int64_t> rows;
  EXPECT_TRUE(holds_soon([&] {
    try {
      rows = refresh_matview("v").rows;
    } catch (const error& lost) {
      EXPECT_EQ(lost.code(), errc::connection_lost) << lost.what();
    }
    return rows.has_value();
  }));
  EXPECT_EQ(rows, 10);
  EXPECT_NE(postmaster(), killed);
}

}  // namespace
}  // namespace matview::pg::embedded_testing
