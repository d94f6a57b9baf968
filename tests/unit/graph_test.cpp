#include "support/refusal.hpp"
#include <matview/error.hpp>
#include <matview/graph.hpp>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <set>
#include <string>
#include <vector>

namespace matview {
namespace {

using index = view_graph::index;
using names = std::vector<std::string>;

graph_node node(const std::string& name, node_kind kind = node_kind::materialized_view) {
  return {.schema = "s", .name = name, .kind = kind};
}

// `from` depends on `on`, by name.
struct link {
  std::string from;
  std::string on;
};

view_graph graph_of(const std::vector<graph_node>& nodes, const std::vector<link>& links) {
  std::vector<graph_edge> edges;
  const auto place = [&](const std::string& name) {
    const auto found = std::find_if(nodes.begin(), nodes.end(),
                                    [&](const graph_node& one) { return one.name == name; });
    return static_cast<index>(found - nodes.begin());
  };
  for (const link& one : links) edges.push_back({place(one.from), place(one.on)});
  return {nodes, edges};
}

names names_of(const view_graph& graph, const std::vector<index>& which) {
  names out;
  for (const index at : which) out.push_back(graph.nodes()[at].name);
  return out;
}

view_graph diamond() {
  return graph_of({node("top"), node("left"), node("right"), node("base", node_kind::table)},
                  {{"top", "left"}, {"top", "right"}, {"left", "base"}, {"right", "base"}});
}

TEST(ViewGraph, SortsNodesByNameAndMovesTheEdgesWithThem) {
  const view_graph graph = diamond();
  EXPECT_EQ(names_of(graph, {0, 1, 2, 3}), (names{"base", "left", "right", "top"}));
  EXPECT_EQ(names_of(graph, graph.direct_upstream(3)), (names{"left", "right"}));
  EXPECT_EQ(names_of(graph, graph.direct_downstream(0)), (names{"left", "right"}));
}

TEST(ViewGraph, FollowsDependenciesAtAnyDistance) {
  const view_graph graph = diamond();
  EXPECT_EQ(names_of(graph, graph.upstream(3)), (names{"base", "left", "right"}));
  EXPECT_EQ(names_of(graph, graph.downstream(0)), (names{"left", "right", "top"}));
  EXPECT_EQ(graph.upstream(0), std::vector<index>{});
}

TEST(ViewGraph, OrdersWhatIsUpstreamFirstAndOtherwiseByName) {
  EXPECT_EQ(names_of(diamond(), diamond().order()), (names{"base", "left", "right", "top"}));
  const view_graph against = graph_of({node("a"), node("b"), node("c")}, {{"a", "c"}, {"c", "b"}});
  EXPECT_EQ(names_of(against, against.order()), (names{"b", "c", "a"}));
}

TEST(ViewGraph, LooksThroughEverythingButViewsForTheNearest) {
  const view_graph graph =
      graph_of({node("v"), node("plain", node_kind::view), node("f()", node_kind::function),
                node("near"), node("far")},
               {{"v", "plain"}, {"plain", "f()"}, {"f()", "near"}, {"near", "far"}});
  const index v = *graph.find("s", "v");
  EXPECT_EQ(names_of(graph, graph.nearest_views_upstream(v)), names{"near"});
}

TEST(ViewGraph, FindsRelationsByNameAndNeverFunctions) {
  graph_node elsewhere = node("v");
  elsewhere.schema = "t";
  elsewhere.in_path = true;
  const view_graph graph({node("v"), elsewhere, node("f()", node_kind::function)}, {});
  EXPECT_EQ(graph.nodes()[*graph.find("s", "v")].schema, "s");
  EXPECT_EQ(graph.nodes()[*graph.find("", "v")].schema, "t");
  EXPECT_FALSE(graph.find("s", "f()"));
  EXPECT_FALSE(graph.find("s", "V"));
}

TEST(ViewGraph, NamesTheWholeCycle) {
  const view_graph graph =
      graph_of({node("a"), node("b"), node("c"), node("behind"), node("free")},
               {{"a", "b"}, {"b", "c"}, {"c", "a"}, {"behind", "a"}, {"behind", "free"}});
  EXPECT_EQ(names_of(graph, graph.cycle()), (names{"a", "b", "c"}));
  const auto refused = test::refusal([&] { return graph.order(); });
  ASSERT_TRUE(refused);
  EXPECT_EQ(refused->code(), errc::invalid_option);
  EXPECT_NE(std::string(refused->what()).find("s.a -> s.b -> s.c -> s.a"), std::string::npos)
      << refused->what();
}

TEST(ViewGraph, SeesWhatDependsOnItself) {
  const view_graph graph = graph_of({node("a")}, {{"a", "a"}});
  EXPECT_EQ(names_of(graph, graph.cycle()), names{"a"});
  EXPECT_EQ(graph.upstream(0), std::vector<index>{0});
}

TEST(ViewGraph, TakesTheCatalogsWordOverAPersons) {
  const view_graph graph(
      {node("a"), node("b")},
      {{0, 1, edge_source::declared}, {0, 1, edge_source::catalog}, {0, 1, edge_source::declared}});
  ASSERT_EQ(graph.edges().size(), 1U);
  EXPECT_EQ(graph.edges()[0].known, edge_source::catalog);
}

TEST(ViewGraph, CutsOutAPart) {
  const view_graph graph = diamond();
  const view_graph part = graph.part({3, 1, 0, 1});
  EXPECT_EQ(names_of(part, part.order()), (names{"base", "left", "top"}));
  EXPECT_EQ(part.edges().size(), 2U);
}

TEST(ViewGraph, RefusesEdgesOfNoNode) {
  EXPECT_THROW(view_graph({node("a")}, {{0, 1}}), std::out_of_range);
}

TEST(GraphNode, ShowsNamesAsTheyAreTakenAndQuotesTheOthers) {
  EXPECT_EQ((graph_node{.schema = "sales", .name = "Daily"}).display(), "sales.Daily");
  EXPECT_EQ((graph_node{.schema = "two words", .name = "a\"b"}).display(),
            "\"two words\".\"a\"\"b\"");
  EXPECT_EQ((graph_node{.schema = "s", .name = "a.b"}).display(), "s.\"a.b\"");
  EXPECT_EQ(
      (graph_node{.schema = "s", .name = "f(integer)", .kind = node_kind::function}).display(),
      "s.f(integer)");
}

// Warshall's closure over a matrix of booleans shares nothing with the walks of the graph.
std::vector<std::vector<bool>> closure(std::size_t size, const std::vector<graph_edge>& edges) {
  std::vector<std::vector<bool>> out(size, std::vector<bool>(size));
  for (const graph_edge& edge : edges) out[edge.from][edge.on] = true;
  for (std::size_t via = 0; via < size; ++via) {
    for (std::size_t from = 0; from < size; ++from) {
      for (std::size_t to = 0; to < size; ++to) {
        if (out[from][via] && out[via][to]) out[from][to] = true;
      }
    }
  }
  return out;
}

view_graph any_graph() {
  const auto size = *rc::gen::inRange<std::size_t>(1, 12);
  std::vector<graph_node> nodes;
  for (std::size_t at = 0; at < size; ++at) {
    nodes.push_back(node(std::to_string(at + 100)));
  }
  std::vector<graph_edge> edges;
  const auto count = *rc::gen::inRange<std::size_t>(0, 2 * size);
  for (std::size_t i = 0; i < count; ++i) {
    edges.push_back(
        {*rc::gen::inRange<std::size_t>(0, size), *rc::gen::inRange<std::size_t>(0, size)});
  }
  return {nodes, edges};
}

RC_GTEST_PROP(ViewGraph, WalksOrdersAndCyclesAgreeWithTheClosure, ()) {
  const view_graph graph = any_graph();
  const std::size_t size = graph.nodes().size();
  const auto depends = closure(size, graph.edges());
  bool cyclic = false;
  for (index at = 0; at < size; ++at) {
    std::vector<index> upstream;
    std::vector<index> downstream;
    for (index other = 0; other < size; ++other) {
      if (depends[at][other]) upstream.push_back(other);
      if (depends[other][at]) downstream.push_back(other);
    }
    RC_ASSERT(graph.upstream(at) == upstream);
    RC_ASSERT(graph.downstream(at) == downstream);
    cyclic = cyclic || depends[at][at];
  }
  const std::vector<index> cycle = graph.cycle();
  RC_ASSERT(cycle.empty() == !cyclic);
  for (std::size_t i = 0; i < cycle.size(); ++i) {
    const auto& next = graph.direct_upstream(cycle[i]);
    RC_ASSERT(std::count(next.begin(), next.end(), cycle[(i + 1) % cycle.size()]) == 1);
  }
  if (cyclic) return;
  const std::vector<index> order = graph.order();
  RC_ASSERT(std::set<index>(order.begin(), order.end()).size() == size);
  for (std::size_t i = 0; i < order.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) RC_ASSERT(!depends[order[j]][order[i]]);
  }
}

TEST(GraphNode, IsRefreshableAsAMaterializedViewOfEitherKind) {
  EXPECT_TRUE(node("v").refreshable());
  EXPECT_TRUE(node("v", node_kind::incremental_view).refreshable());
  for (const node_kind other :
       {node_kind::view, node_kind::table, node_kind::foreign_table, node_kind::function}) {
    EXPECT_FALSE(node("v", other).refreshable()) << to_string(other);
  }
}

}  // namespace
}  // namespace matview
