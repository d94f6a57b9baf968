#pragma once

#include <string_view>

namespace matview::tasks {

// What every job must be like, whoever makes it. Pure.

/// @throws error with errc::invalid_option for what cannot be a task's name.
void check_task(std::string_view task);

/// @throws error with errc::invalid_option for anything but a JSON object of at most 1 MiB.
void check_arguments(std::string_view args);

/// @throws error with errc::invalid_option for what the table would refuse.
void check_job(std::string_view queue, int priority, int max_attempts);

}  // namespace matview::tasks
