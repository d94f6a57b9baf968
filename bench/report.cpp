#include "report.hpp"

#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <string_view>

namespace matview::bench {

namespace {

constexpr double memory_goal_kib = 64;

// Google Benchmark times the loop that hands the samples over; the CPU time that matters is among
// the samples.
class rows final : public benchmark::ConsoleReporter {
 public:
  rows() : ConsoleReporter(OO_Tabular) {}
  void ReportRuns(const std::vector<Run>& runs) override {
    std::vector<Run> shown = runs;
    for (Run& run : shown) {
      const auto cpu = run.counters.find("client_cpu");
      if (cpu == run.counters.end()) continue;
      run.cpu_accumulated_time = cpu->second.value * static_cast<double>(run.iterations);
      run.counters.erase(cpu);
    }
    ConsoleReporter::ReportRuns(shown);
  }
};

void register_row(const std::string& name, const samples& of) {
  const auto replay = [&of](benchmark::State& state) {
    auto next = of.wall.begin();
    for ([[maybe_unused]] const auto unused : state) state.SetIterationTime(*next++);
    const estimate wall = estimate_of(of.wall);
    state.counters["median"] = wall.median;
    state.counters["per_second"] = 1 / wall.median;
    state.counters["client_cpu"] = estimate_of(of.cpu).median;
  };
  benchmark::RegisterBenchmark((name + "/" + of.name).c_str(), replay)
      ->UseManualTime()
      ->Iterations(static_cast<benchmark::IterationCount>(of.wall.size()))
      ->Unit(benchmark::kMicrosecond);
}

std::string shown(const estimate& value) {
  return fmt::format("{:.3f} [{:.3f}, {:.3f}]", value.median, value.low, value.high);
}

std::string_view verdict(double value, double goal) {
  return value <= goal ? "ok" : "MISSED";
}

// A verdict by chance is none: a busy machine, or --quick.
std::string_view doubt(const estimate& value, double goal) {
  return value.low <= goal && goal < value.high ? ", but the goal is inside the interval" : "";
}

double kib(std::int64_t bytes) {
  return static_cast<double>(bytes) / 1024;
}

}  // namespace

void print_rows(const std::vector<comparison>& comparisons) {
  for (const comparison& one : comparisons) {
    for (const samples* of : {&one.library, &one.bare, &one.same}) register_row(one.name, *of);
  }
  rows table;
  benchmark::RunSpecifiedBenchmarks(&table);
}

void print_summary(const std::vector<comparison>& comparisons, const memory_use& memory,
                   const std::string& machine) {
  fmt::print(
      "\nTime of one refresh of a one-row view, as a ratio: median of the rounds "
      "[its 95 % interval]\n");
  for (const comparison& one : comparisons) {
    const estimate to_bare = ratio(one.library.wall, one.bare.wall);
    fmt::print("{}: library / bare libpq = {}", one.title, shown(to_bare));
    if (one.goal) {
      fmt::print("  (goal at most {:.2f})  {}{}", *one.goal, verdict(to_bare.median, *one.goal),
                 doubt(to_bare, *one.goal));
    }
    fmt::print("\n    what the library asks of the server, by bare libpq / bare libpq = {}\n",
               shown(ratio(one.same.wall, one.bare.wall)));
    fmt::print("    library / the same messages by bare libpq = {}\n",
               shown(ratio(one.library.wall, one.same.wall)));
  }
  const double beyond = kib(memory.beyond_libpq());
  fmt::print("\nHeap for one of {} refreshes in flight from one thread, at the peak\n",
             most_in_flight);
  fmt::print("memory: library - bare libpq = {:.1f} KiB  (goal under {:.0f})  {}\n", beyond,
             memory_goal_kib, verdict(beyond, memory_goal_kib));
  fmt::print(
      "    library {:.1f} KiB, of which {:.1f} stay between flights; bare libpq {:.1f} KiB, "
      "of which {:.1f}\n",
      kib(memory.library), kib(memory.library_idle), kib(memory.bare), kib(memory.bare_idle));
  fmt::print("\nmachine: {}\n", machine);
}

}  // namespace matview::bench
