#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace matview::bench {

/// What is measured of every queue in the run.
enum class measure {
  enqueue_one,    ///< One by one.
  enqueue_eight,  ///< 8 at once, from one process.
  enqueue_batch,  ///< 500 a call.
  process_one,    ///< Jobs that do nothing, one at a time.
  process_ten,    ///< 10 at once.
  process_batch,  ///< As the queue does it best.
  latency,        ///< From the call that enqueues to the handler's start; one job at a time.
};

/// The name that peers.mjs has for it.
[[nodiscard]] std::string_view name_of(measure what);

/// What a table row and a goal are made of: for each round, one number.
struct series {
  std::string measure;
  std::string system;
  std::string unit;
  std::vector<double> values;
};

/// One round of one measure.
struct outcome {
  double per_second = 0;           ///< Until the last job was settled in the database.
  double handlers_per_second = 0;  ///< From the first handler's start to the last one's.
  double p50 = 0;                  ///< Latency, in ms, here and below.
  double p99 = 0;
  double max = 0;
  double returned_p50 = 0;  ///< From the return of the call that enqueues.
};

/// How much of it is done in one round.
[[nodiscard]] std::size_t jobs_of(measure what, bool quick);

}  // namespace matview::bench
