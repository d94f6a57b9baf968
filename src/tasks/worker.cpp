#include "tasks/worker.hpp"

#include "pg/answer_limit.hpp"
#include "store/migrations.hpp"
#include "store/task_statements.hpp"
#include "tasks/policies.hpp"
#include "tasks/ticks.hpp"
#include "tasks/values.hpp"
#include <matview/error.hpp>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <iterator>
#include <set>

namespace matview::tasks {

namespace {

using namespace std::chrono_literals;
using clock = std::chrono::steady_clock;

constexpr std::int64_t batch = 500;
constexpr std::int64_t most_purged = 10 * batch;
constexpr auto purge_every = 1min;
// Of jobs that are put in at the same time only one is told of: see enqueue.cpp. The others are
// there by then.
constexpr auto trailing_look = 100ms;
// Between the look at a lock that is free and the rescue: a worker that lost its connection takes
// the lock again within that.
constexpr auto second_look = 300ms;
constexpr auto longest_sleep = 1min;
// What the statistics say of a queue was true some time ago. Where they say that it is empty, a
// sort of all that waits looks cheaper to the planner than reading the first few from the index
// that is in order. Not for the statements on schedules: a join without a sort is worse there.
constexpr std::string_view in_index_order = "SET enable_sort = off";
constexpr const char* in_any_order = "SET enable_sort = on";
constexpr auto probe_limit = 2s;

double seconds_of(clock::duration value) {
  return std::chrono::duration<double>(value).count();
}

// `in` seconds from now; the far end for nothing, and never further than can be slept.
clock::time_point moment(std::optional<double> in) {
  const auto now = clock::now();
  if (!in) return now + longest_sleep;
  const double limited = std::clamp(*in, 0.0, std::chrono::duration<double>(longest_sleep).count());
  return now + std::chrono::ceil<std::chrono::milliseconds>(std::chrono::duration<double>(limited));
}

// `1 2 3`.
std::vector<std::int64_t> numbers_of(std::string_view text) {
  std::vector<std::int64_t> out;
  while (!text.empty()) {
    std::int64_t number = 0;
    const auto [stop, failed] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (failed != std::errc()) break;
    out.push_back(number);
    text.remove_prefix(static_cast<std::size_t>(stop - text.data()));
    if (!text.empty()) text.remove_prefix(1);
  }
  return out;
}

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

instant instant_of(std::int64_t microseconds) {
  return instant(std::chrono::microseconds(microseconds));
}

std::string host_name() {
  std::array<char, 256> name{};
  return ::gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "unknown";
}

// The columns of claim_ticks, a row for each schedule.
class tick_claims final {
 public:
  void add(const std::string& name, std::int64_t expected, const tick_plan& plan,
           std::int64_t revision) {
    names_.push_back(name);
    reasons_.push_back(plan.why);
    append(expected_, expected);
    append(ticks_, plan.tick);
    append(next_, plan.next);
    append(revisions_, revision);
    append(first_, plan.first_missed);
    append(last_, plan.last_missed);
  }

  [[nodiscard]] bool empty() const { return names_.empty(); }

  [[nodiscard]] std::vector<pg::parameter> parameters() const {
    std::vector<pg::parameter> out;
    out.emplace_back(pg::array_literal(names_));
    for (const std::string* column : {&expected_, &ticks_, &next_, &revisions_, &first_, &last_}) {
      out.emplace_back('{' + *column + '}');
    }
    out.emplace_back(pg::array_literal(reasons_));
    return out;
  }

 private:
  static void append(std::string& column, std::int64_t value) {
    fmt::format_to(std::back_inserter(column), "{}{}", column.empty() ? "" : ",", value);
  }
  static void append(std::string& column, const std::optional<instant>& value) {
    if (value) {
      append(column, value->time_since_epoch().count());
    } else {
      column += column.empty() ? "NULL" : ",NULL";
    }
  }

