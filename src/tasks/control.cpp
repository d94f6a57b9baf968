#include "tasks/control.hpp"

#include "store/task_statements.hpp"
#include "tasks/values.hpp"
#include "tasks/wake_up.hpp"
#include <matview/error.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace matview::tasks {

namespace {

using namespace std::chrono_literals;

constexpr std::size_t most_fetched = 500;
constexpr std::int64_t most_purged = 5000;
// What the statistics say of a queue was true some time ago. Where they say that it is empty, a
// sort of all that waits looks cheaper to the planner than reading the first few from the index
// that is in order. Not for the statements on schedules: a join without a sort is worse there.
constexpr std::string_view in_index_order = "SET enable_sort = off";
constexpr const char* in_any_order = "SET enable_sort = on";

// `{1,2}` of what `number` takes from each.
template <class Items, class Number>
std::string numbers(const Items& items, Number number) {
  std::string out = "{";
  for (const auto& item : items) {
    fmt::format_to(std::back_inserter(out), "{}{}", out.size() == 1 ? "" : ",", number(item));
  }
  return out + '}';
}

job job_at(const pg::result& fetched, int row) {
  return {.id = fetched.integer(row, 1),
          .attempt = fetched.integer(row, 2),
          .max_attempts = fetched.integer(row, 3),
          .queue = fetched.string(row, 4),
          .task = fetched.string(row, 5),
          .args = fetched.string(row, 6),
          .schedule = fetched.string(row, 7),
          .timeout = number_at(fetched, row, 8),
          .waited = number_at(fetched, row, 9).value_or(0),
          .keyed = fetched.boolean(row, 10)};
}

}  // namespace

asio::awaitable<void> control::run() {
  for (;;) {
    std::optional<error> failure;
    try {
      pg::lease leased = co_await setup_.database->acquire(setup_.log.sink());
      own_session mine = setup_.session(*leased);
      co_await mine.tell("SET idle_session_timeout = 0; DEALLOCATE ALL");
      co_await take_turns(mine);
      co_return;
    } catch (const error& failed) {
      failure = failed;
    }
    if (may_leave()) {
      setup_.log(log_level::warning, "worker leaves without telling the database",
                 {{"database", setup_.alias}, {"untold", jobs_.untold()}});
      co_return;
    }
    state_.leaving = false;
    co_await state_.trouble.pause_after("control", *failure);
  }
}

// Whether a worker that is to stop may do so although the database cannot be told: what it leaves
// is rescued. It goes on trying for as long as it lets jobs run.
bool control::may_leave() const {
  if (!(state_.draining || state_.leaving) || jobs_.running() > 0) return false;
  return jobs_.untold() == 0 || clock::now() >= state_.drain_until;
}

asio::awaitable<void> control::take_turns(own_session& on) {
  while (!state_.id && !state_.draining) co_await state_.turn.sleep_until(clock::now() + 1s);
  if (!state_.id) co_return;  // Nobody knows of it, nothing was begun.
  co_await on.tell(std::string(in_index_order));
  std::optional<std::int64_t> introduced;
  bool told_stopping = false;
  for (;;) {
    if (state_.id && introduced != state_.id) {  // Given up by the others, it has a new one.
      introduced = state_.id;
      told_stopping = false;
      co_await on.tell(fmt::format("SET application_name = 'matview worker {}'", *introduced));
    }
    if (state_.draining && !told_stopping) {
      const std::vector<pg::parameter> me{state_.id_text()};
      co_await on.ask(store::sql::stopping, me);
      told_stopping = true;
    }
    if (clock::now() >= state_.rescue_at) co_await rescue(on);
    if (!state_.draining) {
      if (clock::now() >= state_.next_tick) co_await claim_ticks(on);
      const auto now = clock::now();
      if (now >= state_.look_again) {
        state_.look = true;
        state_.look_again = clock::time_point::max();
      }
      if (now >= state_.next_job) state_.look = true;
      // What is given back keeps its attempt: fetched again, it would look like what is given back.
      if (!jobs_.to_give_back.empty()) co_await give_back(on);
      const bool has_room = jobs_.running() < setup_.options.concurrency;
      if (state_.look && has_room && state_.id) co_await fetch(on);
    }
    co_await settle(on);
    if (!state_.draining && clock::now() >= next_purge_) co_await purge(on);
    if (at_rest()) {
      const auto idle = clock::now() - last_busy_;
      const bool over =
          setup_.options.once ||
          (setup_.options.stop_after_idle && idle >= setup_.options.stop_after_idle->to_duration());
      if (over || state_.draining) {
        const bool gone = co_await deregister(on);
        if (gone) co_return;
      }
    } else {
      last_busy_ = clock::now();
    }
    co_await state_.turn.sleep_until(next_turn());
  }
}

