#pragma once

#include <matview/error.hpp>

namespace matview::tasks {

/// Whether trying again cannot help: what the statement asks for does not exist, is not allowed or
/// makes no sense. All else (a lost connection, a lock, a deadlock, a full disk, a time-out) is
/// tried again. Pure.
[[nodiscard]] bool is_permanent(const error& failed) noexcept;

}  // namespace matview::tasks
