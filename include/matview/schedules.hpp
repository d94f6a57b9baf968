#pragma once

#include <matview/interval.hpp>

#include <boost/asio/awaitable.hpp>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace matview::tasks {

// Schedules: which task is to run when. They are rows in the database; any worker on it fires them,
// and a tick makes at most one job however many workers there are. `database` is an alias. Errors
// are as in views.hpp; the functions may be called from any thread.

/// What is to become of ticks while no worker ran.
enum class missed {
  skip,  ///< They are dropped, unless barely late: by less than a minute and less than a period.
  once,  ///< The newest one stands for all of them.
  all,   ///< Each is made up for, the oldest first.
};

/// What is to become of a tick while the job of an earlier one has not ended.
enum class overlap {
  coalesce,  ///< At most one runs and one waits; a tick beyond that is dropped.
  skip,      ///< It is dropped.
  allow,     ///< They run side by side.
};

/// A schedule as its owner defines it. Plain data.
struct schedule_definition {
  std::string name;         ///< 1 to 200 bytes.
  std::string task;         ///< `refresh`, `sql`, or the name of a task that some worker knows.
  std::string args = "{}";  ///< The arguments of each job, a JSON object.
  std::string cron = {};    ///< When; see cron.hpp. Either this or `every`.
  std::string time_zone = "UTC";       ///< IANA name of the zone that `cron` is in.
  std::optional<interval> every = {};  ///< Period, at least a second; counts from the definition.
  std::string queue = "default";       ///< Of its jobs, as in job_options; and so are these:
  int priority = 100;
  int max_attempts = 5;
  std::optional<interval> timeout = {};
  tasks::missed missed = tasks::missed::once;
  /// How late a tick may be made up for; by default one period or an hour, the longer, with `once`,
  /// and without a limit with `all`.
  std::optional<interval> missed_window = {};
  tasks::overlap overlap = tasks::overlap::coalesce;
  int max_failures = 10;  ///< Dead jobs in a row after which it is suspended.
};

/// A schedule as it stands in the database. Plain data.
struct schedule_info {
  schedule_definition definition;
  std::optional<std::chrono::system_clock::time_point> next_at = {};  ///< Unset while paused.
  std::optional<std::chrono::system_clock::time_point> last_tick =
      {};  ///< The last that was taken.
  std::optional<std::chrono::system_clock::time_point> paused_at = {};
  std::string paused_why = {};  ///< Empty: a person did it.
  int failures = 0;             ///< Dead jobs in a row.
};

/// Ticks that made no job, and why. Plain data.
struct skipped_ticks {
  std::chrono::system_clock::time_point first;
  std::chrono::system_clock::time_point last;
  std::string outcome;  ///< missed, coalesced or skipped.
  std::string reason;
};

/// Makes a schedule, or changes it to this. Does nothing if it stands there like this already, so
/// that any number of workers may do it when they start. A change counts from now: workers that
/// still know the old definition cannot fire it any more.
/// @return whether anything was changed.
/// @throws error with errc::invalid_cron, errc::invalid_option, errc::invalid_identifier for what
///         can never run; errc::view_not_found if it refreshes a view that is not there.
bool set_schedule(const schedule_definition& schedule, std::string_view database = "default");
boost::asio::awaitable<bool> aset_schedule(schedule_definition schedule,
                                           std::string database = std::string("default"));

/// All schedules, by name.
std::vector<schedule_info> list_schedules(std::string_view database = "default");

/// The schedule of this name. @throws error with errc::invalid_option if there is none.
schedule_info find_schedule(std::string_view name, std::string_view database = "default");

/// Its ticks that made no job, the newest first, at most `most`.
std::vector<skipped_ticks> list_skipped_ticks(std::string_view name, std::size_t most = 20,
                                              std::string_view database = "default");

/// Removes it; its jobs stay. @return whether it was there.
bool remove_schedule(std::string_view name, std::string_view database = "default");

/// Fires no more until it is resumed. @throws error with errc::invalid_option if there is none.
void pause_schedule(std::string_view name, std::string_view database = "default");

/// Goes on with the next tick from now, its failures forgotten. @throws as pause_schedule().
void resume_schedule(std::string_view name, std::string_view database = "default");

/// Puts a job of it into its queue now, beside its ticks. @return the job's id.
/// @throws as pause_schedule().
std::int64_t run_schedule_now(std::string_view name, std::string_view database = "default");

/// The next `count` ticks from now, by the database's clock, as long as nothing changes.
/// @throws as pause_schedule().
std::vector<std::chrono::system_clock::time_point> next_ticks(
    std::string_view name, std::size_t count, std::string_view database = "default");

}  // namespace matview::tasks
