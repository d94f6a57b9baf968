#pragma once

// What every coroutine of this project says of Boost.Asio, once.

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/experimental/parallel_group.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/error_code.hpp>

#include <cstddef>
#include <exception>
#include <utility>

namespace matview {
namespace asio = boost::asio;
}

namespace matview::pg {

/// Completes with the error code as a value: waiting that ends early is no surprise here.
inline constexpr auto as_value = asio::as_tuple(asio::use_awaitable);

/// Threads for the calls that libpq and the operating system offer only blocking: a name look-up, a
/// cancel request, starting a server. Joined when the program ends.
[[nodiscard]] asio::thread_pool& helper_threads();

/// Runs `work` on one of these threads and resumes here with its result. Not cancellable: `work`
/// must end by itself. It should own what it needs: the coroutine may be destroyed meanwhile.
template <class Work>
auto on_thread(asio::thread_pool& threads, Work work) -> asio::awaitable<decltype(work())> {
  using value = decltype(work());
  // Not co_spawn: its coroutine would be cancelled with this one, and ends the program if it ends
  // without having been suspended.
  auto initiate = [&threads](auto handler, Work inner) {
    auto executor = asio::get_associated_executor(handler);
    auto run = [handler = std::move(handler), inner = std::move(inner),
                alive = asio::make_work_guard(executor), executor]() mutable {
      std::exception_ptr failure;
      value result{};
      try {
        result = inner();
      } catch (...) {
        failure = std::current_exception();
      }
      auto finish = [handler = std::move(handler), failure, result = std::move(result),
                     alive = std::move(alive)]() mutable {
        std::move(handler)(failure, std::move(result));
      };
      asio::post(executor, std::move(finish));
    };
    asio::post(threads, std::move(run));
  };
  co_return co_await asio::async_initiate<decltype(asio::use_awaitable),
                                          void(std::exception_ptr, value)>(
      std::move(initiate), asio::use_awaitable, std::move(work));
}

/// on_thread() of the helper threads.
template <class Work>
auto on_helper_thread(Work work) -> asio::awaitable<decltype(work())> {
  return on_thread(helper_threads(), std::move(work));
}

/// Waits for whichever of two asynchronous operations completes first; the other is cancelled.
/// Returns 0 or 1, and its error code. Unlike `||` on awaitables it passes every type of
/// cancellation on.
template <class First, class Second>
asio::awaitable<std::pair<std::size_t, boost::system::error_code>> first_of(First first,
                                                                            Second second) {
  auto both = asio::experimental::make_parallel_group(std::move(first), std::move(second));
  const auto [order, failed_0, failed_1] =
      co_await both.async_wait(asio::experimental::wait_for_one(), as_value);
  const boost::system::error_code failed[]{failed_0, failed_1};
  const std::size_t winner = order[0];
  co_return std::pair(winner, failed[winner]);
}

}  // namespace matview::pg
