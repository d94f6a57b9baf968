#include "cli_fixture.hpp"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

namespace matview::test {
namespace {

class CliInterruption : public cli_test, public testing::WithParamInterface<int> {
 protected:
  /// 130, and the server has forgotten the statement.
  void expect_interrupted(process& program, const std::vector<std::string>& said = {}) {
    const process_result ended = program.wait();
    EXPECT_EQ(ended.exit_code, 130) << ended.err;
    for (const std::string& part : said) EXPECT_TRUE(contains(ended.err, part)) << ended.err;
    EXPECT_FALSE(contains(ended.err, "error:")) << ended.err;
    EXPECT_TRUE(eventually([this] { return running() == 0; }));
  }
};

INSTANTIATE_TEST_SUITE_P(By, CliInterruption, testing::Values(SIGINT, SIGTERM),
                         [](const auto& row) {
                           return row.param == SIGINT ? "SIGINT" : "SIGTERM";
                         });

TEST_P(CliInterruption, InMidRefresh) {
  create_gated_view("v");
  const session gate = close_gate();
  process refresh = start({"refresh", "v"});
  ASSERT_TRUE(at_gate());
  refresh.send_signal(GetParam());
  expect_interrupted(refresh, {"interrupted", "v is as it was"});
  EXPECT_EQ(db.query_one("SELECT id FROM v"), "1");
}

TEST_P(CliInterruption, InMidConcurrentRefresh) {
  create_gated_view("v");
  const session gate = close_gate();
  process refresh = start({"refresh", "v", "--concurrently"});
  ASSERT_TRUE(at_gate());
  refresh.send_signal(GetParam());
  expect_interrupted(refresh, {"interrupted", "v is as it was"});
  EXPECT_EQ(db.query_one("SELECT id FROM v"), "1");
}

TEST_P(CliInterruption, WhileWaitingForALock) {
  db.execute("CREATE MATERIALIZED VIEW v AS SELECT 1 AS id");
  session holder(db.url());
  holder.execute("BEGIN; SELECT * FROM v");
  process refresh = start({"refresh", "v"});
  ASSERT_TRUE(eventually([this] {
    return db.query_one(
               "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = "
               "'v'::regclass") == "1";
  }));
  refresh.send_signal(GetParam());
  expect_interrupted(refresh, {"interrupted", "v is as it was"});
}

TEST_P(CliInterruption, WhileDropWaitsForALock) {
  db.execute("CREATE MATERIALIZED VIEW v AS SELECT 1 AS id");
  session holder(db.url());
  holder.execute("BEGIN; SELECT * FROM v");
  process drop = start({"drop", "v"});
  ASSERT_TRUE(eventually([this] {
    return db.query_one(
               "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = "
               "'v'::regclass") == "1";
  }));
  drop.send_signal(GetParam());
  expect_interrupted(drop, {"interrupted", "v is as it was"});
  EXPECT_TRUE(exists("v"));
}

TEST_P(CliInterruption, InMidCreate) {
  db.execute("CREATE TABLE t AS SELECT 1 AS id");
  const session gate = close_gate();
  process create = start({"create", "v", "--sql", gated_query()});
  ASSERT_TRUE(at_gate());
  create.send_signal(GetParam());
  expect_interrupted(create, {"interrupted", "v was not created"});
  EXPECT_FALSE(exists("v"));
}

TEST_P(CliInterruption, WhileConnecting) {
  const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  ASSERT_EQ(::bind(listener, reinterpret_cast<sockaddr*>(&address), size), 0);
  ASSERT_EQ(::listen(listener, 1), 0);
  ::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size);
  process list =
      start({"list", "--url",
             "postgresql://u@127.0.0.1:" + std::to_string(ntohs(address.sin_port)) + "/x"});
  const int caller = ::accept(listener, nullptr, nullptr);
  list.send_signal(GetParam());
  expect_interrupted(list, {"interrupted"});
  ::close(caller);
  ::close(listener);
}

TEST_P(CliInterruption, LeavesTheRestOfSeveralUndoneAndTellsWhatWasDone) {
  create_gated_view("slow");
  db.execute(
      "CREATE MATERIALIZED VIEW a AS SELECT id FROM t WHERE id > 0; UPDATE t SET id = 3; "
      "CREATE MATERIALIZED VIEW z AS SELECT id FROM t WHERE id > 0; UPDATE t SET id = 4");
  const session gate = close_gate();
  process refresh = start({"refresh", "a", "slow", "z", "--format", "tsv"});
  ASSERT_TRUE(at_gate());
  refresh.send_signal(GetParam());
  const process_result ended = refresh.wait();
  EXPECT_EQ(ended.exit_code, 130);
  EXPECT_TRUE(ended.out.starts_with("public.a\t")) << ended.out;
  EXPECT_FALSE(contains(ended.out, "public.z")) << ended.out;
  EXPECT_TRUE(contains(ended.err, "slow is as it was")) << ended.err;
  EXPECT_TRUE(contains(ended.err, "z")) << "that z was not begun: " << ended.err;
  EXPECT_EQ(db.query_one("SELECT id FROM a"), "4");
  EXPECT_EQ(db.query_one("SELECT id FROM z"), "3");
}

TEST_P(CliInterruption, SaysNothingWhenQuiet) {
  create_gated_view("v");
  const session gate = close_gate();
  process refresh = start({"refresh", "v", "--quiet"});
  ASSERT_TRUE(at_gate());
  refresh.send_signal(GetParam());
  const process_result ended = refresh.wait();
  EXPECT_EQ(ended.exit_code, 130);
  EXPECT_EQ(ended.err, "");
}

TEST_P(CliInterruption, ASecondOneEndsItAtOnce) {
  // A server that takes the request to cancel and does nothing: all of it stands still.
  private_server server;
  server.start();
  session setup(server.url());
  setup.execute("CREATE TABLE t AS SELECT 1 AS id; CREATE MATERIALIZED VIEW v AS " + gated_query());
  session gate(server.url());
  gate.execute("SELECT pg_advisory_lock(4711)");
  process refresh = start({"refresh", "v"}, {.env = {{"MATVIEW_URL", server.url()}}});
  ASSERT_TRUE(eventually([&] {
    return setup.query_one(
               "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT "
               "granted") == "1";
  }));
  const pid_t backend = std::stoi(
      setup.query_one("SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'matview%'"));
  ::kill(backend, SIGSTOP);
  refresh.send_signal(GetParam());
  // The first one has arrived when SigPnd and ShdPnd are empty and the process runs on.
  const std::string status = "/proc/" + std::to_string(refresh.id()) + "/status";
  ASSERT_TRUE(eventually([&] { return contains(read_file(status), "ShdPnd:\t0000000000000000"); }));
  EXPECT_FALSE(refresh.ended());
  ASSERT_TRUE(eventually([&] {
    refresh.send_signal(GetParam());
    return refresh.ended();
  }));
  EXPECT_EQ(refresh.wait().exit_code, 130);
  ::kill(backend, SIGCONT);
}

}  // namespace
}  // namespace matview::test