// Not while the database counts jobs as this worker's, of whom nothing is known here: the answer to
// their fetch was lost. They are given back, and then fetched again unless the worker is stopping.
asio::awaitable<bool> control::deregister(own_session& on) {
  state_.leaving = true;
  const std::vector<pg::parameter> me{state_.id_text()};
  const pg::result held = co_await on.ask(store::sql::deregister, me);
  if (held.rows() == 0) co_return true;
  state_.leaving = false;
  state_.look = true;
  for (int row = 0; row < held.rows(); ++row) {
    jobs_.to_give_back.push_back({.id = held.integer(row, 0), .attempt = held.integer(row, 1)});
  }
  co_return false;
}

// Nothing runs, nothing is left to tell and, as far as is known, nothing is due.
bool control::at_rest() const {
  const bool nothing_here = jobs_.running() == 0 && jobs_.untold() == 0;
  return nothing_here && (state_.draining || (!state_.look && clock::now() < state_.next_tick));
}

control::clock::time_point control::next_turn() const {
  if (jobs_.untold() > 0) return clock::now();
  clock::time_point next = state_.rescue_at;
  if (state_.draining) return std::min(next, clock::now() + longest_sleep);
  next = std::min({next, state_.next_tick, next_purge_});
  if (state_.id && jobs_.running() < setup_.options.concurrency) {
    next = std::min({next, state_.next_job, state_.look_again});
    if (state_.look) next = clock::now();
  }
  if (setup_.options.stop_after_idle && jobs_.running() == 0) {
    next = std::min(next, last_busy_ + std::chrono::duration_cast<clock::duration>(
                                           setup_.options.stop_after_idle->to_duration()));
  }
  return next;
}

asio::awaitable<void> control::settle(own_session& on) {
  if (!jobs_.done.empty()) co_await complete_done(on);
  if (!jobs_.failed.empty()) co_await tell_failures(on);
  if (!jobs_.to_give_back.empty()) co_await give_back(on);
}

// What ends while this is under way waits for the next turn.
asio::awaitable<void> control::complete_done(own_session& on) {
  const std::size_t count = jobs_.done.size();
  const std::vector<pg::parameter> values = done_parameters();
  const pg::result told = co_await on.ask(store::sql::complete, values);
  forget_done(count, told.rows());
}

// Worker, ids and attempts, as complete and fetch take them.
std::vector<pg::parameter> control::done_parameters() const {
  return {state_.id_text(), numbers(jobs_.done, [](const ended_job& one) { return one.what.id; }),
          numbers(jobs_.done, [](const ended_job& one) { return one.what.attempt; })};
}

// The first `count` were told of. Told twice, after a lost connection, the second one finds nothing
// to do.
void control::forget_done(std::size_t count, std::int64_t accepted) {
  const auto told = jobs_.done.begin() + static_cast<long>(count);
  if (std::any_of(jobs_.done.begin(), told, [](const ended_job& one) { return one.what.keyed; })) {
    state_.look = true;
  }
  const std::int64_t refused = static_cast<std::int64_t>(count) - accepted;
  if (refused > 0) {
    setup_.log(log_level::warning, "completions refused",
               {{"count", refused}, {"reason", "other workers have the jobs by now"}});
  }
  jobs_.done.erase(jobs_.done.begin(), told);
}

asio::awaitable<void> control::tell_failures(own_session& on) {
  while (!jobs_.failed.empty()) {
    const ended_job one = jobs_.failed.front();  // A copy: more may end meanwhile.
    const std::vector<pg::parameter> values{state_.id_text(),
                                            fmt::format("{}", one.what.id),
                                            fmt::format("{}", one.what.attempt),
                                            one.end.error,
                                            std::string(one.end.permanent ? "true" : "false"),
                                            seconds_parameter(setup_.options.pause),
                                            seconds_parameter(setup_.options.longest_pause)};
    const pg::result told = co_await on.ask(store::sql::fail, values);
    if (told.rows() > 0) {
      const std::string state = told.string(0, 0);
      const std::optional<double> again = number_at(told, 0, 1);
      if (again) state_.next_job = std::min(state_.next_job, moment(again));
      boost::json::object fields{
          {"id", one.what.id}, {"task", one.what.task},           {"attempt", one.what.attempt},
          {"state", state},    {"seconds", seconds_of(one.took)}, {"error", one.end.error}};
      if (again) fields["again_in_seconds"] = *again;
      setup_.log(state == "cancelled" ? log_level::info : log_level::warning, "job failed", fields);
      if (told.boolean(0, 2)) {
        setup_.log(log_level::warning, "schedule suspended",
                   {{"schedule", one.what.schedule}, {"error", one.end.error}});
      }
    }
    state_.look = state_.look || one.what.keyed;
    jobs_.failed.erase(jobs_.failed.begin());
  }
}

