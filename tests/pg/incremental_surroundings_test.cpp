// What may change around a view beside the rows of its tables: what names mean, settings, types,
// row security, triggers, publications, owners. It is noticed, or it does not matter, and those who
// write into the tables never feel it.
#include "pg/incremental_fixture.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <string>

namespace matview::test {
namespace {

class IncrementalSurroundings : public incremental_test {
 protected:
  IncrementalSurroundings() {
    db.execute(
        "CREATE TABLE t (id int PRIMARY KEY, g int, x int); "
        "INSERT INTO t SELECT i, i % 3, i FROM generate_series(1, 9) i");
  }

  void change() { db.execute(fmt::format("INSERT INTO t VALUES ({0}, {0} % 3, {0})", ++id_)); }

  // Changes what is around, then a row.
  void expect_right_after(const std::string& altered) {
    db.execute(altered);
    change();
    refresh_matview("v");
    expect_right();
  }

 private:
  int id_ = 100;
};

// ---- Settings. The program is text, which is read again in each session.

TEST_F(IncrementalSurroundings, TextIsReadAsItWasWritten) {
  create("v",
         "SELECT id, (x = ANY ('{101,NULL}'::int[])) AS known, x IS NOT DISTINCT FROM NULL AS un "
         "FROM t WHERE (g = NULL) IS NULL");
  change();
  db.execute("INSERT INTO t VALUES (200, NULL, NULL)");
  EXPECT_EQ(db.query_one("SET array_nulls = off; SET transform_null_equals = on; "
                         "SET standard_conforming_strings = off; "
                         "SELECT mode FROM matview.refresh('v', 'incremental')"),
            "incremental");
  db.execute("RESET array_nulls; RESET transform_null_equals; RESET standard_conforming_strings");
  EXPECT_EQ(db.query_one("SELECT count(*) FROM v"), "11");
  expect_right();
}

// ---- What a name means. The program is text: with new owners of its names it would call others.

TEST_F(IncrementalSurroundings, ANameOfAFunctionIsGivenToAnother) {
  db.execute(
      "CREATE SCHEMA api; CREATE FUNCTION api.price(int) RETURNS int LANGUAGE sql IMMUTABLE "
      "RETURN $1 * 2");
  create("v", "SELECT id, api.price(x) AS p FROM t");
  expect_right_after(
      "ALTER SCHEMA api RENAME TO old; CREATE SCHEMA api; CREATE FUNCTION api.price(int) RETURNS "
      "int LANGUAGE sql IMMUTABLE RETURN $1 * 1000");
}

TEST_F(IncrementalSurroundings, ANameOfAnOperatorIsGivenToAnother) {
  db.execute(
      "CREATE SCHEMA old; CREATE FUNCTION plus(int, int) RETURNS int LANGUAGE sql IMMUTABLE RETURN "
      "$1 + $2; CREATE FUNCTION minus(int, int) RETURNS int LANGUAGE sql IMMUTABLE RETURN $1 - $2; "
      "CREATE OPERATOR public.@@@ (FUNCTION = plus, LEFTARG = int, RIGHTARG = int)");
  create("v", "SELECT id, x OPERATOR(public.@@@) 3 AS p FROM t");
  expect_right_after(
      "ALTER OPERATOR public.@@@ (int, int) SET SCHEMA old; "
      "CREATE OPERATOR public.@@@ (FUNCTION = minus, LEFTARG = int, RIGHTARG = int)");
}

TEST_F(IncrementalSurroundings, ATypeACollationAndAConfigurationAreRenamed) {
  db.execute(
      "CREATE TYPE mood AS ENUM ('a', 'b'); CREATE COLLATION sorted FROM \"C\"; "
      "CREATE TEXT SEARCH CONFIGURATION words (COPY = simple); "
      "ALTER TABLE t ADD m mood, ADD s text COLLATE sorted");
  create("v",
         "SELECT id, m, m > 'a'::mood AS more, s < 'b' COLLATE sorted AS before, "
         "to_tsvector('words'::regconfig, s)::text AS found FROM t");
  for (const char* altered :
       {"ALTER TYPE mood RENAME TO mood2", "ALTER COLLATION sorted RENAME TO sorted2",
        "ALTER TEXT SEARCH CONFIGURATION words RENAME TO words2"}) {
    SCOPED_TRACE(altered);
    expect_right_after(altered);
    db.execute("UPDATE t SET m = 'b', s = 'a word' WHERE id % 2 = 0; DELETE FROM t WHERE id = 1");
    EXPECT_EQ(refresh_matview("v").mode, refresh_mode::incremental);
    expect_right();
  }
}

TEST_F(IncrementalSurroundings, ACompositeTypeIsAltered) {
  db.execute("CREATE TYPE pair AS (a int, b int); ALTER TABLE t ADD c pair DEFAULT '(1,2)'");
  create("v", "SELECT id, to_jsonb(c) AS j, c::text AS s FROM t");
  expect_right_after("ALTER TYPE pair RENAME ATTRIBUTE b TO bb");
  expect_right_after("ALTER TYPE pair ADD ATTRIBUTE d int");
}

// PostgreSQL lets it be altered where the view does not need it; then it is not captured either.
TEST_F(IncrementalSurroundings, TheTypeOfAKeyIsAlteredUnderWriters) {
  create("v", "SELECT g, sum(x) AS s FROM t GROUP BY g");
  db.execute("ALTER TABLE t ALTER id TYPE bigint; INSERT INTO t VALUES (3000000000, 1, 1)");
  refresh_matview("v");
  expect_right();
  change();
  EXPECT_EQ(refresh_matview("v").mode, refresh_mode::incremental);
  expect_right();
}

TEST_F(IncrementalSurroundings, ATextSearchConfigurationFindsOtherWords) {
  db.execute(
      "CREATE TEXT SEARCH CONFIGURATION words (COPY = simple); "
      "ALTER TABLE t ADD s text DEFAULT 'running dogs'");
  create("v", "SELECT id, to_tsvector('words'::regconfig, s)::text AS found FROM t");
  expect_right_after(
      "ALTER TEXT SEARCH CONFIGURATION words ALTER MAPPING FOR asciiword WITH english_stem");
}

TEST_F(IncrementalSurroundings, APlainViewIsGivenToWhomRowSecurityHoldsFor) {
  const test_role bob(db, "bob");
  db.execute(
      "ALTER TABLE t ENABLE ROW LEVEL SECURITY; CREATE VIEW low AS SELECT id, x FROM t; GRANT "
      "SELECT ON t TO " +
      bob.name());
  create("v", "SELECT id, x FROM low");
  db.execute("ALTER VIEW low OWNER TO " + bob.name());
  change();
  const error refusal = failure_of([] { refresh_matview("v"); });
  EXPECT_TRUE(contains(refusal.what(), "row_security") || contains(refusal.what(), "may see"))
      << refusal.what();
}

// ---- Settings

TEST_F(IncrementalSurroundings, ConstantsAreReadAsTheyWereWritten) {
  db.execute(
      "CREATE TABLE d (id int PRIMARY KEY, d date, f float8, i interval); "
      "INSERT INTO d VALUES (1, '2024-02-10', 0.1 + 0.2::float8, '-1 day 2 hours')");
  const auto other_settings = [&](const std::string& settings) {
    configure({{"default", db.url()}, {"other", db.url() + "&options=" + settings}});
  };
  other_settings(
      "-c%20DateStyle%3DSQL,DMY%20-c%20extra_float_digits%3D0%20"
      "-c%20IntervalStyle%3Dsql_standard");
  create_matview("v",
                 "SELECT id FROM d WHERE d >= date '3 February 2024' AND f = "
                 "'0.30000000000000004'::float8 AND i = '-1 day +2 hours'::interval",
                 {.database = "other", .kind = view_kind::incremental});
  expect_right();
  db.execute("INSERT INTO d SELECT id + 1, d + 1, f, i FROM d");
  EXPECT_EQ(refresh_matview("v").mode, refresh_mode::incremental);
  expect_right();
  EXPECT_EQ(db.query_one("SELECT count(*) FROM v"), "2");
  // And when it is compiled anew by somebody else.
  db.execute("ALTER TABLE d ALTER d SET NOT NULL; INSERT INTO d SELECT id + 2, d + 2, f, i FROM d");
  refresh_matview("v", {.database = "other"});
  db.execute("INSERT INTO d SELECT id + 4, d + 4, f, i FROM d");
  EXPECT_EQ(refresh_matview("v").mode, refresh_mode::incremental);
  EXPECT_EQ(db.query_one("SELECT count(*) FROM v"), "8");
  expect_right();
}

TEST_F(IncrementalSurroundings, ConstantsAreKeptByAConversionUnderOtherSettings) {
  db.execute("CREATE TABLE d (id int PRIMARY KEY, f float8)");
  configure({{"default", db.url()},
             {"other", db.url() + "&options=-c%20extra_float_digits%3D0%20-c%20DateStyle%3DSQL"}});
  create_matview("v", "SELECT id, f + '0.30000000000000004'::float8 AS f FROM d",
                 {.kind = view_kind::incremental});
  for (const view_kind kind : {view_kind::native, view_kind::incremental}) {
    static_cast<void>(convert_matview("v", {.database = "other", .to = kind}));
    std::string told;
    for (const incremental_statement& one : explain_matview("v").statements) told += one.sql;
    EXPECT_TRUE(contains(told, "0.30000000000000004")) << told;
  }
}

TEST_F(IncrementalSurroundings, ARefreshAsReplicaIsSeenByTheViewsAbove) {
  create("v1", "SELECT g, sum(x) AS s FROM t GROUP BY g");
  create("v", "SELECT count(*) AS n, sum(s) AS s FROM v1");
  db.execute("UPDATE t SET x = x + 1");
  db.execute("SET session_replication_role = replica; SELECT matview.refresh('v1')");
  EXPECT_EQ(refresh_matview("v").mode, refresh_mode::incremental);
  expect_right();
}

// ---- Rights

TEST_F(IncrementalSurroundings, RowSecurityThatBeginsToHoldIsNotPassedBy) {
  const test_role owner(db, "owner");
  db.execute(
      fmt::format("GRANT CREATE ON SCHEMA public TO {0}; GRANT CREATE ON DATABASE {1} TO {0}",
                  owner.name(), db.query_one("SELECT quote_ident(current_database())")));
  session theirs(owner.url());
  theirs.execute(
      "CREATE TABLE rows (id int PRIMARY KEY, g int); INSERT INTO rows VALUES (1, 0), (2, 1); "
      "ALTER TABLE rows ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON rows USING (g = 1)");
  configure({{"default", db.url()}, {"owner", owner.url()}});
  create_matview("v", "SELECT id, g FROM rows",
                 {.database = "owner", .kind = view_kind::incremental});
  theirs.execute("ALTER TABLE rows FORCE ROW LEVEL SECURITY");
  db.execute("INSERT INTO rows VALUES (3, 0)");
  const error told = failure_of([] { refresh_matview("v", {.database = "owner"}); });
  EXPECT_TRUE(contains(told.what(), "what the view's owner may see is not what is in the table"))
      << told.what();
}

TEST_F(IncrementalSurroundings, ALogThatWasDroppedIsMadeAnew) {
  create("v", "SELECT g, sum(x) AS s FROM t GROUP BY g");
  create("other", "SELECT id, x FROM t WHERE x > 2");
  db.execute(
      "DROP TABLE matview.log_1; DROP FUNCTION matview.log_1_insert() CASCADE; "
      "DROP FUNCTION matview.log_1_update() CASCADE; DROP FUNCTION matview.log_1_delete() CASCADE");
  EXPECT_EQ(doctor().at(0).level, severity::error);
  EXPECT_TRUE(contains(doctor().at(0).what, "was dropped")) << doctor().at(0).what;
  change();
  for (const char* view : {"v", "other"}) {
    refresh_matview(view);
    expect_right(view);
  }
  change();
  for (const char* view : {"v", "other"}) {
    EXPECT_EQ(refresh_matview(view).mode, refresh_mode::incremental) << view;
    expect_right(view);
  }
}

// Else all who write into the table would fail, as its log has the old type.
TEST_F(IncrementalSurroundings, AColumnThatOnlyADroppedViewReadMayBeAltered) {
  db.execute(
      "CREATE TYPE mood AS ENUM ('good', 'bad'); ALTER TABLE t ADD m mood; "
      "CREATE TABLE p (id int PRIMARY KEY, x int, m mood) PARTITION BY RANGE (id); "
      "CREATE TABLE p_all PARTITION OF p DEFAULT");
  for (const std::string table : {"t", "p"}) {
    SCOPED_TRACE(table);
    const std::string both = "SELECT id, x, m FROM " + table;
    create("both", both);
    create("v", "SELECT id FROM " + table);
    drop_matview("both");
    const auto write = [&](const std::string& m) {
      db.execute(fmt::format(
          "INSERT INTO {0} (id, x, m) SELECT coalesce(max(id), 0) + 1, 1, '{1}' FROM {0}", table,
          m));
    };
    db.execute("ALTER TABLE " + table + " ALTER m TYPE text");
    write("neither");
    EXPECT_EQ(refresh_matview("v").mode, refresh_mode::incremental);
    expect_right();
    create("both", both);
    write("both");
    for (const char* view : {"v", "both"}) {
      EXPECT_EQ(refresh_matview(view).mode, refresh_mode::incremental) << view;
      expect_right(view);
      drop_matview(view);
    }
  }
}

TEST_F(IncrementalSurroundings, ATriggerFunctionThatWasDroppedIsMadeAnew) {
  create("v", "SELECT g, sum(x) AS s FROM t GROUP BY g");
  for (const std::string one : {"insert", "delete", "truncate", "replica"}) {
    db.execute("DROP FUNCTION matview.log_1_" + one + "() CASCADE");
    change();
    refresh_matview("v");
    expect_right();
    change();
    EXPECT_EQ(refresh_matview("v").mode, refresh_mode::incremental) << one;
    expect_right();
  }
}

// They write with the rights of who made the log: on a table of one's own they would write
// anything.
TEST_F(IncrementalSurroundings, NobodyElseCanMakeTheCaptureWrite) {
  create("v", "SELECT id, x FROM t");
  const test_role other(db, "other");
  db.execute("GRANT USAGE ON SCHEMA matview TO " + other.name() +
             "; GRANT CREATE ON SCHEMA public TO " + other.name());
  session theirs(other.url());
  theirs.execute("CREATE TABLE forged (id int, x int)");
  for (const std::string function : {"insert", "truncate", "replica"}) {
    const std::string event = function == "truncate" ? "TRUNCATE" : "INSERT";
    try {
      theirs.execute("CREATE TRIGGER forge AFTER " + event +
                     " ON forged EXECUTE FUNCTION matview.log_1_" + function + "()");
      FAIL() << function;
    } catch (const std::runtime_error& told) {
      EXPECT_TRUE(contains(told.what(), "permission denied for function")) << told.what();
    }
  }
}

// Who may make an index on a storage may give it any name, and others refresh the view.
TEST_F(IncrementalSurroundings, TheNameOfAnIndexIsNotRunAsSql) {
  create("v", "SELECT id, x FROM t");
  const std::string storage = db.query_one("SELECT storage FROM matview.incremental");
  const std::string name = " ON " + storage + " USING btree(x);CREATE TABLE forged()--";
  db.execute("CREATE INDEX \"" + name + "\" ON " + storage + " (x)");
  const auto kept = [&] {
    EXPECT_EQ(db.query_one("SELECT to_regclass('forged') IS NULL"), "t");
    EXPECT_EQ(
        db.query_one("SELECT count(*) FROM pg_index x JOIN pg_class c ON c.oid = x.indexrelid "
                     "WHERE c.relname = '" +
                     name + "' AND x.indrelid = (SELECT storage FROM matview.incremental)"),
        "1");
  };
  EXPECT_EQ(refresh_matview("v", {.mode = refresh_mode::swap}).mode, refresh_mode::swap);
  kept();
  db.execute("ALTER TABLE t DROP CONSTRAINT t_pkey");
  change();
  EXPECT_EQ(refresh_matview("v").mode, refresh_mode::full);
  EXPECT_EQ(db.query_one("SELECT to_regclass('forged') IS NULL"), "t");
}

TEST_F(IncrementalSurroundings, WhatIsCapturedOfAChildSaysNothingOfItsParent) {
  db.execute("CREATE TABLE child () INHERITS (t)");
  create("v", "SELECT g, sum(x) AS s FROM t GROUP BY g");
  create("w", "SELECT id, x FROM child");
  db.execute("INSERT INTO child VALUES (50, 1, 1)");
  const refresh_report done = refresh_matview("v");
  EXPECT_EQ(done.mode, refresh_mode::incremental) << done.reason;
  expect_right();
  drop_matview("w");
  db.execute("INSERT INTO child VALUES (51, 1, 1)");
  EXPECT_EQ(refresh_matview("v").mode, refresh_mode::incremental);
  expect_right();
}

TEST_F(IncrementalSurroundings, WritersThatFailForWantOfARightAreFound) {
  const test_role maker(db, "maker");
  create("other", "SELECT id FROM t WHERE x = 0");
  drop_matview("other");
  db.execute(fmt::format(
      "GRANT USAGE, CREATE ON SCHEMA matview TO {0}; GRANT CREATE ON SCHEMA public TO {0}; "
      "GRANT ALL ON ALL TABLES IN SCHEMA matview TO {0}; GRANT ALL ON ALL SEQUENCES IN SCHEMA "
      "matview "
      "TO {0}; GRANT SELECT, TRIGGER ON t TO {0}",
      maker.name()));
  configure({{"default", db.url()}, {"maker", maker.url()}});
  create_matview("v", "SELECT g, sum(x) AS s FROM t GROUP BY g",
                 {.database = "maker", .kind = view_kind::incremental});
  change();
  db.execute("REVOKE USAGE ON SCHEMA matview FROM " + maker.name());
  std::vector<finding> found = doctor();
  std::erase_if(found, [](const finding& one) { return one.level != severity::error; });
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].level, severity::error);
  EXPECT_TRUE(contains(found[0].mend, "GRANT USAGE ON SCHEMA matview TO " + maker.name() + ";"))
      << found[0].mend;
  EXPECT_THROW(change(), std::runtime_error);
  db.execute(found[0].mend);
  change();
  EXPECT_EQ(refresh_matview("v", {.database = "maker"}).mode, refresh_mode::incremental);
}

