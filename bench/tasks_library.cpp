#include "tasks_library.hpp"

#include "bare_libpq.hpp"
#include "interruption.hpp"
#include "library.hpp"
#include <matview/databases.hpp>
#include <matview/jobs.hpp>
#include <matview/tasks.hpp>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/json/object.hpp>
#include <fmt/format.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <exception>
#include <fstream>
#include <future>
#include <optional>
#include <semaphore>
#include <sstream>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

namespace matview::bench {

namespace {

using namespace std::chrono_literals;
using steady = std::chrono::steady_clock;
using coroutine = asio::awaitable<void>;
using arguments = boost::json::object;

constexpr std::size_t batch = 500;
constexpr std::size_t pool_size = 16;
constexpr const char* nothing = "nothing";
constexpr const char* stuck = "stuck";

double seconds_since(steady::time_point began) {
  return std::chrono::duration<double>(steady::now() - began).count();
}

double milliseconds(steady::duration value) {
  return std::chrono::duration<double, std::milli>(value).count();
}

double percentile(std::vector<double> values, double part) {
  std::ranges::sort(values);
  const auto rank = static_cast<std::size_t>(part * static_cast<double>(values.size()));
  return values.at(std::min(rank, values.size() - 1));
}

// The schema, which the first job makes, and nothing in it.
void empty_queue(const scratch_database& on) {
  use_server(on.conninfo(), pool_size);
  tasks::enqueue_all(nothing, {"{}"});
  const auto connection = connect(on.conninfo());
  execute(connection.get(),
          "TRUNCATE matview.job, matview.schedule, matview.skipped_tick, matview.worker");
}

void fill(std::size_t count) {
  for (std::size_t left = count; left > 0; left -= std::min(left, batch)) {
    tasks::enqueue_all(nothing, std::vector<std::string>(std::min(left, batch), "{}"));
  }
}

coroutine enqueue_some(std::size_t& left) {
  const tasks::job_options options;  // By name: see CONTRIBUTING.md on g++ 12 and co_await.
  while (left > 0) {
    --left;
    co_await tasks::aenqueue(nothing, "{}", options);
  }
}

void enqueue_at_once(std::size_t most, std::size_t count) {
  asio::io_context context(1);
  for (std::size_t i = 0; i < most; ++i) {
    asio::co_spawn(context, enqueue_some(count), [](const std::exception_ptr& failed) {
      if (failed) std::rethrow_exception(failed);
    });
  }
  context.run();
}

template <class Work>
outcome rate_of(std::size_t count, Work work) {
  const auto began = steady::now();
  work();
  return {.per_second = static_cast<double>(count) / seconds_since(began)};
}

outcome process(std::size_t concurrency, std::size_t count) {
  fill(count);
  std::size_t ran = 0;
  steady::time_point first;
  steady::time_point last;
  tasks::task_queue queue({.concurrency = concurrency});
  queue.task({.name = nothing}, [&](const arguments&) -> coroutine {
    last = steady::now();
    if (ran++ == 0) first = last;
    co_return;
  });
  queue.drain_once();
  const double settled = seconds_since(first);
  mark_interruptions();  // The worker had the signals for itself.
  const auto done = tasks::list_jobs({.state = "done", .most = count + 1}).size();
  if (ran != count || done != count) {
    throw std::runtime_error(
        fmt::format("{} of {} jobs were run and {} are done: was it stopped?", ran, count, done));
  }
  return {.per_second = static_cast<double>(count) / settled,
          .handlers_per_second =
              static_cast<double>(count) / std::chrono::duration<double>(last - first).count()};
}

// A worker on a thread of this process, until stop().
class resident final {
 public:
  explicit resident(std::size_t workers_before = 0) : before_(workers_before) {}
  resident(const resident&) = delete;
  resident& operator=(const resident&) = delete;
  ~resident() {
    try {
      stop();
    } catch (const std::exception& fault) {
      fmt::print(stderr, "tasks_bench: the worker: {}\n", fault.what());
    }
  }

  [[nodiscard]] tasks::task_queue& queue() { return queue_; }

