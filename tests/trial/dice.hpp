#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <random>
#include <vector>

namespace matview::trial {

/// The choices of a trial. The same seed makes the same choices with every standard library: the
/// distributions of <random> would not.
class dice final {
 public:
  explicit dice(std::uint64_t seed) : engine_(seed) {}

  std::size_t below(std::size_t count) { return static_cast<std::size_t>(engine_() % count); }
  int between(int low, int high) {
    return low + static_cast<int>(below(static_cast<std::size_t>(high - low + 1)));
  }
  bool percent(int chance) { return between(0, 99) < chance; }
  template <class T>
  const T& of(const std::vector<T>& choices) {
    return choices.at(below(choices.size()));
  }
  template <class T>
  T one_of(std::initializer_list<T> choices) {
    return choices.begin()[below(choices.size())];
  }
  /// An index, each with a chance in proportion to its weight.
  std::size_t weighted(std::initializer_list<int> weights) {
    int sum = 0;
    for (const int weight : weights) sum += weight;
    int left = between(0, sum - 1);
    std::size_t index = 0;
    for (const int weight : weights) {
      if (left < weight) break;
      left -= weight;
      ++index;
    }
    return index;
  }
  /// A seed for another dice: what that one decides does not shift what this one does next.
  std::uint64_t fork() { return engine_(); }

 private:
  std::mt19937_64 engine_;
};

}  // namespace matview::trial
