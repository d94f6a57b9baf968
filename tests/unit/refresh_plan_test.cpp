#include "views/refresh_plan.hpp"

#include "support/refusal.hpp"
#include <matview/error.hpp>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace matview::views {
namespace {

using namespace std::chrono_literals;
using index = view_graph::index;
using names = std::vector<std::string>;
using numbers = std::vector<std::size_t>;

graph_node node(const std::string& name, node_kind kind = node_kind::materialized_view) {
  return {.schema = "s", .name = name, .kind = kind, .in_path = true};
}

// a <- b <- plain <- d, a <- c <- d; e alone.
view_graph sample() {
  return {{node("a"), node("b"), node("c"), node("d"), node("e"), node("plain", node_kind::view),
           node("t", node_kind::table)},
          {{0, 6}, {1, 0}, {2, 0}, {5, 1}, {3, 5}, {3, 2}}};
}

names chosen(const view_selection& which) {
  names out;
  const view_graph graph = sample();
  for (const index at : select_views(graph, which)) out.push_back(graph.nodes()[at].name);
  return out;
}

TEST(SelectViews, TakesExactlyWhatIsMeant) {
  EXPECT_EQ(chosen({.all = true}), (names{"a", "b", "c", "d", "e"}));
  EXPECT_EQ(chosen({.schemas = {"s"}}), (names{"a", "b", "c", "d", "e"}));
  EXPECT_EQ(chosen({.names = {"b"}}), names{"b"});
  EXPECT_EQ(chosen({.names = {"s.d", "d"}}), names{"d"});
  EXPECT_EQ(chosen({.names = {"d"}, .with_upstream = true}), (names{"a", "b", "c", "d"}));
  EXPECT_EQ(chosen({.names = {"b"}, .with_downstream = true}), (names{"b", "d"}));
  EXPECT_EQ(chosen({.names = {"b"}, .with_upstream = true, .with_downstream = true}),
            (names{"a", "b", "d"}));
}

struct refused_selection {
  std::string name;
  view_selection which;
  errc code;
  std::string said;
};
class RefusedSelection : public testing::TestWithParam<refused_selection> {};

TEST_P(RefusedSelection, SaysWhy) {
  const view_graph graph = sample();
  const auto refused = test::refusal([&] { return select_views(graph, GetParam().which); });
  ASSERT_TRUE(refused);
  EXPECT_EQ(refused->code(), GetParam().code);
  EXPECT_NE(std::string(refused->what()).find(GetParam().said), std::string::npos)
      << refused->what();
}

INSTANTIATE_TEST_SUITE_P(
    Each, RefusedSelection,
    testing::Values(
        refused_selection{"Nothing", {}, errc::invalid_option, "no view is named"},
        refused_selection{
            "AllAndSome", {.all = true, .names = {"a"}}, errc::invalid_option, "all views"},
        refused_selection{"SchemaAndName",
                          {.schemas = {"s"}, .names = {"a"}},
                          errc::invalid_option,
                          "both named"},
        refused_selection{"UpstreamOfNothing",
                          {.all = true, .with_upstream = true},
                          errc::invalid_option,
                          "of no view"},
        refused_selection{
            "Unknown", {.names = {"nope"}}, errc::view_not_found, "no materialized view \"nope\""},
        refused_selection{"Table", {.names = {"t"}}, errc::view_not_found, "is a table"},
        refused_selection{
            "EmptySchema", {.schemas = {"nope"}}, errc::view_not_found, "schema \"nope\""},
        refused_selection{"BadName", {.names = {"a; b"}}, errc::invalid_identifier, "a; b"}),
    [](const testing::TestParamInfo<refused_selection>& row) { return row.param.name; });

std::vector<plan_step> plan_of(const view_graph& graph, const view_selection& which,
                               const store::duration_map& usual = {}) {
  return make_plan(graph, select_views(graph, which), usual);
}

names names_of(const std::vector<plan_step>& plan, const numbers& steps) {
  names out;
  for (const std::size_t step : steps) out.push_back(plan[step].view.name);
  return out;
}

std::size_t step_of(const std::vector<plan_step>& plan, const std::string& name) {
  const auto found = std::find_if(plan.begin(), plan.end(),
                                  [&](const plan_step& one) { return one.view.name == name; });
  return static_cast<std::size_t>(found - plan.begin());
}

TEST(MakePlan, PutsEachBehindWhatItIsMadeFrom) {
  const auto plan = plan_of(sample(), {.all = true});
  EXPECT_EQ(names_of(plan, plan[step_of(plan, "d")].after), (names{"b", "c"}));
  EXPECT_EQ(names_of(plan, plan[step_of(plan, "a")].before), (names{"b", "c"}));
  EXPECT_EQ(plan[step_of(plan, "e")].after, numbers{});
}

TEST(MakePlan, SeesAnOrderThroughViewsThatAreNotInThePlan) {
  const auto plan = plan_of(sample(), {.names = {"a", "d"}});
  EXPECT_EQ(names_of(plan, plan[step_of(plan, "d")].after), names{"a"});
}

TEST(MakePlan, GivesPriorityToTheLongestWayThatWaits) {
  const auto plan = plan_of(
      sample(), {.all = true},
      {{{"s", "a"}, 1s}, {{"s", "b"}, 5s}, {{"s", "c"}, 2s}, {{"s", "d"}, 3s}, {{"s", "e"}, 4s}});
  EXPECT_DOUBLE_EQ(plan[step_of(plan, "a")].priority, 9);
  EXPECT_DOUBLE_EQ(plan[step_of(plan, "c")].priority, 5);
  EXPECT_EQ(critical_path(plan), 9s);
  const plan_forecast expected = forecast(plan, 2);
  EXPECT_EQ(names_of(plan, expected.order), (names{"a", "e", "b", "c", "d"}));
  EXPECT_EQ(expected.begins[step_of(plan, "c")], 4s);
  EXPECT_EQ(expected.end, 9s);
  EXPECT_EQ(forecast(plan, 1).end, 15s);
}

TEST(MakePlan, GuessesBySizeAtThePaceOfTheOthers) {
  graph_node known = node("known");
  known.bytes = 1000;
  graph_node larger = node("larger");
  larger.bytes = 3000;
  const view_graph graph({known, larger, node("locked")}, {});
  const auto plan = plan_of(graph, {.all = true}, {{{"s", "known"}, 2s}});
  EXPECT_EQ(plan[step_of(plan, "larger")].expected, 6s);
  EXPECT_EQ(plan[step_of(plan, "locked")].expected, 2s);
}

TEST(MakePlan, KnowsNoTimesWithoutHistoryButBeginsWithTheLargest) {
  graph_node large = node("z_large");
  large.bytes = 1 << 20;
  const auto plan = plan_of(view_graph({node("a"), large}, {}), {.all = true});
  EXPECT_FALSE(plan[0].expected);
  EXPECT_FALSE(critical_path(plan));
  const plan_forecast expected = forecast(plan, 1);
  EXPECT_EQ(names_of(plan, expected.order), (names{"z_large", "a"}));
  EXPECT_FALSE(expected.end);
  EXPECT_TRUE(expected.begins.empty());
}

TEST(MakePlan, LeavesOutWhatIsClosedToTheRoleAndGoesOnBehindIt) {
  graph_node closed = node("closed");
  closed.accessible = false;
  const view_graph graph({closed, node("open")}, {{1, 0}});
  const auto plan = plan_of(graph, {.all = true}, {{{"s", "open"}, 1s}});
  EXPECT_NE(plan[0].skipped, "");
  EXPECT_EQ(plan[1].skipped, "");
  EXPECT_EQ(forecast(plan, 1).end, 1s);
}

TEST(MakePlan, RefusesACycleAmongThemAndNotOneElsewhere) {
  const view_graph graph({node("a"), node("b"), node("c")}, {{0, 1}, {1, 0}});
  const auto refused = test::refusal([&] { return plan_of(graph, {.all = true}); });
  ASSERT_TRUE(refused);
  EXPECT_NE(std::string(refused->what()).find("s.a -> s.b -> s.a"), std::string::npos);
  EXPECT_EQ(plan_of(graph, {.names = {"c"}}).size(), 1U);
}

TEST(PlanRun, IsFinishedAtOnceWithoutSteps) {
  const std::vector<plan_step> none;
  plan_run run(none);
  EXPECT_TRUE(run.finished());
  EXPECT_FALSE(run.start_next());
}

TEST(PlanRun, EndsWithAFailureExactlyWhatIsBehindIt) {
  const auto plan = plan_of(sample(), {.all = true});
  plan_run run(plan);
  const std::size_t a = *run.start_next();
  ASSERT_EQ(plan[a].view.name, "a");
  EXPECT_EQ(names_of(plan, run.failed(a)), (names{"b", "c", "d"}));
  EXPECT_EQ(plan[*run.start_next()].view.name, "e");
  EXPECT_FALSE(run.finished());
}

TEST(PlanRun, EndsWhatWasAbandoned) {
  const auto plan = plan_of(sample(), {.all = true});
  plan_run run(plan);
  const std::size_t a = *run.start_next();
  EXPECT_EQ(names_of(plan, run.abandon()), (names{"e", "b", "c", "d"}));
  EXPECT_FALSE(run.start_next());
  run.succeeded(a);
  EXPECT_TRUE(run.finished());
}

// Any run of any plan, step by step, against sets that are computed from the edges alone.
struct drawn {
  std::vector<graph_node> nodes;
  std::vector<graph_edge> edges;
  store::duration_map usual;
  std::vector<std::set<index>> above;  // Everything upstream, of each.
};

drawn any_views() {
  drawn out;
  const auto size = *rc::gen::inRange<std::size_t>(1, 15);
  out.above.resize(size);
  for (index at = 0; at < size; ++at) {
    const bool plain = *rc::gen::inRange(0, 5) == 0;
    out.nodes.push_back(
        node(std::to_string(at + 100), plain ? node_kind::view : node_kind::materialized_view));
    out.usual[{"s", out.nodes.back().name}] = std::chrono::seconds(*rc::gen::inRange(1, 50));
    for (int tries = 0; tries < 3 && at > 0; ++tries) {
      const auto on = *rc::gen::inRange<index>(0, 2 * at);
      if (on >= at) continue;
      out.edges.push_back({at, on});
      out.above[at].insert(on);
      out.above[at].insert(out.above[on].begin(), out.above[on].end());
    }
  }
  return out;
}

// The longest way from the start of `at` to the end of all, by all ways.
double longest_from(const drawn& views, const std::set<index>& wanted, index at) {
  double longest = 0;
  for (index next = 0; next < views.nodes.size(); ++next) {
    if (!wanted.contains(next) || !views.above[next].contains(at)) continue;
    longest = std::max(longest, longest_from(views, wanted, next));
  }
  return longest +
         std::chrono::duration<double>(views.usual.at({"s", views.nodes[at].name})).count();
}

RC_GTEST_PROP(PlanRun, StartsEachOnceNeverBeforeItsUpstreamAndFailsExactlyTheDownstream, ()) {
  const drawn views = any_views();
  const view_graph graph(views.nodes, views.edges);
  std::set<index> wanted;  // Positions stay: the names are sorted.
  for (index at = 0; at < views.nodes.size(); ++at) {
    const bool is_view = views.nodes[at].kind == node_kind::materialized_view;
    if (is_view && *rc::gen::inRange(0, 4) > 0) wanted.insert(at);
  }
  const auto plan = make_plan(graph, {wanted.begin(), wanted.end()}, views.usual);
  RC_ASSERT(plan.size() == wanted.size());
  const auto node_of = [&](std::size_t step) {
    return static_cast<index>(std::stoul(plan[step].view.name) - 100);
  };

  plan_run run(plan);
  const auto jobs = *rc::gen::inRange<std::size_t>(1, 5);
  std::set<index> waiting = wanted;
  std::set<index> done;
  std::set<index> doomed;
  std::vector<std::size_t> running;
  while (!run.finished()) {
    while (running.size() < jobs) {
      std::set<index> may;
      for (const index at : waiting) {
        const bool ready = std::all_of(
            views.above[at].begin(), views.above[at].end(),
            [&](index upstream) { return !wanted.contains(upstream) || done.contains(upstream); });
        if (ready) may.insert(at);
      }
      const auto step = run.start_next();
      RC_ASSERT(step.has_value() == !may.empty());
      if (!step) break;
      const index at = node_of(*step);
      RC_ASSERT(may.contains(at));
      for (const index other : may) {
        RC_ASSERT(longest_from(views, wanted, other) <= longest_from(views, wanted, at) + 1e-6);
      }
      waiting.erase(at);
      running.push_back(*step);
    }
    RC_ASSERT(!running.empty());
    const auto which = *rc::gen::inRange<std::size_t>(0, running.size());
    const std::size_t step = running[which];
    running.erase(running.begin() + static_cast<std::ptrdiff_t>(which));
    if (*rc::gen::inRange(0, 4) > 0) {
      run.succeeded(step);
      done.insert(node_of(step));
      continue;
    }
    std::set<index> behind;
    for (const index at : waiting) {
      if (views.above[at].contains(node_of(step))) behind.insert(at);
    }
    std::set<index> told;
    for (const std::size_t one : run.failed(step)) told.insert(node_of(one));
    RC_ASSERT(told == behind);
    for (const index at : behind) waiting.erase(at);
    doomed.insert(behind.begin(), behind.end());
  }
  RC_ASSERT(waiting.empty());
  RC_ASSERT(running.empty());
}

RC_GTEST_PROP(Forecast, IsNoShorterThanTheCriticalPathNorThanTheWorkShared, ()) {
  const drawn views = any_views();
  const view_graph graph(views.nodes, views.edges);
  const auto plan = make_plan(graph, select_views(graph, {.all = true}), views.usual);
  const auto jobs = *rc::gen::inRange<std::size_t>(1, 5);
  const plan_forecast expected = forecast(plan, jobs);
  double work = 0;
  for (const plan_step& step : plan) work += step.weight;
  const double end = std::chrono::duration<double>(*expected.end).count();
  RC_ASSERT(*expected.end >= *critical_path(plan) - 1ms);
  RC_ASSERT(end >= work / static_cast<double>(jobs) - 0.001);
  RC_ASSERT(end <= work + 0.001);
}

}  // namespace
}  // namespace matview::views
