#include "views/refresh_plan.hpp"

#include <matview/error.hpp>
#include <matview/identifier.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <map>
#include <queue>
#include <tuple>

namespace matview::views {

namespace {

using index = view_graph::index;

[[noreturn]] void refuse(const std::string& what, std::string_view hint) {
  throw error(errc::invalid_option, what, {.hint = std::string(hint)});
}

void check(const view_selection& which) {
  if (!which.all && which.schemas.empty() && which.names.empty()) {
    refuse("no view is named", "name views or a schema, or ask for all");
  }
  if (which.all && !(which.schemas.empty() && which.names.empty())) {
    refuse("all views and a choice of them are both asked for", "ask for one of the two");
  }
  if (!which.schemas.empty() && !which.names.empty()) {
    refuse("views and schemas are both named", "name one of the two");
  }
  if ((which.with_upstream || which.with_downstream) && which.names.empty()) {
    refuse("what is upstream or downstream is asked for, but of no view",
           "name the views that are meant");
  }
}

bool is_view(const view_graph& graph, index at) {
  return graph.nodes()[at].refreshable();
}

index named_view(const view_graph& graph, const std::string& name) {
  const identifier wanted = identifier::parse(name);
  const std::optional<index> found = graph.find(wanted.schema(), wanted.name());
  if (!found) {
    throw error(errc::view_not_found,
                fmt::format("there is no materialized view {}", wanted.quoted()),
                {.hint = "matview list shows those there are; names are case-sensitive"});
  }
  if (!is_view(graph, *found)) {
    throw error(errc::view_not_found,
                fmt::format("{} is a {}, not a materialized view", wanted.quoted(),
                            to_string(graph.nodes()[*found].kind)));
  }
  return *found;
}

void add_schema(const view_graph& graph, const std::string& schema, std::set<index>& to) {
  const std::size_t before = to.size();
  for (index at = 0; at < graph.nodes().size(); ++at) {
    if (is_view(graph, at) && graph.nodes()[at].schema == schema) to.insert(at);
  }
  if (to.size() == before) {
    throw error(errc::view_not_found,
                fmt::format("there is no materialized view in schema \"{}\"", schema),
                {.hint = "matview graph shows those there are; names are case-sensitive"});
  }
}

void add_views(const view_graph& graph, const std::vector<index>& from, std::set<index>& to) {
  for (const index at : from) {
    if (is_view(graph, at)) to.insert(at);
  }
}

double seconds_of(microseconds duration) {
  return std::chrono::duration<double>(duration).count();
}

microseconds duration_of(double seconds) {
  return microseconds(static_cast<std::int64_t>(seconds * 1e6));
}

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

// What history knows; beside it the others by their size, at the pace of those that are known. If
// history knows none, only the proportions count: by size, or all alike.
void weigh(std::vector<plan_step>& plan, const store::duration_map& usual) {
  double known_seconds = 0;
  double known_bytes = 0;
  std::vector<double> known;
  for (plan_step& step : plan) {
    const auto found = usual.find({step.view.schema, step.view.name});
    if (found == usual.end()) continue;
    step.expected = found->second;
    known.push_back(seconds_of(found->second));
    known_seconds += known.back();
    known_bytes += static_cast<double>(step.view.bytes.value_or(0));
  }
  for (plan_step& step : plan) {
    if (!step.expected && !known.empty()) {
      const double guess = step.view.bytes && known_bytes > 0
                               ? known_seconds / known_bytes * static_cast<double>(*step.view.bytes)
                               : median(known);
      step.expected = duration_of(guess);
    }
    if (!step.skipped.empty()) {
      step.expected.reset();
      step.weight = 0;
      continue;
    }
    step.weight = step.expected ? seconds_of(*step.expected)
                                : static_cast<double>(step.view.bytes.value_or(0)) / 8192 + 1;
  }
}

void set_priorities(std::vector<plan_step>& plan) {
  for (auto step = plan.rbegin(); step != plan.rend(); ++step) {
    double longest = 0;
    for (const std::size_t next : step->before) longest = std::max(longest, plan[next].priority);
    step->priority = step->weight + longest;
  }
}

// Ascending. A cycle among others must not keep these from being refreshed.
std::vector<index> with_all_upstream(const view_graph& graph, const std::vector<index>& views) {
  std::vector<bool> seen(graph.nodes().size());
  std::vector<index> open = views;
  std::vector<index> out;
  while (!open.empty()) {
    const index at = open.back();
    open.pop_back();
    if (seen.at(at)) continue;
    seen[at] = true;
    out.push_back(at);
    const std::vector<index>& on = graph.direct_upstream(at);
    open.insert(open.end(), on.begin(), on.end());
  }
  std::sort(out.begin(), out.end());
  return out;
}

// Of each node the steps that are met first on the ways upstream of it; a step stands for what is
// behind it.
std::vector<std::vector<std::size_t>> waits_of(const view_graph& graph,
                                               const std::vector<index>& order,
                                               const std::map<index, std::size_t>& step_of) {
  std::vector<std::vector<std::size_t>> first_met(graph.nodes().size());
  for (const index at : order) {
    std::set<std::size_t> met;
    for (const index on : graph.direct_upstream(at)) {
      const auto step = step_of.find(on);
      if (step != step_of.end()) {
        met.insert(step->second);
      } else {
        met.insert(first_met[on].begin(), first_met[on].end());
      }
    }
    first_met[at].assign(met.begin(), met.end());
  }
  return first_met;
}

}  // namespace

std::vector<index> select_views(const view_graph& graph, const view_selection& which) {
  check(which);
  std::set<index> out;
  if (which.all) {
    for (index at = 0; at < graph.nodes().size(); ++at) {
      if (is_view(graph, at)) out.insert(at);
    }
  }
  for (const std::string& schema : which.schemas) add_schema(graph, schema, out);
  for (const std::string& name : which.names) {
    const index view = named_view(graph, name);
    out.insert(view);
    if (which.with_upstream) add_views(graph, graph.upstream(view), out);
    if (which.with_downstream) add_views(graph, graph.downstream(view), out);
  }
  return {out.begin(), out.end()};
}

std::vector<plan_step> make_plan(const view_graph& whole, const std::vector<index>& views,
                                 const store::duration_map& usual) {
  const std::vector<index> needed = with_all_upstream(whole, views);
  // By name, as the whole is: the nth of those needed is the nth of the part.
  const view_graph graph = whole.part(needed);
  std::set<index> wanted;
  for (const index at : views) {
    const auto place = std::lower_bound(needed.begin(), needed.end(), at);
    wanted.insert(static_cast<index>(place - needed.begin()));
  }
  const std::vector<index> order = graph.order();
  std::map<index, std::size_t> step_of;
  std::vector<plan_step> plan;
  for (const index at : order) {
    if (!wanted.contains(at)) continue;
    step_of.emplace(at, plan.size());
    plan.push_back({.view = graph.nodes()[at]});
    if (!plan.back().view.accessible) {
      plan.back().skipped = fmt::format("this role may not use schema {}", plan.back().view.schema);
    }
  }
  const auto waits = waits_of(graph, order, step_of);
  for (const auto& [node, step] : step_of) {
    plan[step].after = waits[node];
    for (const std::size_t first : waits[node]) plan[first].before.push_back(step);
  }
  for (plan_step& step : plan) std::sort(step.before.begin(), step.before.end());
  weigh(plan, usual);
  set_priorities(plan);
  return plan;
}

std::optional<microseconds> critical_path(const std::vector<plan_step>& plan) {
  double longest = 0;
  for (const plan_step& step : plan) {
    if (!step.expected && step.skipped.empty()) return std::nullopt;
    longest = std::max(longest, step.priority);
  }
  return duration_of(longest);
}

plan_run::plan_run(const std::vector<plan_step>& plan)
    : plan_(plan), states_(plan.size(), state::waiting) {
  missing_.reserve(plan.size());
  for (std::size_t at = 0; at < plan.size(); ++at) {
    missing_.push_back(plan[at].after.size());
    if (plan[at].after.empty()) ready_.emplace(-plan[at].priority, at);
  }
}

std::optional<std::size_t> plan_run::start_next() {
  if (ready_.empty()) return std::nullopt;
  const std::size_t step = ready_.begin()->second;
  ready_.erase(ready_.begin());
  states_[step] = state::started;
  return step;
}

void plan_run::succeeded(std::size_t step) {
  states_[step] = state::ended;
  ++ended_;
  for (const std::size_t next : plan_[step].before) {
    if (--missing_[next] == 0 && states_[next] == state::waiting) {
      ready_.emplace(-plan_[next].priority, next);
    }
  }
}

std::vector<std::size_t> plan_run::failed(std::size_t step) {
  states_[step] = state::ended;
  ++ended_;
  std::vector<std::size_t> out;
  std::vector<std::size_t> open{step};
  while (!open.empty()) {
    const std::size_t at = open.back();
    open.pop_back();
    for (const std::size_t next : plan_[at].before) {
      if (states_[next] != state::waiting) continue;
      states_[next] = state::ended;
      ++ended_;
      out.push_back(next);
      open.push_back(next);
    }
  }
  std::sort(out.begin(), out.end());
  return out;
}

std::vector<std::size_t> plan_run::abandon() {
  std::vector<std::size_t> out;
  ready_.clear();
  for (std::size_t at = 0; at < states_.size(); ++at) {
    if (states_[at] != state::waiting) continue;
    states_[at] = state::ended;
    ++ended_;
    out.push_back(at);
  }
  return out;
}

plan_forecast forecast(const std::vector<plan_step>& plan, std::size_t jobs) {
  using ending = std::pair<double, std::size_t>;
  std::priority_queue<ending, std::vector<ending>, std::greater<>> running;
  std::vector<double> begins(plan.size());
  plan_forecast out;
  plan_run run(plan);
  double now = 0;
  while (!run.finished()) {
    while (running.size() < jobs) {
      const std::optional<std::size_t> next = run.start_next();
      if (!next) break;
      out.order.push_back(*next);
      begins[*next] = now;
      running.emplace(now + plan[*next].weight, *next);
    }
    now = running.top().first;
    run.succeeded(running.top().second);
    running.pop();
  }
  if (!critical_path(plan)) return out;
  out.begins.reserve(plan.size());
  for (const double begin : begins) out.begins.push_back(duration_of(begin));
  out.end = duration_of(now);
  return out;
}

}  // namespace matview::views
