#include "tasks_measures.hpp"

namespace matview::bench {

namespace {

struct facts {
  std::string_view name;
  std::size_t jobs;
  std::size_t quick_jobs;
};

facts of(measure what) {
  switch (what) {
    case measure::enqueue_one:
      return {"enqueue_one", 3'000, 500};
    case measure::enqueue_eight:
      return {"enqueue_eight", 8'000, 1'000};
    case measure::enqueue_batch:
      return {"enqueue_batch", 100'000, 20'000};
    case measure::process_one:
      return {"process_one", 3'000, 500};
    case measure::process_ten:
      return {"process_ten", 10'000, 2'000};
    case measure::process_batch:
      return {"process_batch", 50'000, 10'000};
    case measure::latency:
      return {"latency", 500, 60};
  }
  return {};
}

}  // namespace

std::string_view name_of(measure what) {
  return of(what).name;
}

std::size_t jobs_of(measure what, bool quick) {
  return quick ? of(what).quick_jobs : of(what).jobs;
}

}  // namespace matview::bench