  std::vector<std::string> names_;
  std::vector<std::string> reasons_;
  std::string expected_;
  std::string ticks_;
  std::string next_;
  std::string revisions_;
  std::string first_;
  std::string last_;
};

asio::awaitable<std::int64_t> real_backend(pg::connection& on) {
  const pg::result told = co_await on.query("SELECT pg_catalog.pg_backend_pid()");
  co_return told.integer(0, 0);
}

// A pooler in transaction mode gives the session that one connection has just left to the next: the
// worker's lock, LISTEN and prepared statements would be anybody's.
asio::awaitable<void> refuse_shared_sessions(pg::connection& first, pg::connection& second) {
  for (int round = 0; round < 5; ++round) {
    const std::int64_t one = co_await real_backend(first);
    if (one == first.backend_pid()) co_return;  // No pooler.
    const std::int64_t other = co_await real_backend(second);
    if (one != other) continue;
    throw error(errc::invalid_option,
                "a worker cannot use this connection: the pooler behind it shares sessions, and a "
                "worker needs its own for LISTEN and its lock",
                {.hint = "connect to the server itself, or set pool_mode = session in pgbouncer"});
  }
}

}  // namespace

worker::worker(const asio::any_io_executor& executor, std::string alias, const task_set& tasks,
               const worker_options& options, asio::thread_pool& threads,
               std::function<void()> on_start)
    : executor_(executor),
      alias_(std::move(alias)),
      tasks_(tasks),
      options_(options),
      threads_(threads),
      on_start_(std::move(on_start)),
      log_(options.log, options.log_json),
      database_(pg::find_database(alias_)->with_pool_of(options.concurrency + 2)),
      task_names_(pg::array_literal(tasks.names())),
      queue_names_(options.queues.empty() ? pg::parameter()
                                          : pg::parameter(pg::array_literal(options.queues))),
      next_job_(clock::now()),
      next_tick_(clock::now()),
      look_again_(clock::time_point::max()),
      next_purge_(clock::now() + purge_every),
      turn_(executor),
      presence_ended_(executor),
      grace_(executor) {}

asio::awaitable<void> worker::run() {
  co_await pg::shield_cancellation();
  {
    pg::lease first = co_await database_->acquire(log_.sink());
    co_await store::migrate(*first);
    pg::lease second = co_await database_->acquire(log_.sink());
    co_await refuse_shared_sessions(*first, *second);
  }
  bool present = true;
  asio::co_spawn(executor_, presence(),
                 asio::bind_cancellation_slot(stop_presence_.slot(), [&](std::exception_ptr) {
                   present = false;
                   presence_ended_.wake();
                 }));
  co_await control();
  finished_ = true;
  grace_.cancel();  // It would keep the loop, and so the process, to its end.
  stop_presence_.emit(asio::cancellation_type::terminal);
  while (present) co_await presence_ended_.sleep_until(clock::now() + longest_sleep);
  log_(log_level::info, "worker stopped", {{"database", alias_}, {"worker", id_.value_or(0)}});
}

void worker::drain() {
  if (draining_) return;
  draining_ = true;
  drain_until_ =
      clock::now() + std::chrono::duration_cast<clock::duration>(options_.grace.to_duration());
  turn_.wake();
  if (running_.empty()) return;
  log_(log_level::info, "worker stopping",
       {{"database", alias_}, {"worker", id_.value_or(0)}, {"running", running_.size()}});
  grace_.expires_at(drain_until_);
  grace_.async_wait([this](const boost::system::error_code& ended) {
    if (!ended) cancel_all(true);
  });
}

void worker::stop_jobs() {
  drain();
  cancel_all(true);
}

// Presence.

asio::awaitable<void> worker::presence() {
  co_await pg::shield_cancellation();
  while (!finished_) {
    std::optional<error> failure;
    try {
      pg::lease leased = co_await database_->acquire(log_.sink());
      co_await be_present(*leased);
    } catch (const error& failed) {
      failure = failed;
    }
    if (finished_) break;
    if (failure) co_await pause_after("presence", *failure);
  }
}

asio::awaitable<void> worker::be_present(pg::connection& on) {
  co_await begin_session(on);
  co_await probe(on);
  clock::time_point next_probe = clock::now() + 1min;
  for (;;) {
    const bool known = co_await send_pulse(on);
    if (!known) co_return;  // Given up by the others: registers anew.
    failures_in_a_row_ = 0;
    const clock::time_point next = clock::now() + std::chrono::duration_cast<clock::duration>(
                                                      options_.heartbeat.to_duration());
    bool pulse_now = false;
    while (!pulse_now && clock::now() < next) {
      const std::vector<pg::notification> told = co_await on.notifications(next);
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
asio::awaitable<void> worker::begin_session(pg::connection& on) {
  co_await tell(on,
                "SET idle_session_timeout = 0; DEALLOCATE ALL; UNLISTEN *; SELECT "
                "pg_advisory_unlock_all(); LISTEN matview_job; "
                "LISTEN matview_schedule; LISTEN matview_cancel; LISTEN matview_probe");
  bool locked = false;
  if (id_) {
    const std::vector<pg::parameter> values{id_text()};
    const pg::result taken = co_await ask(on, store::sql::take_lock, values);
    locked = taken.boolean(0, 0);
  } else {
    const std::vector<pg::parameter> values{host_name(), fmt::format("{}", ::getpid()),
                                            MATVIEW_VERSION, queue_names_,
                                            fmt::format("{}", options_.concurrency)};
    const pg::result made = co_await ask(on, store::sql::register_worker, values);
    id_ = made.integer(0, 0);
    locked = made.boolean(0, 1);
    log_(log_level::info, "worker started",
         {{"database", alias_}, {"worker", *id_}, {"concurrency", options_.concurrency}});
    turn_.wake();
    if (on_start_) std::exchange(on_start_, nullptr)();
  }
  const std::vector<pg::parameter> told{id_text(), std::string(locked ? "true" : "false")};
  co_await ask(on, store::sql::tell_lock, told);
  co_await tell(on, fmt::format("SET application_name = 'matview worker {}'", *id_));
}

// Whether what this session tells itself arrives. If not (the server's queue of notifications is
// full, something in between does not pass them on), jobs are still found, by looking.
asio::awaitable<void> worker::probe(pg::connection& on) {
  std::optional<error> failure;
  try {
    co_await tell(on, fmt::format("NOTIFY matview_probe, '{}'", *id_));
  } catch (const error& failed) {
    failure = failed;
  }
  if (failure && !failure->connection_usable()) throw error(*failure);
  const clock::time_point until = clock::now() + probe_limit;
  while (!failure) {
    const std::vector<pg::notification> told = co_await on.notifications(until);
    if (told.empty()) break;
    bool arrived = false;
    for (const pg::notification& one : told) {
      hear(one);
      arrived = arrived || (one.channel == "matview_probe" && one.payload == id_text());
    }
    if (arrived) co_return;
  }
  log_(log_level::warning, "notifications do not arrive",
       {{"database", alias_},
        {"reason", failure ? failure->what() : "what the worker tells itself does not come back"},
        {"looks_every_seconds", seconds_of(options_.heartbeat.to_duration())}});
}

asio::awaitable<bool> worker::send_pulse(pg::connection& on) {
  const std::uint64_t mine = ++pulse_;
  const std::vector<pg::parameter> values{id_text(), seconds_parameter(options_.lease),
                                          queue_names_, task_names_};
  const pg::result told = co_await ask(on, store::sql::pulse, values);
  if (told.rows() == 0) {
    log_(log_level::warning, "worker given up by the others",
         {{"database", alias_}, {"worker", *id_}});
    id_.reset();
    for (running_job& one : running_) {
      one.lost = true;
      one.stop.emit(asio::cancellation_type::terminal);
    }
    co_return false;
  }
  compare_claims(told.text(0, 0), told.text(0, 1), mine);
  const std::optional<double> job_in = number_at(told, 0, 2);
  if (job_in && *job_in <= 0) look_ = true;
  next_job_ = moment(job_in);
  next_tick_ = moment(number_at(told, 0, 3));
  silent_ = told.string(0, 4);
  rescue_at_ = silent_ == "{}" ? clock::time_point::max() : clock::now() + second_look;
  turn_.wake();
  co_return true;
}

void worker::hear(const pg::notification& told) {
  if (told.channel == "matview_job") {
    if (!options_.queues.empty() && std::find(options_.queues.begin(), options_.queues.end(),
                                              told.payload) == options_.queues.end()) {
      return;
    }
    look_ = true;
    look_again_ = clock::now() + trailing_look;
    turn_.wake();
  } else if (told.channel == "matview_schedule") {
    next_tick_ = clock::now();
    turn_.wake();
  }
}

// Jobs that the database does not count as ours any more, those that somebody cancels, and those
// that it counts as ours although the answer to their fetch was lost.
void worker::compare_claims(std::string_view held, std::string_view to_cancel,
                            std::uint64_t pulse) {
  std::map<std::int64_t, std::int64_t> ours;  // Attempts by id.
  const std::vector<std::int64_t> pairs = numbers_of(held);
  for (std::size_t i = 0; i + 1 < pairs.size(); i += 2) ours.emplace(pairs[i], pairs[i + 1]);
  const std::vector<std::int64_t> listed = numbers_of(to_cancel);
  const std::set<std::int64_t> unwanted(listed.begin(), listed.end());
  for (running_job& one : running_) {
    const bool gone = one.pulse < pulse && !ours.contains(one.what.id);
    if (gone && !one.lost) {
      one.lost = true;
      log_(log_level::warning, "job lost", {{"id", one.what.id}, {"task", one.what.task}});
    }
    if (gone || unwanted.contains(one.what.id)) one.stop.emit(asio::cancellation_type::terminal);
  }
  if (fetching_) return;
  for (const auto& [id, attempt] : ours) {
    if (!knows(id)) to_give_back_.push_back({.id = id, .attempt = attempt});
  }
}

bool worker::knows(std::int64_t job) const {
  const auto is_it = [job](const auto& one) { return one.what.id == job; };
  return std::any_of(running_.begin(), running_.end(), is_it) ||
         std::any_of(done_.begin(), done_.end(), is_it) ||
         std::any_of(failed_.begin(), failed_.end(), is_it) ||
         std::any_of(to_give_back_.begin(), to_give_back_.end(),
                     [job](const auto& one) { return one.id == job; });
}

// Control.

asio::awaitable<void> worker::control() {
  for (;;) {
    std::optional<error> failure;
    try {
      pg::lease leased = co_await database_->acquire(log_.sink());
      co_await tell(*leased, "SET idle_session_timeout = 0; DEALLOCATE ALL");
      co_await take_turns(*leased);
      co_return;
    } catch (const error& failed) {
      failure = failed;
    }
    if (may_leave()) {
      log_(
          log_level::warning, "worker leaves without telling the database",
          {{"database", alias_}, {"untold", done_.size() + failed_.size() + to_give_back_.size()}});
      co_return;
    }
    co_await pause_after("control", *failure);
  }
}

// Whether a worker that is to stop may do so although the database cannot be told: what it leaves
// is rescued. It goes on trying for as long as it lets jobs run.
bool worker::may_leave() const {
  if (!draining_ || !running_.empty()) return false;
  const bool untold = !done_.empty() || !failed_.empty() || !to_give_back_.empty();
  return !untold || clock::now() >= drain_until_;
}

asio::awaitable<void> worker::take_turns(pg::connection& on) {
  while (!id_ && !draining_) co_await turn_.sleep_until(clock::now() + 1s);
  if (!id_) co_return;  // Nobody knows of it, nothing was begun.
  co_await tell(
      on, fmt::format("SET application_name = 'matview worker {}'; {}", *id_, in_index_order));
  bool told_stopping = false;
  for (;;) {
    if (draining_ && !told_stopping) {
      const std::vector<pg::parameter> me{id_text()};
      co_await ask(on, store::sql::stopping, me);
      told_stopping = true;
    }
    if (clock::now() >= rescue_at_) co_await rescue(on);
    if (!draining_) {
      if (clock::now() >= next_tick_) co_await claim_ticks(on);
      const auto now = clock::now();
      if (now >= look_again_) {
        look_ = true;
        look_again_ = clock::time_point::max();
      }
      if (now >= next_job_) look_ = true;
      // What is given back keeps its attempt: fetched again, it would look like what is given back.
      if (!to_give_back_.empty()) co_await give_back(on);
      if (look_ && running_.size() < options_.concurrency && id_) co_await fetch(on);
    }
    co_await settle(on);
    if (!draining_ && clock::now() >= next_purge_) co_await purge(on);
    if (at_rest()) {
      const auto idle = clock::now() - last_busy_;
      const bool over = options_.once || (options_.stop_after_idle &&
                                          idle >= options_.stop_after_idle->to_duration());
      if (over) draining_ = true;
      if (draining_) {
        const std::vector<pg::parameter> me{id_text()};
        co_await ask(on, store::sql::deregister, me);
        co_return;
      }
    } else {
      last_busy_ = clock::now();
    }
    co_await turn_.sleep_until(next_turn());
  }
}

// Nothing runs, nothing is left to tell and, as far as is known, nothing is due.
bool worker::at_rest() const {
  const bool nothing_here =
      running_.empty() && done_.empty() && failed_.empty() && to_give_back_.empty();
  return nothing_here && (draining_ || (!look_ && clock::now() < next_tick_));
}

worker::clock::time_point worker::next_turn() const {
  if (!done_.empty() || !failed_.empty() || !to_give_back_.empty()) return clock::now();
  clock::time_point next = rescue_at_;
  if (draining_) return std::min(next, clock::now() + longest_sleep);
  next = std::min({next, next_tick_, next_purge_});
  if (running_.size() < options_.concurrency) {
    next = std::min({next, next_job_, look_again_});
    if (look_) next = clock::now();
  }
  if (options_.stop_after_idle && running_.empty()) {
    next = std::min(next, last_busy_ + std::chrono::duration_cast<clock::duration>(
                                           options_.stop_after_idle->to_duration()));
  }
  return next;
}

asio::awaitable<void> worker::settle(pg::connection& on) {
  if (!done_.empty()) co_await complete_done(on);
  if (!failed_.empty()) co_await tell_failures(on);
  if (!to_give_back_.empty()) co_await give_back(on);
}

// What ends while this is under way waits for the next turn.
asio::awaitable<void> worker::complete_done(pg::connection& on) {
  const std::size_t count = done_.size();
  const std::vector<pg::parameter> values = done_parameters();
  const pg::result told = co_await ask(on, store::sql::complete, values);
  forget_done(count, told.rows());
}

// Worker, ids and attempts, as complete and fetch take them.
std::vector<pg::parameter> worker::done_parameters() const {
  return {id_text(), numbers(done_, [](const ended_job& one) { return one.what.id; }),
          numbers(done_, [](const ended_job& one) { return one.what.attempt; })};
}

// The first `count` were told of. Told twice, after a lost connection, the second one finds nothing
// to do.
void worker::forget_done(std::size_t count, std::int64_t accepted) {
  const auto told = done_.begin() + static_cast<long>(count);
  if (std::any_of(done_.begin(), told, [](const ended_job& one) { return one.what.keyed; })) {
    look_ = true;
  }
  const std::int64_t refused = static_cast<std::int64_t>(count) - accepted;
  if (refused > 0) {
    log_(log_level::warning, "completions refused",
         {{"count", refused}, {"reason", "other workers have the jobs by now"}});
  }
  done_.erase(done_.begin(), told);
}

asio::awaitable<void> worker::tell_failures(pg::connection& on) {
  while (!failed_.empty()) {
    const ended_job& one = failed_.front();
    const std::vector<pg::parameter> values{id_text(),
                                            fmt::format("{}", one.what.id),
                                            fmt::format("{}", one.what.attempt),
                                            one.end.error,
                                            std::string(one.end.permanent ? "true" : "false"),
                                            seconds_parameter(options_.pause),
                                            seconds_parameter(options_.longest_pause)};
    const pg::result told = co_await ask(on, store::sql::fail, values);
    if (told.rows() > 0) {
      const std::string state = told.string(0, 0);
      const std::optional<double> again = number_at(told, 0, 1);
      if (again) next_job_ = std::min(next_job_, moment(again));
      boost::json::object fields{{"id", failed_.front().what.id},
                                 {"task", failed_.front().what.task},
                                 {"attempt", failed_.front().what.attempt},
                                 {"state", state},
                                 {"seconds", seconds_of(failed_.front().took)},
                                 {"error", failed_.front().end.error}};
      if (again) fields["again_in_seconds"] = *again;
      log_(state == "cancelled" ? log_level::info : log_level::warning, "job failed", fields);
      if (told.boolean(0, 2)) {
        log_(log_level::warning, "schedule suspended",
             {{"schedule", failed_.front().what.schedule}, {"error", failed_.front().end.error}});
      }
    }
    look_ = look_ || failed_.front().what.keyed;
    failed_.erase(failed_.begin());
  }
}

asio::awaitable<void> worker::give_back(pg::connection& on) {
  const std::size_t count = to_give_back_.size();
  const std::vector<pg::parameter> values{
      id_text(), numbers(to_give_back_, [](const job& one) { return one.id; }),
      numbers(to_give_back_, [](const job& one) { return one.attempt; })};
  const pg::result told = co_await ask(on, store::sql::give_back, values);
  log_(log_level::info, "jobs given back", {{"count", told.rows()}});
  to_give_back_.erase(to_give_back_.begin(), to_give_back_.begin() + static_cast<long>(count));
}

asio::awaitable<void> worker::rescue(pg::connection& on) {
  const std::vector<pg::parameter> values{id_text(), silent_, seconds_parameter(options_.lease)};
  const pg::result rescued = co_await ask(on, store::sql::rescue, values);
  rescue_at_ = clock::time_point::max();
  for (int row = 0; row < rescued.rows(); ++row) {
    log_(log_level::warning, "job rescued",
         {{"id", rescued.integer(row, 0)},
          {"state", rescued.text(row, 1)},
          {"lost_worker", rescued.integer(row, 2)}});
  }
  if (rescued.rows() > 0) look_ = true;
  const std::vector<pg::parameter> lease{seconds_parameter(options_.lease)};
  co_await ask(on, store::sql::forget_workers, lease);
}

asio::awaitable<void> worker::claim_ticks(pg::connection& on) {
  co_await tell(on, in_any_order);
  co_await claim_due(on);
  co_await tell(on, std::string(in_index_order));
}

asio::awaitable<void> worker::claim_due(pg::connection& on) {
  const std::vector<pg::parameter> most{fmt::format("{}", batch)};
  for (;;) {
    const pg::result due = co_await ask(on, store::sql::due_schedules, most);
    if (due.rows() == 0) break;
    const std::size_t claimed = co_await claim_batch(on, due);
    if (claimed > 0) look_ = true;
    if (claimed == 0) {  // Another worker has them in hand.
      const auto pause = std::chrono::duration<double>(0.05 * jitter(0.5));
      next_tick_ = clock::now() + std::chrono::duration_cast<clock::duration>(pause);
      co_return;
    }
    if (!running_.empty() || due.rows() == batch) co_await settle(on);
  }
  const pg::result next = co_await ask(on, store::sql::next_schedule, {});
  next_tick_ = moment(number_at(next, 0, 0));
}

asio::awaitable<std::size_t> worker::claim_batch(pg::connection& on, const pg::result& due) {
  tick_claims claims;
  for (int row = 0; row < due.rows(); ++row) {
    const std::string name = due.string(row, 0);
    const std::int64_t expected = due.integer(row, 7);
    const std::int64_t revision = due.integer(row, 6);
    due_schedule what{.next_at = instant_of(expected),
                      .now = instant_of(due.integer(row, 8)),
                      .missed = policy_of<missed>(missed_words, due.text(row, 4)),
                      .window = std::chrono::microseconds(due.integer(row, 5)),
                      .following = {}};
    const std::chrono::microseconds period(due.integer(row, 3));
    std::optional<std::string> unreadable;
    try {
      if (period.count() > 0) {
        what.following = every(what.next_at, period);
      } else {
        const cron& when = cron_of(due.string(row, 1), due.string(row, 2));
        what.following = [&when](instant at) { return when.next_after(at); };
      }
    } catch (const error& refused) {
      unreadable = refused.what();
    }
    if (unreadable) {
      co_await suspend(on, name, revision, *unreadable);
      continue;
    }
    claims.add(name, expected, plan_ticks(what), revision);
  }
  if (claims.empty()) co_return 1;  // All were suspended: look again.
  const std::vector<pg::parameter> values = claims.parameters();
  const pg::result made = co_await ask(on, store::sql::claim_ticks, values);
  co_return static_cast<std::size_t>(made.rows());
}

// A definition that this program cannot read would be due for ever.
asio::awaitable<void> worker::suspend(pg::connection& on, const std::string& schedule,
                                      std::int64_t revision, const std::string& why) {
  const std::vector<pg::parameter> values{schedule, fmt::format("{}", revision),
                                          "suspended, since it cannot be read: " + why};
  co_await ask(on, store::sql::suspend_schedule, values);
  log_(log_level::warning, "schedule suspended", {{"schedule", schedule}, {"error", why}});
}

const cron& worker::cron_of(const std::string& expression, const std::string& zone) {
  constexpr std::size_t most = 10'000;
  if (crons_.size() > most) crons_.clear();
  auto key = std::pair(expression, zone);
  auto found = crons_.find(key);
  if (found == crons_.end()) found = crons_.emplace(key, cron::parse(expression, zone)).first;
  return found->second;
}

// Tells what is done with the same statement: a commit less for each round.
asio::awaitable<void> worker::fetch(pg::connection& on) {
  const std::size_t free = std::min<std::size_t>(options_.concurrency - running_.size(),
                                                 static_cast<std::size_t>(batch));
  const std::size_t done = done_.size();
  std::vector<pg::parameter> values = done_parameters();
  values.insert(values.end(), {queue_names_, task_names_, fmt::format("{}", free),
                               seconds_parameter(options_.lease)});
  look_ = false;
  const std::optional<std::int64_t> me = id_;
  std::optional<error> failure;
  std::size_t count = 0;
  fetching_ = true;
  try {
    const pg::result fetched = co_await ask(on, store::sql::fetch, values);
    fetching_ = false;
    forget_done(done, fetched.integer(0, 0));
    if (id_ != me) co_return;  // Given up meanwhile: whoever did that takes these jobs, too.
    for (int row = 0; row < fetched.rows() && !fetched.is_null(row, 1); ++row) {
      start(job_at(fetched, row));
      ++count;
    }
  } catch (const error& failed) {
    failure = failed;
    fetching_ = false;
  }
  if (failure) {
    look_ = true;
    // Two workers met at jobs of one key: the other has it, this one looks again.
    if (failure->sqlstate() == "23505") co_return;
    throw error(*failure);
  }
  if (count == free) {
    look_ = true;
    co_return;
  }
  const std::vector<pg::parameter> mine{queue_names_, task_names_};
  const pg::result next = co_await ask(on, store::sql::next_due, mine);
  next_job_ = moment(number_at(next, 0, 0));
}

asio::awaitable<void> worker::purge(pg::connection& on) {
  const std::vector<pg::parameter> values{seconds_parameter(options_.keep_finished),
                                          fmt::format("{}", most_purged)};
  const pg::result gone = co_await ask(on, store::sql::purge, values);
  const bool more = gone.integer(0, 0) == most_purged;
  next_purge_ = clock::now() + (more ? clock::duration(1s) : clock::duration(purge_every));
}

// Jobs.

void worker::start(job what) {
  running_.emplace_back(std::move(what), pulse_);
  const auto mine = std::prev(running_.end());
  const clock::time_point began = clock::now();
  if (mine->what.timeout) {
    mine->limit = std::make_unique<asio::steady_timer>(executor_);
    mine->limit->expires_after(std::chrono::ceil<std::chrono::milliseconds>(
        std::chrono::duration<double>(*mine->what.timeout)));
    mine->limit->async_wait([this, id = mine->what.id](const boost::system::error_code& ended) {
      if (!ended) time_out(id);
    });
  }
  if (log_) {
    log_(log_level::debug, "job started",
         {{"id", mine->what.id},
          {"task", mine->what.task},
          {"attempt", mine->what.attempt},
          {"waited_seconds", mine->what.waited}});
  }
  stage on{database_, *id_, threads_, answer_time(), log_.sink()};
  asio::co_spawn(
      executor_, perform(mine->what, tasks_.at(mine->what.task), std::move(on)),
      asio::bind_cancellation_slot(mine->stop.slot(),
                                   [this, mine, began](std::exception_ptr failed, job_end how) {
                                     if (failed) std::rethrow_exception(failed);  // Out of memory.
                                     end(mine, std::move(how), clock::now() - began);
                                   }));
}

// By its id: the job may have ended while this was on its way.
void worker::time_out(std::int64_t id) {
  const auto late = std::find_if(running_.begin(), running_.end(),
                                 [id](const running_job& one) { return one.what.id == id; });
  if (late == running_.end()) return;
  late->timed_out = true;
  late->stop.emit(asio::cancellation_type::terminal);
}

void worker::end(std::list<running_job>::iterator which, job_end how, clock::duration took) {
  using kind = job_end::kind;
  job what = std::move(which->what);
  const bool stopped = how.how == kind::failed && how.cancelled;
  if (stopped && which->timed_out) {
    how.error = fmt::format("it ran longer than its timeout of {} s", *what.timeout);
  }
  const bool lost = which->lost || how.how == kind::stale;
  const bool given_back = which->given_back && stopped;
  running_.erase(which);
  turn_.wake();
  if (lost && how.how != kind::completed) {
    log_(log_level::warning, "result discarded",
         {{"id", what.id}, {"task", what.task}, {"attempt", what.attempt}});
    return;
  }
  if (given_back) {
    to_give_back_.push_back(std::move(what));
    return;
  }
  if (how.how == kind::failed) {
    failed_.push_back({std::move(what), std::move(how), took});
    return;
  }
  if (log_) {
    log_(log_level::info, "job done",
         {{"id", what.id},
          {"task", what.task},
          {"queue", what.queue},
          {"attempt", what.attempt},
          {"waited_seconds", what.waited},
          {"seconds", seconds_of(took)}});
  }
  if (how.how == kind::completed) {
    look_ = look_ || what.keyed;
  } else {
    done_.push_back({std::move(what), std::move(how), took});
  }
}

void worker::cancel_all(bool to_give_back) {
  for (running_job& one : running_) {
    one.given_back = to_give_back;
    one.stop.emit(asio::cancellation_type::terminal);
  }
}

// A statement of the worker's own is short. When no answer comes, the network has lost the
// connection without telling: it is given up, and a new one is made.
asio::awaitable<pg::result> worker::ask(pg::connection& on, const pg::named_statement& statement,
                                        const std::vector<pg::parameter>& values) {
  const pg::answer_limit limit(on, executor_, answer_time());
  co_return co_await on.execute(statement, values);
}

asio::awaitable<void> worker::tell(pg::connection& on, std::string sql) {
  const pg::answer_limit limit(on, executor_, answer_time());
  co_await on.run(std::move(sql));
}

worker::clock::duration worker::answer_time() const {
  return 2 * std::chrono::duration_cast<clock::duration>(options_.heartbeat.to_duration()) + 1s;
}

// Longer from failure to failure, up to 5 s.
asio::awaitable<void> worker::pause_after(std::string_view who, const error& failed) {
  ++failures_in_a_row_;
  log_(log_level::warning, "worker troubled",
       {{"database", alias_}, {"part", who}, {"error", failed.what()}, {"hint", failed.hint()}});
  const double seconds =
      std::min(5.0, 0.1 * std::pow(2.0, std::min(failures_in_a_row_, 10))) * jitter(0.2);
  asio::steady_timer timer(executor_);
  timer.expires_after(
      std::chrono::duration_cast<clock::duration>(std::chrono::duration<double>(seconds)));
  co_await timer.async_wait(pg::as_value);
}

// Around 1, at most `part` away from it.
double worker::jitter(double part) {
  return std::uniform_real_distribution<>(1 - part, 1 + part)(random_);
}

std::string worker::id_text() const {
  return fmt::format("{}", id_.value_or(0));
}

}  // namespace matview::tasks
