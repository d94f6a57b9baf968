#include "tasks/enqueue.hpp"

#include "store/task_statements.hpp"
#include "tasks/session.hpp"
#include "tasks/values.hpp"
#include "text/quote.hpp"
#include <matview/error.hpp>
#include <matview/tasks.hpp>

#include <boost/json/parse.hpp>
#include <fmt/format.h>

#include <chrono>
#include <memory>
#include <mutex>
#include <set>
#include <utility>

namespace matview::tasks {

namespace json = boost::json;

namespace {

constexpr std::size_t longest_arguments = std::size_t{1} << 20U;

// The queues that a call of this process is telling the workers of.
struct telling {
  std::mutex mutex;
  std::set<std::pair<std::string, std::string>> queues;
};

// Whether a call is the one that tells. NOTIFY takes a lock that all commits of a server queue for:
// 8 sessions that tell of each job put in a third of what they could. So one call tells at a time;
// a worker that hears it looks again a little later for what was put in beside it. Whoever puts in
// one job after the other tells of each, which costs next to nothing.
class notice final {
 public:
  notice(const std::string& database, const std::string& queue) : key_(database, queue) {
    static const auto all = std::make_shared<telling>();
    const std::lock_guard guard(all->mutex);
    if (all->queues.insert(key_).second) among_ = all;
  }
  notice(notice&&) noexcept = default;
  notice& operator=(notice&&) = delete;
  ~notice() { release(); }

  /// The next call may tell.
  void release() {
    if (!among_) return;
    {
      const std::lock_guard guard(among_->mutex);
      among_->queues.erase(key_);
    }
    among_.reset();
  }

  [[nodiscard]] bool tells() const noexcept { return among_ != nullptr; }

