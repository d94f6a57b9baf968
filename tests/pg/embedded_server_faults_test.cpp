#include "pg/embedded_fixture.hpp"
#include "pg/embedded_server.hpp"
#include "pg/server_programs.hpp"
#include "support/refusal.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace matview::pg {
namespace {

using namespace embedded_testing;
using test::refusal;

TEST(EmbeddedServerFaults, BelongsToTheParentAfterAFork) {
  const scratch_folder scratch;
  auto use = embedded_server::use(scratch.server(), {});
  const pid_t postmaster = postmaster_of(scratch.server());
  const pid_t child = fork();
  if (child == 0) {
    use.reset();
    _exit(0);
  }
  waitpid(child, nullptr, 0);
  EXPECT_TRUE(alive(postmaster));
  EXPECT_EQ(session(use->conninfo()).query_one("SELECT 1"), "1");
  use.reset();
  EXPECT_TRUE(stopped(scratch.server(), postmaster));
}

TEST(EmbeddedServerFaults, RecoversAfterTheServerWasKilled) {
  const scratch_folder scratch;
  const auto before = embedded_server::use(scratch.server(), {});
  session(before->conninfo()).execute("CREATE TABLE t AS SELECT 42 AS a");
  const pid_t postmaster = postmaster_of(scratch.server());
  ASSERT_EQ(kill(postmaster, SIGKILL), 0);
  ASSERT_TRUE(holds_soon([&] { return !alive(postmaster); }));

  auto after = embedded_server::use(scratch.server(), {});
  EXPECT_NE(postmaster_of(scratch.server()), postmaster);
  EXPECT_EQ(session(after->conninfo()).query_one("SELECT a FROM t"), "42");
  after.reset();
  EXPECT_EQ(session(before->conninfo()).query_one("SELECT a FROM t"), "42");
}

TEST(EmbeddedServerFaults, IsLeftInPeaceWhenItDied) {
  const scratch_folder scratch;
  auto use = embedded_server::use(scratch.server(), {});
  const pid_t postmaster = postmaster_of(scratch.server());
  ASSERT_EQ(kill(postmaster, SIGKILL), 0);
  ASSERT_TRUE(holds_soon([&] { return !alive(postmaster); }));
  use.reset();
  use = embedded_server::use(scratch.server(), {});
  EXPECT_EQ(session(use->conninfo()).query_one("SELECT 1"), "1");
}

TEST(EmbeddedServerFaults, StopsByItselfWhenItsOnlyUserIsKilled) {
  const scratch_folder scratch;
  guest user(scratch.server());
  const pid_t postmaster = user.postmaster();
  ASSERT_NE(postmaster, 0);
  user.kill_now();
  EXPECT_TRUE(holds_soon([&] { return bool{stopped(scratch.server(), postmaster)}; }));
}

TEST(EmbeddedServerFaults, OutlivesTheKilledStarterWhileOthersUseIt) {
  const scratch_folder scratch;
  guest starter(scratch.server());
  const pid_t postmaster = starter.postmaster();
  ASSERT_NE(postmaster, 0);
  auto use = embedded_server::use(scratch.server(), {});
  starter.kill_now();
  for (int i = 0; i < 20; ++i) EXPECT_EQ(session(use->conninfo()).query_one("SELECT 1"), "1");
  EXPECT_EQ(postmaster_of(scratch.server()), postmaster);
  use.reset();
  EXPECT_TRUE(stopped(scratch.server(), postmaster));
}

TEST(EmbeddedServerFaults, IsMadeAnewWhenItsMakerIsKilledHalfWay) {
  const scratch_folder scratch;
  guest maker(scratch.server());
  ASSERT_TRUE(holds_soon([&] { return fs::exists(scratch.server() / "data.new/PG_VERSION"); }));
  maker.kill_now();
  ASSERT_FALSE(fs::exists(scratch.server() / "data"));
  const auto use = embedded_server::use(scratch.server(), {});
  EXPECT_EQ(session(use->conninfo()).query_one("SELECT 1"), "1");
  EXPECT_FALSE(fs::exists(scratch.server() / "data.new"));
}

TEST(EmbeddedServerFaults, StopsByItselfWhenItsStarterIsKilledHalfWay) {
  const scratch_folder scratch;
  embedded_server::use(scratch.server(), {}).reset();
  guest starter(scratch.server());
  pid_t postmaster = 0;
  ASSERT_TRUE(holds_soon([&] { return (postmaster = postmaster_of(scratch.server())) != 0; }));
  starter.kill_now();
  EXPECT_TRUE(holds_soon([&] { return bool{stopped(scratch.server(), postmaster)}; }));
  const auto use = embedded_server::use(scratch.server(), {});
  EXPECT_EQ(session(use->conninfo()).query_one("SELECT 1"), "1");
}

TEST(EmbeddedServerFaults, ServesEverybodyWhileOthersComeAndGo) {
  const scratch_folder scratch;
  constexpr int rounds = 6;
  std::vector<pid_t> children;
  for (int i = 0; i < 5; ++i) {
    children.push_back(fork());
    if (children.back() != 0) continue;
    int served = 0;
    for (int round = 0; round < rounds; ++round) {
      guest visitor(scratch.server());
      served += visitor.postmaster() != 0 && (round % 3 == 2 || visitor.has_left()) ? 1 : 0;
    }  // every third is killed
    _exit(served == rounds ? 0 : 1);
  }
  for (const pid_t child : children) {
    int status = -1;
    waitpid(child, &status, 0);
    EXPECT_EQ(status, 0);
  }
  EXPECT_TRUE(holds_soon([&] { return !fs::exists(scratch.server() / "data/postmaster.pid"); }));
}

TEST(EmbeddedServerFaults, IgnoresWhatAnInterruptedInitialisationLeft) {
  const scratch_folder scratch;
  fs::create_directories(scratch.server() / "data.new/base");
  write_file(scratch.server() / "data.new/PG_VERSION", "15\n");
  const auto use = embedded_server::use(scratch.server(), {});
  EXPECT_EQ(session(use->conninfo()).query_one("SELECT 1"), "1");
}

TEST(EmbeddedServerFaults, StartsWhenAnotherProcessHasTheDeadServersNumber) {
  const scratch_folder scratch;
  embedded_server::use(scratch.server(), {}).reset();
  const fs::path file = scratch.server() / "data/postmaster.pid";
  struct stat data = {};
  ASSERT_EQ(stat((scratch.server() / "data").c_str(), &data), 0);
  const pid_t other = fork();
  if (other == 0) {  // of the server's user, as the ones of others PostgreSQL ignores by itself
    if (geteuid() == 0 && (setgid(data.st_gid) != 0 || setuid(data.st_uid) != 0)) _exit(1);
    while (true) pause();
  }
  write_file(file, fmt::format("{}\n{}\n1\n5432\n../run\n\n  1 1\nready\n", other,
                               (scratch.server() / "data").string()));
  ASSERT_EQ(chown(file.c_str(), data.st_uid, data.st_gid), 0);
  {
    const auto use = embedded_server::use(scratch.server(), {});
    EXPECT_EQ(session(use->conninfo()).query_one("SELECT 1"), "1");
  }
  EXPECT_TRUE(alive(other)) << "a stop must not hit a stranger";
  kill(other, SIGKILL);
  waitpid(other, nullptr, 0);
}

TEST(EmbeddedServerFaults, LeavesAServerAloneThatSomebodyElseStarted) {
  const scratch_folder scratch;
  embedded_server::use(scratch.server(), {}).reset();
  struct stat data = {};
  ASSERT_EQ(stat((scratch.server() / "data").c_str(), &data), 0);
  const std::string pg_ctl = (find_server_programs().front().bin / "pg_ctl").string();
  const auto control = [&](std::vector<std::string> more) {
    std::vector<std::string> argv = {pg_ctl, "-D", (scratch.server() / "data").string(), "-w"};
    argv.insert(argv.end(), more.begin(), more.end());
    return run_program({.argv = std::move(argv),
                        .user = geteuid() == 0 ? find_user(data.st_uid) : std::nullopt})
        .status;
  };
  ASSERT_EQ(control({"start", "-l", "/dev/null", "-o", "-k ../../pg -c listen_addresses="}), 0);
  const pid_t postmaster = postmaster_of(scratch.server());

  const auto thrown = refusal([&] { return embedded_server::use(scratch.server(), {}); });
  EXPECT_TRUE(alive(postmaster));
  EXPECT_EQ(control({"stop", "-m", "fast"}), 0);
  ASSERT_TRUE(thrown.has_value());
  EXPECT_EQ(thrown->code(), errc::invalid_option);
  EXPECT_NE(std::string_view(thrown->what()).find("by other means"), std::string_view::npos);
}

TEST(EmbeddedServerFaults, QuotesTheServerWhenItDoesNotStart) {
  const scratch_folder scratch;
  embedded_server::use(scratch.server(), {}).reset();
  std::ofstream(scratch.server() / "data/postgresql.conf", std::ios::app)
      << "shared_buffers = 'plenty'\n";
  const auto thrown = refusal([&] { return embedded_server::use(scratch.server(), {}); });
  ASSERT_TRUE(thrown.has_value());
  EXPECT_EQ(thrown->code(), errc::connection_failed);
  const std::string message = thrown->what();
  EXPECT_NE(message.find("could not be started: "), std::string::npos) << message;
  EXPECT_NE(message.find("shared_buffers"), std::string::npos) << message;
  EXPECT_NE(thrown->hint().find("server.log"), std::string::npos) << thrown->hint();
}

TEST(EmbeddedServerFaults, SaysThatTheDiskIsFull) {
  const scratch_folder scratch;
  const fs::path disk = scratch.path() / "disk";
  fs::create_directory(disk);
  if (mount("tmpfs", disk.c_str(), "tmpfs", 0, "size=16m,mode=0755") != 0) {
    GTEST_SKIP() << "a small disk cannot be mounted here";
  }
  const auto thrown = refusal([&] { return embedded_server::use(disk / "pg", {}); });
  const bool nothing_counts = !fs::exists(disk / "pg/data");
  umount2(disk.c_str(), MNT_DETACH);
  ASSERT_TRUE(thrown.has_value());
  EXPECT_EQ(thrown->code(), errc::connection_failed);
  EXPECT_TRUE(nothing_counts);
  EXPECT_NE(thrown->hint().find("No space left on device"), std::string::npos)
      << thrown->what() << '\n'
      << thrown->hint();
}

}  // namespace
}  // namespace matview::pg
