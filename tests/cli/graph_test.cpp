#include "cli_fixture.hpp"

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace matview::test {
namespace {

namespace json = boost::json;

// orders <- daily <- shown (plain) <- "a b"."c\"d"; other stands alone.
class CliGraph : public cli_test {
 protected:
  CliGraph() {
    db.execute(
        "CREATE SCHEMA sales; CREATE SCHEMA \"a b\"; CREATE TABLE sales.orders (id int);"
        "CREATE MATERIALIZED VIEW sales.daily AS SELECT id FROM sales.orders;"
        "CREATE VIEW sales.shown AS SELECT id FROM sales.daily;"
        "CREATE MATERIALIZED VIEW \"a b\".\"c\"\"d\" AS SELECT id FROM sales.shown;"
        "CREATE MATERIALIZED VIEW other AS SELECT 1 AS id WITH NO DATA");
  }
};

TEST_F(CliGraph, ListsWhatIsUpstreamFirst) {
  const auto shown = matview({"graph"});
  EXPECT_EQ(shown.exit_code, 0) << shown.err;
  EXPECT_TRUE(shown.out.starts_with("NAME")) << shown.out;
  EXPECT_LT(shown.out.find("\nsales.orders "), shown.out.find("\nsales.daily "));
  EXPECT_LT(shown.out.find("\nsales.daily "), shown.out.find("\nsales.shown "));
  EXPECT_LT(shown.out.find("\nsales.shown "), shown.out.find("\n\"a b\".\"c\"\"d\" "));
  EXPECT_TRUE(contains(shown.out, "not populated")) << shown.out;
  EXPECT_EQ(shown.err, "");
}

TEST_F(CliGraph, TellsAllOfItAsJson) {
  const json::value graph = json_of(matview({"graph", "--format", "json"}));
  ASSERT_EQ(graph.at("nodes").as_array().size(), 5U);
  ASSERT_EQ(graph.at("edges").as_array().size(), 3U);
  const json::value& first = graph.at("edges").at(0);
  EXPECT_EQ(first.at("from"), "\"a b\".\"c\"\"d\"");
  EXPECT_EQ(first.at("depends_on"), "sales.shown");
  EXPECT_EQ(first.at("known"), "catalog");
  for (const json::value& node : graph.at("nodes").as_array()) {
    if (node.at("id") != "\"a b\".\"c\"\"d\"") continue;
    EXPECT_EQ(node.at("schema"), "a b");
    EXPECT_EQ(node.at("name"), "c\"d");
    EXPECT_EQ(node.at("kind"), "materialized view");
    EXPECT_EQ(node.at("populated"), true);
    EXPECT_TRUE(node.at("bytes").is_int64());
  }
  EXPECT_EQ(json_of(matview({"--format", "json", "graph"})), graph);
}

TEST_F(CliGraph, ShowsWhatBelongsToOneName) {
  const std::string around = matview({"graph", "sales.daily", "--format", "tsv"}).out;
  EXPECT_TRUE(contains(around, "sales.orders\ttable")) << around;
  EXPECT_TRUE(contains(around, "c\"\"d")) << around;
  EXPECT_FALSE(contains(around, "other")) << around;
  EXPECT_FALSE(contains(matview({"graph", "sales.shown"}).out, "other"));
}

TEST_F(CliGraph, DrawsForGraphviz) {
  const std::string dot = matview({"graph", "--format", "dot"}).out;
  EXPECT_TRUE(dot.starts_with("digraph matview {\n")) << dot;
  EXPECT_TRUE(dot.ends_with("}\n")) << dot;
  EXPECT_TRUE(contains(dot, R"(n0 [label="\"a b\".\"c\"\"d\"", shape=box)")) << dot;
  EXPECT_TRUE(contains(dot, "n4 -> n0;\n")) << dot;
  if (run({"sh", "-c", "command -v dot"}).exit_code != 0) return;
  EXPECT_EQ(run_other({"dot", "-Tplain"}, {.input = dot}).exit_code, 0);
}

TEST_F(CliGraph, DrawsForMermaid) {
  const std::string drawn = matview({"graph", "--format", "mermaid"}).out;
  EXPECT_TRUE(drawn.starts_with("graph LR\n")) << drawn;
  EXPECT_TRUE(contains(drawn, "  n0[\"#34;a b#34;.#34;c#34;#34;d#34;\"]\n")) << drawn;
  EXPECT_TRUE(contains(drawn, "  n3[(\"sales.orders\")]\n")) << drawn;
  EXPECT_TRUE(contains(drawn, "  n3 --> n2\n")) << drawn;
}

TEST_F(CliGraph, SaysWhichFunctionItCannotSeeThroughUntilThatIsDeclared) {
  db.execute(
      "CREATE FUNCTION dark() RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN 1; END';"
      "CREATE MATERIALIZED VIEW hidden AS SELECT dark() AS id");
  EXPECT_TRUE(contains(matview({"graph"}).err, "what public.dark() reads is not known"));
  ASSERT_EQ(matview({"declare", "hidden", "--depends-on", "other"}).exit_code, 0);
  EXPECT_EQ(matview({"graph"}).err, "");
}

TEST_F(CliGraph, ShowsACycleAndExitsWithFour) {
  db.execute(
      "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; END;"
      "CREATE MATERIALIZED VIEW m AS SELECT f() AS id;"
      "CREATE OR REPLACE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT max(id) FROM m; END");
  const auto shown = matview({"graph"});
  EXPECT_EQ(shown.exit_code, 4);
  EXPECT_TRUE(contains(shown.err, "public.f() -> public.m -> public.f()")) << shown.err;
  EXPECT_TRUE(contains(shown.out, "public.f()")) << shown.out;
}

TEST_F(CliGraph, ShowsNothingAsNothingAndSaysSo) {
  db.execute("DROP SCHEMA sales CASCADE; DROP MATERIALIZED VIEW other");
  const auto shown = matview({"graph"});
  EXPECT_EQ(shown.exit_code, 0);
  EXPECT_EQ(shown.out, "");
  EXPECT_TRUE(contains(shown.err, "no materialized views in this database")) << shown.err;
}

TEST_F(CliGraph, DeclareSaysWhatItDidAndWhetherItChangedAnything) {
  EXPECT_EQ(matview({"declare", "other", "--depends-on", "sales.daily", "sales.orders"}).err,
            "matview: other depends on sales.daily, sales.orders\n");
  const json::value again =
      json_of(matview({"declare", "other", "--depends-on", "sales.daily", "--format", "json"}));
  EXPECT_EQ(again.at("changed"), 0);
  EXPECT_TRUE(contains(matview({"graph"}).out, "sales.daily (declared)"));
  EXPECT_TRUE(contains(matview({"graph", "--format", "dot"}).out, "[style=dashed]"));
  EXPECT_TRUE(contains(matview({"graph", "--format", "mermaid"}).out, "-.->"));
  EXPECT_EQ(matview({"declare", "other", "--depends-on", "sales.daily", "--remove"}).exit_code, 0);
  EXPECT_FALSE(contains(matview({"graph"}).out, "sales.daily (declared)"));
}

struct bad_graph {
  std::string name;
  std::vector<std::string> arguments;
  int exit_code;
  std::vector<std::string> said;
};
class CliBadGraph : public CliGraph, public testing::WithParamInterface<bad_graph> {};

TEST_P(CliBadGraph, IsRefused) {
  expect_refusal(matview(GetParam().arguments), GetParam().exit_code, GetParam().said);
}

using several = std::vector<bad_graph>;

INSTANTIATE_TEST_SUITE_P(
    Each, CliBadGraph,
    testing::ValuesIn(several{
        {"UnknownName",
         {"graph", "nope"},
         1,
         {"\"nope\" is no materialized view", "matview graph"}},
        {"BadName", {"graph", "a; b"}, 2, {"a; b"}},
        {"UnknownFormat", {"graph", "--format", "xml"}, 2, {"\"xml\" is not table, json"}},
        {"DeclareOfNoView", {"declare", "nope", "--depends-on", "other"}, 1, {"\"nope\""}},
        {"DeclareOfATable",
         {"declare", "sales.orders", "--depends-on", "other"},
         1,
         {"is a table, not a materialized view"}},
        {"DeclareOnNothing",
         {"declare", "other", "--depends-on", "nope"},
         1,
         {"there is no table or view \"nope\""}},
        {"DeclareWithoutOther", {"declare", "other"}, 2, {"--depends-on"}},
        {"DeclareACycle",
         {"declare", "sales.daily", "--depends-on", "sales.shown"},
         2,
         {"form a cycle: sales.daily -> sales.shown -> sales.daily"}},
        {"DeclareItself",
         {"declare", "other", "--depends-on", "other"},
         2,
         {"public.other -> public.other"}},
    }),
    [](const testing::TestParamInfo<bad_graph>& row) { return row.param.name; });

}  // namespace
}  // namespace matview::test
