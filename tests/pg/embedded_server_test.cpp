#include "pg/embedded_server.hpp"

#include "pg/embedded_fixture.hpp"
#include "support/process.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace matview::pg {
namespace {

using namespace embedded_testing;

TEST(EmbeddedServer, InitialisesAndStartsOnFirstUse) {
  const scratch_folder scratch;
  std::vector<std::string> lines;
  const auto use =
      embedded_server::use(scratch.server(), [&](log_level level, std::string_view line) {
        EXPECT_EQ(level, log_level::debug) << line;
        lines.emplace_back(line);
      });
  EXPECT_EQ(use->path(), scratch.server());
  session database(use->conninfo());
  EXPECT_EQ(database.query_one("SELECT current_database() || ' ' || current_user"),
            "postgres postgres");
  EXPECT_EQ(database.query_one("SHOW listen_addresses"), "");
  EXPECT_EQ(database.query_one("SHOW fsync"), "on");
  EXPECT_EQ(database.query_one("SHOW data_checksums"), "on");
  EXPECT_EQ(database.query_one("SHOW server_encoding"), "UTF8");
  ASSERT_EQ(lines.size(), 3U);
  EXPECT_NE(lines[0].find("initialising"), std::string::npos) << lines[0];
  EXPECT_NE(lines[1].find("starting"), std::string::npos) << lines[1];
  EXPECT_NE(lines[2].find("started in"), std::string::npos) << lines[2];
}

TEST(EmbeddedServer, IsClosedToOtherUsersOfTheMachine) {
  const scratch_folder scratch;
  const mode_t before = umask(0);
  const auto use = embedded_server::use(scratch.path() / "several/levels/pg", {});
  umask(before);
  for (const char* name : {"", "run", "data", "start.lock", "users.lock", "server.log"}) {
    const fs::perms mode = fs::status(use->path() / name).permissions();
    EXPECT_EQ(mode & static_cast<fs::perms>(077), fs::perms::none) << name;
  }
}

TEST(EmbeddedServer, IsSharedByUsesOfOneProcess) {
  const scratch_folder scratch;
  auto first = embedded_server::use(scratch.server(), {});
  const pid_t postmaster = postmaster_of(scratch.server());
  const auto second = embedded_server::use(scratch.server(), {});
  EXPECT_EQ(postmaster_of(scratch.server()), postmaster);
  first.reset();
  EXPECT_TRUE(alive(postmaster));
  EXPECT_EQ(session(second->conninfo()).query_one("SELECT 1"), "1");
}

TEST(EmbeddedServer, IsSharedWithAForkedProcess) {
  const scratch_folder scratch;
  auto use = embedded_server::use(scratch.server(), {});
  const pid_t postmaster = postmaster_of(scratch.server());
  guest other(scratch.server());
  EXPECT_EQ(other.postmaster(), postmaster);
  EXPECT_TRUE(other.has_left());
  EXPECT_TRUE(alive(postmaster));
}

/// Not a test: what the next one runs as another program.
TEST(EmbeddedServer, DISABLED_PrintsItsPostmaster) {
  const char* server = std::getenv("MATVIEW_TEST_EMBEDDED");
  ASSERT_NE(server, nullptr);
  const auto use = embedded_server::use(server, {});
  session(use->conninfo()).execute("SELECT 1");
  fmt::print("postmaster {}\n", postmaster_of(server));
}

TEST(EmbeddedServer, IsSharedWithAnotherProgram) {
  const scratch_folder scratch;
  auto use = embedded_server::use(scratch.server(), {});
  const pid_t postmaster = postmaster_of(scratch.server());
  const test::process_result other =
      test::run({"/proc/self/exe", "--gtest_also_run_disabled_tests",
                 "--gtest_filter=EmbeddedServer.DISABLED_PrintsItsPostmaster"},
                {.env = {{"MATVIEW_TEST_EMBEDDED", scratch.server().string()}}});
  EXPECT_EQ(other.exit_code, 0) << other.out << other.err;
  EXPECT_NE(other.out.find(fmt::format("postmaster {}\n", postmaster)), std::string::npos)
      << other.out;
  EXPECT_TRUE(alive(postmaster));
}

TEST(EmbeddedServer, IsStoppedByTheLastToLeave) {
  const scratch_folder scratch;
  auto use = embedded_server::use(scratch.server(), {});
  const pid_t postmaster = postmaster_of(scratch.server());
  ASSERT_TRUE(alive(postmaster));
  guest last(scratch.server());
  ASSERT_EQ(last.postmaster(), postmaster);
  use.reset();
  EXPECT_TRUE(alive(postmaster));
  EXPECT_TRUE(last.has_left());
  EXPECT_TRUE(stopped(scratch.server(), postmaster));
}

TEST(EmbeddedServer, KeepsDataFromUseToUse) {
  const scratch_folder scratch;
  auto use = embedded_server::use(scratch.server(), {});
  session(use->conninfo()).execute("CREATE TABLE t AS SELECT 42 AS a");
  use.reset();
  use = embedded_server::use(scratch.server(), {});
  EXPECT_EQ(session(use->conninfo()).query_one("SELECT a FROM t"), "42");
}

TEST(EmbeddedServer, IsOneForTwentyProcessesThatComeAtOnce) {
  const scratch_folder scratch;
  std::vector<std::unique_ptr<guest>> guests;
  for (int i = 0; i < 20; ++i) guests.push_back(std::make_unique<guest>(scratch.server()));
  std::set<pid_t> postmasters;
  for (const auto& one : guests) postmasters.insert(one->postmaster());
  ASSERT_EQ(postmasters.size(), 1U);
  ASSERT_NE(*postmasters.begin(), 0);
  for (const auto& one : guests) one->tell_to_leave();
  for (const auto& one : guests) EXPECT_TRUE(one->has_left());
  EXPECT_TRUE(stopped(scratch.server(), *postmasters.begin()));
}

TEST(EmbeddedServer, IsReachedWhateverTheEnvironmentSays) {
  const scratch_folder scratch;
  const environment_variable address("PGHOSTADDR", "192.0.2.1");
  const environment_variable port("PGPORT", "1");
  const environment_variable data("PGDATA", "/nowhere");
  const environment_variable locale("LC_ALL", "none_NONE");
  const auto use = embedded_server::use(scratch.server(), {});
  EXPECT_EQ(session(use->conninfo()).query_one("SELECT 1"), "1");
}

TEST(EmbeddedServer, DoesNotTakeOverTheCallersEnvironmentOrDescriptors) {
  const scratch_folder scratch;
  const environment_variable secret("MATVIEW_URL", "postgresql://me:secret@there/db");
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);  // on purpose without O_CLOEXEC
  guest user(scratch.server());
  const pid_t postmaster = user.postmaster();
  ASSERT_NE(postmaster, 0);
  EXPECT_EQ(contents(fmt::format("/proc/{}/environ", postmaster)).find("secret"),
            std::string::npos);
  user.kill_now();
  close(ends[1]);
  pollfd wait = {ends[0], POLLIN, 0};
  EXPECT_EQ(poll(&wait, 1, 0), 1) << "somebody still has the other end";
  close(ends[0]);
  EXPECT_TRUE(holds_soon([&] { return bool{stopped(scratch.server(), postmaster)}; }));
}

TEST(EmbeddedServer, WorksInAnApplicationThatIgnoresItsChildren) {
  const scratch_folder scratch;
  const auto before = std::signal(SIGCHLD, SIG_IGN);
  auto use = embedded_server::use(scratch.server(), {});
  const pid_t postmaster = postmaster_of(scratch.server());
  EXPECT_EQ(session(use->conninfo()).query_one("SELECT 1"), "1");
  use.reset();
  EXPECT_TRUE(stopped(scratch.server(), postmaster));
  std::signal(SIGCHLD, before);
}

}  // namespace
}  // namespace matview::pg
