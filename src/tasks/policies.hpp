#pragma once

#include <matview/schedules.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <string_view>

namespace matview::tasks {

// How a schedule's policies are written, in its row and on the command line: in the order of the
// enumerators.

inline constexpr std::array<std::string_view, 3> missed_words{"skip", "once", "all"};
inline constexpr std::array<std::string_view, 3> overlap_words{"coalesce", "skip", "allow"};

[[nodiscard]] constexpr std::string_view word_of(missed policy) noexcept {
  return missed_words[static_cast<std::size_t>(policy)];
}

[[nodiscard]] constexpr std::string_view word_of(overlap policy) noexcept {
  return overlap_words[static_cast<std::size_t>(policy)];
}

/// The policy that one of `words` stands for. @param word is one of them: rows are CHECKed, options
/// validated.
template <class Policy>
[[nodiscard]] constexpr Policy policy_of(const std::array<std::string_view, 3>& words,
                                         std::string_view word) noexcept {
  return static_cast<Policy>(std::find(words.begin(), words.end(), word) - words.begin());
}

}  // namespace matview::tasks
