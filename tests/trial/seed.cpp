#include "trial/seed.hpp"

#include <cstdio>
#include <cstdlib>
#include <random>

namespace matview::trial {

std::uint64_t seed() {
  static const std::uint64_t once = [] {
    const char* given = std::getenv("MATVIEW_TRIAL_SEED");
    const std::uint64_t value =
        given != nullptr ? std::strtoull(given, nullptr, 10) : std::random_device{}();
    std::printf("MATVIEW_TRIAL_SEED=%llu\n", static_cast<unsigned long long>(value));
    return value;
  }();
  return once;
}

std::optional<std::uint64_t> only_case() {
  const char* given = std::getenv("MATVIEW_TRIAL_CASE");
  if (given == nullptr) return std::nullopt;
  return std::strtoull(given, nullptr, 10);
}

std::chrono::seconds trial_time() {
  const char* given = std::getenv("MATVIEW_TRIAL_SECONDS");
  return std::chrono::seconds(given != nullptr ? std::atoi(given) : 20);
}

}  // namespace matview::trial