asio::awaitable<void> control::give_back(own_session& on) {
  const std::size_t count = jobs_.to_give_back.size();
  const std::vector<pg::parameter> values{
      state_.id_text(), numbers(jobs_.to_give_back, [](const job& one) { return one.id; }),
      numbers(jobs_.to_give_back, [](const job& one) { return one.attempt; })};
  const pg::result told = co_await on.ask(store::sql::give_back, values);
  if (told.rows() > 0) {
    setup_.log(log_level::info, "jobs given back", {{"count", told.rows()}});
  }
  jobs_.to_give_back.erase(jobs_.to_give_back.begin(),
                           jobs_.to_give_back.begin() + static_cast<long>(count));
}

asio::awaitable<void> control::rescue(own_session& on) {
  const std::vector<pg::parameter> values{state_.id_text(), state_.silent,
                                          seconds_parameter(setup_.options.lease)};
  const pg::result rescued = co_await on.ask(store::sql::rescue, values);
  state_.rescue_at = clock::time_point::max();
  for (int row = 0; row < rescued.rows(); ++row) {
    setup_.log(log_level::warning, "job rescued",
               {{"id", rescued.integer(row, 0)},
                {"state", rescued.text(row, 1)},
                {"lost_worker", rescued.integer(row, 2)}});
  }
  if (rescued.rows() > 0) state_.look = true;
  const std::vector<pg::parameter> lease{seconds_parameter(setup_.options.lease)};
  co_await on.ask(store::sql::forget_workers, lease);
}

asio::awaitable<void> control::claim_ticks(own_session& on) {
  co_await on.tell(in_any_order);
  for (;;) {
    const tick_claimer::claimed told = co_await ticks_.claim_some(on);
    if (told.made_jobs) state_.look = true;
    if (told.look_next) {
      state_.next_tick = *told.look_next;
      break;
    }
    co_await settle(on);  // There may be many: what ends meanwhile need not wait for all.
  }
  co_await on.tell(std::string(in_index_order));
}

// Tells what is done with the same statement: a commit less for each round.
asio::awaitable<void> control::fetch(own_session& on) {
  const std::size_t free =
      std::min<std::size_t>(setup_.options.concurrency - jobs_.running(), most_fetched);
  const std::size_t done = jobs_.done.size();
  std::vector<pg::parameter> values = done_parameters();
  values.insert(values.end(), {setup_.queue_names, setup_.task_names, fmt::format("{}", free),
                               seconds_parameter(setup_.options.lease)});
  state_.look = false;
  const std::optional<std::int64_t> me = state_.id;
  std::optional<error> failure;
  std::size_t count = 0;
  state_.fetching = true;
  try {
    const pg::result fetched = co_await on.ask(store::sql::fetch, values);
    state_.fetching = false;
    forget_done(done, fetched.integer(0, 0));
    if (state_.id != me) co_return;  // Given up meanwhile: whoever did that takes these jobs, too.
    for (int row = 0; row < fetched.rows() && !fetched.is_null(row, 1); ++row) {
      job one = job_at(fetched, row);
      ++count;
      if (state_.draining) {  // Told to stop since it asked.
        jobs_.to_give_back.push_back(std::move(one));
      } else {
        jobs_.start(std::move(one));
      }
    }
  } catch (const error& failed) {
    failure = failed;
    state_.fetching = false;
  }
  if (failure) {
    state_.look = true;
    // Two workers met at jobs of one key: the other has it, this one looks again.
    if (failure->sqlstate() == "23505") co_return;
    throw error(*failure);
  }
  if (count == free) {
    state_.look = true;
    co_return;
  }
  const std::vector<pg::parameter> mine{setup_.queue_names, setup_.task_names};
  const pg::result next = co_await on.ask(store::sql::next_due, mine);
  state_.next_job = moment(number_at(next, 0, 0));
}

asio::awaitable<void> control::purge(own_session& on) {
  const std::vector<pg::parameter> values{seconds_parameter(setup_.options.keep_finished),
                                          fmt::format("{}", most_purged)};
  const pg::result gone = co_await on.ask(store::sql::purge, values);
  const bool more = gone.integer(0, 0) == most_purged;
  next_purge_ = clock::now() + (more ? clock::duration(1s) : clock::duration(purge_every));
}

}  // namespace matview::tasks
