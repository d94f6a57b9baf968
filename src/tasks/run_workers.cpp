#include "tasks/run_workers.hpp"

#include "tasks/worker.hpp"
#include <matview/error.hpp>

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <exception>
#include <memory>

namespace matview::tasks {

namespace {

// What systemd's sd_notify(3) describes: one datagram to the socket that $NOTIFY_SOCKET names.
// Nobody listens unless systemd started us with Type=notify.
void tell_service_manager(std::string_view state) {
  const char* name = std::getenv("NOTIFY_SOCKET");
  if (name == nullptr || (*name != '/' && *name != '@')) return;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string_view path(name);
  if (path.size() >= sizeof address.sun_path) return;
  std::copy(path.begin(), path.end(), address.sun_path);
  if (path.front() == '@') address.sun_path[0] = '\0';  // An abstract socket.
  const int socket = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (socket < 0) return;
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size());
  static_cast<void>(::sendto(socket, state.data(), state.size(), MSG_NOSIGNAL,
                             reinterpret_cast<const sockaddr*>(&address), size));
  ::close(socket);
}

class crew final {
 public:
  crew(const task_set& tasks, const worker_options& options)
      : threads_(std::max<std::size_t>(options.concurrency, 1)),
        signals_(loop_, SIGINT, SIGTERM, SIGHUP) {
    const auto on_start = [this] {
      if (++started_ == workers_.size()) tell_service_manager("READY=1");
    };
    for (const std::string& alias : options.databases) {
      workers_.push_back(std::make_unique<worker>(loop_.get_executor(), alias, tasks, options,
                                                  threads_, on_start));
    }
  }

  void run() {
    for (const auto& one : workers_) {
      ++working_;
      asio::co_spawn(loop_, one->run(), [this](std::exception_ptr failed) {
        if (failed && !failure_) failure_ = failed;
        // One that cannot begin ends the others, too: half of what was asked for is no start.
        if (failed) stop();
        if (--working_ == 0) signals_.cancel();
      });
    }
    await_signal();
    loop_.run();
    threads_.join();
    if (failure_) std::rethrow_exception(failure_);
  }

  // From any thread.
  void ask_to_stop() {
    asio::post(loop_, [this] { stop(); });
  }

 private:
  void await_signal() {
    signals_.async_wait([this](const boost::system::error_code& ended, int) {
      if (ended) return;
      // A third signal finds nobody at home and ends the process as it does any other: what the
      // database does not let us give back is rescued by the next worker.
      if (stopping_) signals_.clear();
      stop();
      await_signal();
    });
  }

  void stop() {
    if (!stopping_) tell_service_manager("STOPPING=1");
    for (const auto& one : workers_) {
      if (stopping_) {
        one->stop_jobs();
      } else {
        one->drain();
      }
    }
    stopping_ = true;
  }

  asio::io_context loop_{1};
  asio::thread_pool threads_;
  asio::signal_set signals_;
  std::vector<std::unique_ptr<worker>> workers_;
  std::size_t working_ = 0;
  std::size_t started_ = 0;
  bool stopping_ = false;
  std::exception_ptr failure_;
};

}  // namespace

void run_workers(const task_set& tasks, const worker_options& options,
                 const std::vector<schedule_definition>& schedules,
                 const std::function<void(std::function<void()>)>& on_start) {
  if (options.databases.empty()) {
    throw error(errc::invalid_option, "a worker needs a database", {.hint = "name its alias"});
  }
  if (options.concurrency == 0) {
    throw error(errc::invalid_option, "a worker with concurrency 0 does nothing",
                {.hint = "1 runs one job at a time"});
  }
  if (options.heartbeat.to_duration() < std::chrono::milliseconds(100)) {
    throw error(
        errc::invalid_option,
        fmt::format("a worker that looks every {} does nothing else", options.heartbeat.text()),
        {.hint = "5 seconds is the default; it hears of new jobs without looking"});
  }
  if (options.lease.to_duration() <= options.heartbeat.to_duration()) {
    throw error(errc::invalid_option,
                fmt::format("a lease of {} runs out between two heartbeats of {}",
                            options.lease.text(), options.heartbeat.text()),
                {.hint = "six times the heartbeat is the default"});
  }
  for (const std::string& alias : options.databases) {
    for (const schedule_definition& schedule : schedules) set_schedule(schedule, alias);
  }
  crew all(tasks, options);
  if (on_start) on_start([&all] { all.ask_to_stop(); });
  all.run();
}

}  // namespace matview::tasks
