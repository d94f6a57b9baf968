#include "views/after_care.hpp"

#include "store/doctor_catalog.hpp"
#include <matview/error.hpp>

#include <fmt/format.h>

#include <cstdlib>
#include <string_view>
#include <utility>

namespace matview::views {

namespace {

using analyze_when = care_options::analyze_when;
using vacuum_when = care_options::vacuum_when;

// What stands in the way of both, or nothing.
std::string obstacle(const care_facts& facts) {
  if (facts.mode == refresh_mode::none) return "nothing was refreshed";
  if (!facts.own_session) return "it cannot run in the transaction that is open here";
  if (!facts.permitted) return "this role neither owns the view nor has MAINTAIN on it";
  return {};
}

care_step plan_analyze(const care_facts& facts, const care_options& options) {
  if (options.analyze == analyze_when::never) return {false, "it is switched off"};
  if (options.analyze == analyze_when::always) return {true, "it is always done"};
  if (!facts.analyzed) return {true, "the view was never analyzed"};
  if (!facts.rows_before || !facts.rows_after) {
    return {false, "how much the number of rows moved is not known"};
  }
  const std::int64_t moved = std::abs(*facts.rows_after - *facts.rows_before);
  const bool enough =
      moved >= options.moved_rows &&
      static_cast<double>(moved) >= options.moved_part * static_cast<double>(*facts.rows_before);
  return {enough,
          fmt::format("the number of rows {} from {} to {}", enough ? "moved" : "moved too little,",
                      *facts.rows_before, *facts.rows_after)};
}

care_step plan_vacuum(const care_facts& facts, const care_options& options) {
  if (options.vacuum == vacuum_when::never) return {false, "it is switched off"};
  if (options.vacuum == vacuum_when::always) return {true, "it is always done"};
  if (facts.mode != refresh_mode::full) {
    return {false, "a refresh that is not full leaves the pages of unchanged rows marked"};
  }
  if (!facts.any_index) return {false, "the view has no index that could be scanned alone"};
  if (facts.pages < options.least_pages) {
    return {false, fmt::format("the view has only {} pages", facts.pages)};
  }
  return {true, "a full refresh leaves no page marked all-visible"};
}

// VACUUM that cuts off empty pages at the end would lock readers out for a moment.
std::string statement(const care_plan& plan, const std::string& quoted) {
  if (plan.vacuum.wanted) {
    return fmt::format("VACUUM (SKIP_LOCKED, TRUNCATE false{}) {}",
                       plan.analyze.wanted ? ", ANALYZE" : "", quoted);
  }
  return fmt::format("ANALYZE (SKIP_LOCKED) {}", quoted);
}

care_act act_of(std::string_view what, const care_step& step) {
  return {.what = std::string(what), .done = false, .why = step.why};
}

}  // namespace

care_plan plan_care(const care_facts& facts, const care_options& options) {
  care_plan out{plan_analyze(facts, options), plan_vacuum(facts, options)};
  const std::string why_not = obstacle(facts);
  for (care_step* step : {&out.analyze, &out.vacuum}) {
    if (step->wanted && !why_not.empty()) *step = {false, why_not};
  }
  return out;
}

std::string care_report::text() const {
  std::string out;
  for (const care_act& act : acts) {
    out += fmt::format("{}{}: {} ({})", out.empty() ? "" : "; ", act.what,
                       act.done ? "done" : "not done", act.why);
  }
  return out;
}

asio::awaitable<care_report> care_for(pg::connection& on, std::string quoted, refresh_mode mode,
                                      std::optional<std::int64_t> rows_before,
                                      std::optional<std::int64_t> rows_after,
                                      care_options options) {
  care_facts facts{.mode = mode, .rows_before = rows_before, .rows_after = rows_after};
  facts.own_session = on.transaction_status() == PQTRANS_IDLE;
  std::optional<error> failure;
  if (facts.own_session && mode != refresh_mode::none) {
    try {
      const store::upkeep_facts known = co_await store::read_upkeep(on, quoted);
      facts.pages = known.pages;
      facts.any_index = known.any_index;
      facts.analyzed = known.analyzed;
      facts.permitted = known.permitted;
    } catch (const error& failed) {
      failure = failed;
    }
  }
  const care_plan plan = plan_care(facts, options);
  care_report report;
  report.acts.push_back(act_of("VACUUM", plan.vacuum));
  report.acts.push_back(act_of("ANALYZE", plan.analyze));

  std::chrono::microseconds took{0};
  if (!failure && (plan.vacuum.wanted || plan.analyze.wanted)) {
    const auto began = std::chrono::steady_clock::now();
    try {
      const std::string sql = statement(plan, quoted);
      co_await on.run(sql);
    } catch (const error& failed) {
      failure = failed;
    }
    took = std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now() -
                                                                 began);
  }
  if (failure && (!failure->connection_usable() || failure->code() == errc::cancelled)) {
    throw error(*failure);
  }
  // An old snapshot, or a commit of the refresh that is not on disk yet, keeps VACUUM from marking
  // pages, and it says nothing of that.
  const std::string refused = failure ? std::string(failure->what()) : on.warning();
  std::string marked;
  if (refused.empty() && plan.vacuum.wanted) {
    const store::upkeep_facts now = co_await store::read_upkeep(on, quoted);
    marked = fmt::format("; {} of {} pages are marked now", now.visible_pages, now.pages);
  }
  for (care_act& act : report.acts) {
    const care_step& step = act.what == "VACUUM" ? plan.vacuum : plan.analyze;
    if (!step.wanted) continue;
    act.done = refused.empty();
    act.duration = took;
    if (!act.done) {
      act.why = refused;
    } else if (act.what == "VACUUM") {
      act.why += marked;
    }
  }
  co_return report;
}

}  // namespace matview::views