 private:
  std::pair<std::string, std::string> key_;
  std::shared_ptr<telling> among_;  // Shared, since a call may end after static objects have.
};

void check_number(std::string_view what, int value, int least, int most) {
  if (value >= least && value <= most) return;
  throw error(errc::invalid_option, fmt::format("{} of {} is out of range", what, value),
              {.hint = fmt::format("from {} to {}", least, most)});
}

void check_options(const job_options& options) {
  check_job(options.queue, options.priority, options.max_attempts);
  if (!options.timeout || options.timeout->to_duration().count() > 0) return;
  throw error(errc::invalid_option, "the timeout is 0",
              {.hint = "write a length of time such as \"30 minutes\""});
}

std::vector<pg::parameter> parameters_of(const std::string& task, std::string args,
                                         const job_options& options) {
  std::vector<pg::parameter> out{task,
                                 std::move(args),
                                 options.queue,
                                 seconds_parameter(options.delay),
                                 fmt::format("{}", options.priority),
                                 fmt::format("{}", options.max_attempts)};
  out.push_back(options.dedupe.empty() ? pg::parameter() : pg::parameter(options.dedupe));
  out.push_back(seconds_parameter(options.timeout));
  return out;
}

asio::awaitable<std::int64_t> enqueue_one(pg::connection& on, std::vector<pg::parameter> values) {
  const pg::result made = co_await on.query(store::sql::enqueue.sql, std::move(values));
  co_return made.integer(0, 0);
}

asio::awaitable<std::int64_t> enqueue_borrowed(PGconn* raw, std::vector<pg::parameter> values) {
  views::check_borrowed(raw);
  pg::connection on(raw, co_await asio::this_coro::executor, {}, pg::notices_to::caller);
  std::optional<error> failure;
  try {
    co_return co_await enqueue_one(on, std::move(values));
  } catch (const error& failed) {
    failure = failed;
  }
  throw error(store::explained(*failure, on.user()));
}

std::vector<pg::parameter> checked(std::string_view task, std::string_view args,
                                   const job_options& options, bool notify) {
  check_task(task);
  check_arguments(args);
  check_options(options);
  std::vector<pg::parameter> out = parameters_of(std::string(task), std::string(args), options);
  out.emplace_back(notify ? "true" : "false");
  return out;
}

// One that took so long beside the call that told may come too late for the second look.
constexpr auto quick = std::chrono::milliseconds(50);

asio::awaitable<std::int64_t> enqueue_with(pg::connection& on,
                                           const std::vector<pg::parameter>& values, notice& mine) {
  const auto began = std::chrono::steady_clock::now();
  const bool told = mine.tells();
  const std::int64_t made = co_await enqueue_one(on, values);
  mine.release();
  if (!told && std::chrono::steady_clock::now() - began > quick) {
    std::vector<pg::parameter> queue{values.at(2)};
    co_await on.query("SELECT pg_notify('matview_job', $1)", std::move(queue));
  }
  co_return made;
}

asio::awaitable<std::int64_t> enqueue_anywhere(std::string database,
                                               std::vector<pg::parameter> values, notice mine) {
  const auto work = [&](pg::connection& on) { return enqueue_with(on, values, mine); };
  std::optional<error> failure;
  try {
    co_return co_await on_store(database, no_schema::refuse, work);
  } catch (const error& failed) {
    failure = failed;
  }
  // The first job of all makes the schema.
  const bool none = store::means_no_schema(*failure) || failure->sqlstate() == "42883";
  if (!none) throw error(*failure);
  co_return co_await on_store(std::move(database), no_schema::make_it, work);
}

}  // namespace

void check_task(std::string_view task) {
  if (!task.empty() && task.size() <= 200) return;
  throw error(errc::invalid_option, fmt::format("{} is not a task's name", text::shown(task)),
              {.hint = "a task has a name of 1 to 200 bytes"});
}

void check_arguments(std::string_view args) {
  if (args.size() > longest_arguments) {
    throw error(errc::invalid_option,
                fmt::format("the arguments of a job take {} bytes, and at most {} are accepted",
                            args.size(), longest_arguments),
                {.hint = "keep the data in a table and pass its key"});
  }
  json::error_code unreadable;
  const json::value parsed = json::parse(json::string_view(args.data(), args.size()), unreadable);
  if (!unreadable && parsed.is_object()) return;
  throw error(
      errc::invalid_option,
      fmt::format("the arguments of a job are {}, which is no JSON object", text::shown(args)),
      {.hint = R"(such as {"view": "sales.daily"})"});
}

void check_job(std::string_view queue, int priority, int max_attempts) {
  if (queue.empty() || queue.size() > 200) {
    throw error(errc::invalid_option, fmt::format("{} is not a queue's name", text::shown(queue)),
                {.hint = "a queue has a name of 1 to 200 bytes"});
  }
  check_number("a priority", priority, -32768, 32767);
  check_number("the number of attempts", max_attempts, 1, 1'000'000);
}

asio::awaitable<std::int64_t> aenqueue(std::string_view task, std::string_view args,
                                       job_options options) {
  notice told(options.database, options.queue);
  std::vector<pg::parameter> values = checked(task, args, options, told.tells());
  return views::isolated(enqueue_anywhere(options.database, std::move(values), std::move(told)));
}

std::int64_t enqueue(std::string_view task, std::string_view args, const job_options& options) {
  return pg::run_sync(aenqueue(task, args, options));
}

std::int64_t enqueue(PGconn* connection, std::string_view task, std::string_view args,
                     const job_options& options) {
  // Always told: whether and when the caller commits is not known here.
  return pg::run_sync(
      views::isolated(enqueue_borrowed(connection, checked(task, args, options, true))));
}

asio::awaitable<std::int64_t> aenqueue_all(std::string_view task, std::vector<std::string> args,
                                           job_options options) {
  check_task(task);
  check_options(options);
  for (const std::string& one : args) check_arguments(one);
  std::vector<pg::parameter> values =
      parameters_of(std::string(task), pg::array_literal(args), options);
  std::string database = options.database;
  const auto work = [values =
                         std::move(values)](pg::connection& on) -> asio::awaitable<std::int64_t> {
    const pg::result made = co_await on.query(store::sql::enqueue_all.sql, values);
    co_return made.integer(0, 0);
  };
  return views::isolated(on_store(std::move(database), no_schema::make_it, work));
}

std::int64_t enqueue_all(std::string_view task, std::vector<std::string> args,
                         const job_options& options) {
  return pg::run_sync(aenqueue_all(task, std::move(args), options));
}

}  // namespace matview::tasks
