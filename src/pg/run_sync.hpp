#pragma once

#include "pg/asio.hpp"

#include <boost/asio/io_context.hpp>

#include <exception>
#include <optional>
#include <type_traits>
#include <utility>

namespace matview::pg {

/// The event loop of a synchronous call, for as long as this object lives.
///
/// Each thread keeps one for its calls, because making one costs nine system calls; a call inside a
/// call (from a log sink, against the rules) gets one of its own.
class private_loop final {
 public:
  private_loop();
  private_loop(const private_loop&) = delete;
  private_loop& operator=(const private_loop&) = delete;
  ~private_loop();

  [[nodiscard]] asio::io_context& context() noexcept { return *context_; }

 private:
  std::optional<asio::io_context> own_;
  asio::io_context* context_;
};

/// Runs `work` to its end on an event loop of its own and returns or throws what it does.
template <class T>
T run_sync(asio::awaitable<T> work) {
  private_loop loop;
  std::exception_ptr failure;
  if constexpr (std::is_void_v<T>) {
    asio::co_spawn(loop.context(), std::move(work),
                   [&](std::exception_ptr thrown) { failure = thrown; });
    loop.context().run();
    if (failure) std::rethrow_exception(failure);
  } else {
    std::optional<T> value;
    asio::co_spawn(loop.context(), std::move(work), [&](std::exception_ptr thrown, T result) {
      failure = thrown;
      if (!thrown) value.emplace(std::move(result));
    });
    loop.context().run();
    if (failure) std::rethrow_exception(failure);
    return std::move(*value);
  }
}

}  // namespace matview::pg