// As in a database that was restored from a dump without data.
TEST_F(IncrementalSurroundings, ASchemaWithoutItsRowsIsToldWithTheWayOut) {
  create("v", "SELECT id FROM t");
  db.execute(
      "DO $$ BEGIN EXECUTE (SELECT 'TRUNCATE ' || string_agg(oid::regclass::text, ', ') FROM "
      "pg_class WHERE relnamespace = 'matview'::regnamespace AND relkind = 'r'); END $$");
  const std::vector<finding> found = doctor({.names = {"v"}});
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].level, severity::error);
  EXPECT_EQ(found[0].mend, "DROP SCHEMA matview CASCADE;");
  const error told = failure_of([] { static_cast<void>(create("w", "SELECT id FROM t")); });
  EXPECT_TRUE(contains(told.what(), "tables without their rows")) << told.what();
  EXPECT_TRUE(contains(told.hint(), "DROP SCHEMA matview CASCADE")) << told.hint();
  db.execute("TRUNCATE t");  // Writers do not feel it.
  change();
  db.execute("DROP SCHEMA matview CASCADE");
  create("v", "SELECT id FROM t");
  change();
  EXPECT_EQ(refresh_matview("v").mode, refresh_mode::incremental);
  expect_right();
}

// As on a server that was fed by logical replication, and took over.
TEST_F(IncrementalSurroundings, ASequenceThatIsBehindIsToldWithTheWayOut) {
  create("v", "SELECT id FROM t");
  change();
  refresh_matview("v");
  db.execute("ALTER SEQUENCE matview.refresh_id_seq RESTART");
  change();
  const error told = failure_of([] { refresh_matview("v"); });
  const std::string hint = told.hint();
  EXPECT_TRUE(contains(hint, "the sequence of matview.refresh is behind its rows")) << hint;
  db.execute(hint.substr(hint.find("SELECT")));
  EXPECT_EQ(refresh_matview("v").mode, refresh_mode::incremental);
}

