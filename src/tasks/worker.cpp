#include "tasks/worker.hpp"

#include "pg/connection.hpp"
#include "pg/database.hpp"
#include "store/migrations.hpp"
#include "tasks/shared_sessions.hpp"

#include <boost/asio/bind_cancellation_slot.hpp>

#include <chrono>
#include <exception>
#include <utility>

namespace matview::tasks {

namespace {

using clock = std::chrono::steady_clock;

worker_setup setup_of(const asio::any_io_executor& executor, std::string alias,
                      const task_set& tasks, const worker_options& options,
                      asio::thread_pool& threads) {
  auto database = pg::find_database(alias)->with_pool_of(options.concurrency + 2);
  return {.executor = executor,
          .alias = std::move(alias),
          .tasks = tasks,
          .options = options,
          .threads = threads,
          .log = event_log(options.log, options.log_json),
          .database = std::move(database),
          .task_names = pg::array_literal(tasks.names()),
          .queue_names = options.queues.empty() ? pg::parameter()
                                                : pg::parameter(pg::array_literal(options.queues))};
}

}  // namespace

worker::worker(const asio::any_io_executor& executor, std::string alias, const task_set& tasks,
               const worker_options& options, asio::thread_pool& threads,
               std::function<void()> on_start)
    : setup_(setup_of(executor, std::move(alias), tasks, options, threads)),
      state_(setup_),
      jobs_(setup_, state_),
      presence_(setup_, state_, jobs_, std::move(on_start)),
      control_(setup_, state_, jobs_),
      presence_ended_(executor),
      grace_(executor) {}

asio::awaitable<void> worker::run() {
  co_await pg::shield_cancellation();
  {
    pg::lease first = co_await setup_.database->acquire(setup_.log.sink());
    co_await store::migrate(*first);
    pg::lease second = co_await setup_.database->acquire(setup_.log.sink());
    co_await refuse_shared_sessions(*first, *second);
  }
  bool present = true;
  asio::co_spawn(setup_.executor, presence_.run(),
                 asio::bind_cancellation_slot(stop_presence_.slot(), [&](std::exception_ptr) {
                   present = false;
                   presence_ended_.wake();
                 }));
  co_await control_.run();
  state_.finished = true;
  grace_.cancel();  // It would keep the loop, and so the process, to its end.
  stop_presence_.emit(asio::cancellation_type::terminal);
  while (present) co_await presence_ended_.sleep_until(clock::now() + longest_sleep);
  setup_.log(log_level::info, "worker stopped",
             {{"database", setup_.alias}, {"worker", state_.id.value_or(0)}});
}

void worker::drain() {
  if (state_.draining) return;
  state_.draining = true;
  state_.drain_until = clock::now() + std::chrono::duration_cast<clock::duration>(
                                          setup_.options.grace.to_duration());
  state_.turn.wake();
  if (jobs_.running() == 0) return;
  setup_.log(log_level::info, "worker stopping",
             {{"database", setup_.alias},
              {"worker", state_.id.value_or(0)},
              {"running", jobs_.running()}});
  grace_.expires_at(state_.drain_until);
  grace_.async_wait([this](const boost::system::error_code& ended) {
    if (!ended) jobs_.stop_all();
  });
}

void worker::stop_jobs() {
  drain();
  jobs_.stop_all();
}

}  // namespace matview::tasks
