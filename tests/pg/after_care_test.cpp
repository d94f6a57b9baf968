#include "views/after_care.hpp"

#include "pg/run_sync.hpp"
#include "views/session.hpp"
#include "views_fixture.hpp"

#include <gtest/gtest.h>
#include <libpq-fe.h>

#include <memory>
#include <optional>
#include <string>

namespace matview::test {
namespace {

using views::care_report;
using analyze_when = care_options::analyze_when;
using vacuum_when = care_options::vacuum_when;

class AfterCare : public views_test {
 protected:
  AfterCare() {
    use(db.url());
    db.execute(
        "CREATE TABLE t AS SELECT g AS id, g AS other FROM generate_series(1, 20000) g; "
        "CREATE MATERIALIZED VIEW v AS SELECT id, other FROM t; CREATE UNIQUE INDEX ON v (id); "
        "ANALYZE v");
  }
  // The test server's asynchronous commits would keep VACUUM from marking what they wrote.
  static void use(const std::string& url) {
    configure({{"default", with_parameter(url, "options", "-c synchronous_commit=on")}});
  }

  static care_report care(refresh_mode mode = refresh_mode::full,
                          std::optional<std::int64_t> before = 20'000,
                          std::optional<std::int64_t> after = 20'000, care_options options = {},
                          std::optional<PGconn*> borrowed = std::nullopt) {
    const auto work = [&](pg::connection& on) {
      return views::care_for(on, "public.v", mode, before, after, options);
    };
    return pg::run_sync(
        views::isolated(views::on_session(views::session{borrowed, "default", {}}, work)));
  }
  /// How often an index-only scan of 5,000 rows looks into the table.
  int heap_fetches() {
    const rows plan = db.query(
        "SET enable_seqscan = off; SET enable_bitmapscan = off; "
        "EXPLAIN (ANALYZE, COSTS off, TIMING off, SUMMARY off) "
        "SELECT id FROM v WHERE id <= 5000");
    std::string all;
    for (const auto& line : plan) {
      all += line.at(0) + "\n";
      const std::size_t at = line[0].find("Heap Fetches: ");
      if (at != std::string::npos) return std::stoi(line[0].substr(at + 14));
    }
    throw std::runtime_error("no index-only scan:\n" + all);
  }
  std::string planned_rows() {
    return db.query_one("SELECT reltuples::bigint FROM pg_class WHERE oid = 'v'::regclass");
  }
};

TEST_F(AfterCare, GivesIndexOnlyScansBackThatAFullRefreshTakes) {
  refresh_matview("v");
  care();
  EXPECT_EQ(heap_fetches(), 0);
  refresh_matview("v");
  EXPECT_EQ(heap_fetches(), 5000);
  const care_report done = care();
  EXPECT_EQ(heap_fetches(), 0);
  ASSERT_EQ(done.acts.size(), 2U);
  EXPECT_EQ(done.acts[0].what, "VACUUM");
  EXPECT_TRUE(done.acts[0].done) << done.text();
  EXPECT_GT(done.acts[0].duration.count(), 0);
  EXPECT_TRUE(contains(done.acts[0].why, "pages are marked now")) << done.text();
  EXPECT_FALSE(done.acts[1].done) << done.text();
}

TEST_F(AfterCare, LeavesTheMarksOfAConcurrentRefreshAlone) {
  refresh_matview("v");
  care();
  db.execute("UPDATE t SET other = 0 WHERE id = 7");
  refresh_matview("v", {.concurrently = true});
  const care_report left = care(refresh_mode::concurrently);
  EXPECT_FALSE(left.acts.at(0).done) << left.text();
  // Those of the old and the new row's page are gone, and no others.
  EXPECT_LT(heap_fetches(), 1000);
}

TEST_F(AfterCare, AnalyzesWhenTheNumberOfRowsMoved) {
  db.execute("DELETE FROM t WHERE id > 5000");
  const refresh_report refreshed = refresh_matview("v");
  const care_options no_vacuum{.vacuum = vacuum_when::never};
  const care_report done = care(refresh_mode::full, 20'000, refreshed.rows, no_vacuum);
  EXPECT_TRUE(done.acts.at(1).done) << done.text();
  EXPECT_EQ(done.text(),
            "VACUUM: not done (it is switched off); "
            "ANALYZE: done (the number of rows moved from 20000 to 5000)");
  EXPECT_EQ(planned_rows(), "5000");
  EXPECT_EQ(db.query_one("SELECT n_distinct FROM pg_stats WHERE tablename = 'v' AND "
                         "attname = 'id'"),
            "-1");
}

TEST_F(AfterCare, AnalyzesAViewThatNeverWas) {
  db.execute("DROP MATERIALIZED VIEW v; CREATE MATERIALIZED VIEW v AS SELECT id, other FROM t");
  EXPECT_EQ(planned_rows(), "-1");
  const care_report done = care(refresh_mode::full, std::nullopt, std::nullopt);
  EXPECT_TRUE(done.acts.at(1).done) << done.text();
  EXPECT_EQ(planned_rows(), "20000");
  EXPECT_FALSE(done.acts.at(0).done) << "it has no index";
}

TEST_F(AfterCare, DoesBothInOneStatement) {
  refresh_matview("v");
  const care_report done = care(refresh_mode::full, 1, 20'000);
  EXPECT_TRUE(done.acts.at(0).done) << done.text();
  EXPECT_TRUE(done.acts.at(1).done) << done.text();
  EXPECT_EQ(heap_fetches(), 0);
}

TEST_F(AfterCare, SaysThatTheRoleMayNot) {
  const test_role role(db, "stranger");
  refresh_matview("v");
  use(role.url());
  const care_report left = care();
  EXPECT_FALSE(left.acts.at(0).done);
  EXPECT_TRUE(contains(left.text(), "neither owns the view nor has MAINTAIN")) << left.text();
  if (server_version() >= 170000) {
    db.execute("GRANT MAINTAIN ON v TO " + role.name());
    EXPECT_TRUE(care().acts.at(0).done);
    EXPECT_EQ(heap_fetches(), 0);
  }
}

TEST_F(AfterCare, DoesNotWaitForALockAndSaysSo) {
  refresh_matview("v");
  session holder(db.url());
  holder.execute("BEGIN; REFRESH MATERIALIZED VIEW CONCURRENTLY v");
  const care_report left = care(refresh_mode::full, 1, 20'000, {.analyze = analyze_when::always});
  EXPECT_FALSE(left.acts.at(0).done);
  EXPECT_FALSE(left.acts.at(1).done);
  EXPECT_TRUE(contains(left.text(), "skipping vacuum")) << left.text();
}

TEST_F(AfterCare, DoesNothingInACallersTransaction) {
  const std::unique_ptr<PGconn, decltype(&PQfinish)> own(PQconnectdb(db.url().c_str()), PQfinish);
  PQclear(PQexec(own.get(), "BEGIN"));
  const care_report left = care(refresh_mode::full, 1, 20'000, {}, own.get());
  EXPECT_TRUE(contains(left.text(), "in the transaction that is open here")) << left.text();
  EXPECT_EQ(PQtransactionStatus(own.get()), PQTRANS_INTRANS);
  PQclear(PQexec(own.get(), "ROLLBACK"));
  EXPECT_TRUE(care(refresh_mode::full, 1, 20'000, {}, own.get()).acts.at(1).done);
}

TEST_F(AfterCare, ReportsAViewThatIsGoneAndThrowsNothing) {
  db.execute("DROP MATERIALIZED VIEW v");
  const care_report left = care(refresh_mode::full, 1, 20'000);
  EXPECT_FALSE(left.acts.at(0).done) << left.text();
  EXPECT_FALSE(left.acts.at(1).done) << left.text();
  EXPECT_TRUE(contains(left.text(), "public.v")) << left.text();
}

TEST_F(AfterCare, EndsAtACancellation) {
  session holder(db.url());
  session watcher(server_url());  // In another database: in this one every query is held up.
  holder.execute("BEGIN; LOCK TABLE pg_catalog.pg_statistic IN ACCESS EXCLUSIVE MODE");
  const auto work = [](pg::connection& on) {
    return views::care_for(on, "public.v", refresh_mode::full, 1, 20'000, care_options{});
  };
  background caring(
      views::isolated(views::on_session(views::session{std::nullopt, "default", {}}, work)));
  ASSERT_TRUE(eventually([&] {
    return watcher.query_one("SELECT count(*) FROM pg_stat_activity WHERE datname = '" + db.name() +
                             "' AND wait_event_type = 'Lock'") == "1";
  }));
  caring.cancel();
  EXPECT_EQ(failure_of([&] { return caring.get(); }).code(), errc::cancelled);
}

}  // namespace
}  // namespace matview::test
