#pragma once

#include <matview/interval.hpp>
#include <matview/log.hpp>

#include <boost/asio/awaitable.hpp>
#include <boost/json/fwd.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

// libpq's own name for a connection; whoever has one has its header.
struct pg_conn;
using PGconn = pg_conn;

namespace matview::tasks {

// A durable queue in the database itself: jobs, schedules and workers are rows of the schema
// `matview`, which is made on first use. docs/tasks.md says what is promised and how it was tried:
//
// - A job that was enqueued is run until it is done, dead or cancelled, however many workers and
//   servers die meanwhile.
// - A refresh of a view, and a SQL statement, take effect exactly once for each job: the work and
//   the job's completion are one transaction. Any other task is run at least once: a worker that is
//   killed between the work and the completion leaves the job to another one.
// - A tick of a schedule makes at most one job, on any number of hosts, whatever their clocks say.
//
// Errors and cancellation are as in views.hpp. The clock that decides is the database's.

/// What a job that is enqueued is like besides its task and arguments.
struct job_options {
  std::string queue = "default";
  /// The lower, the sooner.
  int priority = 100;
  /// How many times it may be tried before it is dead.
  int max_attempts = 5;
  /// How long from now it has to wait.
  std::optional<interval> delay = {};
  /// Longest run of one attempt; it is cancelled then and tried again.
  std::optional<interval> timeout = {};
  /// While a job of this key waits, no second one is put beside it; and no two of a key run at the
  /// same time. Empty: no key.
  std::string dedupe = {};
  /// The alias of the database; ignored by the forms that take a connection.
  std::string database = "default";
};

/// Puts a job into the queue.
///
/// @param task  what is to be run: the name that some worker knows; `refresh` with the arguments
///              `{"view": "sales.daily", "concurrently": true}` and `sql` with `{"sql": "..."}` are
///              known to every worker.
/// @param args  one JSON object, as text, of at most 1 MiB.
/// @return the job's id; with a dedupe key that a waiting job has, that job's.
/// @throws error with errc::invalid_option for arguments that are no JSON object or too large.
std::int64_t enqueue(std::string_view task, std::string_view args = "{}",
                     const job_options& options = {});

/// The same in the caller's transaction, if one is open on the connection: the job is there when,
/// and only when, that is committed. The schema must have been made (any other call does it).
std::int64_t enqueue(PGconn* connection, std::string_view task, std::string_view args = "{}",
                     const job_options& options = {});

boost::asio::awaitable<std::int64_t> aenqueue(std::string_view task, std::string_view args = "{}",
                                              job_options options = job_options());

/// Many jobs of one task in one statement.
/// @return how many there are now more; those whose key was waiting are not counted.
boost::asio::awaitable<std::int64_t> aenqueue_all(std::string_view task,
                                                  std::vector<std::string> args,
                                                  job_options options = job_options());
std::int64_t enqueue_all(std::string_view task, std::vector<std::string> args,
                         const job_options& options = {});

/// What a worker does and how. Plain data.
struct worker_options {
  /// Aliases of the databases whose queues it works on.
  std::vector<std::string> databases = {"default"};
  /// Only these queues; empty: all.
  std::vector<std::string> queues = {};
  /// How many jobs run at once in each database.
  std::size_t concurrency = 10;
  /// How often it shows that it lives and looks for what nobody told it of.
  interval heartbeat = interval::parse("5 seconds");
  /// How long it may be silent before its jobs are given to others, when its session does not tell.
  interval lease = interval::parse("30 seconds");
  /// How long jobs may go on after the first signal to stop.
  interval grace = interval::parse("30 seconds");
  /// Pause before the second attempt; it doubles from attempt to attempt up to `longest_pause`.
  interval pause = interval::parse("5 seconds");
  interval longest_pause = interval::parse("1 hour");
  /// How long finished jobs are kept; dead ones stay until somebody purges them.
  interval keep_finished = interval::parse("1 day");
  /// Ends by itself when there has been nothing to do for so long.
  std::optional<interval> stop_after_idle = {};
  /// Ends as soon as nothing is due.
  bool once = false;
  /// Whether log lines are JSON objects instead of text.
  bool log_json = false;
  /// Receives what happens: jobs done and failed, workers lost, connections lost.
  log_sink log = {};
};

/// Options of a task_queue. Plain data.
struct queue_options {
  std::string name = "default";      ///< The queue.
  std::string database = "default";  ///< The alias of its database.
  /// How often to look for jobs that nobody told of.
  interval poll_interval = interval::parse("5 seconds");
  int max_attempts = 5;                            ///< Of its tasks, unless they say otherwise.
  int priority = 100;                              ///< Of its tasks, unless they say otherwise.
  std::size_t concurrency = 10;                    ///< How many jobs run at once.
  interval grace = interval::parse("30 seconds");  ///< As in worker_options.
  std::optional<interval> stop_after_idle = {};    ///< As in worker_options.
  log_sink log = {};                               ///< As in worker_options.
};

/// A task's name and, if the clock is to start it, when. Plain data.
struct task_options {
  std::string name;
  /// Cron expression; see cron.hpp for the dialect. Empty: not by cron.
  std::string cron = {};
  /// IANA name of the time zone that `cron` is in.
  std::string time_zone = "UTC";
  /// Period, at least a second; not together with `cron`.
  std::optional<interval> every = {};
  std::optional<int> priority = {};
  std::optional<int> max_attempts = {};
  std::optional<interval> timeout = {};
};

/// A task that needs no arguments. It blocks, so it is run on a thread of its own.
using plain_task = std::function<void()>;
/// A task that takes the job's arguments; run on a thread of its own, too.
using argument_task = std::function<void(const boost::json::object&)>;
/// A task that is a coroutine, run on the worker's own thread. It is cancelled when the job is.
using coroutine_task = std::function<boost::asio::awaitable<void>(const boost::json::object&)>;

/// Tasks and the worker that runs them. Not thread-safe, but for stop().
class task_queue final {
 public:
  explicit task_queue(queue_options options = {});
  task_queue(task_queue&&) noexcept;
  task_queue& operator=(task_queue&&) noexcept;
  ~task_queue();

