#pragma once

#include <matview/schedules.hpp>

#include <chrono>
#include <functional>
#include <optional>
#include <string>

namespace matview::tasks {

using instant = std::chrono::sys_time<std::chrono::microseconds>;

/// A schedule that is due. Plain data.
struct due_schedule {
  instant next_at;  ///< The tick it waits for.
  instant now;      ///< The database's time.
  tasks::missed missed = tasks::missed::once;
  /// How late a tick may be; zero for the default: one period or an hour, the longer, for `once`;
  /// no limit for `all`; one period or a minute, the shorter, for `skip`.
  std::chrono::microseconds window{0};
  /// The first tick after an instant, or nothing if there is none.
  std::function<std::optional<instant>(instant)> following;
};

/// What is to be done about it. Plain data.
struct tick_plan {
  std::optional<instant> tick;  ///< To be fired.
  instant next;                 ///< The tick to wait for then.
  /// Ticks that are not fired lie from `first_missed` to `last_missed`.
  std::optional<instant> first_missed;
  std::optional<instant> last_missed;
  std::string why;
};

/// Decides. Pure: the same on every host that reads the same row at the same time of the database.
[[nodiscard]] tick_plan plan_ticks(const due_schedule& due);

/// Ticks at `anchor` + k `period`. Pure. @param period more than zero.
[[nodiscard]] std::function<std::optional<instant>(instant)> every(
    instant anchor, std::chrono::microseconds period);

}  // namespace matview::tasks
