#include "cli/run.hpp"

#include "cli/output.hpp"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/multiple_exceptions.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <fmt/format.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <exception>
#include <utility>

namespace matview::cli {

namespace {

using clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds first_progress{500};
constexpr std::chrono::milliseconds next_progress{200};

std::atomic<bool> asked_to_stop = false;

// The event loop with what runs beside the work: signals and the progress line.
class supervisor final {
 public:
  supervisor(const terminal& screen, progress_lines lines)
      : screen_(screen),
        lines_(std::move(lines)),
        signals_(loop_, SIGINT, SIGTERM, SIGHUP),
        ticker_(loop_) {}

  void run(asio::awaitable<void> work) {
    std::exception_ptr failure;
    asio::co_spawn(loop_, std::move(work),
                   asio::bind_cancellation_slot(stop_.slot(), [&](std::exception_ptr thrown) {
                     failure = std::move(thrown);
                     signals_.cancel();
                     ticker_.cancel();
                   }));
    await_signal();
    if (screen_.interactive()) await_tick(first_progress);
    loop_.run();
    screen_.progress({});
    if (failure) rethrow(failure);
  }

 private:
  // Two that failed at once (operator&&) are told by the first; an interrupted wait of the event
  // loop's own is an interruption.
  [[noreturn]] static void rethrow(const std::exception_ptr& failure) {
    try {
      std::rethrow_exception(failure);
    } catch (const error&) {
      throw;
    } catch (const asio::multiple_exceptions& both) {
      rethrow(both.first_exception());
    } catch (const std::exception&) {
      if (asked_to_stop) throw error(errc::cancelled, "the operation was cancelled");
      throw;
    }
  }

  void await_signal() {
    signals_.async_wait([this](const boost::system::error_code& ended, int) {
      if (ended) return;
      if (asked_to_stop.exchange(true)) ::_exit(130);
      stopping_ = true;
      stop_.emit(asio::cancellation_type::terminal);  // What every coroutine lets through.
      await_signal();
    });
  }

  void await_tick(std::chrono::milliseconds delay) {
    ticker_.expires_after(delay);
    ticker_.async_wait([this](const boost::system::error_code& ended) {
      if (ended) return;
      const auto passed = std::chrono::duration_cast<std::chrono::seconds>(clock::now() - began_);
      screen_.progress(lines_(passed, stopping_));
      await_tick(next_progress);
    });
  }

  const terminal& screen_;
  progress_lines lines_;
  bool stopping_ = false;
  clock::time_point began_ = clock::now();
  asio::io_context loop_{1};
  asio::cancellation_signal stop_;
  asio::signal_set signals_;
  asio::steady_timer ticker_;
};

}  // namespace

void run_interruptibly(const terminal& screen, const std::string& what,
                       asio::awaitable<void> work) {
  const auto line = [&what](std::chrono::seconds passed, bool stopping) {
    return fmt::format("{}{}, {} s", what, stopping ? ", stopping" : "", passed.count());
  };
  supervisor(screen, line).run(std::move(work));
}

void run_interruptibly(const terminal& screen, progress_lines lines, asio::awaitable<void> work) {
  supervisor(screen, std::move(lines)).run(std::move(work));
}

bool interrupted() noexcept {
  return asked_to_stop;
}

}  // namespace matview::cli
