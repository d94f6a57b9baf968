#include "store/task_statements.hpp"
#include "tasks/session.hpp"
#include "tasks/values.hpp"
#include "text/quote.hpp"
#include <matview/error.hpp>
#include <matview/jobs.hpp>
#include <matview/tasks.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string>
#include <utility>
#include <vector>

namespace matview::tasks {

namespace {

pg::parameter text_or_null(std::string_view text) {
  return text.empty() ? pg::parameter() : pg::parameter(std::string(text));
}

void check_state(const std::string& state) {
  constexpr std::array states{"", "ready", "running", "done", "dead", "cancelled"};
  if (std::find(states.begin(), states.end(), state) != states.end()) return;
  throw error(errc::invalid_option, fmt::format("{} is not a state of a job", text::shown(state)),
              {.hint = "a job is ready, running, done, dead or cancelled"});
}

[[noreturn]] void refuse_unknown(std::int64_t id) {
  throw error(errc::invalid_option, fmt::format("there is no job {}", id),
              {.hint = "matview jobs list shows those that there are; finished ones are purged "
                       "after a day"});
}

job_info job_at(const pg::result& from, int row) {
  return {.id = from.integer(row, 0),
          .state = from.string(row, 1),
          .queue = from.string(row, 2),
          .task = from.string(row, 3),
          .args = from.string(row, 4),
          .priority = static_cast<int>(from.integer(row, 5)),
          .attempt = static_cast<int>(from.integer(row, 6)),
          .max_attempts = static_cast<int>(from.integer(row, 7)),
          .rescues = static_cast<int>(from.integer(row, 8)),
          .schedule = from.string(row, 9),
          .tick = time_at(from, row, 10),
          .worker = from.is_null(row, 11) ? std::nullopt : std::optional(from.integer(row, 11)),
          .created_at = *time_at(from, row, 12),
          .run_at = *time_at(from, row, 13),
          .started_at = time_at(from, row, 14),
          .finished_at = time_at(from, row, 15),
          .last_error = from.string(row, 16),
          .errors = from.string(row, 17)};
}

asio::awaitable<std::vector<job_info>> read(pg::connection& on, std::vector<pg::parameter> which) {
  const pg::result found = co_await on.query(store::sql::jobs.sql, std::move(which));
  std::vector<job_info> out;
  out.reserve(static_cast<std::size_t>(found.rows()));
  for (int row = 0; row < found.rows(); ++row) out.push_back(job_at(found, row));
  co_return out;
}

asio::awaitable<job_info> read_one(pg::connection& on, std::int64_t id) {
  std::vector<pg::parameter> which{fmt::format("{}", id), std::nullopt, std::nullopt, std::nullopt,
                                   std::string("1")};
  std::vector<job_info> found = co_await read(on, std::move(which));
  if (found.empty()) refuse_unknown(id);
  co_return std::move(found.front());
}

asio::awaitable<void> retry_on(pg::connection& on, std::int64_t id) {
  std::vector<pg::parameter> values{fmt::format("{}", id), std::nullopt, std::nullopt};
  const pg::result again = co_await on.query(store::sql::retry.sql, std::move(values));
  if (again.rows() > 0) co_return;
  const job_info there = co_await read_one(on, id);
  const bool ended = there.state == "dead" || there.state == "cancelled";
  throw error(errc::invalid_option,
              ended ? fmt::format("job {} is superseded: a later one of its key waits already", id)
                    : fmt::format("job {} is {}", id, there.state),
              {.hint = "only a dead or cancelled job can be tried again"});
}

asio::awaitable<bool> cancel_on(pg::connection& on, std::int64_t id) {
  std::vector<pg::parameter> values{fmt::format("{}", id)};
  const pg::result asked = co_await on.query(store::sql::cancel.sql, std::move(values));
  if (asked.rows() > 0) co_return asked.text(0, 0) == "cancelled";
  const job_info there = co_await read_one(on, id);
  throw error(errc::invalid_option, fmt::format("job {} is {} already", id, there.state), {});
}

// In batches, so that no transaction is long.
asio::awaitable<std::int64_t> purge_on(pg::connection& on, std::vector<pg::parameter> values) {
  std::int64_t gone = 0;
  for (;;) {
    const pg::result some = co_await on.query(store::sql::purge_some.sql, values);
    const std::int64_t now = some.integer(0, 0);
    gone += now;
    if (now == 0) co_return gone;
  }
}

void run(const pg::named_statement& statement, std::string_view value, std::string_view database) {
  const std::vector<pg::parameter> values{std::string(value)};
  const auto work = [&](pg::connection& on) { return on.query(statement.sql, values); };
  on_store_now(database, no_schema::make_it, work);
}

std::vector<std::string> lines_of(std::string_view text) {
  std::vector<std::string> out;
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    out.emplace_back(line);
    text.remove_prefix(std::min(line.size() + 1, text.size()));
  }
  return out;
}

}  // namespace

