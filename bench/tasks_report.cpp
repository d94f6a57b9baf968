#include "tasks_report.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace matview::bench {

namespace {

// A goal of the queue: its own figure, or its ratio to another system's in the same rounds.
struct goal {
  std::string title;
  std::string measure;
  std::string to;  // The other system; empty: none.
  std::string to_measure;
  std::string unit;
  double limit;
  bool at_least;
  bool worst;  // Every round counts, not the median.
};

const std::vector<goal>& goals() {
  static const std::vector<goal> all{
      {"latency p50", "latency p50", "", "", "ms", 1.0, false, false},
      {"latency p99 / graphile-worker's", "latency p99", "graphile-worker", "latency p99", "",
       1.0 / 3, false, false},
      {"concurrency 10 / graphile-worker's", "process, 10 at once", "graphile-worker",
       "process, 10 at once", "", 2.0, true, false},
      {"concurrency 10 / the floor of two commits", "process, 10 at once", "pgbench",
       "claim, then done, 8 clients", "", 0.8, true, false},
      {"batched / graphile-worker's tuned preset", "process, batched", "graphile-worker tuned",
       "process, batched", "", 1.0, true, false},
      {"takeover after kill -9, the longest", "takeover after kill -9", "", "", "s", 6.0, false,
       true},
      {"idle worker: resident", "idle worker: resident", "", "", "MiB", 20.0, false, true},
      {"idle worker: CPU", "idle worker: CPU", "", "", "% of a core", 0.5, false, true},
      {"idle worker: queries", "idle worker: queries", "", "", "in 5 s", 1.0, false, true}};
  return all;
}

struct spread {
  double median;
  double low;
  double high;
};

spread spread_of(std::vector<double> values) {
  std::ranges::sort(values);
  const std::size_t middle = values.size() / 2;
  const double median =
      values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
  return {median, values.front(), values.back()};
}

std::string shown(double value) {
  if (value >= 1000) return fmt::format("{:.0f}", value);
  return value >= 100 ? fmt::format("{:.1f}", value) : fmt::format("{:.2f}", value);
}

std::string shown(const spread& of) {
  return fmt::format("{} [{} - {}]", shown(of.median), shown(of.low), shown(of.high));
}

}  // namespace

void tasks_report::add(const std::string& measure, const std::string& system,
                       const std::string& unit, double value) {
  const auto found = std::ranges::find_if(
      all_, [&](const series& one) { return one.measure == measure && one.system == system; });
  if (found != all_.end()) {
    found->values.push_back(value);
    return;
  }
  // Behind the others of the same measure.
  const auto last = std::find_if(all_.rbegin(), all_.rend(),
                                 [&](const series& one) { return one.measure == measure; });
  all_.insert(last == all_.rend() ? all_.end() : last.base(), {measure, system, unit, {value}});
}

const series* tasks_report::find(const std::string& measure, const std::string& system) const {
  const auto found = std::ranges::find_if(
      all_, [&](const series& one) { return one.measure == measure && one.system == system; });
  return found == all_.end() ? nullptr : &*found;
}

void tasks_report::print_rows() const {
  fmt::print("{:<34} {:<34} {:>34}\n", "measure", "", "median of the rounds [min - max]");
  std::string last;
  for (const series& one : all_) {
    if (one.measure != last) fmt::print("{:-<112}\n", "");
    fmt::print("{:<34} {:<34} {:>34} {}\n", one.measure == last ? "" : one.measure, one.system,
               shown(spread_of(one.values)), one.unit);
    last = one.measure;
  }
}

void tasks_report::print_goals() const {
  fmt::print("\nGoals; ratios are taken round by round: median [min - max]\n");
  for (const goal& one : goals()) {
    const series* ours = find(one.measure, "matview");
    if (ours == nullptr) continue;
    std::vector<double> values = ours->values;
    if (!one.to.empty()) {
      const series* theirs = find(one.to_measure, one.to);
      if (theirs == nullptr) {
        fmt::print("{}: not measured, {} was not there\n", one.title, one.to);
        continue;
      }
      std::ranges::transform(values, theirs->values, values.begin(), std::divides<>());
    }
    const spread seen = spread_of(values);
    const double decides = !one.worst ? seen.median : one.at_least ? seen.low : seen.high;
    const bool met = one.at_least ? decides >= one.limit : decides <= one.limit;
    const bool by_chance = !one.worst && (one.at_least ? (seen.low >= one.limit) != met
                                                       : (seen.high <= one.limit) != met);
    fmt::print("{} = {}{}{}  (goal {} {:.2f})  {}{}\n", one.title, shown(seen),
               one.unit.empty() ? "" : " ", one.unit, one.at_least ? "at least" : "at most",
               one.limit, met ? "ok" : "MISSED",
               by_chance && met ? ", but not in every round" : "");
  }
}

}  // namespace matview::bench