  /// Makes a task known; with `cron` or `every`, also sets the schedule of the task's name, in the
  /// database, when run() begins. A task from matview_refresh_task() takes effect exactly once for
  /// each job.
  /// @throws error with errc::invalid_cron or errc::invalid_option at once.
  ///
  /// @param work  a plain_task, an argument_task or a coroutine_task, or what can be made one.
  template <class Work>
  void task(task_options options, Work work) {
    using arguments = const boost::json::object&;
    if constexpr (std::is_invocable_r_v<boost::asio::awaitable<void>, Work&, arguments>) {
      add(std::move(options), coroutine_task(std::move(work)));
    } else if constexpr (std::is_invocable_v<Work&, arguments>) {
      add(std::move(options), argument_task(std::move(work)));
    } else {
      add(std::move(options), plain_task(std::move(work)));
    }
  }

  /// Puts a job of one of its tasks into this queue.
  std::int64_t enqueue(std::string_view task, std::string_view args = "{}") const;

  /// Works until SIGTERM, SIGINT or SIGHUP, or stop(), and returns when its jobs have ended; what
  /// does not end within the grace is cancelled and given back. A second signal does not wait for
  /// the grace, and a third ends the process.
  /// @throws error if it cannot begin: connection_failed, permission_denied, ...; later failures
  ///         are logged and tried again.
  void run();

  /// Runs what is due now, and returns when nothing is.
  void drain_once();

  /// Asks run() to end as a signal does. From any thread.
  void stop() noexcept;

 private:
  void add(task_options options, plain_task work);
  void add(task_options options, argument_task work);
  void add(task_options options, coroutine_task work);

  struct state;
  std::unique_ptr<state> state_;
};

}  // namespace matview::tasks
