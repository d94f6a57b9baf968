// Makes a failing schedule small: first it has to fail again.
#include "trial/reducer.hpp"
#include "trial/schedule.hpp"
#include "trial/script.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <functional>
#include <set>

namespace matview::trial {

namespace {

using clock = std::chrono::steady_clock;

bool has(const view_under_trial& all, const std::string& view) {
  return all.name == view ||
         std::ranges::find(all.underneath, view, &definition::name) != all.underneath.end();
}

/// Of the views only the one that failed, if it was one, and no transactions that are about others.
schedule with_one_view(schedule of, const std::string& view) {
  std::erase_if(of.views,
                [&](const view_under_trial& one) { return !view.empty() && !has(one, view); });
  std::set<std::size_t> about_others;
  for (const schedule_step& step : of.steps) {
    const auto is_there = [&](const view_under_trial& one) { return has(one, step.what.view); };
    if (!step.what.view.empty() && std::ranges::none_of(of.views, is_there)) {
      about_others.insert(step.unit);
    }
  }
  std::erase_if(of.steps,
                [&](const schedule_step& step) { return about_others.contains(step.unit); });
  return of;
}

schedule with_each_step_awaited(schedule of) {
  for (schedule_step& step : of.steps) step.overlaps = false;
  return of;
}

class schedule_shrinker final {
 public:
  schedule_shrinker(const failure& how, arena& in) : how_(how), arena_(in) {}

  bool fails_again(const schedule& recorded) {
    constexpr int attempts = 3;
    const schedule one_view = with_one_view(recorded, how_.view);
    for (int i = 0; i < attempts; ++i) {
      for (const schedule& again : {with_each_step_awaited(one_view), one_view,
                                    with_each_step_awaited(recorded), recorded}) {
        best_ = again;
        if (still_fails()) return true;
      }
    }
    return false;
  }

  std::string run(std::chrono::seconds at_most) {
    until_ = clock::now() + at_most;
    less_.shrink(best_.views);
    cut();
    drop_units();
    drop_statements();
    less_.shrink(best_.tables.rows);
    for (view_under_trial& one : best_.views) less_.shrink(one);
    drop_units();
    drop_statements();
    less_.drop_tables(best_.tables);
    for (view_under_trial& one : best_.views) less_.shrink(one);
    return setup_text(best_.tables, best_.views) + steps_text(best_, last_.waited) +
           failure_text(*last_.failed);
  }

 private:
  bool still_fails() {
    if (clock::now() > until_) return false;
    replay_result again = replay(best_, arena_);
    if (!again.failed || again.failed->kind != how_.kind) return false;
    last_ = std::move(again);
    return true;
  }

  void cut() { best_.steps.resize(last_.sent); }

  /// All steps with one key stay or go together; those without one stay.
  using key = std::optional<std::size_t>;
  void drop_by(const std::function<key(std::size_t step)>& key_of) {
    const std::vector<schedule_step> all = best_.steps;
    std::set<std::size_t> keys;
    for (std::size_t i = 0; i < all.size(); ++i) {
      if (const key one = key_of(i)) keys.insert(*one);
    }
    std::vector<std::size_t> kept(keys.begin(), keys.end());
    const auto apply = [&] {
      const std::set<std::size_t> stay(kept.begin(), kept.end());
      best_.steps.clear();
      for (std::size_t i = 0; i < all.size(); ++i) {
        const key one = key_of(i);
        if (!one || stay.contains(*one)) best_.steps.push_back(all[i]);
      }
    };
    reducer([&] {
      apply();
      return still_fails();
    }).shrink(kept);
    apply();
  }

  void drop_units() {
    const std::vector<schedule_step> all = best_.steps;
    drop_by([&](std::size_t i) { return key(all[i].session); });
    const std::vector<schedule_step> rest = best_.steps;
    drop_by([&](std::size_t i) { return key(rest[i].unit); });
    cut();
  }

  /// Not out of a check: its parts have a meaning only together.
  void drop_statements() {
    const std::vector<schedule_step> all = best_.steps;
    std::set<std::size_t> checks;
    for (const schedule_step& step : all) {
      if (step.what.what == action::kind::compare) checks.insert(step.unit);
    }
    drop_by([&](std::size_t i) { return checks.contains(all[i].unit) ? key() : key(i); });
    cut();
  }

  const failure& how_;
  arena& arena_;
  clock::time_point until_ = clock::time_point::max();
  schedule best_;
  replay_result last_;  // Of best_.
  reducer less_{[this] { return still_fails(); }};
};

// The recorded schedule where nothing better is to be had.

bool mentions(const std::string& sql, const std::string& name) {
  for (std::size_t at = sql.find(name); at != std::string::npos; at = sql.find(name, at + 1)) {
    const std::size_t end = at + name.size();
    if (end == sql.size() || std::isdigit(static_cast<unsigned char>(sql[end])) == 0) return true;
  }
  return false;
}

std::set<std::string> names_of(const schedule& of, const view_under_trial& view) {
  std::string queries = to_sql(view.body);
  std::set<std::string> names{view.name};
  for (const definition& one : view.underneath) {
    queries += to_sql(one.body);
    names.insert(one.name);
  }
  for (const table& one : of.tables.tables) {
    if (mentions(queries, one.name)) names.insert(one.name);
  }
  return names;
}

std::string last_steps(schedule of, const failure& how) {
  constexpr std::size_t shown = 80;
  of = with_one_view(std::move(of), how.view);
  std::set<std::string> names;
  for (const view_under_trial& one : of.views) names.merge(names_of(of, one));
  std::set<std::size_t> units;
  for (const schedule_step& step : of.steps) {
    const bool concerns =
        std::ranges::any_of(names, [&](const auto& name) { return mentions(step.what.sql, name); });
    if (concerns) units.insert(step.unit);
  }
  std::erase_if(of.steps, [&](const schedule_step& step) { return !units.contains(step.unit); });
  if (of.steps.size() > shown) {
    of.steps.erase(of.steps.begin(), of.steps.end() - static_cast<std::ptrdiff_t>(shown));
  }
  return steps_text(of);
}

}  // namespace

std::string shrunk_schedule(schedule recorded, const failure& how, arena& in,
                            std::chrono::seconds at_most) {
  schedule_shrinker less(how, in);
  if (less.fails_again(recorded)) {
    return "---------------- shrunk ----------------\n" + less.run(at_most);
  }
  return "-------- a replay did not show it; the last steps that concern it --------\n" +
         last_steps(std::move(recorded), how);
}

}  // namespace matview::trial
