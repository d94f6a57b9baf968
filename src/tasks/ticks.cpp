#include "tasks/ticks.hpp"

#include <algorithm>

namespace matview::tasks {

namespace {

using std::chrono::microseconds;

// Later than anything a server can store: a schedule that has come to its end.
constexpr instant never{std::chrono::sys_days{std::chrono::year{9999} / 12 / 31}};

microseconds window_of(const due_schedule& due, microseconds period) {
  if (due.window.count() > 0) return due.window;
  switch (due.missed) {
    case tasks::missed::all:
      return due.now - instant{};
    case tasks::missed::once:
      return std::max<microseconds>(period, std::chrono::hours(1));
    case tasks::missed::skip:
      return std::min<microseconds>(period, std::chrono::minutes(1));
  }
  return period;
}

const char* reason(tasks::missed policy) {
  switch (policy) {
    case tasks::missed::skip:
      return "no worker fired it in time, and missed ticks are skipped";
    case tasks::missed::once:
      return "no worker fired it in time, and the newest missed tick stands for the others";
    case tasks::missed::all:
      return "no worker fired it within the window for missed ticks";
  }
  return "";
}

}  // namespace

tick_plan plan_ticks(const due_schedule& due) {
  const microseconds tick{1};
  const auto after = [&due](instant at) { return due.following(at).value_or(never); };
  const instant oldest = due.now - window_of(due, after(due.next_at) - due.next_at);

  // The first tick that is not too old, and the last one before it.
  const instant first = due.next_at >= oldest ? due.next_at : after(oldest - tick);
  tick_plan plan{.tick = std::nullopt,
                 .next = first,
                 .first_missed = std::nullopt,
                 .last_missed = std::nullopt,
                 .why = {}};
  if (first > due.next_at) {
    plan.first_missed = due.next_at;
    plan.last_missed = std::max(due.next_at, std::min(first, due.now) - tick);
  }
  if (first <= due.now) {
    plan.tick = first;
    plan.next = after(first);
    while (due.missed != tasks::missed::all && plan.next <= due.now) {
      if (!plan.first_missed) plan.first_missed = due.next_at;
      plan.last_missed = plan.tick;
      plan.tick = plan.next;
      plan.next = after(plan.next);
    }
  }
  if (plan.first_missed) plan.why = reason(due.missed);
  return plan;
}

std::function<std::optional<instant>(instant)> every(instant anchor, microseconds period) {
  return [anchor, period](instant at) -> std::optional<instant> {
    const auto passed = (at - anchor).count();
    const auto length = period.count();
    const auto whole = passed >= 0 ? passed / length : -((-passed + length - 1) / length);
    return anchor + microseconds((whole + 1) * length);
  };
}

}  // namespace matview::tasks
