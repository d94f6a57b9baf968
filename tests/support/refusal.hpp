#pragma once

#include <matview/error.hpp>

#include <optional>

namespace matview::test {

/// The error that `call` throws, or nothing when it succeeds.
template <class Call>
[[nodiscard]] std::optional<error> refusal(Call&& call) {
  try {
    static_cast<void>(call());
    return std::nullopt;
  } catch (const error& thrown) {
    return thrown;
  }
}

}  // namespace matview::test
