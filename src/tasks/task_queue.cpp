#include "tasks/enqueue.hpp"
#include "tasks/run_workers.hpp"
#include "tasks/task_set.hpp"
#include "text/quote.hpp"
#include <matview/cron.hpp>
#include <matview/error.hpp>
#include <matview/schedules.hpp>
#include <matview/tasks.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <mutex>
#include <utility>

namespace matview::tasks {

struct task_queue::state {
  explicit state(queue_options given) : options(std::move(given)) {}

  const queue_options options;
  task_set tasks;
  std::map<std::string, task_options> known;  // What tasks were registered with, by name.
  std::vector<schedule_definition> schedules;

  std::mutex mutex;  // Guards what follows: stop() may come from any thread.
  std::function<void()> stop;
  bool stopped = false;

  void add(task_options given, handler how) {
    check_task(given.name);
    if (!given.cron.empty() && given.every) {
      throw error(
          errc::invalid_option,
          fmt::format("task {} has both a cron expression and a period", text::shown(given.name)),
          {.hint = "give one of them"});
    }
    if (!given.cron.empty()) static_cast<void>(cron::parse(given.cron, given.time_zone));
    if (given.every && given.every->to_duration() < std::chrono::seconds(1)) {
      throw error(errc::invalid_option,
                  fmt::format("a period of {} is too short", given.every->text()),
                  {.hint = "it is at least 1 second"});
    }
    check_job(options.name, given.priority.value_or(options.priority),
              given.max_attempts.value_or(options.max_attempts));
    if (!given.cron.empty() || given.every) {
      schedules.push_back({.name = given.name,
                           .task = given.name,
                           .cron = given.cron,
                           .time_zone = given.time_zone,
                           .every = given.every,
                           .queue = options.name,
                           .priority = given.priority.value_or(options.priority),
                           .max_attempts = given.max_attempts.value_or(options.max_attempts),
                           .timeout = given.timeout});
    }
    std::string name = given.name;
    tasks.add(name, std::move(how));
    known.insert_or_assign(std::move(name), std::move(given));
  }

  worker_options for_worker(bool once) const {
    // Six heartbeats, as by default, but never so few seconds that a busy host misses them.
    const auto lease = std::max<std::chrono::microseconds>(6 * options.poll_interval.to_duration(),
                                                           std::chrono::seconds(30));
    return {.databases = {options.database},
            .queues = {options.name},
            .concurrency = options.concurrency,
            .heartbeat = options.poll_interval,
            .lease = interval::parse(fmt::format("{} microseconds", lease.count())),
            .grace = options.grace,
            .stop_after_idle = options.stop_after_idle,
            .once = once,
            .log = options.log};
  }

  void work(bool once) {
    const auto on_start = [this](std::function<void()> how) {
      const std::lock_guard guard(mutex);
      stop = std::move(how);
      if (stopped) stop();
    };
    struct forget {
      state& in;
      ~forget() {
        const std::lock_guard guard(in.mutex);
        in.stop = nullptr;
        in.stopped = false;
      }
    } at_end{*this};
    run_workers(tasks, for_worker(once), schedules, on_start);
  }
};

task_queue::task_queue(queue_options options)
    : state_(std::make_unique<state>(std::move(options))) {}
task_queue::task_queue(task_queue&&) noexcept = default;
task_queue& task_queue::operator=(task_queue&&) noexcept = default;
task_queue::~task_queue() = default;

void task_queue::add(task_options options, plain_task work) {
  // A refresh is recognised, to be run in one transaction with the job's completion.
  if (const auto* refresh = work.target<views::refresh_task>()) {
    state_->add(std::move(options), *refresh);
    return;
  }
  state_->add(std::move(options), std::move(work));
}

void task_queue::add(task_options options, argument_task work) {
  state_->add(std::move(options), std::move(work));
}

void task_queue::add(task_options options, coroutine_task work) {
  state_->add(std::move(options), std::move(work));
}

std::int64_t task_queue::enqueue(std::string_view task, std::string_view args) const {
  const auto found = state_->known.find(std::string(task));
  if (found == state_->known.end()) {
    throw error(errc::invalid_option,
                fmt::format("{} is not a task of this queue", text::shown(task)),
                {.hint = "register it with task() first"});
  }
  const task_options& options = found->second;
  return tasks::enqueue(
      task, args,
      {.queue = state_->options.name,
       .priority = options.priority.value_or(state_->options.priority),
       .max_attempts = options.max_attempts.value_or(state_->options.max_attempts),
       .timeout = options.timeout,
       .database = state_->options.database});
}

void task_queue::run() {
  state_->work(false);
}

void task_queue::drain_once() {
  state_->work(true);
}

void task_queue::stop() noexcept {
  const std::lock_guard guard(state_->mutex);
  state_->stopped = true;
  if (state_->stop) state_->stop();
}

}  // namespace matview::tasks
