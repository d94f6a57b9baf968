#include "views_fixture.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <string>

namespace matview::test {
namespace {

class ServerCrash : public testing::Test {
 protected:
  ServerCrash() {
    server.start();
    configure({{"default", server.url()}});
    session(server.url())
        .execute(
            "CREATE TABLE t AS SELECT 1 AS id; CREATE MATERIALIZED VIEW v AS "
            "SELECT id FROM t WHERE " +
            gate::condition() +
            "; CREATE UNIQUE INDEX ON v (id); CHECKPOINT; "
            "UPDATE t SET id = 2");
  }
  ~ServerCrash() override { configure({}); }
  std::string contents() { return session(server.url()).query_one("SELECT id FROM v"); }

  private_server server;
};

class ServerCrashDuring : public ServerCrash, public testing::WithParamInterface<bool> {};

INSTANTIATE_TEST_SUITE_P(ARefresh, ServerCrashDuring, testing::Bool(),
                         [](const auto& row) { return row.param ? "Concurrently" : "Full"; });

TEST_P(ServerCrashDuring, LosesTheConnectionAndTheNextCallWorksAfterARestart) {
  auto slow = std::make_unique<gate>(server.url());
  background refresh(arefresh_matview("v", {.concurrently = GetParam()}));
  slow->await();
  server.kill_now();
  const error failure = failure_of([&] { return refresh.get(); });
  EXPECT_EQ(failure.code(), errc::connection_lost) << failure.what();
  EXPECT_TRUE(failure.may_retry());
  EXPECT_FALSE(failure.may_have_happened());
  EXPECT_FALSE(failure.connection_usable());
  EXPECT_NE(failure.hint(), "");
  slow.reset();

  const error down = failure_of([] { return refresh_matview("v"); });
  EXPECT_EQ(down.code(), errc::connection_failed) << down.what();
  EXPECT_TRUE(down.may_retry());

  server.start();
  EXPECT_EQ(contents(), "1");
  EXPECT_EQ(refresh_matview("v", {.concurrently = GetParam()}).rows, 1);
  EXPECT_EQ(contents(), "2");
}

TEST_P(ServerCrashDuring, OrAShutDownSaysWhoEndedIt) {
  auto slow = std::make_unique<gate>(server.url());
  background refresh(arefresh_matview("v", {.concurrently = GetParam()}));
  slow->await();
  server.stop();
  const error failure = failure_of([&] { return refresh.get(); });
  EXPECT_EQ(failure.code(), errc::connection_lost) << failure.what();
  EXPECT_EQ(failure.sqlstate(), "57P01");
  EXPECT_TRUE(contains(failure.what(), "administrator")) << failure.what();
  EXPECT_TRUE(failure.may_retry());
  EXPECT_FALSE(failure.may_have_happened());
  slow.reset();
  server.start();
  EXPECT_EQ(contents(), "1");
  EXPECT_EQ(refresh_matview("v").rows, 1);
}

TEST_F(ServerCrash, WhileConnectionsAreIdleIsNotNoticedAfterARestart) {
  EXPECT_EQ(list_matviews(), std::vector<std::string>{"v"});
  server.kill_now();
  server.start();
  EXPECT_EQ(refresh_matview("v").rows, 1);
  server.restart();
  EXPECT_EQ(refresh_matview("v").rows, 1);
}

TEST_F(ServerCrash, EndsTheWaitOfThoseInLineForAConnection) {
  configure_databases({{"default", {.url = server.url(), .pool_size = 1}}});
  auto slow = std::make_unique<gate>(server.url());
  background holder(arefresh_matview("v"));
  slow->await();
  background waiter(arefresh_matview("v"));
  server.kill_now();
  EXPECT_EQ(failure_of([&] { return holder.get(); }).code(), errc::connection_lost);
  const error failure = failure_of([&] { return waiter.get(); });
  EXPECT_EQ(failure.code(), errc::connection_failed) << failure.what();
  slow.reset();
  server.start();
  EXPECT_EQ(refresh_matview("v").rows, 1);
}

TEST_F(ServerCrash, DuringACreateLeavesNoView) {
  auto slow = std::make_unique<gate>(server.url());
  background create(acreate_matview("w", "SELECT id FROM t WHERE " + gate::condition()));
  slow->await();
  server.kill_now();
  EXPECT_EQ(failure_of([&] { return create.get(); }).code(), errc::connection_lost);
  slow.reset();
  server.start();
  EXPECT_EQ(list_matviews(), std::vector<std::string>{"v"});
  EXPECT_EQ(create_matview("w", "SELECT 1 AS id").rows, 1);
}

}  // namespace
}  // namespace matview::test
