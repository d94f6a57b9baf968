#pragma once

// What every coroutine of this project says of Boost.Asio, once.

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>

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

/// Runs `work` on a helper thread and resumes here with its result. Not cancellable: `work` must
/// end by itself.
template <class Work>
auto on_helper_thread(Work work) -> asio::awaitable<decltype(work())> {
  auto wrapped = [](Work inner) -> asio::awaitable<decltype(inner())> { co_return inner(); };
  return asio::co_spawn(helper_threads(), wrapped(std::move(work)), asio::use_awaitable);
}

}  // namespace matview::pg
