#include "sampling.hpp"

#include "interruption.hpp"

#include <algorithm>
#include <cmath>
#include <ctime>
#include <numeric>
#include <random>

namespace matview::bench {

namespace {

using steady = std::chrono::steady_clock;

double cpu_seconds() {
  timespec now{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

}  // namespace

std::vector<samples> interleave(const std::vector<variant>& variants, std::size_t per_run,
                                const effort& how_long) {
  std::vector<samples> seen;
  seen.reserve(variants.size());
  for (const variant& one : variants) {
    one.run();
    seen.push_back({.name = one.name, .wall = {}, .cpu = {}});
  }
  std::vector<std::size_t> order(variants.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::mt19937 dice(std::random_device{}());
  const auto each = static_cast<double>(per_run);
  const auto until = steady::now() + how_long.at_least;
  for (std::size_t round = 0; round < how_long.rounds || steady::now() < until; ++round) {
    std::shuffle(order.begin(), order.end(), dice);
    for (const std::size_t which : order) {
      throw_if_interrupted();
      const double cpu = cpu_seconds();
      const auto began = steady::now();
      variants[which].run();
      const std::chrono::duration<double> wall = steady::now() - began;
      seen[which].wall.push_back(wall.count() / each);
      seen[which].cpu.push_back((cpu_seconds() - cpu) / each);
    }
  }
  return seen;
}

estimate estimate_of(std::vector<double> values) {
  std::ranges::sort(values);
  const auto count = static_cast<double>(values.size());
  const double middle = (count - 1) / 2;
  // The ranks between which the median lies, by the normal approximation of the binomial.
  const double reach = 0.98 * std::sqrt(count);
  const auto at = [&](double rank) {
    return values[static_cast<std::size_t>(std::clamp(rank, 0.0, count - 1))];
  };
  return {.median = (at(std::floor(middle)) + at(std::ceil(middle))) / 2,
          .low = at(std::floor(middle - reach)),
          .high = at(std::ceil(middle + reach))};
}

estimate ratio(const std::vector<double>& ours, const std::vector<double>& theirs) {
  std::vector<double> ratios(ours.size());
  std::ranges::transform(ours, theirs, ratios.begin(), std::divides<>());
  return estimate_of(std::move(ratios));
}

}  // namespace matview::bench
