// What readers notice of a refresh, and what it costs to leave one out. A report: nothing here
// passes or fails.
//
// First, four sessions read a view, by index and as a count of a thousand rows, again and again,
// while it is refreshed: how long did one read wait at most, and one in a hundred? A bare REFRESH
// that finds the view in use by a long transaction queues for its lock, and all readers queue
// behind it; this library gives way. Second, views of which nothing has changed are refreshed with
// if_changed, beside as many refreshes of trivial views.
//
// usage: refresh_bench [--quick] [--no-readers]

#include "bare_libpq.hpp"
#include "interruption.hpp"
#include "library.hpp"
#include "server.hpp"
#include <matview/matview.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <exception>
#include <functional>
#include <future>
#include <random>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace {

using namespace matview::bench;
using stopwatch = std::chrono::steady_clock;
using milliseconds = std::chrono::duration<double, std::milli>;

struct sizes {
  int rows = 300'000;
  std::chrono::milliseconds held{5'000};
  int views = 500;
  int rounds = 3;
  bool with_readers = true;
};

constexpr std::size_t readers = 4;
constexpr const char* view = "refresh_bench.v";

struct waits {
  std::size_t reads = 0;
  milliseconds median{};
  milliseconds p99{};
  milliseconds longest{};
};

waits summed_up(std::vector<milliseconds> all) {
  if (all.empty()) return {};
  std::sort(all.begin(), all.end());
  const auto at = [&](double part) {
    return all[static_cast<std::size_t>(part * static_cast<double>(all.size() - 1))];
  };
  return {all.size(), at(0.5), at(0.99), all.back()};
}

// Sessions that read from here on; their end comes with stop().
class reader_group final {
 public:
  reader_group(const std::string& conninfo, int rows) {
    for (std::size_t i = 0; i < readers; ++i) {
      sessions_.push_back(std::async(std::launch::async, [this, conninfo, rows, i] {
        return read(conninfo, rows, static_cast<unsigned>(i));
      }));
    }
    while (ready_ < readers) std::this_thread::yield();
  }
  reader_group(const reader_group&) = delete;
  reader_group& operator=(const reader_group&) = delete;
  ~reader_group() { stopped_ = true; }

  waits stop() {
    stopped_ = true;
    std::vector<milliseconds> all;
    for (auto& one : sessions_) {
      const std::vector<milliseconds> its = one.get();
      all.insert(all.end(), its.begin(), its.end());
    }
    return summed_up(std::move(all));
  }

