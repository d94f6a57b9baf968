// How views stand: what the catalog says, and what the history adds to it.

#include "views_fixture.hpp"
#include <matview/history.hpp>
#include <matview/schedules.hpp>
#include <matview/status.hpp>

#include <gtest/gtest.h>
#include <libpq-fe.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace matview::test {
namespace {

class Status : public views_test {
 protected:
  Status() {
    apart(
        "CREATE TABLE t AS SELECT 1 AS id; CREATE MATERIALIZED VIEW v AS SELECT id FROM t; "
        "CREATE UNIQUE INDEX ON v (id)");
    // Counted later than that, the row would be a change since the first refresh.
    if (!eventually([&] {
          return session(db.url()).query_one(
                     "SELECT n_tup_ins FROM pg_stat_user_tables WHERE relname = 't'") == "1";
        })) {
      throw std::runtime_error("the server does not count the row");
    }
  }
  static view_status of(const std::string& name = "v") {
    status_report report = matview_status({.names = {name}});
    return std::move(report.views.at(0));
  }
  /// In a session that ends, as only then the server counts what it did without delay.
  void apart(const std::string& sql) { session(db.url()).execute(sql); }
  /// A refresh that took so many seconds, and ended so many before now.
  void remember(double took, int ago) {
    db.execute(fmt::format(
        "INSERT INTO matview.refresh (schema, name, oid, mode, reason, outcome, asked_by, "
        "started_at, finished_at) SELECT 'public', 'v', 'v'::regclass, 'full', '', 'done', 'api', "
        "at - interval '1 s' * {}, at FROM (SELECT now() - interval '1 s' * {} AS at) AS ended",
        took, ago));
  }
};

TEST_F(Status, WithoutTheSchemaTellsWhatTheCatalogKnows) {
  db.execute("CREATE MATERIALIZED VIEW empty AS SELECT id FROM t WITH NO DATA");
  const status_report report = matview_status();
  ASSERT_EQ(report.views.size(), 2U);
  ASSERT_EQ(report.unseen.size(), 1U);
  EXPECT_TRUE(contains(report.unseen[0], "it has no schema matview")) << report.unseen[0];
  const view_status& empty = report.views[0];
  EXPECT_EQ(empty.schema + "." + empty.name, "public.empty");
  EXPECT_FALSE(empty.populated);
  EXPECT_EQ(empty.fresh, freshness::stale);
  EXPECT_EQ(empty.reason, "it holds no data");
  const view_status& full = report.views[1];
  EXPECT_TRUE(full.populated);
  EXPECT_EQ(full.bytes, std::stoll(db.query_one("SELECT pg_total_relation_size('v')")));
  EXPECT_EQ(full.fresh, freshness::unknown);
  EXPECT_EQ(full.reason, report.unseen[0]);
  EXPECT_FALSE(full.last || full.age || full.outside || full.usual || full.running || full.next ||
               full.error);
  EXPECT_FALSE(exists("matview.refresh"));
}

TEST_F(Status, OfARoleThatMayNotUseTheSchemaTellsWhatTheCatalogKnows) {
  keep_history();
  refresh_matview("v");
  const test_role role(db, "outsider");
  configure({{"default", role.url()}});
  const status_report closed = matview_status();
  ASSERT_EQ(closed.views.size(), 1U);
  ASSERT_EQ(closed.unseen.size(), 2U);
  EXPECT_TRUE(contains(closed.unseen[0], "may not read the history")) << closed.unseen[0];
  EXPECT_TRUE(contains(closed.unseen[1], "matview.schedule")) << closed.unseen[1];
  EXPECT_FALSE(closed.views[0].last);
  EXPECT_TRUE(closed.views[0].bytes);
  EXPECT_EQ(closed.views[0].reason, closed.unseen[0]);
  db.execute("GRANT USAGE ON SCHEMA matview TO " + role.name() +
             "; GRANT SELECT ON ALL TABLES IN SCHEMA matview TO " + role.name());
  const status_report open = matview_status();
  EXPECT_TRUE(open.unseen.empty());
  EXPECT_TRUE(open.views[0].last) << "reading is enough";
  EXPECT_EQ(open.views[0].fresh, freshness::fresh) << open.views[0].reason;
}

TEST_F(Status, TellsTheLastRefreshAndItsAge) {
  keep_history();
  refresh_matview("v", {.asked_by = refresh_origin::hand});
  const view_status told = of();
  ASSERT_TRUE(told.last);
  EXPECT_EQ(told.last->mode, refresh_mode::full);
  EXPECT_EQ(told.last->rows, 1);
  EXPECT_EQ(told.last->asked_by, refresh_origin::hand);
  EXPECT_GT(told.last->took().count(), 0);
  ASSERT_TRUE(told.age);
  EXPECT_LT(*told.age, 1min);
  EXPECT_FALSE(told.outside);
  EXPECT_FALSE(told.error);
  db.execute("UPDATE matview.view SET data_as_of = now() - interval '2 days'");
  EXPECT_EQ(std::chrono::floor<std::chrono::hours>(of().age.value()), 48h);
  db.execute("DROP MATERIALIZED VIEW v; CREATE MATERIALIZED VIEW v AS SELECT id FROM t");
  EXPECT_FALSE(of().last) << "that was another view of this name";
  EXPECT_FALSE(of().age);
  EXPECT_EQ(of().reason, "the view was made anew");
}

TEST_F(Status, TellsTheUsualTimeOfTheLastTwenty) {
  keep_history();
  for (int i = 0; i < 5; ++i) remember(1000, 10'000 + i);      // Too long ago to count.
  for (int i = 0; i < 18; ++i) remember(10 + i % 3, 100 + i);  // 10, 11, 12, ...
  remember(11, 99);
  remember(50, 40);
  const view_status told = of();
  ASSERT_TRUE(told.usual);
  EXPECT_EQ(told.usual->median, 11s);
  EXPECT_EQ(told.usual->deviation, 1s);
  EXPECT_EQ(told.usual->refreshes, 20);
  EXPECT_EQ(told.last->took(), 50s);
}

TEST_F(Status, IsFreshUntilATableChanges) {
  keep_history();
  EXPECT_EQ(of().reason, "no refresh of it is remembered");
  refresh_matview("v");
  EXPECT_EQ(of().fresh, freshness::fresh) << of().reason;
  EXPECT_EQ(of().reason, "none of its 1 table has changed");
  apart("INSERT INTO t VALUES (2)");
  EXPECT_TRUE(eventually([] { return of().fresh == freshness::stale; })) << of().reason;
  EXPECT_EQ(of().reason, "public.t has changed");
  refresh_matview("v");
  EXPECT_EQ(of().fresh, freshness::fresh) << of().reason;
}

TEST_F(Status, IsUnknownWhereTheQueryDependsOnTheTime) {
  keep_history();
  create_matview("dated", "SELECT id, current_date AS day FROM t");
  refresh_matview("dated");
  EXPECT_EQ(of("dated").fresh, freshness::unknown);
  EXPECT_TRUE(contains(of("dated").reason, "depends on the time")) << of("dated").reason;
}

TEST_F(Status, TellsOutsideRefreshesFromGrants) {
  keep_history();
  refresh_matview("v");
  db.execute("GRANT SELECT ON v TO public");
  view_status told = of();
  ASSERT_TRUE(told.outside);
  EXPECT_FALSE(told.outside->refreshed);
  EXPECT_TRUE(contains(told.outside->seen_by, "rights")) << told.outside->seen_by;
  EXPECT_EQ(told.fresh, freshness::fresh) << told.reason;
  refresh_matview("v");
  EXPECT_FALSE(of().outside);
  db.execute("REFRESH MATERIALIZED VIEW v");
  told = of();
  ASSERT_TRUE(told.outside);
  EXPECT_TRUE(told.outside->refreshed);
  EXPECT_EQ(told.outside->mode, refresh_mode::full);
  EXPECT_TRUE(contains(told.outside->seen_by, "new file")) << told.outside->seen_by;
  EXPECT_EQ(told.fresh, freshness::unknown);
  EXPECT_TRUE(contains(told.reason, "refreshed outside")) << told.reason;
  EXPECT_TRUE(told.last) << "the last one that is known";
  refresh_matview("v");
  apart("UPDATE t SET id = 7; REFRESH MATERIALIZED VIEW CONCURRENTLY v");
  EXPECT_TRUE(eventually([] {
    const auto seen = of().outside;
    return seen && seen->refreshed && seen->mode == refresh_mode::concurrently;
  }));
}

TEST_F(Status, TellsWhatRunsNowAndComparesItWithTheUsual) {
  keep_history();
  gate slow(db.url());
  slow.open();
  create_matview("w", "SELECT id FROM t WHERE " + gate::condition());
  refresh_matview("w");
  db.execute("UPDATE matview.refresh SET finished_at = started_at + interval '1 hour'");
  EXPECT_FALSE(of("w").running);
  slow.close();
  {
    background ours(arefresh_matview("w"));
    slow.await();
    const view_status told = of("w");
    ASSERT_TRUE(told.running);
    EXPECT_TRUE(contains(told.running->by, "matview refresh w")) << told.running->by;
    ASSERT_TRUE(told.running->since && told.running->elapsed);
    EXPECT_LT(*told.running->elapsed, 1min);
    EXPECT_TRUE(contains(told.running->compared, " % of its usual time")) << told.running->compared;
    EXPECT_FALSE(told.bytes) << "it is locked";
    EXPECT_FALSE(of("v").running);
    slow.open();
    ours.get();
  }
  EXPECT_FALSE(of("w").running);
  slow.close();
  session psql(db.url());
  std::thread theirs([&] { psql.execute("REFRESH MATERIALIZED VIEW w"); });
  slow.await();
  const view_status told = of("w");
  slow.open();
  theirs.join();
  ASSERT_TRUE(told.running);
  EXPECT_TRUE(told.running->elapsed);
}

TEST_F(Status, TellsWhatIsDueNext) {
  tasks::set_schedule(
      {.name = "other", .task = "sql", .args = R"({"sql": "SELECT 1"})", .cron = "0 0 * * *"});
  EXPECT_FALSE(of().next);
  tasks::set_schedule(
      {.name = "daily", .task = "refresh", .args = R"({"view": "public.v"})", .cron = "0 0 * * *"});
  tasks::set_schedule({.name = "soon",
                       .task = "refresh",
                       .args = R"({"view": "v"})",
                       .every = interval::parse("1 second")});
  ASSERT_TRUE(of().next);
  EXPECT_EQ(of().next->schedule, "soon");
  EXPECT_EQ(of().next->at, tasks::find_schedule("soon").next_at);
  tasks::pause_schedule("soon");
  EXPECT_EQ(of().next->schedule, "daily");
  tasks::pause_schedule("daily");
  EXPECT_TRUE(of().next->paused);
  EXPECT_FALSE(of().next->at);
  // A schedule of a view in a schema that is closed to the role must not break the rest.
  db.execute("CREATE SCHEMA s; CREATE MATERIALIZED VIEW s.w AS SELECT 1 AS id");
  tasks::set_schedule(
      {.name = "closed", .task = "refresh", .args = R"({"view": "s.w"})", .cron = "0 0 * * *"});
  const test_role role(db, "reader");
  db.execute("GRANT USAGE ON SCHEMA matview TO " + role.name() +
             "; GRANT SELECT ON ALL TABLES IN SCHEMA matview TO " + role.name());
  configure({{"default", role.url()}});
  EXPECT_EQ(matview_status().views.size(), 1U);
}

TEST_F(Status, TellsTheLastError) {
  keep_history();
  db.execute("INSERT INTO t VALUES (1)");
  EXPECT_EQ(failure_of([] { return refresh_matview("v"); }).sqlstate(), "23505");
  const auto failed = of().error;
  ASSERT_TRUE(failed);
  EXPECT_EQ(failed->sqlstate, "23505");
  EXPECT_TRUE(contains(failed->message, "unique")) << failed->message;
  EXPECT_GT(failed->at, std::chrono::system_clock::now() - 1min);
  db.execute("TRUNCATE t");
  refresh_matview("v");
  EXPECT_TRUE(of().error) << "it stays the last one";
}

TEST_F(Status, TakesSchemasOrNames) {
  db.execute("CREATE SCHEMA s; CREATE MATERIALIZED VIEW s.v AS SELECT 1 AS id");
  EXPECT_EQ(matview_status().views.size(), 2U);
  EXPECT_EQ(matview_status({.schemas = {"s"}}).views.at(0).schema, "s");
  EXPECT_EQ(matview_status({.names = {"v", "s.v"}, .schemas = {"nowhere"}}).views.size(), 2U);
  const auto asked = [](const std::string& name) {
    return failure_of([&] { return matview_status({.names = {name}}); });
  };
  EXPECT_EQ(asked("nope").code(), errc::view_not_found);
  EXPECT_EQ(asked("t").code(), errc::view_not_found);
  EXPECT_TRUE(contains(asked("t").what(), "a table")) << asked("t").what();
  EXPECT_EQ(asked("a b").code(), errc::invalid_identifier);
}

TEST_F(Status, OfAllViewsTakesNoMoreStatementsThanOfOne) {
  keep_history();
  refresh_matview("v");
  for (int i = 0; i < 20; ++i) {
    create_matview(fmt::format("w{}", i), "SELECT id FROM t");
    refresh_matview(fmt::format("w{}", i));
  }
  const auto statements = [&](const std::vector<std::string>& names) {
    int sent = 0;
    status_options options{.names = names};
    options.log = [&](log_level level, std::string_view) { sent += level == log_level::debug; };
    EXPECT_FALSE(matview_status(options).views.empty());
    return sent;
  };
  const int of_one = statements({"v"});
  EXPECT_GT(of_one, 0);
  EXPECT_LE(of_one, 8);
  EXPECT_LE(statements({}), of_one);
}

TEST_F(Status, WritesNothingInACallersReadOnlyTransaction) {
  keep_history();
  refresh_matview("v");
  PGconn* raw = PQconnectdb(db.url().c_str());
  PQclear(PQexec(raw, "BEGIN READ ONLY"));
  EXPECT_EQ(matview_status(raw).views.at(0).fresh, freshness::fresh);
  EXPECT_EQ(PQtransactionStatus(raw), PQTRANS_INTRANS);
  PQfinish(raw);
}

TEST_F(Status, WorksOnAStandby) {
  private_server server({"wal_level = replica", "hot_standby = on"});
  server.start();
  configure({{"default", server.url()}});
  {
    session on(server.url());
    on.execute(
        "CREATE TABLE t AS SELECT 1 AS id; CREATE MATERIALIZED VIEW v AS SELECT id FROM t; "
        "CREATE MATERIALIZED VIEW w AS SELECT id FROM t; CREATE MATERIALIZED VIEW x AS SELECT id "
        "FROM t");
    keep_history();
    for (const char* view : {"v", "w", "x"}) refresh_matview(view);
    on.execute("GRANT SELECT ON w TO public; REFRESH MATERIALIZED VIEW x");
  }
  configure({});
  server.stop();
  std::ofstream(server.folder() / "data" / "standby.signal").close();
  server.start();
  configure({{"default", server.url()}});
  EXPECT_EQ(session(server.url()).query_one("SELECT pg_is_in_recovery()"), "t");
  const status_report report = matview_status();
  ASSERT_EQ(report.views.size(), 3U);
  const view_status& plain = report.views[0];
  EXPECT_TRUE(plain.last);
  EXPECT_TRUE(plain.age);
  EXPECT_TRUE(plain.bytes);
  EXPECT_FALSE(plain.outside);
  EXPECT_EQ(plain.fresh, freshness::unknown);
  EXPECT_TRUE(contains(plain.reason, "ask the primary")) << plain.reason;
  ASSERT_TRUE(report.views[1].outside);
  EXPECT_FALSE(report.views[1].outside->refreshed) << report.views[1].outside->seen_by;
  ASSERT_TRUE(report.views[2].outside);
  EXPECT_TRUE(report.views[2].outside->refreshed) << report.views[2].outside->seen_by;
  const error refused = failure_of([] { return refresh_matview("v"); });
  EXPECT_EQ(refused.sqlstate(), "25006");
  EXPECT_TRUE(contains(refused.hint(), "ask the primary")) << refused.hint();
  configure({});
}

}  // namespace
}  // namespace matview::test