// ---- Triggers, publications, indexes

TEST_F(IncrementalSurroundings, ATriggerOfTheSameNameIsNotTakenForOurs) {
  db.execute(
      "CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN NULL; END$$; "
      "CREATE TRIGGER matview_insert AFTER INSERT ON t EXECUTE FUNCTION nothing()");
  const error told = failure_of([] { static_cast<void>(create("v", "SELECT id FROM t")); });
  EXPECT_TRUE(contains(told.what(), "trigger matview_insert of t is in the way") ||
              contains(told.what(), "trigger matview_insert of public.t is in the way"))
      << told.what();
  EXPECT_TRUE(contains(told.hint(), "ALTER TRIGGER matview_insert ON")) << told.hint();
  db.execute("DROP TRIGGER matview_insert ON t");
  create("v", "SELECT id FROM t");
  db.execute(
      "DROP TRIGGER matview_insert ON t; "
      "CREATE TRIGGER matview_insert AFTER INSERT ON t EXECUTE FUNCTION nothing()");
  EXPECT_TRUE(contains(db.query_one("SELECT matview.capture_fault(id) FROM matview.incremental"),
                       "somebody else's"));
}

TEST_F(IncrementalSurroundings, APublicationOfAllTablesForbidsNothing) {
  create("v", "SELECT g, sum(x) AS s FROM t GROUP BY g");
  create("w", "SELECT count(y.x) AS n FROM t LEFT JOIN t AS y ON y.id = t.g");
  db.execute("CREATE PUBLICATION p FOR ALL TABLES");
  for (const auto mode :
       {refresh_mode::automatic, refresh_mode::full, refresh_mode::swap, refresh_mode::automatic}) {
    change();
    for (const char* view : {"v", "w"}) {
      refresh_matview(view, {.mode = mode});
      expect_right(view);
    }
    db.execute("SELECT matview.prune()");
  }
  db.execute("TRUNCATE t");
  refresh_matview("v");
  db.execute("SELECT matview.prune()");
  expect_right();
}