 private:
  std::vector<milliseconds> read(const std::string& conninfo, int rows, unsigned seed) {
    const auto on = connect(conninfo);
    std::mt19937 random(seed);
    std::vector<milliseconds> out;
    ++ready_;
    for (bool count = false; !stopped_; count = !count) {
      const auto id = random() % static_cast<unsigned>(rows);
      const std::string sql =
          count ? fmt::format("SELECT count(*) FROM {} WHERE id BETWEEN {} AND {}", view, id,
                              id + 1'000)
                : fmt::format("SELECT n FROM {} WHERE id = {}", view, id);
      const auto begin = stopwatch::now();
      execute(on.get(), sql);
      out.emplace_back(stopwatch::now() - begin);
    }
    return out;
  }

  std::atomic<bool> stopped_ = false;
  std::atomic<std::size_t> ready_ = 0;
  std::vector<std::future<std::vector<milliseconds>>> sessions_;  // Goes first: it uses the others.
};

struct scenario {
  std::string_view name;
  bool held = false;  // By a transaction that began before the refresh.
  std::function<void()> refresh;
};

struct measurement {
  milliseconds took{};
  waits waited;
};

measurement measure(const std::string& conninfo, const sizes& size, const scenario& one) {
  throw_if_interrupted();
  const auto holder = connect(conninfo);
  if (one.held) execute(holder.get(), fmt::format("BEGIN; SELECT 1 FROM {} LIMIT 1", view));
  reader_group group(conninfo, size.rows);
  const auto begin = stopwatch::now();
  auto refresh = std::async(std::launch::async, one.refresh);
  if (one.held) {
    std::this_thread::sleep_for(size.held);
    execute(holder.get(), "COMMIT");
  }
  refresh.get();
  measurement out{.took = stopwatch::now() - begin, .waited = {}};
  out.waited = group.stop();
  return out;
}

void compare_readers(const server& where, const sizes& size) {
  const std::string conninfo = where.conninfo();
  const auto bare = connect(conninfo);
  execute(bare.get(),
          fmt::format("CREATE TABLE refresh_bench.t AS SELECT g AS id, g % 97 AS n, "
                      "md5(g::text) AS label FROM generate_series(1, {}) g; "
                      "CREATE MATERIALIZED VIEW {} AS SELECT id, sum(n) AS n, max(label) AS label "
                      "FROM refresh_bench.t GROUP BY id; CREATE UNIQUE INDEX ON {} (id); "
                      "ANALYZE refresh_bench.t; ANALYZE {}",
                      size.rows, view, view, view));
  const auto ours = [](matview::refresh_mode mode) {
    return [mode] { matview::refresh_matview(view, {.mode = mode}); };
  };
  const auto queueing = [&] {
    execute(bare.get(), fmt::format("REFRESH MATERIALIZED VIEW {}", view));
  };
  const std::vector<scenario> all{
      {"no refresh, for a second", false,
       [] { std::this_thread::sleep_for(std::chrono::seconds(1)); }},
      {"bare REFRESH, view in use", true, queueing},
      {"matview full, view in use", true, ours(matview::refresh_mode::full)},
      {"bare REFRESH", false, queueing},
      {"matview full", false, ours(matview::refresh_mode::full)},
      {"matview concurrently", false, ours(matview::refresh_mode::concurrently)},
      {"matview concurrently, view in use", true, ours(matview::refresh_mode::concurrently)},
      {"matview auto", false, ours(matview::refresh_mode::automatic)},
  };
  fmt::print("{} rows, {} readers; in use for {:.1f} s\n\n", size.rows, readers,
             std::chrono::duration<double>(size.held).count());
  fmt::print("{:<34} {:>12} {:>9} {:>10} {:>10} {:>12} {:>9}\n", "", "took ms", "reads",
             "median ms", "p99 ms", "longest ms", "/ bare");
  milliseconds worst[2]{};  // The bare REFRESH's, with the view free and in use.
  for (const scenario& one : all) {
    const measurement done = measure(conninfo, size, one);
    milliseconds& of_bare = worst[one.held ? 1 : 0];
    if (one.name.starts_with("bare")) of_bare = done.waited.longest;
    const std::string ratio =
        of_bare.count() > 0 ? fmt::format("{:.3f}", done.waited.longest / of_bare) : "";
    fmt::print("{:<34} {:>12.0f} {:>9} {:>10.2f} {:>10.2f} {:>12.1f} {:>9}\n", one.name,
               done.took.count(), done.waited.reads, done.waited.median.count(),
               done.waited.p99.count(), done.waited.longest.count(), ratio);
    std::fflush(stdout);
  }
}

milliseconds timed(const std::function<void(const std::string&)>& work,
                   const std::vector<std::string>& names) {
  const auto begin = stopwatch::now();
  for (const std::string& name : names) {
    throw_if_interrupted();
    work(name);
  }
  return stopwatch::now() - begin;
}

void compare_leaving_out(const server& where, const sizes& size) {
  const auto bare = connect(where.conninfo());
  std::vector<std::string> names;
  execute(bare.get(),
          "CREATE TABLE refresh_bench.a AS SELECT 1 AS id; "
          "CREATE TABLE refresh_bench.b AS SELECT 1 AS id");
  for (int i = 0; i < size.views; ++i) {
    names.push_back(fmt::format("refresh_bench.one{}", i));
    execute(bare.get(), fmt::format("CREATE MATERIALIZED VIEW {} AS SELECT id FROM "
                                    "refresh_bench.a JOIN refresh_bench.b USING (id)",
                                    names.back()));
  }
  // The counts of the two tables may come late, so that the first rounds would refresh.
  execute(bare.get(), "SELECT 1");
  const auto out_of = [&](const std::string& name) {
    return matview::refresh_matview(name, {.if_changed = true}).mode == matview::refresh_mode::none;
  };
  for (int tries = 0; tries < 60; ++tries) {
    // Each of them, each time: the first refresh is what is remembered.
    if (std::count_if(names.begin(), names.end(), out_of) == size.views) break;
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
  }
  int left_out = 0;
  fmt::print("\n{} views of which nothing has changed, one after another\n\n", size.views);
  fmt::print("round  {:>22}  {:>22}  {:>22}  {:>8}\n", "if_changed, ms (each)",
             "bare REFRESH, ms (each)", "matview full, ms (each)", "/ bare");
  for (int round = 1; round <= size.rounds; ++round) {
    const milliseconds left =
        timed([&](const std::string& name) { left_out += out_of(name) ? 1 : 0; }, names);
    const milliseconds refreshed = timed(
        [&](const std::string& name) { execute(bare.get(), "REFRESH MATERIALIZED VIEW " + name); },
        names);
    const milliseconds ours =
        timed([](const std::string& name) { matview::refresh_matview(name); }, names);
    const auto shown = [&](milliseconds all) {
      return fmt::format("{:.0f} ({:.2f})", all.count(), all.count() / size.views);
    };
    fmt::print("{:>5}  {:>22}  {:>22}  {:>22}  {:>8.2f}\n", round, shown(left), shown(refreshed),
               shown(ours), left / refreshed);
    std::fflush(stdout);
  }
  fmt::print("\nleft out: {} of {}\n", left_out, size.views * size.rounds);
}

void run(const sizes& size) {
  mark_interruptions();
  const server where;
  use_server(where.conninfo(), 2);
  const auto bare = connect(where.conninfo(), {"SET client_min_messages = warning"});
  execute(bare.get(), "DROP SCHEMA IF EXISTS refresh_bench CASCADE; CREATE SCHEMA refresh_bench");
  fmt::print("{}\n", where.description());
  if (size.with_readers) compare_readers(where, size);
  compare_leaving_out(where, size);
  execute(bare.get(), "DROP SCHEMA refresh_bench CASCADE");
}

}  // namespace

int main(int argc, char** argv) {
  try {
    sizes size;
    for (int i = 1; i < argc; ++i) {
      const std::string_view given = argv[i];
      if (given == "--quick") {
        size.rows = 30'000;
        size.held = std::chrono::milliseconds(1'500);
        size.views = 50;
        size.rounds = 1;
      }
      if (given == "--no-readers") size.with_readers = false;
    }
    run(size);
    return 0;
  } catch (const interrupted& stopped) {
    return 128 + stopped.signal;
  } catch (const std::exception& failed) {
    fmt::print(stderr, "refresh_bench: {}\n", failed.what());
    return 1;
  }
}
