// A refresh that is left out when nothing has changed: it may refresh needlessly, it must never be
// left out wrongly once the server's counters are up to date.
//
// They are brought up to date by pg_stat_force_next_flush() at the end of each session that wrote.
// PostgreSQL 14 has no such thing: a session tells its counts when it ends, to a collector that
// hears of it some time later, so that these tests wait until the counts stand still.

#include "store/sources.hpp"
#include "views/source_changes.hpp"
#include "views_fixture.hpp"
#include <matview/history.hpp>

#include <gtest/gtest.h>
#include <libpq-fe.h>

#include <cstdlib>
#include <exception>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

namespace matview::test {
namespace {

using clock = std::chrono::steady_clock;

std::uint64_t seed() {
  static const std::uint64_t once = [] {
    const char* given = std::getenv("MATVIEW_CHAOS_SEED");
    return given != nullptr ? std::strtoull(given, nullptr, 10) : std::random_device{}();
  }();
  return once;
}

/// Whether it failed for what others did at the same time.
bool is_conflict(const std::exception& failed) {
  return contains(failed.what(), "deadlock") || contains(failed.what(), "concurrent");
}

/// Runs the statements in a session of its own and sees to it that its rows are counted. One that
/// meets with a conflict is rolled back, if that may be.
void run_counted(const std::string& url, const std::vector<std::string>& statements,
                 bool conflicts = false) {
  bool flushes = false;
  {
    session writer(url);
    flushes = std::stoi(writer.query_one("SHOW server_version_num")) >= 150'000;
    for (const std::string& one : statements) {
      if (one.empty()) continue;
      try {
        writer.execute(one);
      } catch (const std::exception& failed) {
        if (!conflicts || !is_conflict(failed)) throw;
        writer.execute("ROLLBACK");
      }
    }
    if (flushes) writer.query("SELECT pg_stat_force_next_flush()");
  }
  if (flushes) return;
  // Not the catalogs: some are shared with the databases of other tests.
  session watcher(url);
  const std::string counts =
      "SELECT sum(n_tup_ins + n_tup_upd + n_tup_del) FROM pg_stat_user_tables";
  std::string last;
  auto since = clock::now();
  const bool still = eventually([&] {
    const std::string now = watcher.query_one(counts);
    if (now != last) since = clock::now();
    last = now;
    return clock::now() - since > 1s;
  });
  if (!still) throw std::runtime_error("the counters do not stand still");
}

refresh_report if_changed(const std::string& view) {
  return refresh_matview(view, {.if_changed = true});
}

bool is_skipped(const refresh_report& report) {
  return report.mode == refresh_mode::none;
}

enum class wanted { skip, refresh, either };

struct change_case {
  std::string name;
  wanted after;
  std::string query;        // Of the view.
  std::string change = {};  // Between the two refreshes.
  std::string made = {};    // Before the view.
  int since = 140'000;
};

// Each in a schema of its own that holds t, a partitioned table p with one partition, another q,
// and loose, which could be a partition of both.
const std::vector<change_case>& change_cases() {
  using enum wanted;
  static const std::vector<change_case> all{
      {"no change", skip, "SELECT * FROM t"},
      {"no change of a join", skip, "SELECT t.id, p.n FROM t JOIN p USING (id)"},
      {"no table", skip, "SELECT 1 AS one"},
      {"another table changed", skip, "SELECT * FROM t", "INSERT INTO p VALUES (3, 3)"},
      {"SELECT", skip, "SELECT * FROM t", "SELECT * FROM t"},
      {"ANALYZE", skip, "SELECT * FROM t", "ANALYZE t"},
      {"VACUUM", either, "SELECT * FROM t", "VACUUM t"},
      {"INSERT", refresh, "SELECT * FROM t", "INSERT INTO t VALUES (9, 9)"},
      {"UPDATE", refresh, "SELECT * FROM t", "UPDATE t SET n = 7 WHERE id = 1"},
      {"DELETE", refresh, "SELECT * FROM t", "DELETE FROM t WHERE id = 1"},
      {"COPY", refresh, "SELECT id FROM t", "COPY t (id) FROM PROGRAM 'echo 77'"},
      {"ON CONFLICT", refresh, "SELECT * FROM t",
       "INSERT INTO t VALUES (1, 5) ON CONFLICT (id) DO UPDATE SET n = 5"},
      {"MERGE", refresh, "SELECT * FROM t",
       "MERGE INTO t USING (VALUES (1)) AS s (i) ON t.id = s.i WHEN MATCHED THEN UPDATE SET n = 3",
       "", 150'000},
      {"cascade", refresh, "SELECT * FROM child", "DELETE FROM t WHERE id = 1",
       "CREATE TABLE child (id int REFERENCES t ON DELETE CASCADE); INSERT INTO child VALUES (1)"},
      {"rolled back", either, "SELECT * FROM t", "BEGIN; DELETE FROM t; ROLLBACK"},
      {"rolled back to a savepoint", refresh, "SELECT * FROM t",
       "BEGIN; UPDATE t SET n = 8; SAVEPOINT s; DELETE FROM t; ROLLBACK TO s; COMMIT"},
      {"TRUNCATE", refresh, "SELECT * FROM t", "TRUNCATE t CASCADE"},
      {"TRUNCATE and as many again", refresh, "SELECT * FROM t",
       "BEGIN; TRUNCATE t; INSERT INTO t SELECT g, -g FROM generate_series(1, 2) g; COMMIT"},
      {"VACUUM FULL", either, "SELECT * FROM t", "VACUUM FULL t"},
      {"rewrite", either, "SELECT id FROM t", "ALTER TABLE t ALTER n TYPE bigint"},
      {"row of a partition", refresh, "SELECT * FROM p", "INSERT INTO p VALUES (3, 3)"},
      {"row between partitions", refresh, "SELECT id, n FROM p",
       "CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (100) TO (200); UPDATE p SET id = 150"},
      {"partition added", either, "SELECT * FROM p",
       "CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (100) TO (200)"},
      {"partition attached", refresh, "SELECT * FROM p",
       "ALTER TABLE p ATTACH PARTITION loose FOR VALUES FROM (100) TO (200)"},
      {"partition detached", refresh, "SELECT * FROM p", "ALTER TABLE p DETACH PARTITION p1"},
      {"partition dropped", refresh, "SELECT * FROM p", "DROP TABLE p1"},
      {"partition moved", refresh, "SELECT 'p' AS w, * FROM p UNION ALL SELECT 'q', * FROM q",
       "ALTER TABLE p DETACH PARTITION p1; "
       "ALTER TABLE q ATTACH PARTITION p1 FOR VALUES FROM (0) TO (100)"},
      {"row of a child", refresh, "SELECT id FROM t", "INSERT INTO heir VALUES (50)",
       "CREATE TABLE heir () INHERITS (t)"},
      {"child added", refresh, "SELECT id FROM t", "ALTER TABLE heir INHERIT t",
       "CREATE TABLE heir (LIKE t INCLUDING ALL); INSERT INTO heir VALUES (50)"},
      {"through a view", refresh, "SELECT * FROM u2", "UPDATE t SET n = 7",
       "CREATE VIEW u AS SELECT * FROM t; CREATE VIEW u2 AS SELECT count(*), sum(n) FROM u"},
      {"nothing through a view", skip, "SELECT * FROM u", "", "CREATE VIEW u AS SELECT * FROM t"},
      {"view replaced", refresh, "SELECT * FROM u", "CREATE OR REPLACE VIEW u AS SELECT 2 AS x",
       "CREATE VIEW u AS SELECT 1 AS x"},
      {"subquery", refresh, "SELECT 1 AS x WHERE EXISTS (SELECT FROM t WHERE n = 7)",
       "UPDATE t SET n = 7"},
      {"WITH", refresh, "WITH w AS (SELECT * FROM t) SELECT count(*) FROM w",
       "INSERT INTO t VALUES (9, 9)"},
      {"function replaced", refresh, "SELECT f(id) AS x FROM t",
       "CREATE OR REPLACE FUNCTION f(int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT 2'",
       "CREATE FUNCTION f(int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT 1'"},
      {"called function replaced", refresh, "SELECT f(id) AS x FROM t",
       "CREATE OR REPLACE FUNCTION g() RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT 2'",
       "CREATE FUNCTION g() RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT 1'; "
       "CREATE FUNCTION f(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS "
       "'BEGIN RETURN c.g(); END'"},
      {"aggregate of one's own", skip, "SELECT total(n) FROM t", "",
       "CREATE AGGREGATE total (int) (SFUNC = int4pl, STYPE = int, INITCOND = 0)"},
      {"volatile aggregate", refresh, "SELECT total(n) FROM t", "",
       "CREATE FUNCTION f(int, int) RETURNS int LANGUAGE sql AS 'SELECT 1'; "
       "CREATE AGGREGATE total (int) (SFUNC = f, STYPE = int, INITCOND = 0)"},
      {"stable function", refresh, "SELECT f() AS x", "",
       "CREATE FUNCTION f() RETURNS int STABLE LANGUAGE sql AS 'SELECT 1'"},
      {"now()", refresh, "SELECT now() AS x"},
      {"CURRENT_DATE", refresh, "SELECT CURRENT_DATE AS x"},
      {"age of one", refresh, "SELECT age(at) AS x FROM t"},
      {"current_user", refresh, "SELECT current_user AS x"},
      {"current_setting", refresh, "SELECT current_setting('work_mem') AS x"},
      {"random()", refresh, "SELECT random() AS x"},
      {"TABLESAMPLE", refresh, "SELECT * FROM t TABLESAMPLE SYSTEM (50)"},
      {"'now' as text", refresh, "SELECT x::timestamptz FROM (VALUES ('now'::text)) AS w (x)"},
      {"'today' in an array", refresh, "SELECT x::date[] FROM (VALUES ('{today}'::text)) AS w (x)"},
      {"'now' in a range", refresh, "SELECT x::tstzrange FROM (VALUES ('[now,]'::text)) AS w (x)"},
      {"'now' in JSON", refresh,
       "SELECT * FROM json_to_record('{\"x\": \"now\"}') AS w (x timestamptz)"},
      {"numbers as text", skip, "SELECT id::text, n::text::int, id::text::interval AS i FROM t"},
      {"times by settings", skip,
       "SELECT date_trunc('day', at), to_char(at, 'YYYY'), at::date AS d, at::text FROM t"},
      {"timetz", refresh, "SELECT at::time::timetz FROM t"},
      {"system catalog", refresh, "SELECT relname::text FROM pg_class"},
      {"information_schema", refresh, "SELECT table_name::text FROM information_schema.tables"},
      {"name of a table", refresh,
       "SELECT ('x' || s.oid::regclass) AS x FROM (SELECT 2::oid) s "
       "(oid)"},
      {"sequence", refresh, "SELECT last_value FROM s", "", "CREATE SEQUENCE s"},
      {"row-level security", refresh, "SELECT * FROM t", "",
       "ALTER TABLE t ENABLE ROW LEVEL SECURITY"},
      {"column added to a whole row", refresh, "SELECT to_jsonb(t) AS x FROM t",
       "ALTER TABLE t ADD z int DEFAULT 1"},
      {"column renamed in a whole row", refresh, "SELECT to_jsonb(t) AS x FROM t",
       "ALTER TABLE t RENAME at TO zz"},
      {"label renamed", refresh, "SELECT x::text FROM m", "ALTER TYPE mood RENAME VALUE 'a' TO 'b'",
       "CREATE TYPE mood AS ENUM ('a'); CREATE TABLE m (x mood); INSERT INTO m VALUES ('a')"},
      {"pg_stat_reset()", refresh, "SELECT * FROM t", "SELECT pg_stat_reset()"},
      {"one table reset", refresh, "SELECT * FROM t",
       "SELECT pg_stat_reset_single_table_counters('t'::regclass)"},
      {"not counted", refresh, "SELECT * FROM t",
       "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET track_counts = off', "
       "current_database()); END $$"},
      {"refreshed by somebody else", either, "SELECT * FROM t", "REFRESH MATERIALIZED VIEW v"},
      {"without data", refresh, "SELECT * FROM t", "REFRESH MATERIALIZED VIEW v WITH NO DATA"},
      {"made anew", refresh, "SELECT * FROM t",
       "DROP MATERIALIZED VIEW v; CREATE MATERIALIZED VIEW v AS SELECT * FROM t"},
  };
  return all;
}

class IfChanged : public views_test {
 protected:
  IfChanged() {
    db.execute("SET client_min_messages = warning");
    keep_history();
  }
  void counted(const std::string& sql) { run_counted(db.url(), {sql}); }
  // The statements are sent one by one: VACUUM must be alone.
  void begin_case(const change_case& one) {
    run_counted(db.url(), {"SET client_min_messages = warning; DROP SCHEMA IF EXISTS c CASCADE; "
                           "CREATE SCHEMA c; SET search_path = c",
                           "CREATE TABLE t (id int PRIMARY KEY, n int, at timestamptz); "
                           "INSERT INTO t VALUES (1, -1, '2024-01-01'), (2, -2, '2024-06-01'); "
                           "CREATE TABLE p (id int, n int) PARTITION BY RANGE (id); "
                           "CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (100); "
                           "CREATE TABLE q (id int, n int) PARTITION BY RANGE (id); "
                           "INSERT INTO p VALUES (1, 1); CREATE TABLE loose (id int, n int); "
                           "INSERT INTO loose VALUES (101, 1)",
                           one.made, "CREATE MATERIALIZED VIEW v AS " + one.query});
  }
};

TEST_F(IfChanged, IsLeftOutOnlyIfNothingHasChanged) {
  const int version = server_version();
  std::uint64_t turn = seed();
  for (const change_case& one : change_cases()) {
    if (version < one.since) continue;
    // Without the flush each wait takes a second: a part of them, by turns.
    if (version < 150'000 && ++turn % 6 != 0) continue;
    SCOPED_TRACE(one.name);
    begin_case(one);
    EXPECT_FALSE(is_skipped(if_changed("c.v"))) << "nothing is known of it yet";
    if (!one.change.empty()) run_counted(db.url(), {"SET search_path = c", one.change});
    const refresh_report again = if_changed("c.v");
    if (one.after != wanted::either) {
      EXPECT_EQ(is_skipped(again), one.after == wanted::skip) << again.reason;
    }
    EXPECT_EQ(db.query_one("SELECT relispopulated FROM pg_class WHERE oid = 'c.v'::regclass"), "t");
    if (one.name == "not counted") {
      counted(
          "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I RESET track_counts', "
          "current_database()); END $$");
      configure({{"default", db.url()}});
    }
  }
}

class IfChangedHere : public IfChanged {
 protected:
  IfChangedHere() {
    counted(
        "CREATE TABLE t AS SELECT 1 AS id; CREATE MATERIALIZED VIEW v AS SELECT id FROM t; "
        "CREATE UNIQUE INDEX ON v (id)");
  }
};

TEST_F(IfChangedHere, SaysWhyAndIsRemembered) {
  if_changed("v");
  const refresh_report skipped = if_changed("v");
  EXPECT_TRUE(contains(skipped.reason, "none of its 1 table has changed since its last refresh"))
      << skipped.reason;
  EXPECT_EQ(list_history({.view = "v", .limit = 1}).at(0).outcome, history_outcome::skipped);
}

TEST_F(IfChangedHere, AForeignTableIsUnknown) {
  if (db.query_one("SELECT count(*) FROM pg_available_extensions WHERE name = 'file_fdw'") == "0") {
    GTEST_SKIP() << "no file_fdw";
  }
  counted(
      "CREATE EXTENSION file_fdw; CREATE SERVER files FOREIGN DATA WRAPPER file_fdw; "
      "CREATE FOREIGN TABLE f (line text) SERVER files OPTIONS (filename '/etc/passwd'); "
      "CREATE MATERIALIZED VIEW w AS SELECT * FROM f");
  if_changed("w");
  EXPECT_FALSE(is_skipped(if_changed("w")));
}

TEST_F(IfChangedHere, AnotherTimeZoneIsAChange) {
  counted(
      "CREATE TABLE moments AS SELECT '2024-06-01 23:30+00'::timestamptz AS at; "
      "CREATE MATERIALIZED VIEW days AS SELECT date_trunc('day', at) AS day FROM moments");
  if_changed("days");
  EXPECT_TRUE(is_skipped(if_changed("days")));
  configure({{"default", with_parameter(db.url(), "options", "-c TimeZone=Asia/Tokyo")}});
  EXPECT_FALSE(is_skipped(if_changed("days")));
  EXPECT_TRUE(is_skipped(if_changed("days")));
}

// At once: the counts of a concurrent refresh may not be told yet.
TEST_F(IfChangedHere, AnUpstreamViewThatWasRefreshedIsAChange) {
  counted("CREATE MATERIALIZED VIEW below AS SELECT id FROM v");
  if_changed("v");
  for (const bool concurrently : {false, true}) {
    SCOPED_TRACE(concurrently ? "concurrently" : "full");
    if_changed("below");
    EXPECT_TRUE(is_skipped(if_changed("below")));
    counted("UPDATE t SET id = id + 1");
    EXPECT_TRUE(is_skipped(if_changed("below"))) << "its own source is the same";
    refresh_matview("v", {.concurrently = concurrently});
    EXPECT_FALSE(is_skipped(if_changed("below")));
    EXPECT_EQ(db.query_one("SELECT id FROM below"), db.query_one("SELECT id FROM t"));
  }
}

TEST_F(IfChangedHere, IsForcedAfterAWhile) {
  const auto hourly = [] {
    return refresh_matview("v", {.if_changed = true, .at_least_every = interval::parse("1 hour")});
  };
  hourly();
  EXPECT_TRUE(is_skipped(hourly()));
  db.execute("UPDATE matview.view SET data_as_of = now() - interval '61 min'");
  EXPECT_FALSE(is_skipped(hourly()));
  EXPECT_EQ(failure_of([] {
              return refresh_matview("v", {.at_least_every = interval::parse("1 hour")});
            }).code(),
            errc::invalid_option);
}

struct finish {
  void operator()(PGconn* connection) const noexcept { PQfinish(connection); }
};
using raw_connection = std::unique_ptr<PGconn, finish>;

void send(const raw_connection& on, const std::string& sql) {
  PGresult* answer = PQexec(on.get(), sql.c_str());
  EXPECT_LE(PQresultStatus(answer), PGRES_TUPLES_OK) << PQerrorMessage(on.get());
  PQclear(answer);
}

TEST_F(IfChangedHere, InACallersTransactionItsOwnChangesCount) {
  if_changed("v");
  const raw_connection mine(PQconnectdb(db.url().c_str()));
  send(mine, "BEGIN; UPDATE t SET id = 7");
  EXPECT_FALSE(is_skipped(refresh_matview(mine.get(), "v", {.if_changed = true})));
  send(mine, "COMMIT");
  EXPECT_EQ(db.query_one("SELECT id FROM v"), "7");
}

TEST_F(IfChangedHere, ARefreshWithAnOldSnapshotIsNotReliedOn) {
  const raw_connection old(PQconnectdb(db.url().c_str()));
  send(old, "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1");
  counted("UPDATE t SET id = 7");
  refresh_matview(old.get(), "v");
  send(old, "COMMIT");
  EXPECT_EQ(db.query_one("SELECT id FROM v"), "1");
  EXPECT_FALSE(is_skipped(if_changed("v")));
  EXPECT_EQ(db.query_one("SELECT id FROM v"), "7");
}

TEST_F(IfChangedHere, SomebodyElsesRefreshWithAnOldSnapshotIsNotReliedOn) {
  session old(db.url());
  old.execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1");
  counted("UPDATE t SET id = 7");
  if_changed("v");
  old.execute("REFRESH MATERIALIZED VIEW v; COMMIT");
  ASSERT_EQ(db.query_one("SELECT id FROM v"), "1");
  EXPECT_FALSE(is_skipped(if_changed("v")));
  EXPECT_EQ(db.query_one("SELECT id FROM v"), "7");
}

// What a transaction has once seen of the counters it may see again for as long as it lasts.
TEST_F(IfChangedHere, CountersAreReadAfterTheWait) {
  configure({{"default",
              with_parameter(db.url(), "options",
                             server_version() >= 150'000 ? "-c stats_fetch_consistency=snapshot"
                                                         : "-c work_mem=4MB")}});
  if_changed("v");
  session holder(db.url());
  holder.execute("BEGIN; LOCK TABLE matview.view IN ACCESS EXCLUSIVE MODE");
  refresh_options options{.if_changed = true, .at_least_every = interval::parse("1 day")};
  background waiting(arefresh_matview("v", options));
  ASSERT_TRUE(eventually([&] {
    return db.query_one(
               "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = "
               "'matview.view'::regclass") == "1";
  }));
  counted("UPDATE t SET id = 7");
  holder.execute("COMMIT");
  EXPECT_FALSE(is_skipped(waiting.get()));
  EXPECT_EQ(db.query_one("SELECT id FROM v"), "7");
}

TEST(IfChangedCrash, ACrashAndAPreparedTransactionAreChanges) {
  private_server server({"max_prepared_transactions = 4", "autovacuum = off"});
  server.start();
  configure({{"default", server.url()}});
  run_counted(server.url(),
              {"CREATE TABLE t AS SELECT 1 AS id; CREATE UNLOGGED TABLE u AS SELECT 1 AS id",
               "CREATE MATERIALIZED VIEW v AS SELECT * FROM t UNION ALL SELECT * FROM u"});
  if_changed("v");
  EXPECT_TRUE(is_skipped(if_changed("v")));

  run_counted(server.url(), {"BEGIN; UPDATE t SET id = 2; PREPARE TRANSACTION 'x'"});
  if_changed("v");
  EXPECT_EQ(session(server.url()).query_one("SELECT count(*) FROM v WHERE id = 2"), "0");
  run_counted(server.url(), {"COMMIT PREPARED 'x'"});
  EXPECT_FALSE(is_skipped(if_changed("v")));
  EXPECT_EQ(session(server.url()).query_one("SELECT count(*) FROM v WHERE id = 2"), "1");

  EXPECT_TRUE(is_skipped(if_changed("v")));
  server.restart();
  if_changed("v");  // Counters are kept over a restart in order, so that either is right.

  server.kill_now();  // The unlogged table is empty now, and all counters are zero.
  server.start();
  EXPECT_FALSE(is_skipped(if_changed("v")));
  EXPECT_EQ(session(server.url()).query_one("SELECT string_agg(id::text, ',') FROM v"), "2");

  run_counted(server.url(), {"UPDATE t SET id = 3"});
  EXPECT_FALSE(is_skipped(if_changed("v")));
  server.kill_now();
  server.start();
  run_counted(server.url(), {"UPDATE t SET id = 4"});  // The counts are those from before.
  EXPECT_FALSE(is_skipped(if_changed("v")));
  EXPECT_EQ(session(server.url()).query_one("SELECT id FROM v"), "4");
  configure({});
}

// --- Random changes

std::chrono::seconds trouble_time() {
  const char* given = std::getenv("MATVIEW_CHAOS_SECONDS");
  return std::chrono::seconds(given != nullptr ? std::atoi(given) : 3);
}

using generator = std::mt19937_64;

std::size_t pick(generator& random, std::size_t below) {
  return random() % below;
}

const std::string& pick(generator& random, const std::vector<std::string>& from) {
  return from[pick(random, from.size())];
}

const std::vector<std::string> random_sources{"a", "b", "p", "pv", "up", "base"};

std::string random_query(generator& random) {
  const std::string& one = pick(random, random_sources);
  const std::string& two = pick(random, random_sources);
  switch (pick(random, 6)) {
    case 0:
      return fmt::format("SELECT id, n FROM {} WHERE n % 3 <> 0", one);
    case 1:
      return fmt::format("SELECT x.id, x.n AS xn, y.n AS yn FROM {} x JOIN {} y USING (id)", one,
                         two);
    case 2:
      return fmt::format("SELECT id, n FROM {} UNION ALL SELECT n, id FROM {}", one, two);
    case 3:
      return fmt::format("SELECT id % 5 AS id, count(*), sum(n) FROM {} GROUP BY 1", one);
    case 4:
      return fmt::format("SELECT id FROM {} x WHERE EXISTS (SELECT FROM {} y WHERE y.n = x.id)",
                         one, two);
    default:
      return fmt::format("SELECT (SELECT sum(n) FROM {}) AS s, (SELECT count(*) FROM {}) AS c", one,
                         two);
  }
}

std::string random_change(generator& random, const std::string& table) {
  const auto id = pick(random, 200);
  const auto n = pick(random, 1'000);
  switch (pick(random, 9)) {
    case 0:
    case 1:
      return fmt::format("INSERT INTO {} SELECT g, {} FROM generate_series({}, {}) g", table, n, id,
                         id + 3);
    case 2:
    case 3:
      return fmt::format("UPDATE {} SET n = n + 1 WHERE id = {}", table, id);
    case 4:
      return fmt::format("UPDATE {} SET id = {} WHERE n % 17 = {}", table, id, n % 17);
    case 5:
      return fmt::format("DELETE FROM {} WHERE id % 50 = {}", table, id % 50);
    case 6:
      return n % 4 == 0 ? "TRUNCATE " + table : "SELECT count(*) FROM " + table;
    case 7:
      return fmt::format("SAVEPOINT s; DELETE FROM {} WHERE n % 2 = 0; ROLLBACK TO s", table);
    default:
      return fmt::format(
          "WITH gone AS (DELETE FROM {0} WHERE id = {1} RETURNING id, n) "
          "INSERT INTO {0} SELECT * FROM gone",
          table, id);
  }
}

// One session's life: some transactions on these tables, a part of them rolled back, and the
// counters told.
void write_randomly(const std::string& url, std::uint64_t start,
                    const std::vector<std::string>& tables) {
  generator random(start);
  std::vector<std::string> statements{"SET deadlock_timeout = 50; SET client_min_messages = error"};
  const std::size_t transactions = 1 + pick(random, 4);
  for (std::size_t i = 0; i < transactions; ++i) {
    const std::string& table = pick(random, tables);
    switch (pick(random, 12)) {
      case 0:
        statements.push_back("VACUUM FULL " + table);
        break;
      case 1:
        statements.emplace_back("REFRESH MATERIALIZED VIEW CONCURRENTLY up");
        break;
      case 2:
        statements.emplace_back(
            "ALTER TABLE p DETACH PARTITION p2; ALTER TABLE p ATTACH PARTITION "
            "p2 FOR VALUES WITH (MODULUS 3, REMAINDER 2)");
        break;
      default: {
        std::string sql = "BEGIN; ";
        const std::size_t changes = 1 + pick(random, 3);
        for (std::size_t j = 0; j < changes; ++j) sql += random_change(random, table) + "; ";
        statements.push_back(sql + (pick(random, 3) == 0 ? "ROLLBACK" : "COMMIT"));
      }
    }
  }
  run_counted(url, statements, true);
}

TEST_F(IfChanged, NeverLeavesOutWronglyUnderRandomChanges) {
  std::printf("MATVIEW_CHAOS_SEED=%llu\n", static_cast<unsigned long long>(seed()));
  generator random(seed());
  counted(
      "CREATE TABLE a (id int, n int); CREATE TABLE b (id int, n int); "
      "CREATE TABLE base (id int, n int); CREATE TABLE heir () INHERITS (base); "
      "CREATE TABLE p (id int, n int) PARTITION BY HASH (id); "
      "CREATE TABLE p0 PARTITION OF p FOR VALUES WITH (MODULUS 3, REMAINDER 0); "
      "CREATE TABLE p1 PARTITION OF p FOR VALUES WITH (MODULUS 3, REMAINDER 1); "
      "CREATE TABLE p2 PARTITION OF p FOR VALUES WITH (MODULUS 3, REMAINDER 2); "
      "CREATE VIEW pv AS SELECT b.id, p.n FROM b JOIN p USING (id); "
      "INSERT INTO a SELECT g, g FROM generate_series(1, 100) g; INSERT INTO b TABLE a; "
      "INSERT INTO p TABLE a; INSERT INTO base TABLE a; INSERT INTO heir TABLE a; "
      "CREATE MATERIALIZED VIEW up AS SELECT id, sum(n) AS n FROM a GROUP BY id; "
      "CREATE UNIQUE INDEX ON up (id)");
  std::vector<std::string> names{"up"};
  std::vector<std::string> queries{"SELECT id, sum(n) AS n FROM a GROUP BY id"};
  for (int i = 0; i < 8; ++i) {
    names.push_back(fmt::format("v{}", i));
    queries.push_back(random_query(random));
    db.execute(fmt::format("CREATE MATERIALIZED VIEW {} AS {}", names.back(), queries.back()));
  }
  int skipped = 0;
  int refreshed = 0;
  const std::vector<std::string> tables{"a", "b", "p", "base", "heir"};
  const auto until = clock::now() + trouble_time();
  for (int round = 0; clock::now() < until || skipped == 0 || refreshed == 0; ++round) {
    ASSERT_LT(round, 10'000);
    const std::vector<std::string> touched{pick(random, tables), pick(random, tables)};
    std::vector<std::thread> writers;
    const std::size_t count = pick(random, 4);
    for (std::size_t i = 0; i < count; ++i) {
      writers.emplace_back([&touched, this, start = random()] {
        try {
          write_randomly(db.url(), start, touched);
        } catch (const std::exception& failed) {
          ADD_FAILURE() << failed.what();
        }
      });
    }
    // What is committed while a view is refreshed must count as a change, too.
    for (int i = 0; i < 4; ++i) if_changed(pick(random, names));
    for (std::thread& one : writers) one.join();
    for (std::size_t i = 0; i < names.size(); ++i) {
      const refresh_report report = if_changed(names[i]);
      is_skipped(report) ? ++skipped : ++refreshed;
      ASSERT_EQ(
          db.query_one(fmt::format("SELECT count(*) FROM ((TABLE {0} EXCEPT ALL ({1})) UNION ALL "
                                   "(({1}) EXCEPT ALL TABLE {0})) AS differences",
                                   names[i], queries[i])),
          "0")
          << names[i] << " AS " << queries[i] << "\nround " << round << ": " << report.reason;
    }
  }
  std::printf("%d refreshed, %d left out\n", refreshed, skipped);
}

// --- Deciding

store::view_sources example() {
  return {.view = 7, .ground = "g", .tables = {{"public.a", "1"}, {"public.b", "2"}}};
}

TEST(CompareSources, AreUnchangedWhenEqual) {
  const views::source_verdict same = views::compare_sources(store::to_json(example()), example());
  EXPECT_TRUE(same.unchanged);
  EXPECT_EQ(same.reason, "none of its 2 tables has changed");
}

TEST(CompareSources, SayWhatChanged) {
  struct row {
    std::string reason;
    bool known;
    void (*change)(store::view_sources&);
  };
  const std::vector<row> rows{
      {"public.a has changed", true, [](auto& now) { now.tables[0].mark = "9"; }},
      {"public.c was added", true,
       [](auto& now) {
         now.tables.push_back({"public.c", "1"});
       }},
      {"public.b is gone", true, [](auto& now) { now.tables.pop_back(); }},
      {"the view was made anew", false, [](auto& now) { now.view = 8; }},
      {"were reset", false, [](auto& now) { now.ground = "h"; }},
      {"cannot be known: it sleeps", false, [](auto& now) { now.unknown = "it sleeps"; }},
  };
  for (const row& one : rows) {
    store::view_sources now = example();
    one.change(now);
    const views::source_verdict verdict = views::compare_sources(store::to_json(example()), now);
    EXPECT_FALSE(verdict.unchanged) << one.reason;
    EXPECT_EQ(verdict.known, one.known) << one.reason;
    EXPECT_TRUE(contains(verdict.reason, one.reason)) << verdict.reason;
  }
}

TEST(CompareSources, WhatIsNotRememberedOrCannotBeReadIsUnknown) {
  store::view_sources doubtful = example();
  doubtful.unknown = "it slept";
  for (const std::string& then : {std::string(), std::string("{"), std::string("[]"),
                                  std::string("{\"view\": 7}"), store::to_json(doubtful)}) {
    const views::source_verdict verdict = views::compare_sources(then, example());
    EXPECT_FALSE(verdict.unchanged) << then;
    EXPECT_FALSE(verdict.known) << then;
  }
}

}  // namespace
}  // namespace matview::test