  /// Returns when it is registered.
  void start() {
    ended_ = std::async(std::launch::async, [this] { queue_.run(); });
    while (tasks::list_workers().size() == before_) {
      if (ended_.wait_for(10ms) == std::future_status::ready) ended_.get();
    }
  }

  void stop() {
    if (!ended_.valid()) return;
    queue_.stop();
    ended_.get();
    mark_interruptions();
  }

 private:
  std::size_t before_;
  tasks::task_queue queue_;
  std::future<void> ended_;
};

// One job at a time, 15 ms apart, as everywhere in this comparison.
outcome latency(std::size_t count) {
  std::binary_semaphore started(0);
  steady::time_point at;
  resident worker;
  worker.queue().task({.name = nothing}, [&](const arguments&) -> coroutine {
    at = steady::now();
    started.release();
    co_return;
  });
  worker.start();
  std::this_thread::sleep_for(500ms);
  std::vector<double> whole;
  std::vector<double> after;
  for (std::size_t i = 0; i < count; ++i) {
    const auto called = steady::now();
    tasks::enqueue(nothing);
    const auto returned = steady::now();
    if (!started.try_acquire_for(30s)) throw std::runtime_error("a job was not begun within 30 s");
    whole.push_back(milliseconds(at - called));
    after.push_back(std::max(0.0, milliseconds(at - returned)));
    std::this_thread::sleep_for(15ms);
    throw_if_interrupted();
  }
  worker.stop();
  return {.p50 = percentile(whole, 0.5),
          .p99 = percentile(whole, 0.99),
          .max = *std::ranges::max_element(whole),
          .returned_p50 = percentile(after, 0.5)};
}

// A worker of another process, on the same database.
child other_process(const scratch_database& on) {
  return child({"/proc/self/exe", worker_flag}, {{"MATVIEW_URL", on.conninfo()}});
}

double resident_mib(pid_t pid) {
  std::ifstream file(fmt::format("/proc/{}/status", pid));
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("VmRSS:")) return std::stod(line.substr(6)) / 1024;
  }
  throw std::runtime_error("VmRSS cannot be read");
}

// Of all its threads, in user and kernel mode.
double cpu_seconds(pid_t pid) {
  std::ifstream file(fmt::format("/proc/{}/stat", pid));
  std::string line;
  std::getline(file, line);
  std::istringstream fields(line.substr(line.rfind(')') + 2));  // After the name.
  std::vector<std::string> all;
  for (std::string one; fields >> one;) all.push_back(one);
  constexpr std::size_t utime = 11;  // proc(5) counts from pid: 14 and 15.
  return (std::stod(all.at(utime)) + std::stod(all.at(utime + 1))) /
         static_cast<double>(sysconf(_SC_CLK_TCK));
}

double transactions(PGconn* on, const std::string& database) {
  return std::stod(value_of(on, fmt::format("SELECT xact_commit + xact_rollback "
                                            "FROM pg_stat_database WHERE datname = '{}'",
                                            database)));
}

// Waits in short pieces, so that an interruption is soon heard.
void sleep_seconds(double seconds) {
  const auto began = steady::now();
  while (seconds_since(began) < seconds) {
    const std::chrono::duration<double> left(seconds - seconds_since(began));
    std::this_thread::sleep_for(std::min<std::chrono::duration<double>>(left, 100ms));
    throw_if_interrupted();
  }
}

}  // namespace

void be_a_worker() {
  prctl(PR_SET_PDEATHSIG, SIGKILL);  // It does not outlive the one that measures.
  const auto tell = [](log_level, std::string_view line) {
    fmt::print("{}\n", line);
    std::fflush(stdout);
  };
  tasks::task_queue queue({.log = [tell](log_level level, std::string_view line) {
    if (line.starts_with("worker ")) tell(level, line);
  }});
  queue.task({.name = nothing}, [](const arguments&) -> coroutine { co_return; });
  queue.task({.name = stuck}, [tell](const arguments&) -> coroutine {
    tell(log_level::info, stuck);
    asio::steady_timer timer(co_await asio::this_coro::executor, 1h);
    co_await timer.async_wait(asio::use_awaitable);
  });
  queue.run();
}

