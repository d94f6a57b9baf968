#include "tasks_fixture.hpp"
#include <matview/doctor.hpp>

#include <gtest/gtest.h>
#include <libpq-fe.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

namespace matview::test {
namespace {

// Each kind of finding is planted once, proved where a proof is to be had, and mended by the SQL
// that it proposes; and each is silent on a view that is sound.
class Doctor : public views_test {
 protected:
  Doctor() {
    // A commit that is not on disk yet hides its rows from VACUUM's marks.
    db.execute("SET synchronous_commit = on; SET client_min_messages = warning");
    db.execute("CREATE TABLE t AS SELECT g AS id, g % 10 AS same FROM generate_series(1, 20000) g");
  }

  /// What of this kind is found of all views, or of all schedules.
  static std::vector<finding> found(finding_kind kind, doctor_options options = {}) {
    std::vector<finding> out = doctor(options);
    std::erase_if(out, [kind](const finding& one) { return one.kind != kind; });
    return out;
  }
  static bool silent(finding_kind kind) { return found(kind).empty(); }

  /// A view with nothing wrong, whatever the doctor looks at.
  void create_sound(const std::string& view = "v") {
    apart("CREATE MATERIALIZED VIEW " + view + " AS SELECT id, same FROM t; " +
          "CREATE UNIQUE INDEX ON " + view + " (id); ALTER MATERIALIZED VIEW " + view +
          " SET (autovacuum_enabled = off)");
    settle(view);
    apart("SELECT count(*) FROM " + view);
    ASSERT_TRUE(eventually([&] {
      return session(db.url()).query_one(
                 "SELECT seq_scan > 1 FROM pg_stat_all_tables WHERE "
                 "relid = '" +
                 view + "'::regclass") == "t";
    }));
  }
  /// In a session that ends, as only then the server counts what it did without delay.
  void apart(const std::string& sql) {
    session own(db.url());
    own.execute("SET synchronous_commit = on");
    own.execute(sql);
  }
  /// Vacuums and analyzes until the server's counters, which lag behind, say so.
  void settle(const std::string& view) {
    const bool settled = eventually([&] {
      session other(db.url());
      other.execute("VACUUM (ANALYZE) " + view);
      return other.query_one(
                 "SELECT c.relallvisible = c.relpages AND s.n_mod_since_analyze = 0 "
                 "AND s.n_live_tup = c.reltuples AND s.last_analyze IS NOT NULL "
                 "FROM pg_class c JOIN pg_stat_all_tables s ON s.relid = c.oid "
                 "WHERE c.oid = '" +
                 view + "'::regclass") == "t";
    });
    ASSERT_TRUE(settled);
  }
};

std::string told(const std::vector<finding>& findings) {
  std::string out;
  for (const finding& one : findings) {
    out += fmt::format("{} {} {}: {}. {}. {}\n", to_string(one.level), to_string(one.kind),
                       one.object, one.what, one.why, one.mend);
  }
  return out;
}

TEST_F(Doctor, SaysNothingOfASoundView) {
  create_sound();
  const doctor_report report = examine_matviews({.unread_for = interval::parse("0 seconds")});
  EXPECT_EQ(told(report.findings), "");
  EXPECT_EQ(report.views, std::vector<std::string>{"public.v"});
  EXPECT_EQ(report.unseen, std::vector<std::string>{});
}

TEST_F(Doctor, SaysNothingOfADatabaseWithoutViews) {
  EXPECT_EQ(told(doctor()), "");
}

TEST_F(Doctor, ProposesAUniqueIndexThatTheDataAllow) {
  struct row {
    std::string what;
    std::string query;
    std::string mend;
  };
  const std::vector<row> table{
      {"one column", "SELECT id, same FROM t", "CREATE UNIQUE INDEX ON public.v (id);"},
      {"not the first", "SELECT same, id FROM t", "CREATE UNIQUE INDEX ON public.v (id);"},
      {"not one with a NULL", "SELECT nullif(id, 7) AS gap, id FROM t",
       "CREATE UNIQUE INDEX ON public.v (id);"},
      {"two columns", "SELECT id / 10 AS tens, id % 10 AS ones, 1 AS one FROM t",
       "CREATE UNIQUE INDEX ON public.v (tens, ones);"},
      {"none", "SELECT same FROM t", ""},
  };
  for (const row& one : table) {
    SCOPED_TRACE(one.what);
    db.execute("CREATE MATERIALIZED VIEW v AS " + one.query);
    const auto findings = found(finding_kind::no_unique_index);
    ASSERT_EQ(findings.size(), 1U);
    EXPECT_EQ(findings[0].level, severity::warning);
    EXPECT_EQ(findings[0].object, "public.v");
    EXPECT_EQ(findings[0].mend, one.mend);
    if (!one.mend.empty()) {
      db.execute(findings[0].mend);
      EXPECT_EQ(refresh_matview("v", {.concurrently = true}).mode, refresh_mode::concurrently);
      EXPECT_TRUE(silent(finding_kind::no_unique_index));
    }
    db.execute("DROP MATERIALIZED VIEW v");
  }
}

TEST_F(Doctor, SaysWhyNoUniqueIndexIsProposed) {
  db.execute("CREATE MATERIALIZED VIEW v AS SELECT id FROM t WITH NO DATA");
  EXPECT_TRUE(contains(found(finding_kind::no_unique_index).at(0).what, "it holds no data"));
  db.execute("REFRESH MATERIALIZED VIEW v");
  const doctor_options no_probe{.probe_limit = interval::parse("0 seconds")};
  const auto unprobed = found(finding_kind::no_unique_index, no_probe);
  EXPECT_TRUE(contains(unprobed.at(0).what, "the time for looking was up")) << told(unprobed);
  EXPECT_EQ(unprobed.at(0).mend, "");
  session holder(db.url());
  holder.execute("BEGIN; REFRESH MATERIALIZED VIEW v");
  const auto locked = found(finding_kind::no_unique_index);
  EXPECT_TRUE(contains(locked.at(0).what, "somebody holds it locked")) << told(locked);
}

TEST_F(Doctor, ProposesToRebuildAUniqueIndexThatIsInvalid) {
  create_sound();
  db.execute("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'v_id_idx'::regclass");
  const auto findings = found(finding_kind::no_unique_index);
  ASSERT_EQ(findings.size(), 1U);
  db.execute(findings[0].mend);
  EXPECT_TRUE(silent(finding_kind::no_unique_index));
}

TEST_F(Doctor, FindsAViewThatHoldsNoData) {
  db.execute("CREATE MATERIALIZED VIEW v AS SELECT id FROM t WITH NO DATA");
  EXPECT_THROW(db.query("SELECT * FROM v"), std::runtime_error);
  const auto findings = found(finding_kind::not_populated);
  ASSERT_EQ(findings.size(), 1U);
  EXPECT_EQ(findings[0].level, severity::error);
  db.execute(findings[0].mend);
  EXPECT_TRUE(silent(finding_kind::not_populated));
}

struct function_case {
  std::string what;
  std::string statements;  // Creates f().
};

TEST_F(Doctor, FindsAFunctionWhoseNamesHaveNoSchema) {
  db.execute(
      "CREATE SCHEMA s; CREATE TABLE s.far AS SELECT 1 AS id; "
      "CREATE DOMAIN s.amount AS int; "
      "CREATE FUNCTION s.helper() RETURNS int LANGUAGE sql AS 'SELECT 1'; "
      "SET search_path = public, s");
  const std::vector<function_case> table{
      {"PL/pgSQL",
       "CREATE FUNCTION f() RETURNS bigint LANGUAGE plpgsql AS "
       "$$BEGIN RETURN (SELECT sum(id) FROM t); END$$"},
      {"SQL", "CREATE FUNCTION f() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM far'"},
      {"a function",
       "CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS "
       "$$BEGIN RETURN helper(); END$$"},
      {"a type", "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1::amount'"},
      {"a row type",
       "CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS "
       "$$DECLARE r t%ROWTYPE; BEGIN RETURN 1; END$$"},
  };
  // Apart: the session that has created a function remembers what its types are.
  const std::string refresh = "SET search_path = public, s; REFRESH MATERIALIZED VIEW v";
  for (const function_case& one : table) {
    SCOPED_TRACE(one.what);
    db.execute(one.statements + "; CREATE MATERIALIZED VIEW v AS SELECT f() AS x WITH NO DATA");
    const auto findings = found(finding_kind::unqualified_names);
    ASSERT_EQ(findings.size(), 1U);
    // The proof: what the doctor calls an error fails, and what it proposes mends it.
    const bool breaks = server_version() >= 170000;
    EXPECT_EQ(findings[0].level, breaks ? severity::error : severity::warning);
    if (breaks) {
      EXPECT_THROW(apart(refresh), std::runtime_error);
    } else {
      apart(refresh);
    }
    db.execute(findings[0].mend);
    apart(refresh);
    EXPECT_TRUE(silent(finding_kind::unqualified_names));
    db.execute("DROP MATERIALIZED VIEW v; DROP FUNCTION f()");
  }
}

TEST_F(Doctor, FindsSuchAFunctionInAPlainViewBelowAndInAnIndex) {
  db.execute(
      "CREATE FUNCTION f(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS "
      "$$BEGIN RETURN (SELECT min(id) FROM t WHERE id >= $1); END$$; "
      "CREATE VIEW plain AS SELECT f(id) AS x FROM t; "
      "CREATE VIEW plainer AS SELECT x FROM plain; "
      "CREATE MATERIALIZED VIEW below AS SELECT x FROM plainer WITH NO DATA; "
      "CREATE MATERIALIZED VIEW indexed AS SELECT id FROM t LIMIT 3 WITH NO DATA; "
      "CREATE INDEX ON indexed (f(id))");
  const auto findings = found(finding_kind::unqualified_names);
  ASSERT_EQ(findings.size(), 2U) << told(findings);
  EXPECT_EQ(findings[0].object, "public.below");
  EXPECT_EQ(findings[1].object, "public.indexed");
  EXPECT_TRUE(contains(findings[1].what, "indexed_f_idx")) << findings[1].what;
  if (server_version() >= 170000) {
    EXPECT_THROW(db.execute("REFRESH MATERIALIZED VIEW indexed"), std::runtime_error);
  }
  db.execute(findings[1].mend);
  db.execute("REFRESH MATERIALIZED VIEW indexed");
  EXPECT_TRUE(silent(finding_kind::unqualified_names));
}

TEST_F(Doctor, FollowsCallsByFullName) {
  db.execute(
      "CREATE FUNCTION deepest() RETURNS int STABLE LANGUAGE plpgsql AS "
      "$$BEGIN RETURN (SELECT min(id) FROM t); END$$; "
      "CREATE FUNCTION middle() RETURNS int STABLE LANGUAGE sql AS 'SELECT public.deepest()'; "
      "CREATE FUNCTION top() RETURNS int STABLE LANGUAGE plpgsql AS "
      "$$BEGIN RETURN CASE WHEN false THEN public.top() ELSE public.middle() END; END$$; "
      "CREATE MATERIALIZED VIEW v AS SELECT top() AS x WITH NO DATA");
  auto findings = found(finding_kind::unqualified_names);
  ASSERT_EQ(findings.size(), 1U) << told(findings);
  EXPECT_TRUE(contains(findings[0].what, "public.deepest(), called by public.middle()"))
      << findings[0].what;
  if (server_version() >= 170000) {
    EXPECT_THROW(apart("REFRESH MATERIALIZED VIEW v"), std::runtime_error);
  }
  db.execute("ALTER FUNCTION middle() SET search_path = public");  // Holds for what it calls, too.
  apart("REFRESH MATERIALIZED VIEW v");
  EXPECT_TRUE(silent(finding_kind::unqualified_names));
}

TEST_F(Doctor, SaysThatItDoesNotSeeDynamicSql) {
  db.execute(
      "CREATE FUNCTION f() RETURNS int STABLE LANGUAGE plpgsql AS "
      "$$DECLARE x int; BEGIN EXECUTE 'SELECT min(id) FROM t' INTO x; RETURN x; END$$; "
      "CREATE MATERIALIZED VIEW v AS SELECT public.f() AS x WITH NO DATA");
  const doctor_report report = examine_matviews();
  ASSERT_EQ(report.unseen.size(), 1U);
  EXPECT_TRUE(contains(report.unseen[0], "public.f() runs SQL that it makes up"))
      << report.unseen[0];
}

TEST_F(Doctor, IsSilentOnFunctionsWhoseNamesAreFound) {
  const std::vector<function_case> table{
      {"a schema",
       "CREATE FUNCTION f() RETURNS bigint LANGUAGE sql AS "
       "'SELECT sum(x.id) FROM public.t AS x'"},
      {"a search_path",
       "CREATE FUNCTION f() RETURNS bigint LANGUAGE sql SET search_path = public "
       "AS 'SELECT sum(id) FROM t'"},
      {"a body that is parsed at once",
       "CREATE FUNCTION f() RETURNS bigint LANGUAGE sql RETURN (SELECT sum(id) FROM t)"},
      {"what is built in",
       "CREATE FUNCTION f() RETURNS bigint LANGUAGE sql AS "
       "'SELECT count(*) FROM pg_class WHERE upper(relname) = ''T'''"},
      {"a query in WITH with the name of a table",
       "CREATE FUNCTION f() RETURNS bigint LANGUAGE sql AS "
       "'WITH t AS (SELECT 1 AS id) SELECT sum(id) FROM t'"},
  };
  for (const function_case& one : table) {
    SCOPED_TRACE(one.what);
    db.execute(one.statements +
               "; CREATE MATERIALIZED VIEW v AS SELECT f() AS x WITH NO DATA; "
               "REFRESH MATERIALIZED VIEW v");
    EXPECT_EQ(told(found(finding_kind::unqualified_names)), "");
    db.execute("DROP MATERIALIZED VIEW v; DROP FUNCTION f()");
  }
}

TEST_F(Doctor, FindsAFunctionThatMakesATemporaryTable) {
  create_sound();
  db.execute(
      "CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS "
      "$$BEGIN CREATE TEMP TABLE scratch (a int); RETURN 1; END$$; "
      "CREATE MATERIALIZED VIEW w AS SELECT f() AS x WITH NO DATA");
  EXPECT_EQ(failure_of([] { return refresh_matview("w"); }).sqlstate(), "42501");
  const auto findings = found(finding_kind::temp_table_in_function);
  ASSERT_EQ(findings.size(), 1U);
  EXPECT_EQ(findings[0].level, severity::error);
  EXPECT_EQ(findings[0].object, "public.w");
  EXPECT_TRUE(contains(findings[0].what, "scratch")) << findings[0].what;
}

TEST_F(Doctor, FindsWhatIsVolatile) {
  db.execute(
      "CREATE FUNCTION undeclared() RETURNS int LANGUAGE sql AS 'SELECT 1'; "
      "CREATE FUNCTION lying() RETURNS float IMMUTABLE LANGUAGE plpgsql AS "
      "$$BEGIN RETURN random(); END$$; "
      "CREATE VIEW plain AS SELECT random() AS x");
  struct row {
    std::string query;
    std::string says;
  };
  for (const row& one :
       std::vector<row>{{"SELECT random() AS x", "random()"},
                        {"SELECT clock_timestamp() AS x", "clock_timestamp()"},
                        {"SELECT id FROM t TABLESAMPLE bernoulli (10)", "TABLESAMPLE"},
                        {"SELECT undeclared() AS x", "public.undeclared()"},
                        {"SELECT lying() AS x", "random() in public.lying()"},
                        {"SELECT x FROM plain", "random()"}}) {
    SCOPED_TRACE(one.query);
    db.execute("CREATE MATERIALIZED VIEW v AS " + one.query);
    const auto findings = found(finding_kind::volatile_expression);
    ASSERT_EQ(findings.size(), 1U);
    EXPECT_EQ(findings[0].level, severity::warning);
    EXPECT_TRUE(contains(findings[0].what, one.says)) << findings[0].what;
    if (!findings[0].mend.empty()) {
      db.execute(findings[0].mend);
      EXPECT_TRUE(silent(finding_kind::volatile_expression));
    }
    db.execute("DROP MATERIALIZED VIEW v");
  }
}

TEST_F(Doctor, FindsWhatDependsOnTheTime) {
  db.execute("CREATE FUNCTION today() RETURNS date STABLE LANGUAGE sql AS 'SELECT CURRENT_DATE'");
  struct row {
    std::string query;
    std::string says;
  };
  for (const row& one :
       std::vector<row>{{"SELECT now() AS x", "now()"},
                        {"SELECT id FROM t WHERE CURRENT_DATE > '2020-01-01'", "CURRENT_DATE"},
                        {"SELECT LOCALTIMESTAMP(3) AS x", "LOCALTIMESTAMP"},
                        {"SELECT age(timestamp '2020-01-01') AS x", "age()"},
                        {"SELECT today() AS x", "CURRENT_DATE in public.today()"}}) {
    SCOPED_TRACE(one.query);
    db.execute("CREATE MATERIALIZED VIEW v AS " + one.query);
    const auto findings = found(finding_kind::time_dependent);
    ASSERT_EQ(findings.size(), 1U);
    EXPECT_EQ(findings[0].level, severity::note);
    EXPECT_TRUE(contains(findings[0].what, one.says)) << findings[0].what;
    EXPECT_TRUE(silent(finding_kind::volatile_expression));
    db.execute("DROP MATERIALIZED VIEW v");
  }
}

TEST_F(Doctor, IsSilentOnWhatIsOnlyStable) {
  db.execute(
      "CREATE MATERIALIZED VIEW v AS SELECT id, "
      "to_char(timestamptz '2020-01-01', 'YYYY') AS a, concat(id, same) AS b, "
      "age(timestamp '2020-01-02', timestamp '2020-01-01') AS c, current_user AS d, "
      "'now()'::text AS e, timestamptz '2020-01-01' + interval '1 day' AS f FROM t "
      "TABLESAMPLE bernoulli (10) REPEATABLE (1)");
  EXPECT_EQ(told(found(finding_kind::volatile_expression)), "");
  EXPECT_EQ(told(found(finding_kind::time_dependent)), "");
}

TEST_F(Doctor, FindsAnOwnerWhoMayNotReadWhatTheQueryReads) {
  const test_role owner(db, "owner");
  db.execute(
      "CREATE TABLE secret AS SELECT 1 AS id, 2 AS hidden; "
      "CREATE MATERIALIZED VIEW v AS SELECT id FROM secret; "
      "ALTER MATERIALIZED VIEW v OWNER TO " +
      owner.name());
  EXPECT_THROW(db.execute("REFRESH MATERIALIZED VIEW v"), std::runtime_error);
  const auto findings = found(finding_kind::owner_cannot_refresh);
  ASSERT_EQ(findings.size(), 1U) << told(findings);
  EXPECT_EQ(findings[0].level, severity::error);
  db.execute(findings[0].mend);
  db.execute("REFRESH MATERIALIZED VIEW v");
  EXPECT_TRUE(silent(finding_kind::owner_cannot_refresh));
  // The column that the query reads is enough.
  db.execute("REVOKE SELECT ON secret FROM " + owner.name() + "; GRANT SELECT (id) ON secret TO " +
             owner.name() + "; REFRESH MATERIALIZED VIEW v");
  EXPECT_TRUE(silent(finding_kind::owner_cannot_refresh));
}

TEST_F(Doctor, CountsTheRightsOfAPlainViewsOwner) {
  const test_role owner(db, "owner");
  const test_role between(db, "between");
  db.execute(
      "CREATE TABLE secret AS SELECT 1 AS id; CREATE VIEW plain AS SELECT id FROM secret; "
      "GRANT SELECT ON plain TO " +
      owner.name() +
      "; "
      "CREATE MATERIALIZED VIEW v AS SELECT id FROM plain; "
      "ALTER MATERIALIZED VIEW v OWNER TO " +
      owner.name());
  db.execute("REFRESH MATERIALIZED VIEW v");
  EXPECT_EQ(told(found(finding_kind::owner_cannot_refresh)), "");
  db.execute("ALTER VIEW plain OWNER TO " + between.name() + "; GRANT SELECT ON plain TO " +
             owner.name());
  EXPECT_THROW(db.execute("REFRESH MATERIALIZED VIEW v"), std::runtime_error);
  auto findings = found(finding_kind::owner_cannot_refresh);
  ASSERT_EQ(findings.size(), 1U) << told(findings);
  EXPECT_TRUE(contains(findings[0].what, between.name())) << findings[0].what;
  if (server_version() >= 150000) {
    db.execute("ALTER VIEW plain SET (security_invoker = true)");
    EXPECT_THROW(db.execute("REFRESH MATERIALIZED VIEW v"), std::runtime_error);
    findings = found(finding_kind::owner_cannot_refresh);
    ASSERT_EQ(findings.size(), 1U) << told(findings);
    EXPECT_TRUE(contains(findings[0].what, owner.name())) << findings[0].what;
  }
  db.execute(findings[0].mend);
  db.execute("REFRESH MATERIALIZED VIEW v");
  EXPECT_TRUE(silent(finding_kind::owner_cannot_refresh));
}

TEST_F(Doctor, FindsAnOwnerWhoMayNotCallWhatTheQueryCalls) {
  const test_role owner(db, "owner");
  db.execute(
      "CREATE FUNCTION f() RETURNS int STABLE LANGUAGE sql AS 'SELECT 1'; "
      "REVOKE EXECUTE ON FUNCTION f() FROM PUBLIC; "
      "CREATE MATERIALIZED VIEW v AS SELECT f() AS x; "
      "ALTER MATERIALIZED VIEW v OWNER TO " +
      owner.name());
  EXPECT_THROW(db.execute("REFRESH MATERIALIZED VIEW v"), std::runtime_error);
  const auto findings = found(finding_kind::owner_cannot_refresh);
  ASSERT_EQ(findings.size(), 1U) << told(findings);
  db.execute(findings[0].mend);
  db.execute("REFRESH MATERIALIZED VIEW v");
  EXPECT_TRUE(silent(finding_kind::owner_cannot_refresh));
}

TEST_F(Doctor, FindsAnOwnerWhoMayNotMakeTheTemporaryTableOfAConcurrentRefresh) {
  const test_role owner(db, "owner");
  create_sound();
  db.execute("GRANT SELECT ON t TO " + owner.name() + "; ALTER MATERIALIZED VIEW v OWNER TO " +
             owner.name());
  EXPECT_TRUE(silent(finding_kind::owner_cannot_refresh));
  db.execute("REVOKE TEMPORARY ON DATABASE " + db.name() + " FROM PUBLIC");
  EXPECT_EQ(failure_of([] { return refresh_matview("v", {.concurrently = true}); }).sqlstate(),
            "42501");
  const auto findings = found(finding_kind::owner_cannot_refresh);
  ASSERT_EQ(findings.size(), 1U) << told(findings);
  EXPECT_EQ(findings[0].level, severity::error);
  db.execute(findings[0].mend);
  EXPECT_EQ(refresh_matview("v", {.concurrently = true}).mode, refresh_mode::concurrently);
  EXPECT_TRUE(silent(finding_kind::owner_cannot_refresh));
}

TEST_F(Doctor, FindsARoleThatMayNotRefresh) {
  const test_role role(db, "stranger");
  create_sound();
  EXPECT_TRUE(silent(finding_kind::no_right_to_refresh));
  configure({{"default", role.url()}});
  EXPECT_EQ(failure_of([] { return refresh_matview("v"); }).code(), errc::permission_denied);
  const auto findings = found(finding_kind::no_right_to_refresh);
  ASSERT_EQ(findings.size(), 1U);
  EXPECT_EQ(findings[0].level, severity::error);
  EXPECT_EQ(contains(findings[0].mend, "MAINTAIN"), server_version() >= 170000) << findings[0].mend;
  db.execute(findings[0].mend);
  EXPECT_EQ(refresh_matview("v").mode, refresh_mode::full);
  EXPECT_TRUE(silent(finding_kind::no_right_to_refresh));
}

TEST_F(Doctor, FindsIndexOnlyScansLostByARefresh) {
  create_sound();
  EXPECT_TRUE(silent(finding_kind::index_only_scans_lost));
  db.execute("REFRESH MATERIALIZED VIEW v");
  const auto findings = found(finding_kind::index_only_scans_lost);
  ASSERT_EQ(findings.size(), 1U);
  EXPECT_EQ(findings[0].level, severity::warning);
  db.execute(findings[0].mend);
  EXPECT_TRUE(silent(finding_kind::index_only_scans_lost));
}

TEST_F(Doctor, FindsBloatOfAViewThatIsRefreshedConcurrently) {
  create_sound();
  EXPECT_TRUE(silent(finding_kind::bloat));
  // What a concurrent refresh leaves behind when each row has changed, then been vacuumed away.
  for (int i = 0; i < 3; ++i) {
    apart("UPDATE t SET same = same + 1");
    apart("REFRESH MATERIALIZED VIEW CONCURRENTLY v");
  }
  EXPECT_TRUE(eventually([&] { return contains(told(found(finding_kind::bloat)), "dead rows"); }))
      << told(found(finding_kind::bloat));
  settle("v");
  const auto findings = found(finding_kind::bloat);
  ASSERT_EQ(findings.size(), 1U);
  EXPECT_EQ(findings[0].level, severity::warning);
  EXPECT_TRUE(contains(findings[0].what, "pages")) << findings[0].what;
  const int before = std::stoi(db.query_one("SELECT pg_relation_size('v')"));
  apart(findings[0].mend);
  EXPECT_LT(std::stoi(db.query_one("SELECT pg_relation_size('v')")), before / 2);
  settle("v");
  EXPECT_TRUE(silent(finding_kind::bloat));
}

TEST_F(Doctor, FindsStatisticsOlderThanTheData) {
  create_sound();
  EXPECT_TRUE(silent(finding_kind::stale_statistics));
  apart("REFRESH MATERIALIZED VIEW v");
  ASSERT_TRUE(eventually([&] { return !silent(finding_kind::stale_statistics); }));
  const auto findings = found(finding_kind::stale_statistics);
  EXPECT_EQ(findings[0].level, severity::warning);
  apart(findings[0].mend);
  ASSERT_TRUE(eventually([&] { return silent(finding_kind::stale_statistics); }));
}

TEST_F(Doctor, FindsAViewThatWasNeverAnalyzed) {
  db.execute("CREATE MATERIALIZED VIEW v AS SELECT id FROM t");
  const auto findings = found(finding_kind::stale_statistics);
  ASSERT_EQ(findings.size(), 1U);
  EXPECT_TRUE(contains(findings[0].what, "never analyzed")) << findings[0].what;
}

TEST_F(Doctor, FindsAViewThatNobodyReads) {
  db.execute("CREATE MATERIALIZED VIEW v AS SELECT id FROM t");
  const doctor_options now{.probe_limit = interval::parse("0 seconds"),
                           .unread_for = interval::parse("0 seconds")};
  const auto findings = found(finding_kind::unused, now);
  ASSERT_EQ(findings.size(), 1U);
  EXPECT_EQ(findings[0].level, severity::note);
  EXPECT_TRUE(contains(findings[0].what, "counted since 20")) << findings[0].what;
  EXPECT_TRUE(silent(finding_kind::unused)) << "seven days have not passed";
  db.execute("CREATE VIEW reader AS SELECT id FROM v");
  EXPECT_EQ(told(found(finding_kind::unused, now)), "");
  db.execute("DROP VIEW reader");
  EXPECT_EQ(found(finding_kind::unused, now).size(), 1U);
  apart("SELECT count(*) FROM v");
  EXPECT_TRUE(eventually([&] { return found(finding_kind::unused, now).empty(); }));
}

TEST_F(Doctor, TakesTheScansOfRefreshesForNoReader) {
  apart("CREATE MATERIALIZED VIEW v AS SELECT id FROM t");
  apart("CREATE UNIQUE INDEX ON v (id)");
  // For the history's tables. What it tells counts from the full second after the server's
  // counters.
  tasks::set_schedule({.name = "s",
                       .task = "refresh",
                       .args = R"({"view": "v"})",
                       .every = interval::parse("1 day")});
  const doctor_options now{.probe_limit = interval::parse("0 seconds"),
                           .unread_for = interval::parse("0 seconds")};
  for (const std::string how : {"", "CONCURRENTLY "}) {
    apart("REFRESH MATERIALIZED VIEW " + how + "v");
    EXPECT_TRUE(eventually([&] { return found(finding_kind::unused, now).empty(); })) << how;
    db.execute(
        "INSERT INTO matview.refresh (schema, name, mode, reason, outcome, asked_by, "
        "started_at) VALUES ('public', 'v', '" +
        std::string(how.empty() ? "full" : "concurrently") +
        "', 'asked', 'done', 'hand', now() + interval '1 second')");
    EXPECT_EQ(found(finding_kind::unused, now).size(), 1U) << how;
  }
  apart("SELECT count(*) FROM v");
  EXPECT_TRUE(eventually([&] { return found(finding_kind::unused, now).empty(); }));
}

class DoctorOfSchedules : public tasks_test {
 protected:
  DoctorOfSchedules() {
    db.execute(
        "CREATE TABLE t AS SELECT 1 AS id; CREATE MATERIALIZED VIEW \"V\" AS SELECT id FROM t");
  }
  static void set(const std::string& every, const std::string& args = R"({"view": "V"})") {
    static_cast<void>(tasks::set_schedule(
        {.name = "often", .task = "refresh", .args = args, .every = interval::parse(every)}));
  }
  /// Refreshes that took this long, and one that was not needed.
  void remember(const std::string& duration) {
    db.execute(
        "INSERT INTO matview.refresh (schema, name, mode, reason, outcome, asked_by, "
        "started_at, finished_at) SELECT 'public', 'V', mode, 'asked', outcome, 'hand', "
        "now() - interval '" +
        duration +
        "', now() FROM (VALUES ('full', 'done'), "
        "('full', 'done'), ('none', 'skipped')) AS v (mode, outcome)");
  }
  static std::vector<finding> found(const doctor_options& options = {}) {
    std::vector<finding> out = doctor(options);
    std::erase_if(out,
                  [](const finding& one) { return one.kind != finding_kind::impossible_schedule; });
    return out;
  }
};

TEST_F(DoctorOfSchedules, FindsOneThatFiresFasterThanARefreshIsDone) {
  set("1 minute");
  remember("59 seconds");
  EXPECT_EQ(told(found()), "");
  remember("2 minutes");
  remember("2 minutes");
  const auto findings = found();
  ASSERT_EQ(findings.size(), 1U);
  EXPECT_EQ(findings[0].object, "schedule often");
  EXPECT_EQ(findings[0].level, severity::warning);
  EXPECT_TRUE(contains(findings[0].what, "every 60 s")) << findings[0].what;
  tasks::pause_schedule("often");
  EXPECT_EQ(told(found()), "");
}

TEST_F(DoctorOfSchedules, FindsOneWhoseViewIsGone) {
  set("1 day");
  EXPECT_EQ(examine_matviews().schedules, 1U);
  EXPECT_EQ(told(found()), "");
  db.execute("DROP MATERIALIZED VIEW \"V\"");
  const auto findings = found();
  ASSERT_EQ(findings.size(), 1U);
  EXPECT_EQ(findings[0].level, severity::error);
  db.execute(findings[0].mend);
  EXPECT_EQ(told(found()), "");
}

TEST_F(DoctorOfSchedules, FindsOneThatIsStoppedBeforeItIsDone) {
  set("1 day");
  remember("59 seconds");
  db.execute("UPDATE matview.schedule SET timeout = '1 minute'");
  EXPECT_EQ(told(found()), "");
  db.execute("UPDATE matview.schedule SET timeout = '50 seconds'");
  const auto findings = found();
  ASSERT_EQ(findings.size(), 1U);
  EXPECT_EQ(findings[0].level, severity::error);
  db.execute(findings[0].mend);
  EXPECT_EQ(told(found()), "");
}

TEST_F(DoctorOfSchedules, TakesAMissingIndexForAnErrorWhereItRefreshesConcurrently) {
  set("1 day", R"({"view": "V", "concurrently": true})");
  const auto findings = doctor();
  EXPECT_TRUE(std::any_of(findings.begin(), findings.end(), [](const finding& one) {
    return one.kind == finding_kind::no_unique_index && one.level == severity::error;
  })) << told(findings);
}

TEST_F(DoctorOfSchedules, SaysThatItMayNotReadThem) {
  set("1 day", R"({"view": "V"})");
  const test_role role(db, "reader");
  configure({{"default", role.url()}});
  const doctor_report report = examine_matviews();
  ASSERT_EQ(report.unseen.size(), 1U);
  EXPECT_TRUE(contains(report.unseen[0], "may not read matview.schedule")) << report.unseen[0];
}

TEST_F(DoctorOfSchedules, NeedsNoRightToTheSchemaOfTheView) {
  db.execute("CREATE SCHEMA closed; CREATE MATERIALIZED VIEW closed.w AS SELECT id FROM t");
  set("1 day", R"({"view": "closed.w"})");
  db.execute(
      "GRANT USAGE ON SCHEMA matview TO public; GRANT SELECT ON ALL TABLES IN SCHEMA matview TO "
      "public");
  const test_role role(db, "reader");
  configure({{"default", role.url()}});
  EXPECT_EQ(told(found()), "");
}

TEST_F(Doctor, LooksAtWhatItIsToldTo) {
  db.execute(
      "CREATE SCHEMA \"Sales\"; CREATE MATERIALIZED VIEW \"Sales\".v AS SELECT 1 AS id; "
      "CREATE MATERIALIZED VIEW v AS SELECT 1 AS id; "
      "CREATE MATERIALIZED VIEW w AS SELECT 1 AS id");
  using names = std::vector<std::string>;
  EXPECT_EQ(examine_matviews().views, (names{"\"Sales\".v", "public.v", "public.w"}));
  EXPECT_EQ(examine_matviews({.schemas = {"Sales"}}).views, names{"\"Sales\".v"});
  EXPECT_EQ(examine_matviews({.names = {"Sales.v", "w"}}).views,
            (names{"\"Sales\".v", "public.w"}));
  EXPECT_EQ(failure_of([] { return doctor({.names = {"missing"}}); }).code(), errc::view_not_found);
  EXPECT_EQ(failure_of([] { return doctor({.names = {"t"}}); }).code(), errc::view_not_found);
  EXPECT_EQ(failure_of([] { return doctor({.names = {"a b"}}); }).code(), errc::invalid_identifier);
}

TEST_F(Doctor, ChangesNothingAndWorksInACallersTransaction) {
  db.execute("CREATE MATERIALIZED VIEW v AS SELECT id FROM t");
  const std::unique_ptr<PGconn, decltype(&PQfinish)> own(PQconnectdb(db.url().c_str()), PQfinish);
  PQclear(PQexec(own.get(), "BEGIN READ ONLY"));
  const auto findings = doctor(own.get());
  EXPECT_FALSE(findings.empty());
  EXPECT_EQ(PQtransactionStatus(own.get()), PQTRANS_INTRANS);
  EXPECT_EQ(told(doctor(own.get())), told(findings));
}

TEST_F(Doctor, DoesNotWaitForAViewThatIsLocked) {
  create_sound();
  session holder(db.url());
  holder.execute("BEGIN; REFRESH MATERIALIZED VIEW v");
  configure({{"default", with_parameter(db.url(), "options", "-c lock_timeout=1s")}});
  EXPECT_EQ(told(doctor()), "");
}

}  // namespace
}  // namespace matview::test
