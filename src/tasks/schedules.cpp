#include "store/task_statements.hpp"
#include "tasks/enqueue.hpp"
#include "tasks/policies.hpp"
#include "tasks/refresh_check.hpp"
#include "tasks/session.hpp"
#include "tasks/ticks.hpp"
#include "tasks/values.hpp"
#include "text/quote.hpp"
#include <matview/cron.hpp>
#include <matview/error.hpp>
#include <matview/schedules.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace matview::tasks {

namespace {

using following = std::function<std::optional<instant>(instant)>;

[[noreturn]] void refuse(const std::string& what, std::string_view hint) {
  throw error(errc::invalid_option, what, {.hint = std::string(hint)});
}

void refuse_zero(std::string_view what, const std::optional<interval>& value) {
  if (value && value->to_duration().count() == 0) {
    refuse(fmt::format("{} is 0", what), "write a length of time such as \"30 minutes\"");
  }
}

// Everything that is known to be wrong without asking the database.
void check(const schedule_definition& schedule) {
  if (schedule.name.empty() || schedule.name.size() > 200) {
    refuse(fmt::format("{} is not a schedule's name", text::shown(schedule.name)),
           "a schedule has a name of 1 to 200 bytes");
  }
  check_task(schedule.task);
  check_arguments(schedule.args);
  check_job(schedule.queue, schedule.priority, schedule.max_attempts);
  if (schedule.max_failures < 1) refuse("max_failures must be at least 1", "10 is the default");
  refuse_zero("the timeout", schedule.timeout);
  refuse_zero("the window for missed ticks", schedule.missed_window);
  if (schedule.cron.empty() == !schedule.every.has_value()) {
    refuse("a schedule has either a cron expression or a period",
           "such as cron \"*/5 * * * *\" or every \"5 minutes\"");
  }
  if (!schedule.cron.empty()) static_cast<void>(cron::parse(schedule.cron, schedule.time_zone));
  if (schedule.every && schedule.every->to_duration() < std::chrono::seconds(1)) {
    refuse(fmt::format("a period of {} is too short", schedule.every->text()),
           "it is at least 1 second");
  }
}

following ticks_of(const schedule_definition& schedule, instant anchor) {
  if (schedule.every) return every(anchor, schedule.every->to_duration());
  return [when = cron::parse(schedule.cron, schedule.time_zone)](instant at) {
    return when.next_after(at);
  };
}

instant first_tick(const schedule_definition& schedule, instant now) {
  const std::optional<instant> first = ticks_of(schedule, now)(now);
  if (!first) refuse("this schedule never fires", "its last time has passed");
  return *first;
}

asio::awaitable<instant> database_time(pg::connection& on) {
  const pg::result told = co_await on.query(store::sql::now.sql);
  co_return instant(std::chrono::microseconds(told.integer(0, 0)));
}

asio::awaitable<bool> set_on(pg::connection& on, const schedule_definition& schedule) {
  // What cannot be refreshed is refused today, not every night.
  if (schedule.task == "refresh") co_await check_refresh(on, schedule.args);
  if (!schedule.cron.empty()) {
    std::vector<pg::parameter> zone{schedule.time_zone};
    co_await on.query(store::sql::check_zone.sql, std::move(zone));
  }
  const instant first = first_tick(schedule, co_await database_time(on));
  std::vector<pg::parameter> values{
      schedule.name,
      schedule.task,
      schedule.args,
      schedule.cron.empty() ? pg::parameter() : pg::parameter(schedule.cron),
      schedule.time_zone,
      seconds_parameter(schedule.every),
      schedule.queue,
      fmt::format("{}", schedule.priority),
      fmt::format("{}", schedule.max_attempts),
      seconds_parameter(schedule.timeout),
      std::string(word_of(schedule.missed)),
      seconds_parameter(schedule.missed_window),
      std::string(word_of(schedule.overlap)),
      fmt::format("{}", schedule.max_failures),
      fmt::format("{}", first.time_since_epoch().count())};
  const pg::result changed = co_await on.query(store::sql::set_schedule.sql, std::move(values));
  co_return changed.rows() > 0;
}

asio::awaitable<bool> set_anywhere(schedule_definition schedule, std::string database) {
  check(schedule);
  const auto work = [&schedule](pg::connection& on) { return set_on(on, schedule); };
  co_return co_await on_store(std::move(database), no_schema::make_it, work);
}

// A row of store::sql::schedules.
struct stored_schedule {
  schedule_info info;
  instant now;
  instant anchor;
};

stored_schedule schedule_at(const pg::result& from, int row) {
  stored_schedule out{
      .info = {.definition = {.name = from.string(row, 0),
                              .task = from.string(row, 1),
                              .args = from.string(row, 2),
                              .cron = from.string(row, 3),
                              .time_zone = from.string(row, 4),
                              .every = interval_at(from, row, 5),
                              .queue = from.string(row, 6),
                              .priority = static_cast<int>(from.integer(row, 7)),
                              .max_attempts = static_cast<int>(from.integer(row, 8)),
                              .timeout = interval_at(from, row, 9),
                              .missed = policy_of<missed>(missed_words, from.text(row, 10)),
                              .missed_window = interval_at(from, row, 11),
                              .overlap = policy_of<overlap>(overlap_words, from.text(row, 12)),
                              .max_failures = static_cast<int>(from.integer(row, 13))},
               .next_at = time_at(from, row, 14),
               .last_tick = time_at(from, row, 15),
               .paused_at = time_at(from, row, 16),
               .paused_why = from.string(row, 17),
               .failures = static_cast<int>(from.integer(row, 18))},
      .now = instant(std::chrono::microseconds(from.integer(row, 19))),
      .anchor = {}};
  out.anchor =
      from.is_null(row, 20) ? out.now : instant(std::chrono::microseconds(from.integer(row, 20)));
  return out;
}

asio::awaitable<std::vector<stored_schedule>> read(pg::connection& on, pg::parameter name) {
  std::vector<pg::parameter> values;
  values.push_back(std::move(name));
  const pg::result found = co_await on.query(store::sql::schedules.sql, std::move(values));
  std::vector<stored_schedule> out;
  out.reserve(static_cast<std::size_t>(found.rows()));
  for (int row = 0; row < found.rows(); ++row) out.push_back(schedule_at(found, row));
  co_return out;
}

[[noreturn]] void refuse_unknown(const std::string& name) {
  throw error(errc::invalid_option, fmt::format("there is no schedule {}", text::shown(name)),
              {.hint = "matview schedule list shows those that there are"});
}

asio::awaitable<stored_schedule> read_one(pg::connection& on, const std::string& name) {
  std::vector<stored_schedule> found = co_await read(on, pg::parameter(name));
  if (found.empty()) refuse_unknown(name);
  co_return std::move(found.front());
}

// Runs a statement whose one row says that the schedule is there.
asio::awaitable<pg::result> run_on_one(pg::connection& on, const pg::named_statement& statement,
                                       std::vector<pg::parameter> values) {
  const std::string name = *values.front();
  pg::result done = co_await on.query(statement.sql, std::move(values));
  if (done.rows() == 0) refuse_unknown(name);
  co_return done;
}

asio::awaitable<bool> resume_on(pg::connection& on, const std::string& name) {
  const stored_schedule found = co_await read_one(on, name);
  if (!found.info.paused_at) co_return false;
  const following ticks = ticks_of(found.info.definition, found.anchor);
  const instant next = ticks(found.now).value_or(found.anchor);
  std::vector<pg::parameter> values{name, fmt::format("{}", next.time_since_epoch().count())};
  co_await on.query(store::sql::resume_schedule.sql, std::move(values));
  co_return true;
}

}  // namespace

