#include "tasks/ticks.hpp"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <vector>

namespace matview::tasks {
namespace {

using std::chrono::microseconds;
using namespace std::chrono_literals;

constexpr instant epoch{};
constexpr instant second(std::int64_t count) {
  return epoch + std::chrono::seconds(count);
}

due_schedule minutely(tasks::missed missed, instant next_at, instant now,
                      microseconds window = 0s) {
  return {.next_at = next_at,
          .now = now,
          .missed = missed,
          .window = window,
          .following = every(epoch, 1min)};
}

TEST(PlanTicks, FiresTheTickThatIsDue) {
  for (const auto missed : {tasks::missed::skip, tasks::missed::once, tasks::missed::all}) {
    const tick_plan plan = plan_ticks(minutely(missed, second(120), second(120)));
    EXPECT_EQ(plan.tick, second(120));
    EXPECT_EQ(plan.next, second(180));
    EXPECT_FALSE(plan.first_missed);
    EXPECT_EQ(plan.why, "");
  }
}

TEST(PlanTicks, LetsTheNewestStandForTheMissed) {
  const tick_plan plan = plan_ticks(minutely(tasks::missed::once, second(120), second(301)));
  EXPECT_EQ(plan.tick, second(300));
  EXPECT_EQ(plan.next, second(360));
  EXPECT_EQ(plan.first_missed, second(120));
  EXPECT_EQ(plan.last_missed, second(240));
  EXPECT_NE(plan.why, "");
}

TEST(PlanTicks, MakesUpForAllTheOldestFirst) {
  const tick_plan plan = plan_ticks(minutely(tasks::missed::all, second(120), second(301)));
  EXPECT_EQ(plan.tick, second(120));
  EXPECT_EQ(plan.next, second(180));
  EXPECT_FALSE(plan.first_missed);
}

TEST(PlanTicks, SkipsWhatIsMoreThanAMinuteLate) {
  due_schedule due{.next_at = second(0),
                   .now = second(61),
                   .missed = tasks::missed::skip,
                   .following = every(epoch, 24h)};
  const tick_plan late = plan_ticks(due);
  EXPECT_FALSE(late.tick);
  EXPECT_EQ(late.next, second(86'400));
  EXPECT_EQ(late.first_missed, second(0));
  due.now = second(60);
  EXPECT_EQ(plan_ticks(due).tick, second(0));
}

TEST(PlanTicks, DropsWhatIsOlderThanTheWindow) {
  const tick_plan plan = plan_ticks(minutely(tasks::missed::all, second(0), second(600), 2min));
  EXPECT_EQ(plan.tick, second(480));
  EXPECT_EQ(plan.first_missed, second(0));
  EXPECT_LT(*plan.last_missed, second(480));
  EXPECT_GE(*plan.last_missed, second(420));
}

TEST(PlanTicks, OnceLooksBackAnHourOrAPeriod) {
  due_schedule due{.next_at = second(0),
                   .now = second(86'399),
                   .missed = tasks::missed::once,
                   .following = every(epoch, 24h)};
  EXPECT_EQ(plan_ticks(due).tick, second(0)) << "a day's run is made up for within the day";
}

TEST(PlanTicks, ComesToAnEnd) {
  due_schedule due = minutely(tasks::missed::once, second(60), second(61));
  due.following = [](instant at) -> std::optional<instant> {
    return at < second(60) ? std::optional(second(60)) : std::nullopt;
  };
  const tick_plan plan = plan_ticks(due);
  EXPECT_EQ(plan.tick, second(60));
  EXPECT_GT(plan.next, second(1'000'000'000));
}

// What a plan must be like, by a list of the ticks themselves.
RC_GTEST_PROP(PlanTicks, AccountsForEachTick, ()) {
  const auto period = std::chrono::seconds(*rc::gen::inRange(1, 500));
  const auto next_at = second(*rc::gen::inRange(0, 10) * period.count());
  const auto now = next_at + std::chrono::seconds(*rc::gen::inRange(0, 20'000));
  const auto window = std::chrono::seconds(*rc::gen::inRange(0, 5'000));
  const auto missed =
      *rc::gen::element(tasks::missed::skip, tasks::missed::once, tasks::missed::all);
  const tick_plan plan = plan_ticks({.next_at = next_at,
                                     .now = now,
                                     .missed = missed,
                                     .window = window,
                                     .following = every(epoch, period)});
  std::vector<instant> due;
  for (instant at = next_at; at <= now; at += period) due.push_back(at);
  const auto fits = [&](instant tick) { return window.count() == 0 || tick >= now - window; };

  if (plan.tick) {
    RC_ASSERT(std::count(due.begin(), due.end(), *plan.tick) == 1);
    RC_ASSERT(fits(*plan.tick));
    RC_ASSERT(plan.next == *plan.tick + period);
    if (missed != tasks::missed::all) RC_ASSERT(*plan.tick == due.back());
  } else {
    RC_ASSERT(missed != tasks::missed::all || !fits(due.back()));
    RC_ASSERT(plan.next > now);
  }
  // Each tick before the next one to wait for is fired or missed, and none is both.
  for (const instant tick : due) {
    if (tick >= plan.next) continue;
    const bool fired = plan.tick == tick;
    const bool recorded =
        plan.first_missed && *plan.first_missed <= tick && tick <= *plan.last_missed;
    RC_ASSERT(fired != recorded);
  }
}

RC_GTEST_PROP(Every, IsTheNextMultiple, ()) {
  const auto period = microseconds(*rc::gen::inRange<std::int64_t>(1, 100'000'000));
  const auto anchor =
      epoch + microseconds(*rc::gen::inRange<std::int64_t>(-1'000'000'000, 1'000'000'000));
  const auto after =
      epoch + microseconds(*rc::gen::inRange<std::int64_t>(-1'000'000'000, 1'000'000'000));
  const instant next = *every(anchor, period)(after);
  RC_ASSERT(next > after);
  RC_ASSERT(next - period <= after);
  RC_ASSERT((next - anchor) % period == microseconds(0));
}

}  // namespace
}  // namespace matview::tasks
