#include "pg/server_folder.hpp"

#include "pg/embedded_fixture.hpp"
#include "pg/embedded_server.hpp"
#include "support/refusal.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <pwd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>
#include <string_view>

namespace matview::pg {
namespace {

using namespace embedded_testing;
using test::refusal;

TEST(ServerFolder, TakesAPathWithHostileCharacters) {
  const scratch_folder scratch;
  const auto use =
      embedded_server::use(scratch.path() / "it's \"$(touch x)\" `y` \\ \xc3\xa4/", {});
  EXPECT_EQ(session(use->conninfo()).query_one("SELECT 1"), "1");
}

TEST(ServerFolder, MakesARelativePathAbsolute) {
  const scratch_folder scratch;
  const fs::path before = fs::current_path();
  fs::current_path(scratch.path());
  auto use = embedded_server::use("pg", {});
  fs::current_path(before);
  EXPECT_EQ(use->path(), scratch.server());
  EXPECT_EQ(session(use->conninfo()).query_one("SELECT 1"), "1");
}

TEST(ServerFolder, MayBeBehindASymbolicLink) {
  const scratch_folder scratch;
  fs::create_directory(scratch.path() / "real");
  fs::create_directory_symlink("real", scratch.server());
  const auto use = embedded_server::use(scratch.server(), {});
  EXPECT_EQ(session(use->conninfo()).query_one("SELECT 1"), "1");
}

TEST(ServerFolder, RefusesAPathThatCannotBeItsFolder) {
  const scratch_folder scratch;
  const fs::path file = scratch.path() / "file";
  write_file(file, "mine");
  const fs::path strangers = scratch.path() / "strangers";
  fs::create_directory(strangers);
  write_file(strangers / "thesis.txt", "mine");
  const fs::path data = scratch.path() / "other";
  fs::create_directories(data / "data/photos");
  struct row {
    const char* name;
    fs::path path;
    const char* message;
  };
  const row rows[] = {
      {"empty", "", "its path is empty"},
      {"a file", file, "it is no folder"},
      {"below a file", file / "pg", "file"},
      {"too long", scratch.path() / std::string(90, 'x'), "are allowed"},
      {"comma", scratch.path() / "a,b", "comma"},
      {"line break", scratch.path() / "a\nb", "control character"},
      {"somebody's files", strangers, "thesis.txt"},
      {"somebody's data", data, "is no database cluster"},
      {"not creatable", "/proc/matview", "cannot be made"},
  };
  for (const row& one : rows) {
    SCOPED_TRACE(one.name);
    const auto thrown = refusal([&] { return embedded_server::use(one.path, {}); });
    ASSERT_TRUE(thrown.has_value());
    EXPECT_EQ(thrown->code(), errc::invalid_option);
    EXPECT_NE(std::string_view(thrown->what()).find(one.message), std::string_view::npos)
        << thrown->what();
  }
  EXPECT_EQ(contents(strangers / "thesis.txt"), "mine");
  EXPECT_TRUE(fs::exists(data / "data/photos"));
  EXPECT_FALSE(fs::exists(strangers / "start.lock"));
  EXPECT_FALSE(fs::exists(scratch.path() / std::string(90, 'x')));
}

TEST(ServerFolder, SaysAsRootThatTheServersUserCannotReachTheFolder) {
  if (geteuid() != 0) GTEST_SKIP() << "only root runs the server as another user";
  const scratch_folder scratch;
  const fs::path closed = scratch.path() / "closed";
  fs::create_directory(closed);
  fs::permissions(closed, static_cast<fs::perms>(0700));
  const auto thrown = refusal([&] { return embedded_server::use(closed / "a/pg", {}); });
  ASSERT_TRUE(thrown.has_value());
  EXPECT_EQ(thrown->code(), errc::invalid_option);
  const std::string message = thrown->what();
  EXPECT_NE(message.find("cannot be reached by user "), std::string::npos) << message;
  EXPECT_NE(message.find("closed\" is closed to it"), std::string::npos) << message;
  EXPECT_FALSE(fs::exists(closed / "a"));
}

TEST(ServerFolder, RunsAsRootForTheOwnerOfTheFolder) {
  if (geteuid() != 0) GTEST_SKIP() << "only root runs the server as another user";
  const passwd* nobody = getpwnam("nobody");
  if (nobody == nullptr) GTEST_SKIP() << "there is no user nobody";
  const scratch_folder scratch;
  fs::create_directory(scratch.server());
  ASSERT_EQ(chown(scratch.server().c_str(), nobody->pw_uid, nobody->pw_gid), 0);
  const auto use = embedded_server::use(scratch.server(), {});
  struct stat process = {};
  ASSERT_EQ(stat(fmt::format("/proc/{}", postmaster_of(scratch.server())).c_str(), &process), 0);
  EXPECT_EQ(process.st_uid, nobody->pw_uid);
}

TEST(ServerFolder, ServesAUserWhoIsNotRoot) {
  if (geteuid() != 0) GTEST_SKIP() << "all the other tests show it";
  const passwd* nobody = getpwnam("nobody");
  if (nobody == nullptr) GTEST_SKIP() << "there is no user nobody";
  const scratch_folder scratch;
  ASSERT_EQ(chown(scratch.path().c_str(), nobody->pw_uid, nobody->pw_gid), 0);
  const pid_t child = fork();
  if (child == 0) {
    if (setgid(nobody->pw_gid) != 0 || setuid(nobody->pw_uid) != 0) _exit(1);
    guest user(scratch.server());
    const pid_t postmaster = user.postmaster();
    if (postmaster == 0) _exit(2);
    if (!user.has_left()) _exit(3);
    _exit(stopped(scratch.server(), postmaster) ? 0 : 4);
  }
  int status = -1;
  waitpid(child, &status, 0);
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
  const auto as_root = embedded_server::use(scratch.server(), {});
  EXPECT_EQ(session(as_root->conninfo()).query_one("SELECT 1"), "1");
}

TEST(ServerFolder, NamesBothVersionsWhenTheClusterIsOfAnother) {
  const scratch_folder scratch;
  fs::create_directories(scratch.server() / "data");
  write_file(scratch.server() / "data/PG_VERSION", "12\n");
  const auto thrown = refusal([&] { return embedded_server::use(scratch.server(), {}); });
  ASSERT_TRUE(thrown.has_value());
  EXPECT_EQ(thrown->code(), errc::invalid_option);
  const std::string message = thrown->what();
  EXPECT_NE(message.find("made by PostgreSQL 12"), std::string::npos) << message;
  EXPECT_NE(message.find("installed is PostgreSQL 1"), std::string::npos) << message;
  EXPECT_NE(thrown->hint().find("postgresql-12"), std::string::npos) << thrown->hint();
}

TEST(DefaultEmbeddedPath, FollowsTheXdgSpecification) {
  const environment_variable home("HOME", "/home/somebody");
  {
    const environment_variable data("XDG_DATA_HOME", "/data");
    EXPECT_EQ(default_embedded_path(), "/data/matview/embedded");
  }
  for (const char* ignored : {static_cast<const char*>(nullptr), "", "relative"}) {
    const environment_variable data("XDG_DATA_HOME", ignored);
    // Root's own data is closed to the account that the server runs as.
    EXPECT_EQ(default_embedded_path(), geteuid() == 0
                                           ? "/var/lib/matview/embedded"
                                           : "/home/somebody/.local/share/matview/embedded");
  }
}

TEST(DefaultEmbeddedPath, IsRefusedToTheHomeless) {
  if (geteuid() == 0) GTEST_SKIP() << "root needs no home for it";
  const environment_variable data("XDG_DATA_HOME", nullptr);
  const environment_variable home("HOME", nullptr);
  const auto thrown = refusal([] { return default_embedded_path(); });
  ASSERT_TRUE(thrown.has_value());
  EXPECT_EQ(thrown->code(), errc::invalid_option);
}

}  // namespace
}  // namespace matview::pg
