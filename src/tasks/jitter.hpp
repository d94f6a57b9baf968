#pragma once

#include <random>

namespace matview::tasks {

/// Spreads pauses, so that workers who failed at the same time do not come back at the same time.
class jitter final {
 public:
  /// Around 1, at most `part` away from it.
  [[nodiscard]] double around_one(double part) {
    return std::uniform_real_distribution<>(1 - part, 1 + part)(random_);
  }

 private:
  std::minstd_rand random_{std::random_device{}()};
};

}  // namespace matview::tasks