outcome measure_library(const scratch_database& on, measure what, std::size_t count) {
  empty_queue(on);
  switch (what) {
    case measure::enqueue_one:
      return rate_of(count, [&] {
        for (std::size_t i = 0; i < count; ++i) tasks::enqueue(nothing);
      });
    case measure::enqueue_eight:
      return rate_of(count, [&] { enqueue_at_once(8, count); });
    case measure::enqueue_batch:
      return rate_of(count, [&] { fill(count); });
    case measure::process_one:
      return process(1, count);
    case measure::process_ten:
      return process(10, count);
    case measure::process_batch:
      return process(batch, count);
    case measure::latency:
      return latency(count);
  }
  throw std::logic_error("no such measure");
}

double measure_takeover(const scratch_database& on, double phase) {
  empty_queue(on);
  child victim = other_process(on);
  victim.await("worker started");
  const std::int64_t job = tasks::enqueue(stuck);
  victim.await(stuck);

  std::promise<steady::time_point> begun;
  resident other(1);
  other.queue().task({.name = stuck}, [&](const arguments&) -> coroutine {
    begun.set_value(steady::now());
    co_return;
  });
  other.start();
  // The first heartbeat comes with the start; the wait covers one whole period after it.
  const double period =
      std::chrono::duration<double>(tasks::queue_options().poll_interval.to_duration()).count();
  sleep_seconds(period * (1 + phase));
  auto future = begun.get_future();
  const auto killed = steady::now();
  victim.kill();
  if (future.wait_for(2min) != std::future_status::ready) {
    throw std::runtime_error("nobody took the job of a killed worker over within two minutes");
  }
  const double seconds = std::chrono::duration<double>(future.get() - killed).count();
  other.stop();
  const tasks::job_info end = tasks::find_job(job);
  if (end.state != "done" || end.attempt != 2 || end.rescues != 1) {
    throw std::runtime_error(
        fmt::format("a job that was taken over is {} after {} attempts", end.state, end.attempt));
  }
  return seconds;
}

idle_use measure_idle(const std::string& server, double seconds) {
  const scratch_database on(server, "idle");
  child worker = other_process(on);
  worker.await("worker started");
  // A session tells the statistics of its last transaction 10 s later.
  sleep_seconds(12);
  const auto watch = connect(server);
  const double cpu = cpu_seconds(worker.pid());
  const double before = transactions(watch.get(), on.name());
  const auto began = steady::now();
  sleep_seconds(seconds);
  const double passed = seconds_since(began);
  return {.resident_mib = resident_mib(worker.pid()),
          .cpu_percent = 100 * (cpu_seconds(worker.pid()) - cpu) / passed,
          .transactions_in_5s = 5 * (transactions(watch.get(), on.name()) - before) / passed};
}

double measure_schedules(const scratch_database& on, std::size_t count) {
  empty_queue(on);
  resident worker;
  worker.start();
  std::this_thread::sleep_for(500ms);
  const auto connection = connect(on.conninfo());
  // 1,440 different expressions; a queue that nobody works on, so that only the claim is measured.
  execute(connection.get(),
          fmt::format("BEGIN; INSERT INTO matview.schedule (name, task, cron, queue, next_at) "
                      "SELECT 'schedule ' || i, '{}', i % 60 || ' ' || i / 60 % 24 || ' * * *', "
                      "'elsewhere', clock_timestamp() - interval '1 second' "
                      "FROM generate_series(1, {}) AS i; NOTIFY matview_schedule",
                      nothing, count));
  const auto began = steady::now();
  execute(connection.get(), "COMMIT");
  while (value_of(connection.get(),
                  "SELECT EXISTS (SELECT FROM matview.schedule WHERE paused_at IS NULL "
                  "AND next_at <= clock_timestamp())") == "t") {
    std::this_thread::sleep_for(5ms);
    throw_if_interrupted();
  }
  const double seconds = seconds_since(began);
  const std::string made =
      value_of(connection.get(), "SELECT count(DISTINCT schedule) FROM matview.job");
  if (std::stoul(made) != count) {
    throw std::runtime_error(fmt::format("{} of {} schedules made a job", made, count));
  }
  return seconds;
}

}  // namespace matview::bench
