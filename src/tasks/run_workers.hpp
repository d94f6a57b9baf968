#pragma once

#include "tasks/task_set.hpp"
#include <matview/schedules.hpp>
#include <matview/tasks.hpp>

#include <functional>
#include <string>
#include <vector>

namespace matview::tasks {

/// A worker for each of the databases in the options, on this thread, until SIGTERM or SIGINT, or
/// until all have ended by themselves. The first signal lets jobs end within the grace, the second
/// cancels them at once.
///
/// `schedules` are set first, in every database. `on_start` is called with a function that, from
/// any thread and until run_workers() returns, asks to stop as a signal does.
/// @throws error as task_queue::run(), and std::bad_alloc.
void run_workers(const task_set& tasks, const worker_options& options,
                 const std::vector<schedule_definition>& schedules = {},
                 const std::function<void(std::function<void()>)>& on_start = {});

}  // namespace matview::tasks
