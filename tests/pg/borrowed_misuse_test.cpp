#include "views_fixture.hpp"

#include <gtest/gtest.h>
#include <libpq-fe.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace matview::test {
namespace {

struct finish {
  void operator()(PGconn* raw) const noexcept { PQfinish(raw); }
};
using handle = std::unique_ptr<PGconn, finish>;

void run(PGconn* raw, const std::string& sql) {
  PQclear(PQexec(raw, sql.c_str()));
}

// Each function, on a connection that it has to refuse.
struct call {
  std::string name;
  std::function<void(PGconn*)> make;
};

std::vector<call> calls() {
  return {
      {"create", [](PGconn* on) { create_matview(on, "w", "SELECT 1 AS id"); }},
      {"acreate", [](PGconn* on) { run_async(acreate_matview(on, "w", "SELECT 1 AS id")); }},
      {"refresh", [](PGconn* on) { refresh_matview(on, "v"); }},
      {"arefresh", [](PGconn* on) { run_async(arefresh_matview(on, "v")); }},
      {"drop", [](PGconn* on) { drop_matview(on, "v"); }},
      {"adrop", [](PGconn* on) { run_async(adrop_matview(on, "v")); }},
      {"list", [](PGconn* on) { list_matviews(on); }},
      {"alist", [](PGconn* on) { run_async(alist_matviews(on)); }},
      {"describe", [](PGconn* on) { describe_matviews(on); }},
      {"adescribe", [](PGconn* on) { run_async(adescribe_matviews(on)); }},
  };
}

class BorrowedConnectionMisused : public views_test {
 protected:
  BorrowedConnectionMisused() { db.execute("CREATE MATERIALIZED VIEW v AS SELECT 1 AS id"); }
  [[nodiscard]] handle connect() const { return handle(PQconnectdb(db.url().c_str())); }
};

TEST_F(BorrowedConnectionMisused, NullIsNoConnection) {
  for (const call& each : calls()) {
    SCOPED_TRACE(each.name);
    const error failure = failure_of([&] { return each.make(nullptr), 0; });
    EXPECT_EQ(failure.code(), errc::connection_failed);
    EXPECT_FALSE(failure.connection_usable());
  }
}

TEST_F(BorrowedConnectionMisused, OneThatFailedToConnectIsNotOpen) {
  const handle failed(PQconnectdb("host=/nonexistent"));
  for (const call& each : calls()) {
    SCOPED_TRACE(each.name);
    const error failure = failure_of([&] { return each.make(failed.get()), 0; });
    EXPECT_EQ(failure.code(), errc::connection_failed);
    EXPECT_FALSE(failure.connection_usable());
  }
}

TEST_F(BorrowedConnectionMisused, OneThatTheServerClosedIsFoundBroken) {
  for (const call& each : calls()) {
    SCOPED_TRACE(each.name);
    const handle closed = connect();
    db.execute("SELECT pg_terminate_backend(" + std::to_string(PQbackendPID(closed.get())) + ")");
    ASSERT_TRUE(eventually([&] {
      return db.query_one("SELECT count(*) FROM pg_stat_activity WHERE pid = " +
                          std::to_string(PQbackendPID(closed.get()))) == "0";
    }));
    const error lost = failure_of([&] { return each.make(closed.get()), 0; });
    EXPECT_EQ(lost.code(), errc::connection_lost) << lost.what();
    EXPECT_FALSE(lost.connection_usable());
    EXPECT_FALSE(lost.may_have_happened());
    const error again = failure_of([&] { return each.make(closed.get()), 0; });
    EXPECT_EQ(again.code(), errc::connection_failed);
  }
}

TEST_F(BorrowedConnectionMisused, AFailedTransactionIsRefusedAndLeftAlone) {
  for (const call& each : calls()) {
    SCOPED_TRACE(each.name);
    const handle mine = connect();
    run(mine.get(), "BEGIN");
    run(mine.get(), "SELECT nothing");
    ASSERT_EQ(PQtransactionStatus(mine.get()), PQTRANS_INERROR);
    const error failure = failure_of([&] { return each.make(mine.get()), 0; });
    EXPECT_EQ(failure.code(), errc::invalid_option) << failure.what();
    EXPECT_TRUE(contains(failure.hint(), "roll it back")) << failure.hint();
    EXPECT_TRUE(failure.connection_usable());
    EXPECT_EQ(PQtransactionStatus(mine.get()), PQTRANS_INERROR);
  }
}

TEST_F(BorrowedConnectionMisused, ACommandInProgressIsRefusedAndLeftAlone) {
  for (const call& each : calls()) {
    SCOPED_TRACE(each.name);
    const handle mine = connect();
    ASSERT_EQ(PQsendQuery(mine.get(), "SELECT 42"), 1);
    const error failure = failure_of([&] { return each.make(mine.get()), 0; });
    EXPECT_EQ(failure.code(), errc::invalid_option) << failure.what();
    EXPECT_TRUE(failure.connection_usable());
    const std::unique_ptr<PGresult, decltype(&PQclear)> answer(PQgetResult(mine.get()), &PQclear);
    ASSERT_EQ(PQresultStatus(answer.get()), PGRES_TUPLES_OK);
    EXPECT_STREQ(PQgetvalue(answer.get(), 0, 0), "42");
    EXPECT_EQ(PQgetResult(mine.get()), nullptr);
  }
}

TEST_F(BorrowedConnectionMisused, PipelineModeIsRefusedAndLeftAlone) {
  for (const call& each : calls()) {
    SCOPED_TRACE(each.name);
    const handle mine = connect();
    ASSERT_EQ(PQenterPipelineMode(mine.get()), 1);
    const error failure = failure_of([&] { return each.make(mine.get()), 0; });
    EXPECT_EQ(failure.code(), errc::invalid_option) << failure.what();
    EXPECT_TRUE(failure.connection_usable());
    EXPECT_EQ(PQpipelineStatus(mine.get()), PQ_PIPELINE_ON);
    EXPECT_EQ(PQexitPipelineMode(mine.get()), 1);
  }
}

TEST_F(BorrowedConnectionMisused, AWrongNameIsRefusedFirst) {
  EXPECT_EQ(failure_of([] { return refresh_matview(nullptr, "v\n"); }).code(),
            errc::invalid_identifier);
  EXPECT_EQ(failure_of([] { return create_matview(nullptr, "v", "SELECT 1; SELECT 2"); }).code(),
            errc::invalid_select);
}

struct dangerous {
  std::string setting;
  std::string sql;
};

// The query is checked as PostgreSQL reads it by default. A session that reads it otherwise must
// not get to run what the check took for the inside of a literal.
TEST_F(BorrowedConnectionMisused, SettingsThatReadAQueryOtherwiseRunNothingOfIt) {
  const std::vector<dangerous> table{
      {"SET standard_conforming_strings = off",
       R"(SELECT 'a\'' ; DROP TABLE precious; CREATE TABLE evil AS SELECT 1 --' AS text)"},
      {"SET client_encoding = 'SJIS'",
       "SELECT E'\x95\\'; DROP TABLE precious; CREATE TABLE evil AS SELECT 1 --' AS text"},
      {"SET client_encoding = 'GBK'",
       "SELECT E'\x95\\'; DROP TABLE precious; CREATE TABLE evil AS SELECT 1 --' AS text"},
      {"SET client_encoding = 'BIG5'",
       "SELECT E'\xa5\\'; DROP TABLE precious; CREATE TABLE evil AS SELECT 1 --' AS text"},
  };
  for (const dangerous& row : table) {
    SCOPED_TRACE(row.setting);
    db.execute("DROP TABLE IF EXISTS precious; CREATE TABLE precious (id int)");
    const handle mine = connect();
    run(mine.get(), row.setting);
    static_cast<void>(refusal([&] { return create_matview(mine.get(), "w", row.sql); }));
    EXPECT_TRUE(exists("precious"));
    EXPECT_FALSE(exists("evil"));
    drop_matview("w");
  }
}

TEST_F(BorrowedConnectionMisused, CommentsAreTakenAsTheyAreInEverySetting) {
  const std::string comment = R"(it's \' "; DROP TABLE precious; --)";
  for (const std::string setting :
       {"SET standard_conforming_strings = off", "SET standard_conforming_strings = on",
        "SET backslash_quote = on"}) {
    SCOPED_TRACE(setting);
    const handle mine = connect();
    run(mine.get(), setting);
    const auto refused = refusal(
        [&] { return create_matview(mine.get(), "w", "SELECT 1 AS id", {.comment = comment}); });
    if (!refused) {
      EXPECT_EQ(describe_matviews().at(1).comment, comment);
    }
    drop_matview("w");
  }
}

}  // namespace
}  // namespace matview::test
