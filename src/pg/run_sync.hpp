#pragma once

#include "pg/asio.hpp"

#include <boost/asio/io_context.hpp>

#include <exception>
#include <optional>
#include <type_traits>
#include <utility>

namespace matview::pg {

/// Runs `work` to its end on an io_context of its own and returns or throws what it does.
template <class T>
T run_sync(asio::awaitable<T> work) {
  asio::io_context context(1);
  std::exception_ptr failure;
  if constexpr (std::is_void_v<T>) {
    asio::co_spawn(context, std::move(work), [&](std::exception_ptr thrown) { failure = thrown; });
    context.run();
    if (failure) std::rethrow_exception(failure);
  } else {
    std::optional<T> value;
    asio::co_spawn(context, std::move(work), [&](std::exception_ptr thrown, T result) {
      failure = thrown;
      if (!thrown) value.emplace(std::move(result));
    });
    context.run();
    if (failure) std::rethrow_exception(failure);
    return std::move(*value);
  }
}

}  // namespace matview::pg
