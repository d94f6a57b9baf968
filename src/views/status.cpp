#include "views/status.hpp"

#include "views/outside.hpp"
#include "views/source_changes.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

namespace matview {

std::string_view to_string(freshness state) noexcept {
  switch (state) {
    case freshness::fresh:
      return "fresh";
    case freshness::stale:
      return "stale";
    case freshness::unknown:
      break;
  }
  return "unknown";
}

namespace views {

namespace {

using std::chrono::microseconds;
using time_point = view_status::time_point;

time_point time_of(std::int64_t since_1970) {
  return time_point(microseconds(since_1970));
}

microseconds length_of(double seconds) {
  return std::chrono::duration_cast<microseconds>(std::chrono::duration<double>(seconds));
}

// A word of a newer program is nobody's.
template <class Word, std::size_t Count>
Word word_of(const std::array<Word, Count>& all, std::string_view text) {
  const auto* const found =
      std::find_if(all.begin(), all.end(), [&](Word one) { return to_string(one) == text; });
  return found == all.end() ? all.front() : *found;
}

constexpr std::array modes{refresh_mode::none,         refresh_mode::full,
                           refresh_mode::concurrently, refresh_mode::incremental,
                           refresh_mode::diff,         refresh_mode::swap};
constexpr std::array origins{refresh_origin::api, refresh_origin::hand, refresh_origin::schedule,
                             refresh_origin::somebody_else};

bool is_of_this_view(const status_case& view) {
  return view.memory && view.memory->data_as_of && view.memory->known_oid == view.facts.oid;
}

std::optional<outside_change> outside_of(const status_case& view) {
  if (!is_of_this_view(view)) return std::nullopt;
  return seen_outside(view.memory->state, view.memory->now);
}

std::string rows_changed(const store::incremental_state& state) {
  const bool one = state.changed == 1 && !state.more;
  return fmt::format("{}{} row{} changed in {}", state.more ? "at least " : "", state.changed,
                     one ? " was" : "s were", state.changed_in);
}

// Its logs tell exactly what no counter does.
void judge_incremental(const status_case& from, view_status& to) {
  const auto say = [&to](freshness fresh, std::string reason) {
    to.fresh = fresh;
    to.reason = std::move(reason);
  };
  if (!from.incremental) return say(freshness::unknown, from.no_incremental);
  const store::incremental_state& state = *from.incremental;
  if (!state.has_definition) {
    return say(freshness::unknown, "its definition is gone, and it cannot be refreshed any more");
  }
  if (!state.shows_storage) {
    return say(freshness::unknown, "it was given another query (CREATE OR REPLACE VIEW)");
  }
  if (!state.filled) return say(freshness::stale, "it was never filled");
  if (!state.detached.empty()) return say(freshness::stale, state.detached);
  if (state.truncated) return say(freshness::stale, "TRUNCATE of " + state.changed_in);
  if (state.changed > 0) return say(freshness::stale, rows_changed(state));
  if (!state.fault.empty()) {
    return say(freshness::unknown, "changes are not captured completely: " + state.fault);
  }
  if (!state.fits) {
    return say(freshness::unknown,
               "a table or function that it is made from was altered, or the database was restored "
               "or the server restarted, so its next refresh fills it anew");
  }
  if (state.logs_unreadable) {
    return say(freshness::unknown,
               "this role may not read the logs of its tables, or they are of "
               "another database");
  }
  say(freshness::fresh, "nothing has changed in its tables");
}

void judge(const status_case& from, view_status& to) {
  if (from.facts.incremental) return judge_incremental(from, to);
  const auto say = [&to](freshness state, std::string reason) {
    to.fresh = state;
    to.reason = std::move(reason);
  };
  if (!from.facts.populated) return say(freshness::stale, "it holds no data");
  std::string unsure = reason_not_to_compare(from);
  if (!unsure.empty()) return say(freshness::unknown, std::move(unsure));
  if (!from.sources) return say(freshness::unknown, "its tables were not looked at");
  source_verdict verdict = compare_sources(from.memory->sources, *from.sources);
  if (verdict.unchanged) return say(freshness::fresh, std::move(verdict.reason));
  say(verdict.known ? freshness::stale : freshness::unknown, std::move(verdict.reason));
}

void add_memory(const status_case& from, view_status& to) {
  const store::status_memory& known = *from.memory;
  if (known.started && known.finished) {
    to.last = {.started = time_of(*known.started),
               .finished = time_of(*known.finished),
               .mode = word_of(modes, known.mode),
               .rows = known.rows,
               .asked_by = word_of(origins, known.asked_by)};
  }
  if (from.facts.populated && is_of_this_view(from)) {
    to.age = std::max(microseconds(0), microseconds(from.facts.now - *known.data_as_of));
  }
  if (const auto outside = outside_of(from)) {
    to.outside = {
        .refreshed = outside->refreshed, .mode = outside->mode, .seen_by = outside->reason};
  }
  if (known.median) {
    to.usual = {.median = length_of(*known.median),
                .deviation = length_of(known.deviation.value_or(0)),
                .refreshes = known.refreshes};
  }
  if (known.failed_at) {
    to.error = {
        .at = time_of(*known.failed_at), .sqlstate = known.sqlstate, .message = known.error};
  }
}

void add_running(const status_case& from, view_status& to) {
  const store::status_facts& facts = from.facts;
  if (facts.refreshed_by.empty()) return;
  view_status::running_refresh running{.by = facts.refreshed_by};
  if (facts.refreshed_since) {
    running.since = time_of(*facts.refreshed_since);
    running.elapsed = std::max(microseconds(0), microseconds(facts.now - *facts.refreshed_since));
  }
  running.compared = compared_with_usual(running.elapsed, to.usual);
  to.running = std::move(running);
}

}  // namespace

std::string reason_not_to_compare(const status_case& view) {
  if (!view.memory) return view.no_memory;
  if (!view.memory->data_as_of) return "no refresh of it is remembered";
  if (!is_of_this_view(view)) return "the view was made anew";
  if (view.standby) return "a standby does not count the changes of its tables: ask the primary";
  const auto outside = outside_of(view);
  if (outside && outside->refreshed) {
    return "it was refreshed outside, so what is remembered of its tables is older than its data";
  }
  return {};
}

bool needs_sources(const status_case& view) {
  return !view.facts.incremental && view.facts.populated && reason_not_to_compare(view).empty();
}

std::string compared_with_usual(std::optional<microseconds> elapsed,
                                const std::optional<view_status::usual_time>& usual) {
  if (!elapsed) return "since when is hidden from this role";
  if (!usual || usual->median.count() <= 0) return "how long it usually takes is not known";
  // The MAD of a normal distribution is this part of its standard deviation.
  constexpr double mad_of_deviation = 0.6745;
  const auto median = static_cast<double>(usual->median.count());
  const auto deviation = static_cast<double>(usual->deviation.count()) / mad_of_deviation;
  const auto now = static_cast<double>(elapsed->count());
  if (now <= median) return fmt::format("{:.0f} % of its usual time", 100 * now / median);
  if (now <= median + std::max(3 * deviation, median / 10)) {
    return "past its usual time, but not by more than it varies";
  }
  return fmt::format("longer than usual: {:.1f} times its usual time", now / median);
}

view_status status_of(const status_case& view) {
  view_status out{.schema = view.facts.schema,
                  .name = view.facts.name,
                  .kind = view.facts.incremental ? view_kind::incremental : view_kind::native,
                  .populated = view.facts.populated,
                  .bytes = view.facts.bytes};
  if (view.memory) add_memory(view, out);
  // Its own record knows when it was refreshed, also in SQL, of which there is no history.
  if (view.incremental && view.incremental->filled && view.incremental->since_refresh) {
    const microseconds age = *view.incremental->since_refresh;
    out.age = out.age ? std::min(*out.age, age) : age;
  }
  add_running(view, out);
  if (!view.schedules.empty()) {
    const store::status_schedule& next = view.schedules.front();
    out.next = {.schedule = next.name, .at = std::nullopt, .paused = next.paused};
    if (next.next_at && !next.paused) out.next->at = time_of(*next.next_at);
  }
  judge(view, out);
  return out;
}

std::vector<std::string> unseen_by(const store::status_access& access) {
  if (!access.schema) return {"no history is kept in this database: it has no schema matview"};
  std::vector<std::string> out;
  if (!access.history) {
    out.emplace_back("this role may not read the history (matview.view and matview.refresh)");
  }
  if (!access.schedules) {
    out.emplace_back("this role may not read matview.schedule: what is due next is not known");
  }
  return out;
}

}  // namespace views

}  // namespace matview
