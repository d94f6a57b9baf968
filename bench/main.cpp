#include "interruption.hpp"
#include "memory.hpp"
#include "report.hpp"
#include "scenarios.hpp"
#include "server.hpp"

#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <exception>
#include <stdexcept>
#include <string_view>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;
using namespace matview::bench;

constexpr std::string_view usage =
    "usage: matview_bench [--quick] [--benchmark_out=FILE ...]\n"
    "Compares refreshes of one-row views through matview with the same through bare libpq, on a\n"
    "private PostgreSQL that is removed at the end, or on the one that $MATVIEW_BENCH_URL names\n"
    "(it needs max_connections = 200; the schema that is made there is dropped at the end).\n"
    "  --quick  a few seconds, with wider intervals\n"
    "A goal that is missed is printed as MISSED and is no failure.\n";

constexpr effort full_effort{.at_least = 15s, .rounds = 25, .batch = 8};
constexpr effort quick_effort{.at_least = 500ms, .rounds = 7, .batch = 4};

// Takes `flag` out of the arguments; whether it was there.
bool taken(std::string_view flag, int& count, char** arguments) {
  char** const end = std::remove_if(arguments + 1, arguments + count,
                                    [&](const char* one) { return flag == one; });
  return std::exchange(count, static_cast<int>(end - arguments)) != count;
}

std::vector<comparison> compare_all(const server& on, const one_row_views& views,
                                    const effort& how_long) {
  std::vector<comparison> made;
  for (const bool concurrently : {false, true}) {
    made.push_back(compare_one_at_a_time(on, views, concurrently, how_long));
  }
  for (const std::size_t in_flight : {std::size_t{1}, std::size_t{8}, most_in_flight}) {
    made.push_back(compare_in_flight(on, views, in_flight, how_long));
  }
  return made;
}

void measure(const effort& how_long) {
  const server on;
  const one_row_views views(on);
  const std::vector<comparison> comparisons = compare_all(on, views, how_long);
  const memory_use memory = measure_memory(on, views);
  print_rows(comparisons);
  print_summary(comparisons, memory, on.description());
  if (std::fflush(stdout) != 0) throw std::runtime_error("the results could not be written");
}

}  // namespace

int main(int argc, char** argv) {
  const bool quick = taken("--quick", argc, argv);
  benchmark::Initialize(&argc, argv, [] { fmt::print("{}", usage); });
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  mark_interruptions();
  try {
    measure(quick ? quick_effort : full_effort);
  } catch (const interrupted& by) {
    return 128 + by.signal;
  } catch (const std::exception& fault) {
    fmt::print(stderr, "matview_bench: {}\n", fault.what());
    return 1;
  }
  return 0;
}
