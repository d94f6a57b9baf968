#include "views_fixture.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <set>
#include <string>
#include <vector>

namespace matview::test {
namespace {

using names = std::vector<std::string>;
using pairs = std::set<std::string>;

// `a <- b` for each: b depends on a.
pairs edges_of(const view_graph& graph) {
  pairs out;
  for (const graph_edge& edge : graph.edges()) {
    out.insert(fmt::format("{} {} {}", graph.nodes()[edge.on].display(),
                           edge.known == edge_source::declared ? "<~" : "<-",
                           graph.nodes()[edge.from].display()));
  }
  return out;
}

const graph_node& node_of(const view_graph& graph, const std::string& shown) {
  const auto found = std::find_if(graph.nodes().begin(), graph.nodes().end(),
                                  [&](const graph_node& one) { return one.display() == shown; });
  if (found == graph.nodes().end()) throw std::runtime_error("no node " + shown);
  return *found;
}

class ReadGraph : public views_test {};

TEST_F(ReadGraph, IsEmptyWithoutMaterializedViews) {
  db.execute("CREATE TABLE t (id int); CREATE VIEW p AS SELECT * FROM t");
  EXPECT_TRUE(read_graph().nodes().empty());
}

TEST_F(ReadGraph, GoesThroughPlainViewsInAnySchema) {
  db.execute(
      "CREATE SCHEMA a; CREATE SCHEMA \"B b\"; CREATE TABLE a.t (id int);"
      "CREATE MATERIALIZED VIEW a.m AS SELECT id FROM a.t;"
      "CREATE VIEW \"B b\".\"p.q\" AS SELECT id FROM a.m;"
      "CREATE VIEW p AS SELECT id FROM \"B b\".\"p.q\" UNION SELECT id FROM a.t;"
      "CREATE MATERIALIZED VIEW \"x\"\"y\" AS SELECT id FROM p");
  const view_graph graph = read_graph();
  EXPECT_EQ(edges_of(graph),
            (pairs{"a.t <- a.m", "a.m <- \"B b\".\"p.q\"", "\"B b\".\"p.q\" <- public.p",
                   "a.t <- public.p", "public.p <- public.\"x\"\"y\""}));
  EXPECT_EQ(node_of(graph, "public.p").kind, node_kind::view);
  EXPECT_EQ(node_of(graph, "a.t").kind, node_kind::table);
  EXPECT_EQ(node_of(graph, "a.m").kind, node_kind::materialized_view);
}

TEST_F(ReadGraph, SeesSubqueriesJoinsAndColumnsOnce) {
  db.execute(
      "CREATE TABLE t (a int, b int, c int); CREATE TABLE u (a int);"
      "CREATE MATERIALIZED VIEW m AS WITH w AS (SELECT a FROM u) "
      "SELECT t.a, t.b, t.c FROM t JOIN w USING (a) WHERE EXISTS (SELECT FROM t x WHERE x.b = 1)");
  EXPECT_EQ(edges_of(read_graph()), (pairs{"public.t <- public.m", "public.u <- public.m"}));
}

TEST_F(ReadGraph, LooksThroughFunctionsWithABodyThatTheServerKnows) {
  db.execute(
      "CREATE TABLE t (id int); CREATE MATERIALIZED VIEW base AS SELECT id FROM t;"
      "CREATE FUNCTION inner_one() RETURNS bigint BEGIN ATOMIC SELECT count(*) FROM base; END;"
      "CREATE FUNCTION outer_one(int) RETURNS bigint BEGIN ATOMIC SELECT inner_one() + $1; END;"
      "CREATE MATERIALIZED VIEW m AS SELECT outer_one(1)");
  EXPECT_EQ(edges_of(read_graph()),
            (pairs{"public.t <- public.base", "public.base <- public.inner_one()",
                   "public.inner_one() <- public.outer_one(integer)",
                   "public.outer_one(integer) <- public.m"}));
}

TEST_F(ReadGraph, LooksThroughOperatorsAndAggregates) {
  db.execute(
      "CREATE TABLE t (id int); CREATE MATERIALIZED VIEW base AS SELECT 1 AS id FROM t;"
      "CREATE FUNCTION add_base(int, int) RETURNS int "
      "BEGIN ATOMIC SELECT $1 + $2 + count(*)::int FROM base; END;"
      "CREATE OPERATOR ### (LEFTARG = int, RIGHTARG = int, FUNCTION = add_base);"
      "CREATE AGGREGATE total(int) (SFUNC = add_base, STYPE = int);"
      "CREATE MATERIALIZED VIEW by_operator AS SELECT 1 ### 2;"
      "CREATE MATERIALIZED VIEW by_aggregate AS SELECT total(id) FROM t");
  const view_graph graph = read_graph();
  const auto base = *graph.find("public", "base");
  names below;
  for (const auto at : graph.downstream(base)) {
    if (graph.nodes()[at].kind == node_kind::materialized_view) {
      below.push_back(graph.nodes()[at].name);
    }
  }
  EXPECT_EQ(below, (names{"by_aggregate", "by_operator"}));
}

TEST_F(ReadGraph, ShowsFunctionsThatItCannotSeeThroughAndNoOthers) {
  db.execute(
      "CREATE TABLE t (id int);"
      "CREATE FUNCTION dark() RETURNS bigint LANGUAGE plpgsql AS "
      "$$BEGIN RETURN (SELECT count(*) FROM public.t); END$$;"
      "CREATE FUNCTION text_body() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM public.t';"
      "CREATE FUNCTION pure(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN $1; END';"
      "CREATE MATERIALIZED VIEW m AS SELECT dark(), text_body(), pure(1), lower('A')");
  const view_graph graph = read_graph();
  EXPECT_EQ(edges_of(graph),
            (pairs{"public.dark() <- public.m", "public.text_body() <- public.m"}));
  EXPECT_TRUE(node_of(graph, "public.dark()").opaque);
  EXPECT_TRUE(node_of(graph, "public.text_body()").opaque);
}

TEST_F(ReadGraph, LeavesOutWhatOtherRulesOfAViewName) {
  db.execute(
      "CREATE TABLE t (id int); CREATE TABLE log (id int); CREATE VIEW p AS SELECT id FROM t;"
      "CREATE RULE r AS ON INSERT TO p DO INSTEAD INSERT INTO log VALUES (1);"
      "CREATE MATERIALIZED VIEW m AS SELECT id FROM p");
  EXPECT_EQ(edges_of(read_graph()), (pairs{"public.t <- public.p", "public.p <- public.m"}));
}

TEST_F(ReadGraph, TellsWhatTheCatalogSaysOfEach) {
  db.execute(
      "CREATE SCHEMA elsewhere; CREATE MATERIALIZED VIEW m AS SELECT 1 AS id;"
      "CREATE MATERIALIZED VIEW elsewhere.e AS SELECT 1 AS id WITH NO DATA");
  const view_graph graph = read_graph();
  EXPECT_TRUE(node_of(graph, "public.m").populated);
  EXPECT_TRUE(node_of(graph, "public.m").in_path);
  EXPECT_EQ(std::to_string(node_of(graph, "public.m").bytes.value_or(-1)),
            db.query_one("SELECT pg_total_relation_size('m')"));
  EXPECT_FALSE(node_of(graph, "elsewhere.e").populated);
  EXPECT_FALSE(node_of(graph, "elsewhere.e").in_path);
  EXPECT_EQ(std::to_string(node_of(graph, "elsewhere.e").oid),
            db.query_one("SELECT 'elsewhere.e'::regclass::oid"));
}

TEST_F(ReadGraph, DoesNotWaitForAViewThatIsLocked) {
  create_matview("v", "SELECT 1 AS id");
  session holder(db.url());
  holder.execute("BEGIN; REFRESH MATERIALIZED VIEW v");
  configure({{"default", with_parameter(db.url(), "options", "-c lock_timeout=1s")}});
  EXPECT_FALSE(node_of(read_graph(), "public.v").bytes);
}

TEST_F(ReadGraph, SeesClosedSchemasAndSaysThatTheyAre) {
  const test_role role(db, "reader");
  db.execute(
      "CREATE SCHEMA closed; CREATE MATERIALIZED VIEW closed.c AS SELECT 1 AS id;"
      "CREATE MATERIALIZED VIEW open AS SELECT id FROM closed.c");
  configure({{"default", role.url()}});
  const view_graph graph = read_graph();
  EXPECT_EQ(edges_of(graph), pairs{"closed.c <- public.open"});
  EXPECT_FALSE(node_of(graph, "closed.c").accessible);
  EXPECT_TRUE(node_of(graph, "public.open").accessible);
}

TEST_F(ReadGraph, FindsACycleThatAReplacedFunctionHasMade) {
  db.execute(
      "CREATE FUNCTION f() RETURNS bigint BEGIN ATOMIC SELECT 1::bigint; END;"
      "CREATE MATERIALIZED VIEW m AS SELECT f() AS id;"
      "CREATE OR REPLACE FUNCTION f() RETURNS bigint BEGIN ATOMIC SELECT max(id) FROM m; END");
  const view_graph graph = read_graph();
  EXPECT_EQ(graph.cycle().size(), 2U);
  const error refused = failure_of([&] { return graph.order(); });
  EXPECT_TRUE(contains(refused.what(), "public.f() -> public.m -> public.f()")) << refused.what();
  EXPECT_EQ(failure_of([] { return refresh_many({.which = {.all = true}}); }).code(),
            errc::invalid_option);
}

TEST_F(ReadGraph, IsOneMessageWithAndWithoutTheSchema) {
  for (const bool with_schema : {false, true}) {
    SCOPED_TRACE(with_schema);
    if (with_schema) {
      create_matview("a", "SELECT 1 AS id");
      create_matview("b", "SELECT 1 AS id");
      declare_dependencies("b", {"a"});
    }
    static_cast<void>(read_graph());  // The session's own statements come on its first use.
    int statements = 0;
    static_cast<void>(read_graph({.log = [&](log_level level, std::string_view) {
      statements += level == log_level::debug ? 1 : 0;
    }}));
    EXPECT_EQ(statements, 1);
  }
}

TEST_F(ReadGraph, ReadsTwoThousandViewsInChainsOfFifty) {
  db.execute(
      "CREATE TABLE base (id int);"
      "DO $$BEGIN FOR c IN 1..40 LOOP FOR i IN 1..50 LOOP "
      "EXECUTE format('CREATE %s c%s_%s AS SELECT id FROM %s %s', "
      "  CASE WHEN i % 5 = 2 THEN 'VIEW' ELSE 'MATERIALIZED VIEW' END, c, i, "
      "  CASE WHEN i = 1 THEN 'base' ELSE format('c%s_%s', c, i - 1) END, "
      "  CASE WHEN i % 5 = 2 THEN '' ELSE 'WITH NO DATA' END); "
      "END LOOP; END LOOP; END$$;"
      "ANALYZE");  // With statistics the planner expects, and would prepare for, a great deal more.
  static_cast<void>(read_graph());  // Connects.
  const auto begin = std::chrono::steady_clock::now();
  const view_graph graph = read_graph();
  const auto taken = std::chrono::steady_clock::now() - begin;
  EXPECT_EQ(graph.nodes().size(), 2001U);
  EXPECT_EQ(graph.edges().size(), 2000U);
  EXPECT_EQ(graph.upstream(*graph.find("public", "c7_50")).size(), 50U);
  EXPECT_EQ(graph.order().size(), 2001U);
  RecordProperty(
      "milliseconds",
      std::to_string(std::chrono::duration_cast<std::chrono::milliseconds>(taken).count()));
}

class DeclareDependencies : public views_test {
 protected:
  DeclareDependencies() {
    db.execute("CREATE TABLE t (id int); CREATE SCHEMA \"S\"");
    create_matview("a", "SELECT 1 AS id");
    create_matview("b", "SELECT 1 AS id");
    create_matview("S.C", "SELECT 1 AS id");
  }
};

TEST_F(DeclareDependencies, AddsThemToTheGraphOnce) {
  EXPECT_EQ(declare_dependencies("S.C", {"a", "t", "public.a"}), 2U);
  EXPECT_EQ(declare_dependencies("S.C", {"a"}), 0U);
  EXPECT_EQ(declare_dependencies("S.C", {"b", "a"}), 1U);
  EXPECT_EQ(edges_of(read_graph()),
            (pairs{"public.a <~ S.C", "public.t <~ S.C", "public.b <~ S.C"}));
  EXPECT_EQ(db.query_one("SELECT depends_on FROM matview.view"),
            R"({"\"public\".\"a\"","\"public\".\"t\"","\"public\".\"b\""})");
}

TEST_F(DeclareDependencies, TakesThemBack) {
  declare_dependencies("S.C", {"a", "b"});
  EXPECT_EQ(declare_dependencies("S.C", {"a", "t"}, {.remove = true}), 1U);
  EXPECT_EQ(declare_dependencies("S.C", {"a"}, {.remove = true}), 0U);
  EXPECT_EQ(edges_of(read_graph()), pairs{"public.b <~ S.C"});
  EXPECT_EQ(declare_dependencies("a", {"b"}, {.remove = true}), 0U);
}

TEST_F(DeclareDependencies, BringsInWhatIsBehindThem) {
  db.execute("CREATE VIEW p AS SELECT id FROM b");
  declare_dependencies("a", {"p"});
  EXPECT_EQ(edges_of(read_graph()), (pairs{"public.b <- public.p", "public.p <~ public.a"}));
}

TEST_F(DeclareDependencies, RefusesACycleAndNamesAllOfIt) {
  db.execute("CREATE VIEW p AS SELECT id FROM b; CREATE MATERIALIZED VIEW d AS SELECT id FROM p");
  declare_dependencies("a", {"d"});
  const error refused = failure_of([] { return declare_dependencies("b", {"t", "a"}); });
  EXPECT_EQ(refused.code(), errc::invalid_option);
  EXPECT_TRUE(contains(refused.what(), "public.a -> public.d -> public.p -> public.b -> public.a"))
      << refused.what();
  EXPECT_EQ(failure_of([] { return declare_dependencies("a", {"a"}); }).code(),
            errc::invalid_option);
  EXPECT_EQ(declare_dependencies("b", {"t"}), 1U);  // Nothing of the refused one has stayed.
}

TEST_F(DeclareDependencies, RefusesACycleThroughAPlainViewThatNoViewReads) {
  db.execute("CREATE VIEW p AS SELECT id FROM a");
  const error refused = failure_of([] { return declare_dependencies("a", {"p"}); });
  EXPECT_TRUE(contains(refused.what(), "public.a -> public.p -> public.a")) << refused.what();
}

TEST_F(DeclareDependencies, RefusesNamesThatAreNotThere) {
  EXPECT_EQ(failure_of([] { return declare_dependencies("nope", {"a"}); }).code(),
            errc::view_not_found);
  EXPECT_EQ(failure_of([] { return declare_dependencies("t", {"a"}); }).code(),
            errc::view_not_found);
  EXPECT_EQ(failure_of([] {
              return declare_dependencies("a", {"b", "nope"});
            }).code(),
            errc::view_not_found);
  EXPECT_EQ(failure_of([] { return declare_dependencies("a", {}); }).code(), errc::invalid_option);
  EXPECT_EQ(failure_of([] { return declare_dependencies("a", {"b\n"}); }).code(),
            errc::invalid_identifier);
  EXPECT_EQ(edges_of(read_graph()), pairs{});
}

TEST_F(DeclareDependencies, TellsOfOneWhoseOtherEndHasGone) {
  declare_dependencies("a", {"t", "b"});
  db.execute("DROP TABLE t");
  std::string warned;
  const view_graph graph = read_graph({.log = [&](log_level level, std::string_view line) {
    if (level == log_level::warning) warned += line;
  }});
  EXPECT_EQ(edges_of(graph), pairs{"public.b <~ public.a"});
  EXPECT_TRUE(contains(warned, "public.a")) << warned;
  EXPECT_TRUE(contains(warned, "\"public\".\"t\"")) << warned;
  EXPECT_EQ(declare_dependencies("a", {"public.t"}, {.remove = true}), 1U);
}

TEST_F(DeclareDependencies, ReadsWhatAPersonHasWrittenIntoTheTable) {
  declare_dependencies("a", {"b"});
  db.execute(
      "UPDATE matview.view SET depends_on = array['public.t', 'garbage \"', '', '\"S\".\"C\"']");
  EXPECT_EQ(edges_of(read_graph()), (pairs{"public.t <~ public.a", "S.C <~ public.a"}));
}

TEST_F(DeclareDependencies, IsNotSeenByARoleThatMayNotReadThem) {
  const test_role role(db, "reader");
  declare_dependencies("a", {"b"});
  configure({{"default", role.url()}});
  EXPECT_EQ(edges_of(read_graph()), pairs{});
  EXPECT_EQ(failure_of([] { return declare_dependencies("b", {"t"}); }).code(),
            errc::permission_denied);
}

TEST_F(DeclareDependencies, TwoAtOnceCannotCloseACycle) {
  declare_dependencies("S.C", {"t"});  // The schema is there.
  for (int round = 0; round < 5; ++round) {
    background forth(adeclare_dependencies("a", {"b"}));
    background back(adeclare_dependencies("b", {"a"}));
    const int refused = (refusal([&] { return forth.get(); }) ? 1 : 0) +
                        (refusal([&] { return back.get(); }) ? 1 : 0);
    EXPECT_EQ(refused, 1);
    EXPECT_TRUE(read_graph().cycle().empty());
    declare_dependencies("a", {"b"}, {.remove = true});
    declare_dependencies("b", {"a"}, {.remove = true});
  }
}

}  // namespace
}  // namespace matview::test
