#pragma once

#include "store/durations.hpp"
#include <matview/graph.hpp>
#include <matview/refresh_many.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace matview::views {

// What refresh_many() decides, apart from doing it: no clock, no connection.
//
// A plan is made once, from the graph and from what is known of durations. A run then says what may
// start next and is told how each ended. Invariants, which tests/unit/refresh_plan_test.cpp holds
// against an oracle: each step starts at most once; never before all steps upstream of it have
// ended well; a failure ends exactly what is downstream of it; when nothing runs and nothing may
// start, everything has ended.

using std::chrono::microseconds;

/// One refresh of a plan. Plain data.
struct plan_step {
  graph_node view = {};
  std::vector<std::size_t> after = {};   ///< Steps that must end first; ascending.
  std::vector<std::size_t> before = {};  ///< Steps that wait for this one; ascending.
  std::string skipped = {};              ///< Why it must not be tried, or empty.
  std::optional<microseconds> expected = {};
  double weight = 1;    ///< Its expected seconds, or another measure of work if none has any.
  double priority = 1;  ///< The weight of the longest way from its start to the end of all.
};

/// The materialized views that are meant, by position.
/// @throws error with errc::invalid_option or errc::view_not_found.
[[nodiscard]] std::vector<view_graph::index> select_views(const view_graph& graph,
                                                          const view_selection& which);

/// The steps of a plan, each after those that it waits for. A view waits for another one of the
/// plan also if those between them are not in it.
/// @throws error with errc::invalid_option if these or what they are made from
///         stand in a cycle.
[[nodiscard]] std::vector<plan_step> make_plan(const view_graph& graph,
                                               const std::vector<view_graph::index>& views,
                                               const store::duration_map& usual);

/// The longest way through the plan; nothing if durations are not known.
[[nodiscard]] std::optional<microseconds> critical_path(const std::vector<plan_step>& plan);

/// What may start next, and what a failure means for the others.
class plan_run final {
 public:
  /// `plan` must outlive it.
  explicit plan_run(const std::vector<plan_step>& plan);

  /// Of those that may start now the one with the highest priority, or nothing. It counts as
  /// started.
  [[nodiscard]] std::optional<std::size_t> start_next();

  /// A step that was started has ended well: what waits for it alone may start.
  void succeeded(std::size_t step);

  /// A step that was started has not. @return what will not start because of it, which has ended
  /// with this; ascending.
  std::vector<std::size_t> failed(std::size_t step);

  /// All that has not been started, which has ended with this; ascending.
  std::vector<std::size_t> abandon();

  [[nodiscard]] bool finished() const noexcept { return ended_ == plan_.size(); }

 private:
  enum class state { waiting, started, ended };

  const std::vector<plan_step>& plan_;
  std::vector<state> states_;
  std::vector<std::size_t> missing_;                // Of each step: how many it still waits for.
  std::set<std::pair<double, std::size_t>> ready_;  // By falling priority, then by position.
  std::size_t ended_ = 0;
};

/// What a run would look like if each step took what is expected.
struct plan_forecast {
  std::vector<std::size_t> order;  ///< Of starting.
  /// By step, from the beginning of the whole; empty if durations are not known.
  std::vector<microseconds> begins;
  std::optional<microseconds> end;  ///< Nothing if durations are not known.
};

/// A run with so many jobs, at least one.
[[nodiscard]] plan_forecast forecast(const std::vector<plan_step>& plan, std::size_t jobs);

}  // namespace matview::views
