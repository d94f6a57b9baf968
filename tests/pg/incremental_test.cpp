// Incremental views on a server: what they are, what they cover, what they refuse and what they
// survive. That they are right whatever is written is the trial's business (tests/trial).
#include "pg/incremental_fixture.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <vector>

namespace matview::test {

namespace {

class Incremental : public incremental_test {
 protected:
  Incremental() {
    db.execute(
        "CREATE TABLE r (id int PRIMARY KEY, a int, b int, x int);"
        "CREATE TABLE s (id int PRIMARY KEY, a int NOT NULL, c text, y numeric(10,2));"
        "CREATE TABLE t (a int, d int);"
        "INSERT INTO r SELECT i, nullif(i % 13, 0), nullif(i % 7, 0), nullif((i * 37) % 200, 0) "
        "FROM generate_series(1, 100) i;"
        "INSERT INTO s SELECT i, i % 13, nullif('c' || i % 4, 'c0'), (i * 53) % 200 / 10.0 "
        "FROM generate_series(1, 60) i;"
        "INSERT INTO t SELECT nullif(i % 13, 0), i % 3 FROM generate_series(1, 40) i");
  }

  // Each kind of change to each table, other rows each time.
  void change(int round) {
    db.execute(fmt::format(
        "UPDATE r SET x = x + {0}, a = nullif((a + {0}) % 13, 0) WHERE id % 5 = {0} % 5;"
        "DELETE FROM r WHERE id % 17 = {0}; INSERT INTO r VALUES (1000 + {0}, {0}, NULL, {0});"
        "UPDATE s SET y = y - 1, a = (a + 1) % 13 WHERE id % 7 = {0}; DELETE FROM s WHERE id = {0};"
        "INSERT INTO s VALUES (500 + {0}, {0}, NULL, NULL);"
        "INSERT INTO t VALUES ({0}, 1), (NULL, 2), ({0}, 1); DELETE FROM t WHERE d = 0 AND a = {0}",
        round));
  }
};

struct covered_query {
  const char* name;
  const char* mechanism;
  const char* sql;
};

// What the issue names, and a mechanism each.
const std::vector<covered_query> covered{
    {"inner_join", "L", "SELECT r.id, s.id AS sid, s.c FROM r JOIN s ON s.a = r.a"},
    {"three_tables", "L", "SELECT r.b, s.c, t.d FROM r, s, t WHERE r.a = s.a AND s.a = t.a"},
    {"self_join", "L", "SELECT q.id, w.id AS wid FROM r q JOIN r w ON q.a = w.a AND q.id < w.id"},
    {"filter", "L", "SELECT id, CASE WHEN x > 50 THEN 'hi' ELSE 'lo' END AS k FROM r WHERE b <> 3"},
    {"group_by_expression", "L",
     "SELECT a % 3 AS m, count(*) AS n, sum(x) AS sx FROM r GROUP BY 1"},
    {"linear_aggregates", "L",
     "SELECT b, count(x) AS c, avg(x) AS av, bool_and(x > 10) AS ba, bool_or(x > 90) AS bo FROM r "
     "GROUP BY b"},
    {"min_max", "L", "SELECT b, min(x) AS mn, max(x) AS mx FROM r GROUP BY b"},
    {"filter_clause", "L", "SELECT b, count(*) FILTER (WHERE x > 50) AS n FROM r GROUP BY b"},
    {"one_row", "L", "SELECT count(*) AS n, sum(x) AS sx, min(x) AS mn FROM r WHERE a = 99"},
    {"having", "L", "SELECT a, sum(x) / count(*) AS q FROM r GROUP BY a HAVING count(*) > 7"},
    {"order_limit", "L", "SELECT a, count(*) AS n FROM r GROUP BY a ORDER BY n DESC, a LIMIT 3"},
    {"distinct", "L", "SELECT DISTINCT r.b, s.c FROM r JOIN s ON s.a = r.a"},
    {"union_all", "L", "SELECT a, b FROM r UNION ALL SELECT a, d FROM t"},
    {"union_distinct", "L", "SELECT a FROM r UNION SELECT a FROM s"},
    {"except_all", "L", "SELECT a FROM r EXCEPT ALL SELECT a FROM t"},
    {"intersect", "L", "SELECT a FROM r INTERSECT SELECT a FROM t"},
    {"rollup", "L",
     "SELECT a, b, grouping(a, b) AS g, count(*) AS n, sum(x) AS sx FROM r GROUP BY ROLLUP (a, b)"},
    {"from_subquery", "L",
     "SELECT q.a, count(*) AS n FROM (SELECT a FROM r UNION ALL SELECT a FROM s) q GROUP BY q.a"},
    {"cte", "L",
     "WITH q AS (SELECT a, x FROM r WHERE x > 5) SELECT s.id, q.x FROM q JOIN s ON q.a = s.a"},
    {"set_returning", "L", "SELECT r.id, g FROM r, generate_series(1, r.x % 4) AS g WHERE a > 2"},
    {"bag", "L", "SELECT b FROM r"},
    {"distinct_aggregate", "K", "SELECT b, count(DISTINCT a) AS n FROM r GROUP BY b"},
    {"ordered_aggregate", "K", "SELECT a, array_agg(x ORDER BY id) AS xs FROM r GROUP BY a"},
    {"string_agg", "K", "SELECT a, string_agg(c, ',' ORDER BY id) AS l FROM s GROUP BY a"},
    {"distinct_on", "K", "SELECT DISTINCT ON (a) a, x, id FROM r ORDER BY a, x NULLS LAST, id"},
    {"left_join", "K", "SELECT r.id, s.id AS sid FROM r LEFT JOIN s ON s.a = r.a AND r.x > 20"},
    {"right_join", "K", "SELECT r.x, s.id FROM r RIGHT JOIN s ON s.a = r.a"},
    {"full_join", "K", "SELECT a, r.id, s.id AS sid FROM r FULL JOIN s USING (a)"},
    {"chain_of_outer_joins", "K",
     "SELECT r.id, s.id AS sid, t.d FROM r LEFT JOIN s ON s.a = r.a LEFT JOIN t ON t.a = s.a"},
    {"exists", "K",
     "SELECT id FROM r WHERE EXISTS (SELECT FROM s WHERE s.a = r.a AND s.y > 5 AND r.x > 3)"},
    {"tied_by_exists", "K",
     "SELECT r.id, s.id AS sid FROM r CROSS JOIN s "
     "WHERE EXISTS (SELECT FROM t WHERE t.a = r.a AND t.d = s.id)"},
    {"tied_by_lateral", "K",
     "SELECT r.id, s.id AS sid, l.d FROM r CROSS JOIN s CROSS JOIN LATERAL (SELECT DISTINCT d "
     "FROM t WHERE t.a = r.a AND t.d = s.id) l"},
    {"not_exists", "K", "SELECT id FROM r WHERE NOT EXISTS (SELECT FROM t WHERE t.a = r.b)"},
    {"in_subquery", "K", "SELECT id FROM s WHERE a IN (SELECT a FROM r WHERE x > 50)"},
    {"scalar_subquery", "K", "SELECT id, (SELECT max(x) FROM r WHERE r.a = s.a) AS m FROM s"},
    {"lateral", "K",
     "SELECT s.id, l.x FROM s LEFT JOIN LATERAL (SELECT x FROM r WHERE r.a = s.a ORDER BY x DESC "
     "NULLS LAST, id LIMIT 2) l ON true"},
    {"window", "K", "SELECT id, a, rank() OVER (PARTITION BY a ORDER BY x, id) AS rk FROM r"},
    {"nested_aggregates", "K",
     "SELECT a, sum(n) AS sn FROM (SELECT a, b, count(*) AS n FROM r GROUP BY a, b) q GROUP BY a"},
    {"aggregate_over_outer_join", "D",
     "SELECT count(*) AS n, sum(s.y) AS sy FROM r LEFT JOIN s ON s.a = r.a"},
    {"aggregate_over_exists", "D",
     "SELECT count(*) AS n, min(x) AS mn FROM r WHERE EXISTS (SELECT FROM t WHERE t.a = r.a)"},
};

TEST_F(Incremental, CoversWhatItPromises) {
  for (const covered_query& one : covered) {
    const refresh_report made = create(one.name, one.sql);
    EXPECT_TRUE(made.incremental) << one.name;
    EXPECT_EQ(explain_matview(one.name).mechanism, one.mechanism) << one.name;
  }
  for (int round = 1; round <= 4; ++round) {
    change(round);
    for (const covered_query& one : covered) {
      const refresh_report done = refresh_matview(one.name, {.mode = refresh_mode::incremental});
      EXPECT_TRUE(done.mode == refresh_mode::incremental || done.mode == refresh_mode::none)
          << one.name << ": " << to_string(done.mode) << ", " << done.reason;
      expect_right(one.name);
    }
  }
  for (const covered_query& one : covered) {
    db.execute("UPDATE r SET x = x + 1 WHERE id = 20");
    if (std::string(one.name) == "lateral") continue;
    EXPECT_NO_THROW(static_cast<void>(refresh_matview(one.name, {.mode = refresh_mode::diff})))
        << one.name;
    expect_right(one.name);
  }
}

TEST_F(Incremental, AutoTakesNativeAndSaysWhy) {
  const refresh_report native =
      create_matview("v", "SELECT id, random() AS x FROM r", {.kind = view_kind::automatic});
  EXPECT_FALSE(native.incremental);
  EXPECT_TRUE(contains(native.reason, "random()")) << native.reason;
  EXPECT_EQ(db.query_one("SELECT relkind FROM pg_class WHERE relname = 'v'"), "m");
  EXPECT_TRUE(create_matview("w", "SELECT id FROM r", {.kind = view_kind::automatic}).incremental);
}

TEST_F(Incremental, LooksLikeAnyView) {
  create_matview("v", "SELECT a, count(*) AS n FROM r GROUP BY a",
                 {.indexes = {{.columns = {"n"}, .unique = false}},
                  .comment = "counted",
                  .kind = view_kind::incremental});
  EXPECT_EQ(db.query_one("SELECT obj_description('v'::regclass)"), "counted");
  const std::vector<matview_info> listed = describe_matviews();
  ASSERT_EQ(listed.size(), 1U);
  EXPECT_EQ(listed.front().kind, view_kind::incremental);
  EXPECT_GT(listed.front().bytes.value_or(0), 0);
  EXPECT_THROW(db.execute("DELETE FROM v"), std::runtime_error);
  EXPECT_THROW(db.execute("INSERT INTO v VALUES (1, 1)"), std::runtime_error);
  EXPECT_EQ(failure_of([&] { static_cast<void>(create("v", "SELECT id FROM r")); }).code(),
            errc::view_exists);
  db.execute("CREATE VIEW above AS SELECT * FROM v");
  EXPECT_EQ(failure_of([] { drop_matview("v"); }).code(), errc::dependents_exist);
  drop_matview("v", {.cascade = true});
  EXPECT_FALSE(exists("v"));
  EXPECT_EQ(
      db.query_one("SELECT count(*) FROM pg_class WHERE relnamespace = 'matview'::regnamespace "
                   "AND relname ~ '^(storage|source|definition|log)_[0-9]'"),
      "0");
  EXPECT_EQ(db.query_one("SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'matview%'"), "0");
}

// The quick form of the trial's negative control.
TEST_F(Incremental, IsWrongWithoutTheSignOfInclusionAndExclusion) {
  create("v", "SELECT r.a, s.c FROM r JOIN s ON s.a = r.a");
  const std::string both = "INSERT INTO r VALUES ({0}, 77); INSERT INTO s VALUES ({0}, 77)";
  db.execute(fmt::format(fmt::runtime(both), 2000));
  EXPECT_EQ(refresh_matview("v").mode, refresh_mode::incremental);
  expect_right("v");
  db.execute(
      "UPDATE matview.incremental SET program = "
      "replace(program::text, '(- 1::bigint)', '1::bigint')::jsonb");
  db.execute(fmt::format(fmt::runtime(both), 2001));
  EXPECT_EQ(refresh_matview("v").mode, refresh_mode::incremental);
  EXPECT_FALSE(verify_matview("v").right());
}

// A TRUNCATE between the look at the marks and the statement that applies the changes: it has to
// wait, and where it need not the view is wrong, and stays so.
TEST_F(Incremental, IsWrongWithoutTheLockBeforeTheSnapshot) {
  create("v", "SELECT a, count(*) AS n FROM r GROUP BY a");
  db.execute(
      "DO $$ BEGIN EXECUTE replace(pg_get_functiondef('matview.apply_changes'::regproc), 'BEGIN', "
      "'BEGIN PERFORM pg_advisory_xact_lock(4711);'); END $$");
  const auto truncated_in_mid_refresh = [&](int id) {
    session gate(db.url());
    gate.execute("SELECT pg_advisory_lock(4711)");
    db.execute(fmt::format("INSERT INTO r VALUES ({}, 1)", id));
    background refresh(arefresh_matview("v", {.mode = refresh_mode::incremental}));
    EXPECT_TRUE(eventually([&] {
      return db.query_one(
                 "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = "
                 "4711 AND NOT granted") == "1";
    }));
    bool done = true;
    try {
      session(db.url()).execute("SET lock_timeout = '200ms'; TRUNCATE r");
    } catch (const std::runtime_error& waited) {
      EXPECT_TRUE(contains(waited.what(), "lock timeout")) << waited.what();
      done = false;
    }
    gate.execute("SELECT pg_advisory_unlock_all()");
    EXPECT_EQ(refresh.get().mode, refresh_mode::incremental);
    return done;
  };
  EXPECT_FALSE(truncated_in_mid_refresh(3001));
  expect_right("v");
  db.execute(
      "DO $$ BEGIN EXECUTE replace(pg_get_functiondef('matview.lock_tables(regclass[], text)'"
      "::regprocedure), 'EXECUTE format(''LOCK TABLE %s IN %s MODE'', names, mode)', "
      "'NULL'); END $$");
  EXPECT_TRUE(truncated_in_mid_refresh(3002));
  EXPECT_FALSE(verify_matview("v").right());
  refresh_matview("v");
  EXPECT_FALSE(verify_matview("v").right());
}

TEST_F(Incremental, AutoGoesByWhatItHasCostSoFar) {
  db.execute("CREATE TABLE many (g int)");
  create("v", "SELECT g, count(*) AS n FROM many GROUP BY g");
  const auto cost = [&](const std::string& full, const std::string& rows, const char* hope = "1") {
    db.execute("UPDATE matview.incremental SET full_seconds = " + full +
               ", rows_per_second = " + rows + ", rated_rows = " + rows + ", hope = " + hope);
  };
  const auto after = [&](int rows) {
    db.execute(fmt::format("INSERT INTO many SELECT i % 5 FROM generate_series(1, {}) i", rows));
    refresh_report done = refresh_matview("v");
    expect_right("v");
    return done;
  };
  const auto hope = [&] { return db.query_one("SELECT hope FROM matview.incremental"); };
  cost("1", "2000");
  EXPECT_EQ(after(1900).mode, refresh_mode::incremental);
  EXPECT_NE(db.query_one("SELECT rows_per_second FROM matview.incremental"), "2000") << "measured";
  cost("1", "2000");
  const refresh_report anew = after(2500);
  EXPECT_EQ(anew.mode, refresh_mode::diff);
  EXPECT_EQ(anew.reason,
            "at least 2001 rows have changed; what takes as long as filling it anew (1.00 s) are "
            "about 2000");
  EXPECT_EQ(hope(), "1.05");
  cost("1", "2000", "1.3");
  EXPECT_EQ(after(2500).mode, refresh_mode::incremental) << "it is tried at last";
  EXPECT_EQ(hope(), "1");
  cost("0.03", "NULL");
  EXPECT_EQ(after(1600).mode, refresh_mode::diff) << "20 us a row until it is known";
  cost("0.000001", "NULL");
  EXPECT_EQ(after(900).mode, refresh_mode::incremental) << "few rows are not worth the question";
}

TEST_F(Incremental, AutoLooksAtPartsOfALargeLog) {
  db.execute(
      "CREATE TABLE many (id int, a int); INSERT INTO many SELECT i, i % 5 FROM "
      "generate_series(1, 1000) i");
  create("v", "SELECT a, count(*) AS n, sum(id) AS s FROM many GROUP BY a");
  db.execute("INSERT INTO many SELECT i, i % 5 FROM generate_series(1, 200000) i");
  const refresh_report done = refresh_matview("v");
  EXPECT_EQ(done.mode, refresh_mode::diff);
  ASSERT_TRUE(done.reason.starts_with("about ")) << done.reason;
  EXPECT_NEAR(std::stod(done.reason.substr(6)), 200'000, 80'000) << done.reason;
  expect_right("v");
  // What was applied is there still, and not counted.
  db.execute("INSERT INTO many SELECT i, i % 5 FROM generate_series(1, 100) i");
  EXPECT_EQ(refresh_matview("v").reason, "100 rows were changed in public.many");
  expect_right("v");
}

TEST_F(Incremental, IsSwappedAndStaysWhatItWas) {
  create_matview("v", "SELECT id, a, coalesce(b, 0) AS b FROM r",
                 {.indexes = {{.columns = {"a", "b"}, .unique = false}},
                  .comment = "kept",
                  .kind = view_kind::incremental});
  test_role reader(db, "reader");
  db.execute("GRANT SELECT ON v TO " + reader.name() +
             "; ALTER VIEW v SET (security_barrier); CREATE VIEW above AS SELECT * FROM v;"
             "DO $$ BEGIN EXECUTE format('COMMENT ON INDEX %s IS %L', (SELECT min(indexrelid) FROM "
             "pg_index WHERE indrelid = (SELECT storage FROM matview.incremental))::regclass, "
             "'of the keys'); END $$");
  const std::string looks =
      "SELECT c.relacl::text || c.reloptions::text || obj_description(c.oid) || (SELECT "
      "string_agg(i.indexrelid::regclass || coalesce(obj_description(i.indexrelid), ''), ' ' ORDER "
      "BY 1) FROM pg_index AS i, matview.incremental AS m WHERE i.indrelid = m.storage) || (SELECT "
      "string_agg(pg_get_indexdef(i.indexrelid), ' ' ORDER BY 1) FROM pg_index AS i, "
      "matview.incremental AS m WHERE i.indrelid = m.storage) FROM pg_class AS c WHERE c.oid = "
      "'v'::regclass";
  const std::string before = db.query_one(looks);
  change(1);
  const std::string storage = db.query_one("SELECT storage::oid FROM matview.incremental");
  const refresh_report done = refresh_matview("v", {.mode = refresh_mode::swap});
  EXPECT_EQ(done.mode, refresh_mode::swap) << done.reason;
  EXPECT_GT(done.bytes, 0);
  EXPECT_EQ(list_history({.view = "v", .limit = 1}).at(0).bytes_after, done.bytes);
  expect_right("v");
  EXPECT_EQ(db.query_one(looks), before);
  EXPECT_NE(db.query_one("SELECT storage::oid FROM matview.incremental"), storage);
  EXPECT_EQ(count("above"), count("v"));
  EXPECT_THROW(db.execute("DELETE FROM v"), std::runtime_error);
  change(2);
  EXPECT_EQ(refresh_matview("v", {.mode = refresh_mode::incremental}).mode,
            refresh_mode::incremental);
  expect_right("v");
  EXPECT_TRUE(verify_matview("v").right());

  session open(db.url());
  open.execute("BEGIN; SELECT count(*) FROM v");
  change(3);
  EXPECT_EQ(
      failure_of([] {
        static_cast<void>(refresh_matview("v", {.lock_timeout = interval::parse("200 milliseconds"),
                                                .mode = refresh_mode::swap}));
      }).code(),
      errc::lock_timeout);
  open.execute("COMMIT");
  static_cast<void>(refresh_matview("v"));
  expect_right("v");

  create("w", "SELECT a, count(*) AS n FROM v GROUP BY a");
  change(4);
  const refresh_report instead = refresh_matview("v", {.mode = refresh_mode::swap});
  EXPECT_EQ(instead.mode, refresh_mode::diff);
  EXPECT_TRUE(contains(instead.reason, "another incremental view")) << instead.reason;
  static_cast<void>(refresh_matview("w"));
  expect_right("v");
  expect_right("w");
}

TEST_F(Incremental, WritersNeedNoRight) {
  create("v", "SELECT a, count(*) AS n FROM r GROUP BY a");
  test_role writer(db, "writer");
  db.execute("GRANT SELECT, INSERT, DELETE ON r TO " + writer.name());
  session theirs(writer.url());
  theirs.execute("INSERT INTO r VALUES (2000, 5, 5, 5); DELETE FROM r WHERE id = 3");
  EXPECT_EQ(refresh_matview("v").mode, refresh_mode::incremental);
  expect_right("v");
}

TEST_F(Incremental, ARoleWithoutRightsIsToldWhatToGrant) {
  test_role plain(db, "plain");
  create("v", "SELECT id FROM s");  // Makes the schema.
  db.execute("GRANT SELECT ON r TO " + plain.name() + "; GRANT ALL ON SCHEMA public, matview TO " +
             plain.name() + "; GRANT ALL ON ALL TABLES IN SCHEMA matview TO " + plain.name() +
             "; GRANT ALL ON ALL SEQUENCES IN SCHEMA matview TO " + plain.name());
  configure({{"default", plain.url()}});
  const error refusal = failure_of([&] { static_cast<void>(create("w", "SELECT id FROM r")); });
  EXPECT_EQ(refusal.code(), errc::permission_denied) << refusal.what();
  EXPECT_TRUE(contains(refusal.hint(), "GRANT TRIGGER")) << refusal.hint();
  configure({{"default", db.url()}});
}

TEST_F(Incremental, SaysWhatItDid) {
  create("v", "SELECT a, count(*) AS n FROM r GROUP BY a");
  EXPECT_EQ(refresh_matview("v").mode, refresh_mode::none);
  db.execute("UPDATE r SET a = 1 WHERE id = 1");
  const refresh_report done = refresh_matview("v");
  EXPECT_EQ(done.mode, refresh_mode::incremental);
  EXPECT_TRUE(contains(done.reason, "2 rows were changed in public.r")) << done.reason;
  db.execute("TRUNCATE r");
  const refresh_report emptied = refresh_matview("v");
  EXPECT_EQ(emptied.mode, refresh_mode::diff);
  EXPECT_TRUE(contains(emptied.reason, "TRUNCATE")) << emptied.reason;
  EXPECT_EQ(count("v"), "0");
}

TEST_F(Incremental, FollowsChangesOfItsTables) {
  create("v", "SELECT r.a, count(*) AS n FROM r JOIN s ON s.a = r.a GROUP BY r.a");
  for (const std::string ddl :
       {"ALTER TABLE r RENAME TO r_new", "ALTER TABLE r_new RENAME COLUMN a TO a_new",
        "ALTER TABLE r_new ADD COLUMN more int DEFAULT 3", "ALTER TABLE r_new DISABLE TRIGGER ALL",
        "ALTER TABLE r_new ENABLE TRIGGER ALL", "ALTER TABLE r_new SET SCHEMA elsewhere"}) {
    if (contains(ddl, "elsewhere")) db.execute("CREATE SCHEMA elsewhere");
    db.execute(ddl + "; DELETE FROM r_new WHERE id % 9 = 1; UPDATE s SET y = y + 1");
    static_cast<void>(refresh_matview("v"));
    expect_right("v");
    db.execute("UPDATE s SET a = (a + 1) % 13 WHERE id % 3 = 0");
    static_cast<void>(refresh_matview("v"));
    expect_right("v");
    db.execute("SET search_path = public, elsewhere");
  }
}

TEST_F(Incremental, SeesPartitionsComeAndGo) {
  db.execute(
      "CREATE TABLE p (id int, k int) PARTITION BY RANGE (k);"
      "CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10);"
      "INSERT INTO p SELECT i, i % 10 FROM generate_series(1, 50) i");
  create("v", "SELECT k, count(*) AS n FROM p GROUP BY k");
  db.execute(
      "CREATE TABLE p2 (id int, k int); INSERT INTO p2 VALUES (1, 12), (2, 13);"
      "ALTER TABLE p ATTACH PARTITION p2 FOR VALUES FROM (10) TO (20)");
  static_cast<void>(refresh_matview("v"));
  expect_right("v");
  db.execute("INSERT INTO p2 VALUES (3, 14); UPDATE p SET k = k + 7 WHERE k < 9");
  EXPECT_EQ(refresh_matview("v").mode, refresh_mode::incremental);
  expect_right("v");
  db.execute("ALTER TABLE p DETACH PARTITION p2; DELETE FROM p2");
  static_cast<void>(refresh_matview("v"));
  expect_right("v");
}

TEST_F(Incremental, RefusesATransactionThatHasWritten) {
  create("v", "SELECT a, count(*) AS n FROM r GROUP BY a");
  session theirs(db.url());
  theirs.execute("BEGIN; DELETE FROM r WHERE id = 7");
  EXPECT_THROW(theirs.execute("SELECT * FROM matview.refresh('v')"), std::runtime_error);
  theirs.execute("ROLLBACK");
  expect_right("v");
}

TEST_F(Incremental, AFailureLeavesTheOldContents) {
  create("v", "SELECT a, count(*) AS n, sum(100 / nullif(x, 0)) AS q FROM r GROUP BY a");
  create("w", "SELECT id, 100 / (x - 1000) AS q FROM r");
  const std::string before =
      db.query_one("SELECT md5(string_agg(w::text, '' ORDER BY id)) FROM w w");
  db.execute("UPDATE r SET x = 1000 WHERE id = 5; UPDATE r SET x = 7 WHERE id = 6");
  EXPECT_THROW(static_cast<void>(refresh_matview("w")), error);
  EXPECT_EQ(db.query_one("SELECT md5(string_agg(w::text, '' ORDER BY id)) FROM w w"), before);
  db.execute("UPDATE r SET x = 3 WHERE id = 5");
  static_cast<void>(refresh_matview("w"));
  expect_right("w");
  session holder(db.url());
  holder.execute("BEGIN; LOCK TABLE r IN ACCESS EXCLUSIVE MODE; DELETE FROM r WHERE id = 9");
  const error waited = failure_of([] {
    static_cast<void>(refresh_matview("v", {.lock_timeout = interval::parse("50 milliseconds")}));
  });
  EXPECT_EQ(waited.code(), errc::lock_timeout) << waited.what();
  holder.execute("COMMIT");
  static_cast<void>(refresh_matview("v"));
  expect_right("v");
}

TEST_F(Incremental, OnAnother) {
  create("below", "SELECT b, count(*) AS n FROM r GROUP BY b");
  create("above", "SELECT n % 2 AS odd, sum(n) AS total FROM below GROUP BY 1");
  db.execute("DELETE FROM r WHERE id % 4 = 0");
  EXPECT_EQ(refresh_matview("above").mode, refresh_mode::none);  // As `below` is not refreshed yet.
  const std::vector<refresh_report> done = refresh_together({"above", "below"});
  ASSERT_EQ(done.size(), 2U);
  EXPECT_EQ(done.front().view, "public.below");
  EXPECT_EQ(db.query_one("SELECT sum(total) = (SELECT count(*) FROM r) FROM above"), "t");
  expect_right("above");
  db.execute("DELETE FROM r WHERE id % 3 = 0");
  EXPECT_EQ(refresh_together({}).size(), 2U);
  EXPECT_EQ(db.query_one("SELECT sum(total) = (SELECT count(*) FROM r) FROM above"), "t");
}

TEST_F(Incremental, TellsHowManyRowsItShows) {
  db.execute("CREATE TABLE copies AS SELECT i % 3 AS a FROM generate_series(1, 100) i");
  struct shown {
    const char* query;
    int rows;
  };
  for (const shown& one :
       {shown{"SELECT a FROM copies", 100}, shown{"SELECT DISTINCT a FROM copies", 3},
        shown{"SELECT a FROM copies ORDER BY a LIMIT 2", 2},
        shown{"SELECT a, count(*) AS n FROM copies GROUP BY a HAVING count(*) > 33", 1}}) {
    EXPECT_EQ(create_matview("v", one.query, {.kind = view_kind::incremental}).rows, one.rows)
        << one.query;
    drop_matview("v");
  }
}

TEST_F(Incremental, WhatIsOfOneViewCannotBeSaidOfAllTogether) {
  create("v", "SELECT a, count(*) AS n FROM r GROUP BY a");
  for (const refresh_options& options :
       std::vector<refresh_options>{{.concurrently = true},
                                    {.mode = refresh_mode::full},
                                    {.if_running = if_running::skip},
                                    {.if_changed = true},
                                    {.max_age = interval::parse("1 hour")},
                                    {.max_duration = interval::parse("1 hour")}}) {
    EXPECT_EQ(failure_of([&] { static_cast<void>(refresh_together({}, options)); }).code(),
              errc::invalid_option);
  }
  EXPECT_EQ(refresh_together({}, {.mode = refresh_mode::automatic}).size(), 1U);
}

TEST_F(Incremental, AVerificationWaitsForALockAsLongAsItIsTold) {
  create("v", "SELECT a, count(*) AS n FROM r GROUP BY a");
  session owner(db.url());
  owner.execute("BEGIN; LOCK TABLE r");
  const error told = failure_of([] {
    static_cast<void>(verify_matview("v", {.lock_timeout = interval::parse("50 milliseconds")}));
  });
  EXPECT_EQ(told.code(), errc::lock_timeout) << told.what();
}

TEST_F(Incremental, VerifyFindsAndRepairs) {
  create("v", "SELECT a, count(*) AS n FROM r GROUP BY a");
  db.execute(
      "DO $$ BEGIN EXECUTE format('UPDATE %s SET __mv_n1 = 77 WHERE a = 3', "
      "(SELECT storage FROM matview.incremental)); END $$");
  const verify_report wrong = verify_matview("v");
  EXPECT_EQ(wrong.missing, 1);
  EXPECT_EQ(wrong.unexpected, 1);
  EXPECT_EQ(wrong.samples.size(), 2U);
  EXPECT_TRUE(verify_matview("v", {.repair = true}).repaired);
  expect_right("v");
}

TEST_F(Incremental, ConvertsAndKeeps) {
  create_matview("v", "SELECT a, count(*) AS n FROM r GROUP BY a",
                 {.indexes = {{.columns = {"a"}, .unique = true}}, .comment = "kept"});
  test_role reader(db, "reader");
  db.execute("GRANT SELECT ON v TO " + reader.name());
  const convert_report there = convert_matview("v");
  EXPECT_TRUE(there.made.incremental);
  EXPECT_EQ(there.not_kept.size(), 0U);
  expect_right("v");
  session theirs(reader.url());
  EXPECT_EQ(theirs.query_one("SELECT sum(n) FROM v"), "100");
  EXPECT_EQ(db.query_one("SELECT obj_description('v'::regclass)"), "kept");
  db.execute("CREATE VIEW above AS SELECT * FROM v");
  EXPECT_EQ(
      failure_of([] { static_cast<void>(convert_matview("v", {.to = view_kind::native})); }).code(),
      errc::dependents_exist);
  db.execute("DROP VIEW above");
  static_cast<void>(convert_matview("v", {.to = view_kind::native}));
  EXPECT_EQ(db.query_one("SELECT relkind FROM pg_class WHERE relname = 'v'"), "m");
  EXPECT_EQ(theirs.query_one("SELECT sum(n) FROM v"), "100");
}

TEST_F(Incremental, SessionsKilledInMidRefreshLeaveItRight) {
  create("v", "SELECT a, count(*) AS n, sum(x) AS sx FROM r GROUP BY a");
  for (int round = 1; round <= 8; ++round) {
    change(round);
    session theirs(db.url());
    theirs.execute("BEGIN; SELECT * FROM matview.refresh('v')");
    db.execute(fmt::format("SELECT pg_terminate_backend({})", theirs.backend_pid()));
    EXPECT_EQ(refresh_matview("v").mode, refresh_mode::incremental);
    expect_right("v");
  }
}

TEST_F(Incremental, LogsArePrunedBelowTheSlowestView) {
  create("fast", "SELECT a, count(*) AS n FROM r GROUP BY a");
  create("slow", "SELECT b, count(*) AS n FROM r GROUP BY b");
  change(1);
  static_cast<void>(refresh_matview("fast"));
  const std::string log = "matview.log_" + db.query_one(
                                               "SELECT id FROM matview.change_log "
                                               "WHERE base = 'r'::regclass");
  EXPECT_NE(count(log), "0");
  db.execute("SELECT matview.prune()");
  EXPECT_NE(count(log), "0");
  // Rows stay that are younger than a transaction that went on when they were taken in, in whatever
  // database: those of other tests.
  EXPECT_TRUE(eventually([&] {
    static_cast<void>(refresh_matview("fast", {.mode = refresh_mode::full}));
    static_cast<void>(refresh_matview("slow", {.mode = refresh_mode::full}));
    db.execute("SELECT matview.prune()");
    return count(log) == "0";
  }));
}

TEST_F(Incremental, AViewThatNobodyRefreshesIsDetachedAndMadeAnew) {
  create("v", "SELECT a, count(*) AS n FROM r GROUP BY a");
  db.execute(
      "UPDATE matview.incremental SET log_limit = 10; UPDATE r SET x = x + 1;"
      "SELECT matview.prune()");
  EXPECT_TRUE(contains(db.query_one("SELECT detached FROM matview.incremental"), "not refreshed"));
  const refresh_report done = refresh_matview("v");
  EXPECT_EQ(done.mode, refresh_mode::diff) << done.reason;
  expect_right("v");
}

}  // namespace

}  // namespace matview::test