TEST_F(IncrementalSurroundings, TwoUniqueIndexesOnTheSameColumnsAreOneCheck) {
  const index_definition once{.columns = {"g"}, .unique = true};
  create_matview("v", "SELECT DISTINCT g FROM t",
                 {.indexes = {once, once}, .kind = view_kind::incremental});
  create_matview("copies", "SELECT x AS g FROM t",
                 {.indexes = {once, once}, .kind = view_kind::incremental});
  change();
  refresh_matview("copies");
  expect_right("copies");
}

// It has a CHECK of its own, which is no index of the view's.
TEST_F(IncrementalSurroundings, ADomainThatForbidsAValueIsNotTakenForAnIndex) {
  db.execute("CREATE DOMAIN small AS int CHECK (VALUE < 50)");
  create("v", "SELECT id, x::small AS s FROM t");
  change();
  const error told = failure_of([] { refresh_matview("v"); });
  EXPECT_TRUE(contains(told.what(), "small_check")) << told.what();
  EXPECT_FALSE(contains(told.hint(), "unique index")) << told.hint();
}

TEST_F(IncrementalSurroundings, TotalsChangePlacesUnderAUniqueIndex) {
  db.execute("DELETE FROM t WHERE id > 2");
  create_matview("v", "SELECT g, sum(x) AS s FROM t GROUP BY g",
                 {.indexes = {{.columns = {"s"}, .unique = true}}, .kind = view_kind::incremental});
  db.execute("UPDATE t SET x = 3 - x");
  const refresh_report done = refresh_matview("v");
  EXPECT_EQ(done.mode, refresh_mode::full);
  EXPECT_TRUE(contains(done.reason, "one after the other")) << done.reason;
  expect_right();
}

}  // namespace
}  // namespace matview::test
