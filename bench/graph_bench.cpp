// 60 views in six layers, refreshed in the order of their graph by two jobs, beside the same views
// one after another. No order can be faster than the critical path, nor than all the work on all
// the cores: the larger of the two is the floor, by the durations of the round's own one-by-one
// run. A goal that is missed is printed as MISSED and is no failure.
//
// usage: graph_bench [ROUNDS] [--waiting]     default: 3 rounds
//
// With --waiting the views sleep instead of counting: what is then above the floor is this
// library's own, whatever else the machine does. Other work on the machine makes the floor of the
// first kind wrong, since two jobs then do not get two cores.

#include "bare_libpq.hpp"
#include "interruption.hpp"
#include "library.hpp"
#include "server.hpp"
#include <matview/matview.hpp>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <map>
#include <random>
#include <string>
#include <thread>
#include <vector>

namespace {

using namespace matview::bench;
using seconds = std::chrono::duration<double>;
using stopwatch = std::chrono::steady_clock;

constexpr std::size_t layers = 6;
constexpr std::size_t views_a_layer = 10;
constexpr std::size_t jobs = 2;
constexpr double goal = 1.15;

struct bench_view {
  std::string name;
  std::vector<std::size_t> upstream;
  long rows = 0;  // That its query counts through: the work.
};

// The same graph each time: one to three upstream in the layer above, and work that differs
// tenfold.
std::vector<bench_view> sixty_views() {
  std::mt19937 random(60);
  std::vector<bench_view> out;
  for (std::size_t layer = 0; layer < layers; ++layer) {
    for (std::size_t i = 0; i < views_a_layer; ++i) {
      bench_view view{.name = fmt::format("graph_bench.v{}_{}", layer, i), .upstream = {}};
      const std::size_t wanted = layer == 0 ? 0 : 1 + random() % 3;
      while (view.upstream.size() < wanted) {
        const std::size_t above = (layer - 1) * views_a_layer + random() % views_a_layer;
        if (std::find(view.upstream.begin(), view.upstream.end(), above) == view.upstream.end()) {
          view.upstream.push_back(above);
        }
      }
      view.rows = 40'000 + static_cast<long>(random() % 360'000);
      out.push_back(std::move(view));
    }
  }
  return out;
}

std::string definition(const std::vector<bench_view>& views, const bench_view& view, bool waiting) {
  std::string from = fmt::format("pg_catalog.generate_series(1, {}) g", waiting ? 1 : view.rows);
  for (const std::size_t above : view.upstream) {
    from += fmt::format(", (SELECT count(*) AS n FROM {0}) \"{0}\"", views[above].name);
  }
  const std::string query =
      waiting
          ? fmt::format("SELECT pg_catalog.pg_sleep({})::text FROM {}",
                        static_cast<double>(view.rows) / 2e6, from)
          : fmt::format("SELECT g % 100 AS id, sum(sqrt(g) * ln(g)) AS n FROM {} GROUP BY 1", from);
  return fmt::format("CREATE MATERIALIZED VIEW {} AS {}; ", view.name, query);
}

struct round_times {
  seconds one_by_one{};
  seconds critical_path{};
  seconds by_graph{};

  [[nodiscard]] seconds shared(std::size_t cores) const {
    return one_by_one / static_cast<double>(cores);
  }
  [[nodiscard]] seconds floor(std::size_t cores) const {
    return std::max(critical_path, shared(cores));
  }
};

round_times measure(const std::vector<bench_view>& views) {
  round_times out;
  std::vector<seconds> ends;
  for (const bench_view& view : views) {
    throw_if_interrupted();
    const auto begin = stopwatch::now();
    matview::refresh_matview(view.name);
    const seconds taken = stopwatch::now() - begin;
    seconds start{};
    for (const std::size_t above : view.upstream) start = std::max(start, ends[above]);
    ends.push_back(start + taken);
    out.one_by_one += taken;
    out.critical_path = std::max(out.critical_path, ends.back());
  }
  throw_if_interrupted();
  const auto begin = stopwatch::now();
  const matview::refresh_summary done =
      matview::refresh_many({.which = {.schemas = {"graph_bench"}}, .jobs = jobs});
  out.by_graph = stopwatch::now() - begin;
  if (done.count(matview::refresh_outcome::done) != views.size()) {
    throw std::runtime_error("not all views were refreshed");
  }
  return out;
}

// What history would say after a first night, so that the critical path is known.
void write_history(PGconn* on, const std::vector<bench_view>& views) {
  matview::declare_dependencies(views[0].name, {"graph_bench.anything"});
  matview::declare_dependencies(views[0].name, {"graph_bench.anything"}, {.remove = true});
  for (const bench_view& view : views) {
    const auto report = matview::refresh_matview(view.name);
    execute(on, fmt::format("INSERT INTO matview.refresh (schema, name, mode, reason, outcome, "
                            "asked_by, started_at, finished_at) VALUES ('graph_bench', '{}', "
                            "'full', 'bench', 'done', 'hand', now(), now() + {} * interval '1 us')",
                            view.name.substr(view.name.find('.') + 1), report.duration.count()));
  }
}

void run(int rounds, bool waiting) {
  mark_interruptions();
  const server where;
  use_server(where.conninfo(), jobs + 2);
  const auto bare = connect(where.conninfo(), {"SET client_min_messages = warning"});
  const std::vector<bench_view> views = sixty_views();
  std::string make =
      "DROP SCHEMA IF EXISTS graph_bench CASCADE; CREATE SCHEMA graph_bench; "
      "CREATE TABLE graph_bench.anything (id int); ";
  for (const bench_view& view : views) make += definition(views, view, waiting);
  execute(bare.get(), make);
  write_history(bare.get(), views);

  const std::size_t cores =
      waiting ? jobs : std::min<std::size_t>(jobs, std::thread::hardware_concurrency());
  fmt::print("{}\n{} views in {} layers, {} jobs on {} cores\n\n", where.description(),
             views.size(), layers, jobs, cores);
  fmt::print("round  one by one  critical path  work/cores  by graph  / floor  / one by one\n");
  std::vector<double> ratios;
  for (int round = 1; round <= rounds; ++round) {
    const round_times took = measure(views);
    ratios.push_back(took.by_graph / took.floor(cores));
    fmt::print("{:>5}  {:>8.2f} s  {:>11.2f} s  {:>8.2f} s  {:>6.2f} s  {:>7.2f}  {:>12.2f}\n",
               round, took.one_by_one.count(), took.critical_path.count(),
               took.shared(cores).count(), took.by_graph.count(), ratios.back(),
               took.by_graph / took.one_by_one);
    std::fflush(stdout);
  }
  std::sort(ratios.begin(), ratios.end());
  const double middle = ratios[ratios.size() / 2];
  fmt::print("\nmedian {:.2f} times the floor, goal {:.2f}: {}\n", middle, goal,
             middle <= goal ? "ok" : "MISSED");
  execute(bare.get(), "DROP SCHEMA graph_bench CASCADE");
}

}  // namespace

int main(int argc, char** argv) {
  try {
    int rounds = 3;
    bool waiting = false;
    for (int i = 1; i < argc; ++i) {
      const std::string given = argv[i];
      waiting = waiting || given == "--waiting";
      if (given != "--waiting") rounds = std::max(1, std::atoi(argv[i]));
    }
    run(rounds, waiting);
    return 0;
  } catch (const interrupted& stopped) {
    return 128 + stopped.signal;
  } catch (const std::exception& failed) {
    fmt::print(stderr, "graph_bench: {}\n", failed.what());
    return 1;
  }
}
