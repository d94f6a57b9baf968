#include "fake_servers.hpp"
#include "views_fixture.hpp"

#include <gtest/gtest.h>
#include <libpq-fe.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace matview::test {
namespace {

using fate = proxy::fate;

// What each operation changes, and how one sees it.
struct change {
  std::string name;
  std::string statement;  // How the message begins that does the work.
  std::function<void()> make;
  std::string happened;  // A query for t or f.
};

class BrokenConnection : public views_test {
 protected:
  BrokenConnection() : between(db.url()) {
    configure({{"default", between.url()}});
    set_up();
  }
  void set_up() {
    db.execute(
        "DROP SCHEMA public CASCADE; CREATE SCHEMA public; CREATE TABLE t AS SELECT 1 AS id; "
        "CREATE MATERIALIZED VIEW v AS SELECT id FROM t; CREATE UNIQUE INDEX ON v (id); "
        "UPDATE t SET id = 2; CREATE MATERIALIZED VIEW old AS SELECT 1 AS id");
  }
  bool happened(const change& of) { return db.query_one(of.happened) == "t"; }

  static std::vector<change> changes() {
    return {
        {"create", "BEGIN;", [] { create_matview("made", "SELECT 1 AS id"); },
         "SELECT to_regclass('made') IS NOT NULL"},
        {"refresh", "BEGIN;", [] { refresh_matview("v"); }, "SELECT id = 2 FROM v"},
        {"refresh concurrently", "BEGIN;", [] { refresh_matview("v", {.concurrently = true}); },
         "SELECT id = 2 FROM v"},
        {"drop", "BEGIN;", [] { drop_matview("old"); }, "SELECT to_regclass('old') IS NULL"},
    };
  }

  proxy between;
};

TEST_F(BrokenConnection, AfterTheCommitWasSentLeavesItInDoubtAndItHasHappened) {
  for (const change& each : changes()) {
    SCOPED_TRACE(each.name);
    set_up();
    between.arrange("COMMIT", fate::lose_reply);
    const error failure = failure_of([&] { return each.make(), 0; });
    EXPECT_EQ(failure.code(), errc::in_doubt) << failure.what();
    EXPECT_TRUE(failure.may_have_happened());
    EXPECT_FALSE(failure.may_retry());
    EXPECT_FALSE(failure.connection_usable());
    EXPECT_NE(failure.hint(), "");
    EXPECT_TRUE(happened(each));
  }
}

// From here it looks the same.
TEST_F(BrokenConnection, WhileTheCommitIsSentLeavesItInDoubtAndItHasNotHappened) {
  for (const change& each : changes()) {
    SCOPED_TRACE(each.name);
    set_up();
    between.arrange("COMMIT", fate::lose_request);
    const error failure = failure_of([&] { return each.make(), 0; });
    EXPECT_EQ(failure.code(), errc::in_doubt) << failure.what();
    EXPECT_TRUE(failure.may_have_happened());
    EXPECT_TRUE(eventually([&] { return idle_in_transaction() == 0; }));
    EXPECT_FALSE(happened(each));
  }
}

TEST_F(BrokenConnection, BeforeTheCommitIsLostAndNothingHasHappened) {
  for (const fate how : {fate::lose_request, fate::lose_reply}) {
    for (const change& each : changes()) {
      SCOPED_TRACE(each.name + (how == fate::lose_request ? ", request lost" : ", reply lost"));
      set_up();
      between.arrange(each.statement, how);
      const error failure = failure_of([&] { return each.make(), 0; });
      EXPECT_EQ(failure.code(), errc::connection_lost) << failure.what();
      EXPECT_FALSE(failure.may_have_happened());
      EXPECT_TRUE(failure.may_retry());
      EXPECT_FALSE(failure.connection_usable());
      EXPECT_TRUE(eventually([&] { return idle_in_transaction() == 0; }));
      EXPECT_FALSE(happened(each));
      each.make();  // As may_retry() says.
      EXPECT_TRUE(happened(each));
    }
  }
}

TEST_F(BrokenConnection, WhileItIsPreparedIsAFailureOfConnecting) {
  between.arrange("SET", fate::lose_request);
  const error failure = failure_of([] { return refresh_matview("v"); });
  EXPECT_TRUE(failure.code() == errc::connection_failed || failure.code() == errc::connection_lost)
      << failure.what();
  EXPECT_TRUE(failure.may_retry());
  EXPECT_EQ(refresh_matview("v").rows, 1);
}

// The caller's transaction decides, and it has not been committed.
TEST_F(BrokenConnection, InTheCallersTransactionIsLostAndNeverInDoubt) {
  const std::unique_ptr<PGconn, decltype(&PQfinish)> mine(PQconnectdb(between.url().c_str()),
                                                          &PQfinish);
  PQclear(PQexec(mine.get(), "BEGIN"));
  between.arrange("RELEASE", fate::lose_reply);
  const error failure = failure_of([&] { return refresh_matview(mine.get(), "v"); });
  EXPECT_EQ(failure.code(), errc::connection_lost) << failure.what();
  EXPECT_FALSE(failure.may_have_happened());
  EXPECT_FALSE(failure.connection_usable());
  EXPECT_TRUE(eventually([&] { return idle_in_transaction() == 0; }));
  EXPECT_EQ(db.query_one("SELECT id FROM v"), "1");
}

class SlowCommit : public BrokenConnection {};

TEST_F(SlowCommit, IsNotCancelledAnyMore) {
  between.arrange("COMMIT", fate::hold_reply);
  background refresh(arefresh_matview("v"));
  ASSERT_TRUE(eventually([&] { return between.answered(); }));
  refresh.cancel(asio::cancellation_type::terminal);
  refresh.cancel(asio::cancellation_type::total);
  EXPECT_FALSE(refresh.done());
  between.release();
  EXPECT_EQ(refresh.get().rows, 1);
  EXPECT_EQ(db.query_one("SELECT id FROM v"), "2");
  EXPECT_EQ(refresh_matview("v").rows, 1);
}

}  // namespace
}  // namespace matview::test