asio::awaitable<bool> aset_schedule(schedule_definition schedule, std::string database) {
  return views::isolated(set_anywhere(std::move(schedule), std::move(database)));
}

bool set_schedule(const schedule_definition& schedule, std::string_view database) {
  return pg::run_sync(aset_schedule(schedule, std::string(database)));
}

std::vector<schedule_info> list_schedules(std::string_view database) {
  const auto work = [](pg::connection& on) { return read(on, std::nullopt); };
  std::vector<schedule_info> out;
  for (stored_schedule& one : on_store_now(database, no_schema::is_empty, work)) {
    out.push_back(std::move(one.info));
  }
  return out;
}

schedule_info find_schedule(std::string_view name, std::string_view database) {
  const auto work = [wanted = std::string(name)](pg::connection& on) {
    return read_one(on, wanted);
  };
  return on_store_now(database, no_schema::refuse, work).info;
}

std::vector<skipped_ticks> list_skipped_ticks(std::string_view name, std::size_t most,
                                              std::string_view database) {
  const std::vector<pg::parameter> values{std::string(name), fmt::format("{}", most)};
  const auto work = [&values](pg::connection& on) {
    return on.query(store::sql::skipped_ticks.sql, values);
  };
  const pg::result found = on_store_now(database, no_schema::is_empty, work);
  std::vector<skipped_ticks> out;
  out.reserve(static_cast<std::size_t>(found.rows()));
  for (int row = 0; row < found.rows(); ++row) {
    out.push_back({*time_at(found, row, 0), *time_at(found, row, 1), found.string(row, 2),
                   found.string(row, 3)});
  }
  return out;
}

bool remove_schedule(std::string_view name, std::string_view database) {
  const std::vector<pg::parameter> values{std::string(name)};
  const auto work = [&values](pg::connection& on) {
    return on.query(store::sql::remove_schedule.sql, values);
  };
  return on_store_now(database, no_schema::is_empty, work).rows() > 0;
}

void pause_schedule(std::string_view name, std::string_view database) {
  const std::vector<pg::parameter> values{std::string(name)};
  const auto work = [&values](pg::connection& on) {
    return run_on_one(on, store::sql::pause_schedule, values);
  };
  on_store_now(database, no_schema::refuse, work);
}

void resume_schedule(std::string_view name, std::string_view database) {
  const auto work = [wanted = std::string(name)](pg::connection& on) {
    return resume_on(on, wanted);
  };
  on_store_now(database, no_schema::refuse, work);
}

std::int64_t run_schedule_now(std::string_view name, std::string_view database) {
  const std::vector<pg::parameter> values{std::string(name)};
  const auto work = [&values](pg::connection& on) {
    return run_on_one(on, store::sql::run_schedule_now, values);
  };
  return on_store_now(database, no_schema::refuse, work).integer(0, 0);
}

std::vector<std::chrono::system_clock::time_point> next_ticks(std::string_view name,
                                                              std::size_t count,
                                                              std::string_view database) {
  const auto work = [wanted = std::string(name)](pg::connection& on) {
    return read_one(on, wanted);
  };
  const stored_schedule found = on_store_now(database, no_schema::refuse, work);
  const following ticks = ticks_of(found.info.definition, found.anchor);
  std::vector<std::chrono::system_clock::time_point> out;
  std::optional<instant> at = found.now;
  while (out.size() < count && (at = ticks(*at))) out.emplace_back(*at);
  return out;
}

}  // namespace matview::tasks