std::vector<job_info> list_jobs(const job_filter& which, std::string_view database) {
  check_state(which.state);
  const std::vector<pg::parameter> values{std::nullopt, text_or_null(which.state),
                                          text_or_null(which.queue), text_or_null(which.schedule),
                                          fmt::format("{}", which.most)};
  const auto work = [&values](pg::connection& on) { return read(on, values); };
  return on_store_now(database, no_schema::is_empty, work);
}

job_info find_job(std::int64_t id, std::string_view database) {
  const auto work = [id](pg::connection& on) { return read_one(on, id); };
  return on_store_now(database, no_schema::refuse, work);
}

void retry_job(std::int64_t id, std::string_view database) {
  const auto work = [id](pg::connection& on) { return retry_on(on, id); };
  on_store_now(database, no_schema::refuse, work);
}

std::int64_t retry_dead_jobs(const job_filter& which, std::string_view database) {
  const std::vector<pg::parameter> values{std::nullopt, text_or_null(which.queue),
                                          text_or_null(which.schedule)};
  const auto work = [&values](pg::connection& on) {
    return on.query(store::sql::retry.sql, values);
  };
  return on_store_now(database, no_schema::refuse, work).rows();
}

bool cancel_job(std::int64_t id, std::string_view database) {
  const auto work = [id](pg::connection& on) { return cancel_on(on, id); };
  return on_store_now(database, no_schema::refuse, work);
}

std::int64_t purge_jobs(const interval& age, const job_filter& which, std::string_view database) {
  check_state(which.state);
  const std::vector<pg::parameter> values{seconds_parameter(age), text_or_null(which.state),
                                          text_or_null(which.queue), text_or_null(which.schedule),
                                          std::string("1000")};
  const auto work = [&values](pg::connection& on) { return purge_on(on, values); };
  return on_store_now(database, no_schema::refuse, work);
}

void pause_queue(std::string_view queue, std::string_view database) {
  run(store::sql::pause_queue, queue, database);
}

void resume_queue(std::string_view queue, std::string_view database) {
  run(store::sql::resume_queue, queue, database);
}

std::vector<worker_info> list_workers(std::string_view database) {
  const std::vector<pg::parameter> values{seconds_parameter(worker_options().lease)};
  const auto work = [&values](pg::connection& on) {
    return on.query(store::sql::workers.sql, values);
  };
  const pg::result found = on_store_now(database, no_schema::is_empty, work);
  std::vector<worker_info> out;
  out.reserve(static_cast<std::size_t>(found.rows()));
  for (int row = 0; row < found.rows(); ++row) {
    out.push_back({.id = found.integer(row, 0),
                   .host = found.string(row, 1),
                   .pid = static_cast<int>(found.integer(row, 2)),
                   .version = found.string(row, 3),
                   .queues = lines_of(found.text(row, 4)),
                   .concurrency = static_cast<int>(found.integer(row, 5)),
                   .running = static_cast<int>(found.integer(row, 6)),
                   .alive = found.boolean(row, 7),
                   .started_at = *time_at(found, row, 8),
                   .heartbeat_at = *time_at(found, row, 9),
                   .stopping_at = time_at(found, row, 10)});
  }
  return out;
}

}  // namespace matview::tasks
