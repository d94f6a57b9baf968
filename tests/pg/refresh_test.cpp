#include "views_fixture.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <string>
#include <thread>
#include <vector>

namespace matview::test {
namespace {

class RefreshMatview : public views_test {
 protected:
  RefreshMatview() {
    db.execute(
        "CREATE TABLE t AS SELECT g AS id FROM generate_series(1, 3) g; "
        "CREATE MATERIALIZED VIEW v AS SELECT id FROM t");
  }
  void add_rows(int count) {
    db.execute("INSERT INTO t SELECT max(id) + g FROM t, generate_series(1, " +
               std::to_string(count) + ") g GROUP BY g");
  }
  void add_unique_index() { db.execute("CREATE UNIQUE INDEX ON v (id)"); }
};

TEST_F(RefreshMatview, ComputesTheContentsAnew) {
  add_rows(2);
  const refresh_report report = refresh_matview("v");
  EXPECT_EQ(count("v"), "5");
  EXPECT_EQ(report.view, "public.v");
  EXPECT_EQ(report.mode, refresh_mode::full);
  EXPECT_NE(report.reason, "");
  EXPECT_EQ(report.rows, 5);
  EXPECT_EQ(std::to_string(report.bytes), db.query_one("SELECT pg_total_relation_size('v')"));
  EXPECT_GT(report.duration.count(), 0);
}

TEST_F(RefreshMatview, ConcurrentlyComparesWithTheOldContents) {
  add_unique_index();
  db.execute("UPDATE t SET id = 30 WHERE id = 3; DELETE FROM t WHERE id = 1");
  const std::string file = db.query_one("SELECT pg_relation_filenode('v')");
  const refresh_report report = refresh_matview("v", {.concurrently = true});
  EXPECT_EQ(db.query("SELECT id FROM v ORDER BY id"), (rows{{"2"}, {"30"}}));
  EXPECT_EQ(report.mode, refresh_mode::concurrently);
  EXPECT_EQ(report.rows, 2);
  EXPECT_EQ(db.query_one("SELECT pg_relation_filenode('v')"), file);  // A full one writes another.
}

TEST_F(RefreshMatview, FillsAViewThatHoldsNoData) {
  create_matview("empty", "SELECT id FROM t", {.with_data = false});
  EXPECT_EQ(refresh_matview("empty").rows, 3);
  EXPECT_EQ(count("empty"), "3");
}

TEST_F(RefreshMatview, IsQualifiedByItsSchema) {
  db.execute(
      "CREATE SCHEMA \"Sales\"; CREATE MATERIALIZED VIEW \"Sales\".\"V\" AS "
      "SELECT id FROM t WHERE id > 1");
  EXPECT_EQ(refresh_matview("Sales.V").view, "Sales.V");
  EXPECT_EQ(refresh_matview("Sales.V").rows, 2);
}

struct counting {
  std::string name;
  bool track_counts;
  bool concurrently;
};

class RefreshMatviewRows : public RefreshMatview, public testing::WithParamInterface<counting> {};

TEST_P(RefreshMatviewRows, AreExactInEveryRefreshOfASession) {
  const counting& how = GetParam();
  configure_databases(
      {{"default",
        {.url = with_parameter(db.url(), "options",
                               how.track_counts ? "-c track_counts=on" : "-c track_counts=off"),
         .pool_size = 1}}});
  db.execute("DROP MATERIALIZED VIEW v");
  EXPECT_EQ(
      create_matview("v", "SELECT id FROM t", {.indexes = {{.columns = {"id"}, .unique = true}}})
          .rows,
      3);
  const refresh_options options{.concurrently = how.concurrently};
  for (const int expected : {3, 3, 5, 105, 105, 0, 0, 1}) {
    db.execute("TRUNCATE t; INSERT INTO t SELECT generate_series(1, " + std::to_string(expected) +
               ")");
    EXPECT_EQ(refresh_matview("v", options).rows, expected);
    EXPECT_EQ(count("v"), std::to_string(expected));
  }
}

INSTANTIATE_TEST_SUITE_P(Each, RefreshMatviewRows,
                         testing::Values(counting{"FullTracked", true, false},
                                         counting{"FullUntracked", false, false},
                                         counting{"ConcurrentlyTracked", true, true},
                                         counting{"ConcurrentlyUntracked", false, true}),
                         [](const auto& row) { return row.param.name; });

TEST_F(RefreshMatview, RowsAreNotCountedWhenNotAskedFor) {
  add_unique_index();
  EXPECT_EQ(refresh_matview("v", {.count_rows = false}).rows, std::nullopt);
  EXPECT_EQ(refresh_matview("v", {.concurrently = true, .count_rows = false}).rows, std::nullopt);
}

TEST_F(RefreshMatview, RowsOfSeveralViewsAreKeptApart) {
  configure_databases({{"default", {.url = db.url(), .pool_size = 1}}});
  create_matview("w", "SELECT id FROM t WHERE id = 1");
  EXPECT_EQ(refresh_matview("v").rows, 3);
  EXPECT_EQ(refresh_matview("w").rows, 1);
  EXPECT_EQ(refresh_matview("v").rows, 3);
}

TEST_F(RefreshMatview, ReadsOnWhileItRunsConcurrently) {
  gate slow(db.url());
  slow.open();
  db.execute("DROP MATERIALIZED VIEW v; CREATE MATERIALIZED VIEW v AS SELECT id FROM t WHERE " +
             gate::condition());
  add_unique_index();
  add_rows(1);
  slow.close();

  background refresh(arefresh_matview("v", {.concurrently = true}));
  slow.await();
  session reader(db.url());
  reader.execute("SET statement_timeout = '10s'");
  for (int i = 0; i < 20; ++i) EXPECT_EQ(reader.query_one("SELECT count(*) FROM v"), "3");
  EXPECT_FALSE(refresh.done());
  slow.open();
  EXPECT_EQ(refresh.get().rows, 4);
  EXPECT_EQ(reader.query_one("SELECT count(*) FROM v"), "4");
}

// The contrast, without which the test above could not fail.
TEST_F(RefreshMatview, LetsReadersWaitWhileItRunsInFull) {
  gate slow(db.url());
  slow.open();
  db.execute("DROP MATERIALIZED VIEW v; CREATE MATERIALIZED VIEW v AS SELECT id FROM t WHERE " +
             gate::condition());
  slow.close();
  background refresh(arefresh_matview("v"));
  slow.await();
  session reader(db.url());
  reader.execute("SET statement_timeout = '100ms'");
  EXPECT_THROW(reader.query_one("SELECT count(*) FROM v"), std::runtime_error);
  slow.open();
  EXPECT_EQ(refresh.get().rows, 3);
}

TEST_F(RefreshMatview, CanBeSeenInTheServersActivity) {
  gate slow(db.url());
  slow.open();
  create_matview("w", "SELECT id FROM t WHERE " + gate::condition());
  slow.close();
  background refresh(arefresh_matview("w"));
  slow.await();
  EXPECT_EQ(db.query("SELECT application_name FROM pg_stat_activity WHERE state = 'active' "
                     "AND datname = current_database() AND query LIKE '%REFRESH%' "
                     "AND pid <> pg_backend_pid()"),
            (rows{{"matview refresh w"}}));
  slow.open();
  refresh.get();
  EXPECT_EQ(db.query_one("SELECT application_name FROM pg_stat_activity "
                         "WHERE datname = current_database() AND application_name <> ''"),
            "matview");
}

TEST_F(RefreshMatview, TheUrlsOwnApplicationNameStaysBetweenCalls) {
  configure({{"default", with_parameter(db.url(), "application_name", "my program")}});
  refresh_matview("v");
  EXPECT_EQ(db.query_one("SELECT count(*) FROM pg_stat_activity WHERE datname = "
                         "current_database() AND application_name = 'my program'"),
            "1");
}

TEST_F(RefreshMatview, FindsPublicWhateverTheRolesPathIs) {
  const test_role role(db, "wanderer");
  db.execute("CREATE SCHEMA elsewhere AUTHORIZATION " + role.name() +
             "; CREATE MATERIALIZED VIEW elsewhere.v AS SELECT 0 AS id; "
             "ALTER MATERIALIZED VIEW elsewhere.v OWNER TO " +
             role.name() + "; ALTER MATERIALIZED VIEW public.v OWNER TO " + role.name() +
             "; GRANT SELECT ON t TO " + role.name() + "; ALTER ROLE " + role.name() +
             " SET search_path = elsewhere");
  configure({{"default", role.url()}});
  EXPECT_EQ(refresh_matview("v").view, "public.v");
}

TEST_F(RefreshMatview, ZeroSwitchesARolesTimeoutOff) {
  const test_role role(db, "hasty");
  db.execute("GRANT CREATE ON SCHEMA public TO " + role.name() + "; ALTER ROLE " + role.name() +
             " SET statement_timeout = '200ms'");
  configure({{"default", role.url()}});
  create_matview("slow", "SELECT pg_sleep(0.4)::text AS id", {.with_data = false});
  EXPECT_EQ(failure_of([] { return refresh_matview("slow"); }).code(), errc::statement_timeout);
  EXPECT_EQ(refresh_matview("slow", {.statement_timeout = interval::parse("0 seconds")}).rows, 1);
  // And the session has its own again.
  EXPECT_EQ(failure_of([] { return refresh_matview("slow"); }).code(), errc::statement_timeout);
}

TEST_F(RefreshMatview, LogsItsStatementsForWhoWantsThem) {
  std::vector<std::string> lines;
  refresh_matview("v", {.log = [&](log_level level, std::string_view line) {
                    if (level == log_level::debug) lines.emplace_back(line);
                    EXPECT_FALSE(contains(line, "\n"));
                  }});
  EXPECT_TRUE(std::any_of(lines.begin(), lines.end(), [](const std::string& line) {
    return contains(line, "REFRESH MATERIALIZED VIEW \"v\"");
  }));
}

}  // namespace
}  // namespace matview::test
