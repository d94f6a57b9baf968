#include "cli_fixture.hpp"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <fstream>

namespace matview::test {
namespace {

// Exit code 3: no database answered, or it went away.
class CliConnection : public cli_test {};

TEST_F(CliConnection, NoServerAtTheSocket) {
  const std::string where = folder.path().string();
  expect_refusal(matview({"list", "--url", "host=" + where + " dbname=x"}), 3, {where, "hint: "});
}

TEST_F(CliConnection, NoServerAtTheSocketIsReadableSentences) {
  const auto refused = matview({"list", "--url", "host=" + folder.path().string()});
  EXPECT_FALSE(contains(refused.err, "directory Is the server")) << refused.err;
}

TEST_F(CliConnection, NoServerAtThePort) {
  expect_refusal(matview({"list", "--url", "postgresql://u@127.0.0.1:1/x"}), 3,
                 {"127.0.0.1", "port 1", "Connection refused"});
}

TEST_F(CliConnection, NoSuchHost) {
  expect_refusal(matview({"list", "--url", "postgresql://u@db.invalid/x"}), 3, {"db.invalid"});
}

TEST_F(CliConnection, NoAnswerWithinTheTimeout) {
  const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  ASSERT_EQ(::bind(listener, reinterpret_cast<sockaddr*>(&address), size), 0);
  ASSERT_EQ(::listen(listener, 1), 0);
  ::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size);
  folder.write("matview.toml", "[databases.default]\nurl = \"postgresql://u:hunter2@127.0.0.1:" +
                                   std::to_string(ntohs(address.sin_port)) +
                                   "/x\"\nconnect_timeout = \"200 milliseconds\"\n");
  const auto refused = matview({"list"});
  expect_refusal(refused, 3, {"no answer within the connect timeout", "127.0.0.1"});
  EXPECT_FALSE(contains(refused.err, "hunter2"));
  ::close(listener);
}

TEST_F(CliConnection, UnknownDatabase) {
  expect_refusal(matview({"list", "--url", with_parameter(db.url(), "dbname", "nope")}), 3,
                 {"database \"nope\" does not exist"});
}

TEST_F(CliConnection, UnknownRole) {
  expect_refusal(matview({"list", "--url", with_parameter(db.url(), "user", "nobody_here")}), 3,
                 {"nobody_here"});
}

TEST_F(CliConnection, OfSeveralNamesFailsWithThree) {
  const auto refused =
      matview({"refresh", "a", "b", "--url", "host=" + folder.path().string() + " dbname=x"});
  EXPECT_EQ(refused.exit_code, 3);
}

class CliPrivateServer : public cli_test {
 protected:
  CliPrivateServer() { server.start(); }
  private_server server;
};

TEST_F(CliPrivateServer, WrongPassword) {
  session(server.url()).execute("CREATE ROLE clerk LOGIN PASSWORD 'right'");
  std::ofstream(server.folder() / "data/pg_hba.conf") << "local all postgres trust\n"
                                                         "local all all scram-sha-256\n";
  server.restart();
  const std::string url = with_parameter(server.url(), "user", "clerk");
  EXPECT_EQ(matview({"list", "--url", with_parameter(url, "password", "right")}).exit_code, 0);
  const auto wrong = matview({"list", "-v", "--url", with_parameter(url, "password", "hunter2")});
  expect_refusal(wrong, 3, {"password authentication failed for user \"clerk\""});
  EXPECT_FALSE(contains(wrong.err, "hunter2"));
  expect_refusal(matview({"list", "--url", url}), 3, {"no password supplied"});
}

TEST_F(CliPrivateServer, KilledInMidRefresh) {
  session setup(server.url());
  setup.execute("CREATE TABLE t AS SELECT 1 AS id; CREATE MATERIALIZED VIEW v AS " + gated_query() +
                "; UPDATE t SET id = 2");
  session gate(server.url());
  gate.execute("SELECT pg_advisory_lock(4711)");
  process refresh = start({"refresh", "v"}, {.env = {{"MATVIEW_URL", server.url()}}});
  ASSERT_TRUE(eventually([&] {
    return setup.query_one(
               "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT "
               "granted") == "1";
  }));
  server.kill_now();
  expect_refusal(refresh.wait(), 3, {"connection to the server was lost", "nothing was changed"});

  server.start();
  const auto after = matview({"refresh", "v"}, {.env = {{"MATVIEW_URL", server.url()}}});
  EXPECT_EQ(after.exit_code, 0) << after.err;
  EXPECT_EQ(session(server.url()).query_one("SELECT id FROM v"), "2");
}

TEST_F(CliPrivateServer, KilledBetweenTwoOfSeveral) {
  session setup(server.url());
  setup.execute(
      "CREATE TABLE t AS SELECT 1 AS id; CREATE MATERIALIZED VIEW a AS SELECT 1 AS id; "
      "CREATE MATERIALIZED VIEW b AS " +
      gated_query());
  session gate(server.url());
  gate.execute("SELECT pg_advisory_lock(4711)");
  process refresh = start({"refresh", "a", "b"}, {.env = {{"MATVIEW_URL", server.url()}}});
  ASSERT_TRUE(eventually([&] {
    return setup.query_one(
               "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT "
               "granted") == "1";
  }));
  server.kill_now();
  const process_result done = refresh.wait();
  EXPECT_EQ(done.exit_code, 4);
  EXPECT_TRUE(contains(done.out, "public.a")) << done.out;
  EXPECT_TRUE(contains(done.err, "b")) << done.err;
}

TEST_F(CliPrivateServer, LostConnectionNamesTheViewOfSeveral) {
  const auto refused = matview(
      {"refresh", "first", "second", "--url", "host=" + folder.path().string() + " dbname=x"});
  EXPECT_TRUE(contains(refused.err, "first") && contains(refused.err, "second")) << refused.err;
}

}  // namespace
}  // namespace matview::test
