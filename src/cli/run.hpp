#pragma once

#include "cli/terminal.hpp"
#include "pg/asio.hpp"
#include <matview/error.hpp>

#include <chrono>
#include <functional>
#include <string>

namespace matview::cli {

/// Runs `work` to its end. SIGINT and SIGTERM cancel it: it then ends with errc::cancelled, after
/// the server has answered; a second one ends the process at once. While it runs, a person at the
/// terminal sees `what` and the time that has passed.
/// @throws what `work` throws.
void run_interruptibly(const terminal& screen, const std::string& what, asio::awaitable<void> work);

/// The same, with what the person sees in the hand of the caller: `lines` of the time that has
/// passed and of whether it is stopping.
using progress_lines = std::function<std::string(std::chrono::seconds passed, bool stopping)>;
void run_interruptibly(const terminal& screen, progress_lines lines, asio::awaitable<void> work);

/// Whether a signal has asked this process to stop.
[[nodiscard]] bool interrupted() noexcept;

}  // namespace matview::cli
