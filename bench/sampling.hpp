#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <string>
#include <vector>

namespace matview::bench {

/// One way to do the work that is compared.
struct variant {
  std::string name;
  std::function<void()> run;  ///< One batch of it.
};

/// What was seen of one variant: for each round, seconds for one refresh.
struct samples {
  std::string name;
  std::vector<double> wall;
  std::vector<double> cpu;  ///< Of this process, all threads; the server's is not in it.
};

/// How long to measure.
struct effort {
  std::chrono::duration<double> at_least;  ///< Rounds are added until so much time has passed...
  std::size_t rounds;                      ///< ...and there have been so many.
  std::size_t batch;                       ///< Refreshes of one view in one round.
};

/// Runs rounds of all variants, each once a round in an order that is drawn anew, so that whatever
/// else the machine does meets all of them alike. The first round is a warm-up and not counted.
/// @param per_run  how many refreshes one run() is.
/// @throws interrupted, and what the variants throw.
[[nodiscard]] std::vector<samples> interleave(const std::vector<variant>& variants,
                                              std::size_t per_run, const effort& how_long);

/// A median with its 95 % confidence interval, which supposes nothing of the distribution.
struct estimate {
  double median;
  double low;
  double high;
};

[[nodiscard]] estimate estimate_of(std::vector<double> values);

/// The median over the rounds of `ours` divided by `theirs`, round by round.
[[nodiscard]] estimate ratio(const std::vector<double>& ours, const std::vector<double>& theirs);

}  // namespace matview::bench
