// docs/library.md's example: two refreshes from one thread, and Ctrl-C. Run with MATVIEW_URL set.

#include <matview/matview.hpp>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>

#include <csignal>
#include <exception>
#include <iostream>

namespace asio = boost::asio;

asio::awaitable<void> refresh(std::string name) {
  matview::refresh_options options;  // Named: see "g++ 12" below.
  options.lock_timeout = matview::interval::parse("5 seconds");
  const matview::refresh_report report = co_await matview::arefresh_matview(name, options);
  std::cout << report.view << ": " << report.duration.count() << " microseconds\n";
}

int main() {
  matview::create_matview("a", "SELECT 1 AS n", {.if_not_exists = true});
  matview::create_matview("b", "SELECT 2 AS n", {.if_not_exists = true});

  asio::io_context loop;
  asio::cancellation_signal stop_a;
  asio::cancellation_signal stop_b;
  asio::signal_set signals(loop, SIGINT);
  signals.async_wait([&](const boost::system::error_code& ended, int) {
    if (ended) return;
    stop_a.emit(asio::cancellation_type::terminal);  // Cancels the statement in the server.
    stop_b.emit(asio::cancellation_type::terminal);
  });

  int running = 2;
  const auto finished = [&](std::exception_ptr failure) {
    if (--running == 0) signals.cancel();
    try {
      if (failure) std::rethrow_exception(failure);
    } catch (const matview::error& failed) {
      std::cerr << failed.what() << '\n';
    }
  };
  asio::co_spawn(loop, refresh("a"), asio::bind_cancellation_slot(stop_a.slot(), finished));
  asio::co_spawn(loop, refresh("b"), asio::bind_cancellation_slot(stop_b.slot(), finished));
  loop.run();

  matview::drop_matview("a");
  matview::drop_matview("b");
}
