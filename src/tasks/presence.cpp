#include "tasks/presence.hpp"

#include "store/task_statements.hpp"
#include "tasks/values.hpp"
#include <matview/error.hpp>

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace matview::tasks {

namespace {

using namespace std::chrono_literals;

// Of jobs that are put in at the same time only one is told of: see enqueue.cpp. The others are
// there by then.
constexpr auto trailing_look = 100ms;
// Between the look at a lock that is free and the rescue: a worker that lost its connection takes
// the lock again within that.
constexpr auto second_look = 300ms;
constexpr auto probe_limit = 2s;

std::string host_name() {
  std::array<char, 256> name{};
  return ::gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "unknown";
}

}  // namespace

asio::awaitable<void> presence::run() {
  co_await pg::shield_cancellation();
  while (!state_.finished) {
    std::optional<error> failure;
    try {
      pg::lease leased = co_await setup_.database->acquire(setup_.log.sink());
      own_session mine = setup_.session(*leased);
      co_await be_present(mine);
    } catch (const error& failed) {
      failure = failed;
    }
    if (state_.finished) break;
    if (failure) co_await state_.trouble.pause_after("presence", *failure);
  }
}

asio::awaitable<void> presence::be_present(own_session& on) {
  co_await begin_session(on);
  co_await probe(on);
  clock::time_point next_probe = clock::now() + 1min;
  for (;;) {
    const bool known = co_await send_pulse(on);
    if (!known) co_return;  // Given up by the others: registers anew.
    state_.trouble.forget_failures();
    if (!locked_) co_await take_lock(on);
    const clock::time_point next = clock::now() + std::chrono::duration_cast<clock::duration>(
                                                      setup_.options.heartbeat.to_duration());
    bool pulse_now = false;
    while (!pulse_now && clock::now() < next) {
      const std::vector<pg::notification> told = co_await on.hear(next);
      for (const pg::notification& one : told) {
        hear(one);
        pulse_now = pulse_now || (one.channel == "matview_cancel");
      }
    }
    if (clock::now() >= next_probe) {
      co_await probe(on);
      next_probe = clock::now() + 1min;
    }
  }
}

// The row and the lock of this worker, on a session that knows nothing of an earlier one.
asio::awaitable<void> presence::begin_session(own_session& on) {
  co_await on.tell(
      "SET idle_session_timeout = 0; DEALLOCATE ALL; UNLISTEN *; SELECT "
      "pg_advisory_unlock_all(); LISTEN matview_job; "
      "LISTEN matview_schedule; LISTEN matview_cancel; LISTEN matview_probe");
  if (state_.id) {
    co_await take_lock(on);
  } else {
    const std::vector<pg::parameter> values{host_name(), fmt::format("{}", ::getpid()),
                                            MATVIEW_VERSION, setup_.queue_names,
                                            fmt::format("{}", setup_.options.concurrency)};
    const pg::result made = co_await on.ask(store::sql::register_worker, values);
    state_.id = made.integer(0, 0);
    locked_ = made.boolean(0, 1);
    setup_.log(log_level::info, "worker started",
               {{"database", setup_.alias},
                {"worker", *state_.id},
                {"concurrency", setup_.options.concurrency}});
    state_.turn.wake();
    if (on_start_) std::exchange(on_start_, nullptr)();
    co_await tell_lock(on);
  }
  co_await on.tell(fmt::format("SET application_name = 'matview worker {}'", *state_.id));
}

// Others may have it: a session of this worker's that the server has not missed yet or, for a
// moment, a worker that looks whether it is free. Then it is asked for again with each pulse, since
// without it the death of this worker is noticed by its lease alone.
asio::awaitable<void> presence::take_lock(own_session& on) {
  const std::vector<pg::parameter> me{state_.id_text()};
  const pg::result taken = co_await on.ask(store::sql::take_lock, me);
  locked_ = taken.boolean(0, 0);
  co_await tell_lock(on);
}

asio::awaitable<void> presence::tell_lock(own_session& on) {
  const std::vector<pg::parameter> told{state_.id_text(), std::string(locked_ ? "true" : "false")};
  co_await on.ask(store::sql::tell_lock, told);
}

// Whether what this session tells itself arrives. If not (the server's queue of notifications is
// full, something in between does not pass them on), jobs are still found, by looking.
asio::awaitable<void> presence::probe(own_session& on) {
  std::optional<error> failure;
  try {
    co_await on.tell(fmt::format("NOTIFY matview_probe, '{}'", *state_.id));
  } catch (const error& failed) {
    failure = failed;
  }
  if (failure && !failure->connection_usable()) throw error(*failure);
  const clock::time_point until = clock::now() + probe_limit;
  while (!failure) {
    const std::vector<pg::notification> told = co_await on.hear(until);
    if (told.empty()) break;
    bool arrived = false;
    for (const pg::notification& one : told) {
      hear(one);
      arrived = arrived || (one.channel == "matview_probe" && one.payload == state_.id_text());
    }
    if (arrived) co_return;
  }
  setup_.log(
      log_level::warning, "notifications do not arrive",
      {{"database", setup_.alias},
       {"reason", failure ? failure->what() : "what the worker tells itself does not come back"},
       {"looks_every_seconds", seconds_of(setup_.options.heartbeat.to_duration())}});
}

asio::awaitable<bool> presence::send_pulse(own_session& on) {
  const std::uint64_t mine = ++state_.pulse;
  const std::vector<pg::parameter> values{state_.id_text(), seconds_parameter(setup_.options.lease),
                                          setup_.queue_names, setup_.task_names};
  const pg::result told = co_await on.ask(store::sql::pulse, values);
  if (told.rows() == 0 && state_.leaving) co_return true;  // Control has just deregistered.
  if (told.rows() == 0) {
    setup_.log(log_level::warning, "worker given up by the others",
               {{"database", setup_.alias}, {"worker", *state_.id}});
    state_.id.reset();
    jobs_.lose_all();
    co_return false;
  }
  jobs_.compare({.pulse = mine,
                 .held = told.text(0, 0),
                 .renewed = told.text(0, 5),
                 .to_cancel = told.text(0, 1)});
  const std::optional<double> job_in = number_at(told, 0, 2);
  if (job_in && *job_in <= 0) state_.look = true;
  state_.next_job = moment(job_in);
  state_.next_tick = moment(number_at(told, 0, 3));
  state_.silent = told.string(0, 4);
  state_.rescue_at = state_.silent == "{}" ? clock::time_point::max() : clock::now() + second_look;
  state_.turn.wake();
  co_return true;
}

void presence::hear(const pg::notification& told) {
  if (told.channel == "matview_job") {
    if (!setup_.options.queues.empty() &&
        std::find(setup_.options.queues.begin(), setup_.options.queues.end(), told.payload) ==
            setup_.options.queues.end()) {
      return;
    }
    state_.look = true;
    state_.look_again = clock::now() + trailing_look;
    state_.turn.wake();
  } else if (told.channel == "matview_schedule") {
    state_.next_tick = clock::now();
    state_.turn.wake();
  }
}

}  // namespace matview::tasks
