// What a program takes for granted of its tables, keys and NOT NULL, may go and come while the view
// is there: then its parts are made anew behind the user's view. And how a storage is filled.

#include "pg/incremental_fixture.hpp"

#include <gtest/gtest.h>

#include <stdexcept>
#include <string>
#include <thread>

namespace matview::test {
namespace {

class IncrementalLayout : public incremental_test {
 protected:
  /// It is brought up to date, and goes on by changes from there.
  void expect_made_anew(const std::string& name, const std::string& change) {
    const refresh_report anew = refresh_matview(name);
    EXPECT_EQ(anew.mode, refresh_mode::full) << anew.reason;
    EXPECT_TRUE(contains(anew.reason, "was changed") || contains(anew.reason, "is missing"))
        << anew.reason;
    expect_right(name);
    expect_goes_on(name, change);
  }
  void expect_goes_on(const std::string& name, const std::string& change) {
    db.execute(change);
    const refresh_report next = refresh_matview(name);
    EXPECT_EQ(next.mode, refresh_mode::incremental) << next.reason;
    expect_right(name);
  }
  // Only the library compiles.
  void expect_that_sql_cannot(const std::string& view) {
    for (const std::string wish : {"auto", "full", "diff"}) {
      try {
        db.execute("SELECT * FROM matview.refresh('" + view + "', '" + wish + "')");
        FAIL() << wish;
      } catch (const std::runtime_error& told) {
        EXPECT_TRUE(contains(told.what(), "has to be made ready anew")) << told.what();
      }
    }
  }
  std::string storage(const std::string& view) {
    return db.query_one("SELECT storage FROM matview.incremental WHERE view = '" + view +
                        "'::regclass");
  }
  std::string parts() {
    return db.query_one(
        "SELECT count(*) FROM pg_class WHERE relnamespace = 'matview'::regnamespace AND relname ~ "
        "'^(storage|source|core|definition|matview_new)_'");
  }
  // So that a few rows are worth a parallel plan.
  void make_plans_parallel() {
    db.execute("ALTER DATABASE \"" + db.name() +
               "\" SET min_parallel_table_scan_size = 0; ALTER DATABASE \"" + db.name() +
               "\" SET parallel_setup_cost = 0; ALTER DATABASE \"" + db.name() +
               "\" SET parallel_tuple_cost = 0");
    configure({{"default", db.url()}});  // Connections that know of it.
  }
};

TEST_F(IncrementalLayout, AnIndexOnAComputedColumnIsOnWhatTheViewShows) {
  db.execute(
      "CREATE SCHEMA s; CREATE FUNCTION s.twice(bigint) RETURNS bigint LANGUAGE sql IMMUTABLE AS "
      "'SELECT 2 * $1'; CREATE TABLE t (g int, x int); INSERT INTO t SELECT i % 7, i FROM "
      "generate_series(1, 50) i");
  create("v", "SELECT g, s.twice(sum(x)) AS d, ' s.y' || max(x) AS word FROM t GROUP BY g");
  add_index("v", {.columns = {"d"}});
  add_index("v", {.columns = {"word"}, .unique = true});
  EXPECT_EQ(db.query_one("SELECT count(*) FROM pg_indexes WHERE indexdef LIKE '%'' s.y''%'"), "1");
  EXPECT_EQ(db.query_one("SELECT count(*) FROM pg_indexes WHERE indexdef LIKE '%s.twice(%'"), "1");
}

TEST_F(IncrementalLayout, DropNotNullOfAGroupingColumn) {
  db.execute(
      "CREATE TABLE t (g int NOT NULL, x int); "
      "INSERT INTO t SELECT i % 7, i FROM generate_series(1, 50) i");
  create("v", "SELECT g, sum(x) AS total FROM t GROUP BY g");
  add_index("v", {.columns = {"total"}});
  db.execute(
      "COMMENT ON VIEW v IS 'totals'; GRANT SELECT ON v TO public; "
      "CREATE VIEW above AS SELECT g FROM v WHERE total > 0");
  // What may be set on a storage stays, too.
  db.execute(
      fmt::format("ALTER TABLE {0} ALTER g SET STATISTICS 300, ALTER g SET (n_distinct = 7); "
                  "ALTER TABLE {0} SET (autovacuum_enabled = false); CREATE STATISTICS pair ON g, "
                  "__mv_n1 FROM {0}",
                  storage("v")));
  const auto settings = [this] {
    return db.query_one(fmt::format(
        "SELECT concat_ws(' ', a.attstattarget, a.attoptions, 'autovacuum_enabled=false' = ANY "
        "(c.reloptions), (SELECT count(*) FROM pg_statistic_ext e WHERE e.stxrelid = c.oid AND "
        "e.stxname = 'pair')) FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND "
        "a.attname = 'g' WHERE c.oid = '{}'::regclass",
        storage("v")));
  };
  const std::string set = settings();
  EXPECT_EQ(set, "300 {n_distinct=7} t 1");
  const std::string before = parts();
  db.execute("ALTER TABLE t ALTER g DROP NOT NULL; INSERT INTO t VALUES (NULL, 1), (NULL, 2)");
  expect_made_anew("v", "INSERT INTO t VALUES (NULL, 3), (NULL, 4); DELETE FROM t WHERE x = 1");
  EXPECT_EQ(db.query_one("SELECT total FROM v WHERE g IS NULL"), "9");
  EXPECT_EQ(settings(), set);
  refresh_matview("v", {.mode = refresh_mode::swap});
  EXPECT_EQ(settings(), set);
  EXPECT_EQ(db.query_one("SELECT obj_description('v'::regclass)"), "totals");
  EXPECT_EQ(db.query_one("SELECT has_table_privilege('public', 'v', 'SELECT')"), "t");
  EXPECT_EQ(db.query_one("SELECT count(*) FROM above"), "8");
  EXPECT_EQ(
      db.query_one("SELECT count(*) FROM pg_index WHERE indexprs IS NOT NULL AND indrelid = '" +
                   storage("v") + "'::regclass"),
      "1");
  EXPECT_EQ(parts(), before) << "something was left behind";
  EXPECT_THROW(db.execute("DELETE FROM v"), std::runtime_error);
}

TEST_F(IncrementalLayout, APrimaryKeyGoesAndComes) {
  db.execute(
      "CREATE TABLE t (id int PRIMARY KEY, x int); INSERT INTO t SELECT i, i FROM "
      "generate_series(1, 20) i");
  create("v", "SELECT id, x FROM t");
  EXPECT_FALSE(contains(db.query_one("SELECT pg_get_viewdef('v'::regclass)"), "generate_series"));
  db.execute("ALTER TABLE t DROP CONSTRAINT t_pkey; INSERT INTO t VALUES (1, 1), (1, 1), (2, 9)");
  expect_made_anew("v", "INSERT INTO t VALUES (3, 3); DELETE FROM t WHERE id = 2");
  EXPECT_EQ(db.query_one("SELECT count(*) FROM v WHERE id = 1"), "3");
  db.execute("DELETE FROM t WHERE id IN (1, 3); ALTER TABLE t ADD PRIMARY KEY (id)");
  expect_made_anew("v", "INSERT INTO t VALUES (1, 5); UPDATE t SET x = x + 1 WHERE id % 3 = 0");
  EXPECT_FALSE(contains(db.query_one("SELECT pg_get_viewdef('v'::regclass)"), "generate_series"));
}

TEST_F(IncrementalLayout, AChildTableMayHoldTheKeysOfItsParentOnceMore) {
  db.execute(
      "CREATE TABLE t (id int PRIMARY KEY, x int NOT NULL); INSERT INTO t VALUES (1, 1), (2, 2)");
  create("v", "SELECT id, x FROM t");
  create("w", "SELECT x, count(*) AS n FROM t GROUP BY x");
  db.execute("CREATE TABLE child () INHERITS (t); INSERT INTO child VALUES (1, 1)");
  if (server_version() < 180000) {
    db.execute("ALTER TABLE child ALTER x DROP NOT NULL; INSERT INTO child VALUES (3, NULL)");
  }
  expect_made_anew("v", "INSERT INTO child VALUES (2, 2), (2, 2)");
  EXPECT_EQ(db.query_one("SELECT count(*) FROM v WHERE id = 2"), "3");
  expect_made_anew("w", "INSERT INTO child VALUES (4, 2)");
  create("z", "SELECT id, x FROM t WHERE id > 0");
  EXPECT_EQ(db.query_one("SELECT count(*) FROM z WHERE id = 2"), "3");
}

TEST_F(IncrementalLayout, AViewOnOneThatIsMadeAnewGoesOn) {
  db.execute(
      "CREATE TABLE t (id int PRIMARY KEY, g int NOT NULL, x int); "
      "INSERT INTO t SELECT i, i % 5, i FROM generate_series(1, 30) i");
  create("v", "SELECT id, g, x FROM t WHERE x > 3");
  create("above", "SELECT g, sum(x) AS total FROM v GROUP BY g");
  db.execute("ALTER TABLE t DROP CONSTRAINT t_pkey; INSERT INTO t SELECT * FROM t WHERE id < 9");
  EXPECT_EQ(refresh_matview("v").mode, refresh_mode::full);
  refresh_matview("above");
  expect_right("above");
  db.execute("DELETE FROM t WHERE id = 7; UPDATE t SET x = x + 1 WHERE g = 2");
  EXPECT_EQ(refresh_matview("v").mode, refresh_mode::incremental);
  EXPECT_EQ(refresh_matview("above").mode, refresh_mode::incremental);
  expect_right("v");
  expect_right("above");
}

TEST_F(IncrementalLayout, AFullRefreshThatIsAskedForLooksAtTheTablesToo) {
  db.execute("CREATE TABLE t (g int NOT NULL); INSERT INTO t VALUES (1), (2)");
  create("v", "SELECT g, count(*) AS n FROM t GROUP BY g");
  db.execute("ALTER TABLE t ALTER g DROP NOT NULL; INSERT INTO t VALUES (NULL)");
  expect_that_sql_cannot("v");
  EXPECT_EQ(refresh_matview("v", {.mode = refresh_mode::full}).mode, refresh_mode::full);
  expect_goes_on("v", "INSERT INTO t VALUES (NULL), (2)");
}

TEST_F(IncrementalLayout, ANotNullThatIsNotValidIsNotBelieved) {
  if (server_version() < 180000) GTEST_SKIP() << "there is none before PostgreSQL 18";
  db.execute(
      "CREATE TABLE t (g int); INSERT INTO t VALUES (NULL), (1); "
      "ALTER TABLE t ADD CONSTRAINT there NOT NULL g NOT VALID");
  create("v", "SELECT g, count(*) AS n FROM t GROUP BY g");
  expect_goes_on("v", "UPDATE t SET g = 1 WHERE g IS NULL");
}

TEST_F(IncrementalLayout, ForeignKeysTellRowsApartAsKeysDo) {
  db.execute(
      "CREATE TABLE big (id int PRIMARY KEY, s int NOT NULL, x int); "
      "CREATE TABLE small (id int PRIMARY KEY, name text); "
      "INSERT INTO small SELECT i, 'n' || i FROM generate_series(1, 5) i; "
      "INSERT INTO big SELECT i, 1 + i % 5, i FROM generate_series(1, 40) i");
  create("once", "SELECT b.id, b.x, s.name FROM big b JOIN small s ON s.id = b.s");
  create("often", "SELECT b.id, b.x, s.name FROM big b JOIN small s ON s.id > b.s");
  const auto repeats = [&](const std::string& view) {
    return contains(db.query_one("SELECT pg_get_viewdef('" + view + "'::regclass)"),
                    "generate_series");
  };
  EXPECT_FALSE(repeats("once"));
  EXPECT_TRUE(repeats("often"));
  // Values that change places, where a unique index forbids both at once.
  add_index("once", {.columns = {"x"}, .unique = true});
  for (const char* view : {"once", "often"}) {
    expect_goes_on(
        view,
        "UPDATE big SET x = 41 - x; UPDATE small SET name = name || '!' WHERE id < 3; "
        "DELETE FROM big WHERE id % 9 = 0; UPDATE big SET s = 1 + s % 5 WHERE id % 4 = 0");
  }
}

TEST_F(IncrementalLayout, AStorageThatWasTamperedWithIsFilledAnew) {
  db.execute("CREATE TABLE t (id int PRIMARY KEY, x int); INSERT INTO t VALUES (1, 1)");
  create("v", "SELECT id, x FROM t");
  db.execute("INSERT INTO " + storage("v") + " VALUES (2, 7); INSERT INTO t VALUES (2, 2)");
  const refresh_report mended = refresh_matview("v");
  EXPECT_EQ(mended.mode, refresh_mode::diff);
  EXPECT_TRUE(contains(mended.reason, "does not hold what its tables held")) << mended.reason;
  expect_right("v");
}

TEST_F(IncrementalLayout, WhatIsCommittedWhileItIsFilledByAParallelPlanIsTakenInLater) {
  db.execute(
      "CREATE TABLE t (id int PRIMARY KEY, g int NOT NULL, x int); "
      "INSERT INTO t SELECT i, i % 5, i FROM generate_series(1, 1000) i; ANALYZE t");
  create("rows", "SELECT id, g, x FROM t WHERE x <> 3");
  create("sums", "SELECT g, sum(x) AS total, max(x) AS most FROM t GROUP BY g");
  create("lists", "SELECT g, array_agg(x ORDER BY id) AS xs FROM t GROUP BY g");
  create("pairs",
         "SELECT g, sum(o.x) AS total FROM t LEFT JOIN (SELECT id + 1 AS after, x FROM t) o "
         "ON o.after = t.id GROUP BY g");
  make_plans_parallel();
  int id = 2000;
  for (const std::string view : {"rows", "sums", "lists", "pairs"}) {
    for (const char* mode : {"diff", "full", "swap"}) {
      db.execute("UPDATE t SET x = x + 1 WHERE id % 100 = 1");
      session reader(db.url());
      reader.execute("BEGIN; LOCK TABLE " + storage(view) + " IN SHARE MODE");
      if (std::string(mode) == "swap") {  // It waits for the view alone.
        reader.execute("ROLLBACK; BEGIN; LOCK TABLE " + view + " IN ACCESS SHARE MODE");
      }
      std::string done;
      std::thread refresher([&] {
        session other(db.url());
        done = other.query_one("SELECT mode FROM matview.refresh('" + view + "', '" + mode + "')");
      });
      // All rows have been read by now, and it waits to write them.
      const bool waits = eventually([&] {
        return db.query_one(
                   "SELECT count(*) FROM pg_locks WHERE NOT granted AND database = "
                   "(SELECT oid FROM pg_database WHERE datname = current_database())") == "1";
      });
      EXPECT_TRUE(waits) << view << " " << mode;
      db.execute("INSERT INTO t VALUES (" + std::to_string(++id) + ", 2, 77)");
      reader.execute("COMMIT");
      refresher.join();
      EXPECT_TRUE(done == mode || view == "pairs") << view << ": " << done;  // Of two tables.
      const refresh_report next = refresh_matview(view);
      EXPECT_EQ(next.mode, refresh_mode::incremental) << view << " " << mode << next.reason;
      expect_right(view);
    }
  }
}

// By a worker that is a superuser, as a rule.
TEST_F(IncrementalLayout, AnotherRoleThatSwapsOrMakesAnewLeavesItToItsOwner) {
  const test_role ann(db, "ann");
  const test_role reader(db, "reader");
  db.execute("GRANT CREATE ON SCHEMA public TO " + ann.name() +
             "; CREATE TABLE t (id int PRIMARY KEY, x int); INSERT INTO t VALUES (1, 1); "
             "ALTER TABLE t OWNER TO " +
             ann.name() + "; GRANT CREATE ON DATABASE \"" + db.name() + "\" TO " + ann.name());
  configure({{"default", ann.url()}});
  create("v", "SELECT id, x FROM t");
  configure({{"default", db.url()}});
  db.execute("GRANT SELECT ON v TO " + reader.name());
  const auto expect_readable = [&](const std::string& how) {
    for (const test_role* const role : {&ann, &reader}) {
      EXPECT_NO_THROW(session(role->url()).query("SELECT * FROM v")) << role->name() << how;
    }
  };
  refresh_matview("v", {.mode = refresh_mode::swap});
  expect_readable(" after a swap");
  db.execute("ALTER TABLE t DROP CONSTRAINT t_pkey; INSERT INTO t VALUES (1, 1)");
  refresh_matview("v");
  expect_readable(" after it was made anew");
  configure({{"default", ann.url()}});
  db.execute("INSERT INTO t VALUES (2, 2)");
  EXPECT_EQ(refresh_matview("v").mode, refresh_mode::incremental);
  expect_right("v");
  EXPECT_EQ(refresh_matview("v", {.mode = refresh_mode::swap}).mode, refresh_mode::swap);
  drop_matview("v");
  EXPECT_EQ(parts(), "0");
}

TEST_F(IncrementalLayout, WhatAUniqueIndexForbidsIsToldInItsOwnersWords) {
  db.execute("CREATE TABLE t (id int PRIMARY KEY, a int); INSERT INTO t VALUES (1, 1), (2, 2)");
  const create_options unique_a{.indexes = {{.columns = {"a"}, .unique = true}},
                                .kind = view_kind::incremental};
  create_matview("counted", "SELECT a FROM t", unique_a);
  create_matview("v", "SELECT id, a FROM t", unique_a);
  db.execute("ALTER INDEX matview.storage_2_a_idx RENAME TO mine; INSERT INTO t VALUES (3, 1)");
  const error twice = failure_of([] { return refresh_matview("counted"), 0; });
  EXPECT_TRUE(contains(twice.what(), "\"unique (a)\"")) << twice.what();
  EXPECT_TRUE(contains(twice.hint(), "a unique index of the view forbids")) << twice.hint();
  const error swapped =
      failure_of([] { return refresh_matview("v", {.mode = refresh_mode::swap}), 0; });
  EXPECT_TRUE(contains(swapped.what(), "unique index \"mine\"")) << swapped.what();
  db.execute("ALTER TABLE t DROP CONSTRAINT t_pkey");
  const error remade = failure_of([] { return refresh_matview("v"), 0; });
  EXPECT_TRUE(contains(remade.what(), "unique index \"mine\"")) << remade.what();
  db.execute("DELETE FROM t WHERE id = 3");
  refresh_matview("v");
  expect_right("v");
}

TEST_F(IncrementalLayout, SeveralAtOnceAreMadeAnewTogether) {
  db.execute(
      "CREATE TABLE t (id int PRIMARY KEY, x int); INSERT INTO t SELECT i, i FROM "
      "generate_series(1, 9) i");
  create("a", "SELECT id, x FROM t");
  create("b", "SELECT id, x FROM a WHERE x > 2");
  create("c", "SELECT id, x + 1 AS y FROM t");
  db.execute("ALTER VIEW c RENAME TO \"Two words.\"");
  db.execute("ALTER TABLE t DROP CONSTRAINT t_pkey; INSERT INTO t VALUES (3, 3), (3, 3)");
  const std::vector<refresh_report> done = refresh_together({});
  ASSERT_EQ(done.size(), 3U);
  for (const refresh_report& one : done) {
    EXPECT_EQ(one.mode, refresh_mode::full) << one.view;
    EXPECT_NE(one.reason, "nothing has changed") << one.view;
  }
  expect_right("a");
  expect_right("b");
  EXPECT_EQ(db.query_one("SELECT count(*) FROM \"Two words.\""), "11");
}

TEST_F(IncrementalLayout, ASwapAndARemakeStayInTheirTablespaces) {
  const std::string space = db.name() + "_space";
  db.execute("SET allow_in_place_tablespaces = on");
  db.execute("CREATE TABLESPACE " + space + " LOCATION ''");
  db.execute(
      "CREATE TABLE t (id int PRIMARY KEY, g int NOT NULL, x int); INSERT INTO t SELECT i, i % 5, "
      "i FROM generate_series(1, 50) i");
  create_matview("v", "SELECT g, count(*) AS n FROM t GROUP BY g",
                 {.indexes = {{.columns = {"g"}}}, .kind = view_kind::incremental});
  db.execute("ALTER TABLE " + storage("v") + " SET TABLESPACE " + space);
  db.execute("ALTER INDEX matview.storage_1_g_idx SET TABLESPACE " + space);
  const auto there = [&] {
    return db.query_one(
        "SELECT string_agg(c.relname, ' ' ORDER BY c.relkind, c.relname) FROM pg_class c JOIN "
        "pg_tablespace s ON s.oid = c.reltablespace WHERE s.spcname = '" +
        space + "' AND c.relkind IN ('r', 'i')");
  };
  EXPECT_EQ(there(), "storage_1_g_idx storage_1");
  EXPECT_EQ(refresh_matview("v", {.mode = refresh_mode::swap}).mode, refresh_mode::swap);
  EXPECT_EQ(there(), "storage_1_g_idx storage_1");
  db.execute("ALTER TABLE t ALTER g DROP NOT NULL");
  expect_made_anew("v", "INSERT INTO t VALUES (100, NULL, 1)");
  EXPECT_EQ(there(), "storage_1_g_idx storage_2");
  drop_matview("v");
  db.execute("DROP TABLESPACE " + space);
}

TEST_F(IncrementalLayout, KeepsTheNamesThatItsColumnsWereGiven) {
  db.execute("CREATE TABLE t (id int PRIMARY KEY, x int NOT NULL); INSERT INTO t VALUES (1, 1)");
  create("v", "SELECT id, x FROM t");
  db.execute(
      "ALTER VIEW v RENAME COLUMN x TO renamed; ALTER TABLE t DROP CONSTRAINT t_pkey; "
      "INSERT INTO t VALUES (1, 1)");
  EXPECT_EQ(refresh_matview("v").mode, refresh_mode::full);
  EXPECT_EQ(db.query_one("SELECT sum(renamed) FROM v"), "2");
}

// Copies of a row are counted: a unique index must say of them what it says of rows.
TEST_F(IncrementalLayout, AUniqueIndexForbidsOnlyWhatItForbids) {
  db.execute("CREATE TABLE t (id int PRIMARY KEY, x int); INSERT INTO t VALUES (1, 1), (2, 5)");
  create("v", "SELECT id, x FROM t");
  db.execute("CREATE UNIQUE INDEX large ON " + storage("v") + " (id) WHERE x > 2");
  db.execute("ALTER TABLE t DROP CONSTRAINT t_pkey; INSERT INTO t VALUES (1, 1)");
  expect_made_anew("v", "INSERT INTO t VALUES (1, 1)");
  db.execute("INSERT INTO t VALUES (2, 5)");
  EXPECT_TRUE(refusal([&] { refresh_matview("v"); }));
  db.execute("CREATE TABLE u (x int); INSERT INTO u VALUES (NULL), (NULL), (3)");
  create("w", "SELECT x FROM u");
  add_index("w", {.columns = {"x"}, .unique = true});
  expect_goes_on("w", "INSERT INTO u VALUES (NULL), (4)");
  db.execute("INSERT INTO u VALUES (4)");
  EXPECT_TRUE(refusal([&] { refresh_matview("w"); }));
}

// As if it had come between the transaction that compiles and the one that fills.
TEST_F(IncrementalLayout, WhatWasCompiledForOtherTablesIsNotFilled) {
  db.execute("CREATE TABLE t (g int NOT NULL); INSERT INTO t VALUES (1), (2)");
  create("v", "SELECT g, count(*) AS n FROM t GROUP BY g");
  db.execute(
      "UPDATE matview.incremental SET watermark = NULL, fingerprint = matview.structure(id); "
      "ALTER TABLE t ALTER g DROP NOT NULL; INSERT INTO t VALUES (NULL)");
  expect_that_sql_cannot("v");
  EXPECT_EQ(refresh_matview("v").mode, refresh_mode::full);
  expect_goes_on("v", "INSERT INTO t VALUES (NULL), (2)");
}

TEST_F(IncrementalLayout, ACreationThatIsCancelledLeavesNothing) {
  db.execute(
      "CREATE TABLE t (id int); INSERT INTO t VALUES (1); CREATE FUNCTION slow(int) RETURNS int "
      "LANGUAGE plpgsql IMMUTABLE AS 'BEGIN PERFORM pg_sleep(60); RETURN $1; END'");
  keep_history();
  background creation(
      acreate_matview("v", "SELECT slow(id) AS id FROM t", {.kind = view_kind::incremental}));
  EXPECT_TRUE(eventually([&] { return running("%matview.refresh(%") > 0; }));
  creation.cancel();
  EXPECT_EQ(failure_of([&] { creation.get(); }).code(), errc::cancelled);
  EXPECT_TRUE(eventually([&] { return parts() == "0"; })) << parts();
  EXPECT_EQ(db.query_one("SELECT count(*) FROM pg_trigger WHERE tgrelid = 't'::regclass"), "0");
}

TEST_F(IncrementalLayout, ASchemaThatIsNotThereIsNamedBeforeAllWork) {
  db.execute("CREATE TABLE t (id int)");
  const auto missing = failure_of([&] { create("nos.v", "SELECT id FROM t"); });
  EXPECT_TRUE(contains(missing.what(), "schema \"nos\" does not exist")) << missing.what();
}

}  // namespace
}  // namespace matview::test
