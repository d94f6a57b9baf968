// What cannot be maintained: for each construct of the compiler's table a query that has it, what
// is said, and where in the query it is found to stand.
#include "pg/views_fixture.hpp"
#include <matview/incremental.hpp>

#include "incremental/refusal.hpp"
#include <fmt/format.h>
#include <libpq-fe.h>

#include <set>
#include <string>
#include <vector>

namespace matview::test {

namespace {

struct refused_query {
  const char* construct;
  std::string sql;
  const char* at;  // The text that begins where it stands; empty: nowhere in particular.
  const char* what = "";
  const char* as = "default";  // Whose session.
  int version = 0;             // Of the server, at the least.
};

// A query of 65 branches, one more than the compiler follows.
std::string of_many_branches() {
  std::string out = "SELECT DISTINCT ON (a) a, x FROM r";
  for (int i = 1; i < 65; ++i) out += " UNION ALL SELECT DISTINCT ON (a) a, x FROM r";
  return out;
}

std::string of_many_operators() {
  std::string out = "SELECT id, ";
  for (int i = 0; i < 1'600; ++i) out += "NOT ";
  return out + "a = 1 AS x FROM r";
}

// Each reads the one before twice: 16,384 tables.
std::string of_doubling_queries() {
  std::string out = "WITH c0 AS (SELECT id FROM r)";
  for (int i = 1; i < 15; ++i) {
    out += fmt::format(", c{0} AS (SELECT a.id FROM c{1} a JOIN c{1} b ON a.id = b.id)", i, i - 1);
  }
  return out + " SELECT id FROM c14";
}

const std::vector<refused_query>& refused_queries() {
  static const std::vector<refused_query> all{
      {"volatile_function", "SELECT 'random' AS random, random() AS x FROM r", "random() AS x"},
      {"volatile_function", "SELECT id, my_volatile(x) AS x FROM r", "my_volatile(x)",
       "public.my_volatile()"},
      {"volatile_function", "SELECT * FROM unsteady", "", "random()"},  // In the view underneath.
      // What the query does not show: a default of an argument, what an aggregate is made of.
      {"volatile_function", "SELECT id, noisy(id) AS x FROM r", "", "random()"},
      {"clock", "SELECT id, days(d) AS n FROM dated", "", "CURRENT_DATE"},
      {"volatile_function", "SELECT a, unsteady_sum(x) AS n FROM r GROUP BY a", "",
       "public.add_noise()"},
      // By today's offset of the time zone.
      {"clock", "SELECT id, tm::timetz AS z FROM dated", "", "timetz"},
      {"clock", "SELECT id, tz AT TIME ZONE 'Europe/Berlin' AS z FROM dated", "AT TIME",
       "timezone"},
      {"clock", "SELECT id FROM r WHERE x > 3 AND now() > '2024-01-01'", "now()"},
      {"clock", "SELECT id, CURRENT_DATE AS d FROM r", "CURRENT_DATE"},
      {"clock", "SELECT id, age(made) AS a FROM s", "age(made)"},
      {"session", "SELECT id, upper(CURRENT_USER) AS u FROM r", "CURRENT_USER"},
      {"session", "SELECT id, current_setting('TimeZone') AS z FROM r", "current_setting"},
      {"stable_function", "SELECT id, my_stable(x) AS x FROM r", "my_stable"},
      {"text_to_time", "SELECT id, c::text AS c, c::date AS d FROM s", "c::date"},
      {"text_to_time", "SELECT id, CAST(c || '' AS timestamptz) AS d FROM s", "CAST("},
      {"text_to_time", "SELECT id, c::tstzrange AS d FROM s", "c::tstzrange",
       "a cast from text to tstzrange"},
      {"text_to_time", "SELECT id, c::date[] AS d FROM s", "", "a cast from text to date[]"},
      {"text_to_time", "SELECT id, c::moment AS d FROM s", "", "a cast from text to public.moment"},
      // By the search_path, and by names that are changed.
      {"session", "SELECT id, c::regclass AS d FROM s", "", "regclass"},
      {"session", "SELECT id, about::text AS d FROM dated", "", "regclass"},
      {"session", "SELECT id, format('%s', about) AS d FROM dated", "", "regclass"},
      {"recursive_cte",
       "WITH RECURSIVE q AS (SELECT id, a FROM r UNION SELECT r.id, q.a FROM r JOIN q ON r.id = "
       "q.a) SELECT * FROM q",
       "WITH RECURSIVE"},
      {"window_without_partition",
       "SELECT id, count(*) OVER (PARTITION BY a) AS c, row_number() OVER (ORDER BY x) AS n FROM r",
       "row_number()"},
      {"window_without_partition",
       "SELECT count(*) OVER p AS c, rank() OVER o AS n FROM r WINDOW p AS (PARTITION BY a), o AS "
       "(ORDER BY x)",
       "rank()"},
      {"limit_inside", "SELECT q.x FROM (SELECT x FROM r ORDER BY x, id LIMIT 3) q", "LIMIT 3"},
      {"limit_inside", "SELECT id FROM s WHERE a IN (SELECT a FROM r ORDER BY x OFFSET 3)",
       "OFFSET 3", "LIMIT of public.r"},
      {"limit_inside",
       "(SELECT a FROM r ORDER BY a FETCH FIRST 3 ROWS ONLY) UNION ALL SELECT a FROM s",
       "FETCH FIRST"},
      {"foreign_table", "SELECT r.id FROM r JOIN far ON far.id = r.id", "far ON"},
      {"foreign_table", "SELECT id FROM divided", "divided",
       "the table public.divided, to which the foreign divided_far belongs"},
      {"system_table", "SELECT relname FROM pg_class", "pg_class", "the table pg_catalog.pg_class"},
      {"system_table", "SELECT last_value FROM counter", "counter", "the sequence public.counter"},
      {"system_table", "SELECT id, last_refresh FROM matview.incremental", "matview.incremental",
       "the table matview.incremental"},
      {"subscribed_table", "SELECT id FROM replicated", "replicated", "", "reader"},
      {"only", "SELECT q.id FROM r AS q, ONLY r WHERE q.id = r.a", "r WHERE"},
      {"materialized_view", "SELECT r.id FROM r, native_one WHERE one = id", "native_one"},
      {"row_security", "SELECT id FROM guarded", "guarded", "the table public.guarded", "reader"},
      // It holds for the owner of a plain view, too, who may be another.
      {"row_security", "SELECT id FROM of_reader", "", "the table public.guarded"},
      {"system_column", "SELECT id, xmin FROM r", "xmin"},
      {"system_column", "SELECT r.id, s.ctid FROM r JOIN s ON s.a = r.a", "s.ctid"},
      {"whole_row", "SELECT r.*, r AS whole FROM r", "r AS whole", "r.*"},
      {"whole_row", "SELECT id, count(r.*) AS n FROM r GROUP BY id", "r.*)"},
      {"virtual_column", "SELECT id, id + v AS v FROM half", "v AS v", "v", "default", 180000},
      {"virtual_column", "SELECT half.* FROM half", "half.*", "v", "default", 180000},
      {"tablesample", "SELECT id FROM r TABLESAMPLE BERNOULLI (10)", "TABLESAMPLE"},
      {"locking", "SELECT substring(c FOR 3) AS c FROM s FOR UPDATE", "FOR UPDATE"},
      {"mixed_types",
       "SELECT count(*) AS n FROM (SELECT f::real AS k FROM r UNION ALL SELECT x::numeric FROM r "
       "UNION "
       "ALL SELECT f FROM r) q GROUP BY k",
       "", "UNION, INTERSECT or EXCEPT of real and other numbers"},
      {"join_alias", "SELECT j.id FROM (r JOIN t USING (a)) AS j", "r JOIN"},
      {"values_only", "VALUES (1), (2)", ""},
      {"values_only", "SELECT g FROM generate_series(1, 3) AS g", ""},
      {"table_function",
       "SELECT id, f.v FROM s, XMLTABLE('/r' PASSING doc COLUMNS v int PATH 'v') AS f", "XMLTABLE"},
      {"table_function",
       "SELECT id, f.p FROM r, ROWS FROM (generate_series(1, x), generate_series(1, b)) AS f(p, q)",
       "ROWS FROM"},
      {"no_key", "SELECT sum(n) AS n FROM (SELECT count(*) AS n FROM r GROUP BY a) q", ""},
      {"no_path",
       "SELECT r.id, s.id AS sid FROM r CROSS JOIN s "
       "WHERE NOT EXISTS (SELECT FROM t WHERE t.a = r.a AND t.d = s.id)",
       "r CROSS"},  // Between r and s there is nothing, since a row of t need not be there.
      {"no_path",
       "SELECT r.id, s.id AS sid, t.d FROM r CROSS JOIN s LEFT JOIN t ON t.a = r.a AND t.d = s.id",
       "r CROSS"},
      {"no_path",
       "SELECT r.id, s.id AS sid, (SELECT max(d) FROM t WHERE t.a = r.a AND t.d = s.id) AS m "
       "FROM r CROSS JOIN s",
       "r CROSS"},
      {"uncorrelated_subquery", "SELECT q.id, (SELECT sum(x) FROM r) AS total FROM r q",
       "(SELECT sum(x)", "the subquery on public.r"},
      {"no_path", "SELECT s.id, w.id AS wid FROM s LEFT JOIN r AS w ON true", "r AS w",
       "public.r (w)"},
      {"no_group", "SELECT sum(x) AS a, count(DISTINCT a) AS n FROM r", "count(DISTINCT"},
      {"no_group", "SELECT sum(id) AS a, sum(f) AS b FROM r", "sum(f)"},
      {"no_group", "SELECT sum(n) / 7 AS a FROM dated", "sum(n)"},
      {"no_group", "SELECT count(*) + (SELECT 1) AS n FROM r", "(SELECT 1)"},
      {"grouping_sets", "SELECT a, string_agg(b::text, ',') AS l FROM r GROUP BY ROLLUP (a)",
       "ROLLUP"},
      {"grouping_sets", "SELECT d, count(*) AS n FROM t LEFT JOIN s USING (a) GROUP BY CUBE (d)",
       "CUBE"},
      {"grouping_sets", "SELECT id, a, count(*) AS n FROM r GROUP BY GROUPING SETS ((id), (id, b))",
       "GROUPING"},
      {"type_without_hash", "SELECT id FROM r ORDER BY (a, b)", ""},
      {"null_in_subquery", "SELECT id FROM s WHERE x2 > 0 AND a NOT IN (SELECT b FROM r)",
       "a NOT IN", "NOT IN on public.r"},
      {"null_in_subquery", "SELECT id FROM s WHERE a IN (SELECT b FROM r) OR x2 > 0", "a IN",
       "IN, which need not be true, on public.r"},
      {"type_without_hash", "SELECT k, string_agg(id::text, ',') AS l FROM bits GROUP BY k", "k,",
       "bits.k (bit(4))"},
      {"hidden_operator", "SELECT id, nullif(p, q) AS p FROM pairs", "", "the operator public.="},
      {"hidden_operator", "SELECT id, p IS DISTINCT FROM q AS differ FROM pairs", ""},
      {"hidden_operator", "SELECT l.id FROM pairs l JOIN pairs r USING (p)", ""},
      {"hidden_operator", "SELECT id FROM pairs WHERE p IN (SELECT q FROM pairs)", ""},
      {"too_large",
       "SELECT a.id FROM r a, r b, r c, r d, r e, r f, r g, r h WHERE a.a = b.x AND b.a = c.x", "",
       "public.r, 8 times in one FROM"},
      {"uncorrelated_subquery", "SELECT id FROM r ORDER BY id LIMIT (SELECT max(a) FROM s)", "",
       "the subquery in LIMIT or OFFSET"},
      // Of a query itself it is an error of create, whatever its kind.
      {"unknown_syntax", "SELECT id FROM newer WHERE id > 3", "newer", "the view public.newer",
       "default", 160000},
      {"too_large", of_many_branches(), "", "a query of more than 64 branches"},
      {"too_large", of_many_operators(), "", "an expression nested too deeply"},
      {"too_large", of_doubling_queries(), "", "more than 1,000 tables, through WITH and views"},
      {"reserved_name", "SELECT id + 0 AS __mv_id FROM r", "__mv_id"},
      {"reserved_name", "SELECT q.id FROM (SELECT id, x + 0 AS __mv_w FROM r) q WHERE q.__mv_w > 0",
       "__mv_w"},
      {"reserved_name", "SELECT id FROM weighed WHERE id > 1", "", "__mv_w"},
      {"reserved_name", "SELECT id FROM marked WHERE id > 1", "", "/*deltas*/"},
  };
  return all;
}

class IncrementalRefusals : public views_test {
 protected:
  IncrementalRefusals() : reader(db, "reader") {
    db.execute(
        "CREATE TABLE r (id int PRIMARY KEY, a int, b int, x int, f float8);"
        "CREATE TABLE s (id int PRIMARY KEY, a int NOT NULL, x2 int, c text, made timestamptz, doc "
        "xml);"
        "CREATE TABLE t (a int, d int);"
        "CREATE TABLE weighed (id int, __mv_w int); CREATE TABLE marked (id int, \"/*deltas*/\" "
        "int);"
        "CREATE TABLE bits (id int, k bit(4));"
        "CREATE TABLE guarded (id int); ALTER TABLE guarded ENABLE ROW LEVEL SECURITY;"
        "CREATE TABLE replicated (id int);"
        "CREATE VIEW unsteady AS SELECT id, random() AS x FROM r;"
        "CREATE TYPE moment AS (at timestamptz); CREATE SEQUENCE counter;"
        "CREATE TABLE dated (id int PRIMARY KEY, d date, tm time, tz timetz, about regclass, n "
        "numeric);"
        "CREATE FUNCTION noisy(int, float8 DEFAULT random()) RETURNS float8 IMMUTABLE LANGUAGE sql "
        "AS 'SELECT $2'; CREATE FUNCTION days(date, date DEFAULT current_date) RETURNS int "
        "IMMUTABLE LANGUAGE sql AS 'SELECT $2 - $1';"
        "CREATE FUNCTION add_noise(float8, int) RETURNS float8 LANGUAGE sql AS 'SELECT $1 + "
        "random()'; CREATE AGGREGATE unsteady_sum(int) (sfunc = add_noise, stype = float8, "
        "initcond = 0);"
        "CREATE MATERIALIZED VIEW native_one AS SELECT 1 AS one;"
        "CREATE FUNCTION my_stable(int) RETURNS int STABLE LANGUAGE sql AS 'SELECT $1';"
        "CREATE FUNCTION my_volatile(int) RETURNS int LANGUAGE sql AS 'SELECT $1';"
        // Without a handler: no query on it can be planned, and none needs to be.
        "CREATE FOREIGN DATA WRAPPER nothing;"
        "CREATE SERVER nowhere FOREIGN DATA WRAPPER nothing;"
        "CREATE FOREIGN TABLE far (id int) SERVER nowhere;"
        "CREATE TABLE divided (id int) PARTITION BY RANGE (id);"
        "CREATE FOREIGN TABLE divided_far PARTITION OF divided FOR VALUES FROM (0) TO (10) SERVER "
        "nowhere;"
        // As of a subscription, which needs no publisher to be looked at.
        "INSERT INTO pg_subscription_rel (srsubid, srrelid, srsubstate) "
        "VALUES (1, 'replicated'::regclass, 'r')");
    // As citext has it.
    db.execute(
        "CREATE TYPE pair AS (a int, b int); CREATE FUNCTION alike(pair, pair) RETURNS bool "
        "LANGUAGE "
        "sql IMMUTABLE AS 'SELECT ($1).a = ($2).a'; CREATE OPERATOR = (leftarg = pair, rightarg = "
        "pair, function = alike, commutator = =); CREATE TABLE pairs (id int PRIMARY KEY, p pair, "
        "q "
        "pair)");
    if (server_version() >= 160000) {
      db.execute("CREATE VIEW newer AS SELECT id FROM s WHERE c IS JSON");
    }
    if (server_version() >= 180000) {
      db.execute("CREATE TABLE half (id int, v int GENERATED ALWAYS AS (id * 2) VIRTUAL)");
    }
    create_matview("first", "SELECT id FROM r", {.kind = view_kind::incremental});
    drop_matview("first");  // The schema stays.
    db.execute("CREATE VIEW of_reader AS SELECT id FROM guarded; ALTER VIEW of_reader OWNER TO " +
               reader.name());
    db.execute("GRANT SELECT, TRIGGER ON ALL TABLES IN SCHEMA public TO " + reader.name());
    configure({{"default", db.url()}, {"reader", reader.url()}});
  }

  test_role reader;
};

TEST_F(IncrementalRefusals, SayTheConstructAndWhereItStands) {
  for (const refused_query& one : refused_queries()) {
    if (server_version() < one.version) continue;
    SCOPED_TRACE(one.sql);
    const matview_explanation told = explain_query(one.sql, {.database = one.as});
    ASSERT_EQ(told.obstacles.size(), 1U) << "by mechanism " << told.mechanism;
    const incremental_obstacle& why = told.obstacles.front();
    EXPECT_EQ(told.kind, view_kind::native);
    EXPECT_EQ(why.construct, one.construct) << why.what;
    EXPECT_NE(why.what, "");
    if (*one.what != '\0') {
      EXPECT_EQ(why.what, one.what);
    }
    const std::size_t at = *one.at == '\0' ? std::string::npos : one.sql.find(one.at);
    ASSERT_EQ(why.position.has_value(), at != std::string::npos);
    if (why.position) {
      EXPECT_EQ(one.sql.substr(*why.position - 1), one.sql.substr(at));
    }
  }
}

TEST_F(IncrementalRefusals, AreAlsoThoseOfACreate) {
  for (const refused_query& one : refused_queries()) {
    if (server_version() < one.version || one.as != std::string("default")) continue;
    SCOPED_TRACE(one.sql);
    const error refusal =
        failure_of([&] { create_matview("refused", one.sql, {.kind = view_kind::incremental}); });
    EXPECT_EQ(refusal.code(), errc::invalid_select) << refusal.what();
    EXPECT_TRUE(contains(refusal.what(), "cannot be maintained incrementally"));
    EXPECT_TRUE(contains(refusal.hint(), "--kind native"));
    EXPECT_EQ(refusal.position(), explain_query(one.sql).obstacles.at(0).position);
    EXPECT_FALSE(exists("refused"));
  }
  EXPECT_EQ(count("matview.incremental"), "0");
  EXPECT_EQ(count("pg_trigger WHERE tgname LIKE 'matview%'"), "0");
}

// Only a session that has one can name it: that of the caller.
TEST_F(IncrementalRefusals, OfATemporaryTableNameIt) {
  struct closer {
    void operator()(PGconn* open) const noexcept { PQfinish(open); }
  };
  const std::unique_ptr<PGconn, closer> own(PQconnectdb(db.url().c_str()));
  PQclear(PQexec(own.get(),
                 "SET client_min_messages = warning; CREATE TEMPORARY TABLE passing (id int)"));
  const std::string sql = "SELECT r.id FROM r JOIN passing p ON p.id = r.id";
  const error refusal = failure_of(
      [&] { create_matview(own.get(), "refused", sql, {.kind = view_kind::incremental}); });
  EXPECT_EQ(refusal.code(), errc::invalid_select) << refusal.what();
  EXPECT_TRUE(contains(refusal.what(), "passing: it ends with the session")) << refusal.what();
  ASSERT_TRUE(refusal.position());
  EXPECT_EQ(sql.substr(*refusal.position() - 1, 9), "passing p");
  EXPECT_EQ(count("matview.incremental"), "0");
  EXPECT_EQ(PQtransactionStatus(own.get()), PQTRANS_IDLE);
}

TEST_F(IncrementalRefusals, LackNoConstruct) {
  std::set<std::string> tried{"temporary_table"};  // Above.
  for (const refused_query& one : refused_queries()) tried.insert(one.construct);
  for (const incremental::construct_text& one : incremental::refused_constructs()) {
    EXPECT_TRUE(tried.contains(std::string(one.name))) << "no query has " << one.name;
    EXPECT_EQ(incremental::text_of(one.what).name, one.name) << "the table is out of order";
  }
}

}  // namespace

}  // namespace matview::test
