#include "bare_libpq.hpp"
#include "interruption.hpp"
#include "library.hpp"
#include "server.hpp"
#include "tasks_beside.hpp"
#include "tasks_database.hpp"
#include "tasks_library.hpp"
#include "tasks_measures.hpp"
#include "tasks_report.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <exception>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace {

using namespace matview::bench;

constexpr std::string_view usage =
    "usage: tasks_bench [--quick] [--without-peers]\n"
    "Measures the queue beside graphile-worker, pg-boss and pgbench, in one run on one private\n"
    "PostgreSQL that is removed at the end, or on the one that $MATVIEW_BENCH_URL names (it needs\n"
    "max_connections = 200 and a role that may create databases; they are dropped at the end).\n"
    "  --quick          one round of fewer jobs instead of three\n"
    "  --without-peers  without graphile-worker and pg-boss, which npm installs on first use\n"
    "A goal that is missed is printed as MISSED and is no failure.\n";

struct plan {
  bool quick = false;
  bool with_peers = true;

  [[nodiscard]] std::size_t rounds() const { return quick ? 1 : 3; }
  [[nodiscard]] std::size_t takeovers() const { return quick ? 2 : 6; }
  [[nodiscard]] double idle_seconds() const { return quick ? 5 : 20; }
  [[nodiscard]] std::size_t floor_jobs() const { return quick ? 2'000 : 8'000; }
};

struct peer {
  std::string name;
  std::string title;
  measure what;
  std::size_t part;  // It gets so many times fewer jobs: a slow one would take minutes.
};

const std::vector<peer>& compared() {
  using enum measure;
  static const std::vector<peer> all{{"graphile", "graphile-worker", enqueue_one, 1},
                                     {"pg_boss", "pg-boss", enqueue_one, 1},
                                     {"graphile", "graphile-worker", enqueue_eight, 1},
                                     {"pg_boss", "pg-boss", enqueue_eight, 1},
                                     {"graphile", "graphile-worker", enqueue_batch, 1},
                                     {"pg_boss", "pg-boss", enqueue_batch, 2},
                                     {"graphile", "graphile-worker", process_one, 1},
                                     {"pg_boss", "pg-boss", process_one, 5},
                                     {"graphile", "graphile-worker", process_ten, 1},
                                     {"pg_boss", "pg-boss", process_ten, 10},
                                     {"graphile_tuned", "graphile-worker tuned", process_batch, 1},
                                     {"pg_boss", "pg-boss", process_batch, 2},
                                     {"graphile", "graphile-worker", latency, 1},
                                     {"graphile_tuned", "graphile-worker tuned", latency, 1},
                                     {"pg_boss", "pg-boss, polling each 0.5 s", latency, 20}};
  return all;
}

struct floor_row {
  std::string title;
  floor_of_server::script script;
  std::size_t times;  // So many times the jobs.
};

const std::vector<floor_row>& floors() {
  static const std::vector<floor_row> all{
      {"enqueue, 1 client", {"enqueue", 1, 1, false}, 1},
      {"enqueue, 8 clients", {"enqueue", 8, 1, false}, 1},
      {"enqueue and notify, 1 client", {"enqueue_and_notify", 1, 1, false}, 1},
      {"enqueue and notify, 8 clients", {"enqueue_and_notify", 8, 1, false}, 1},
      {"enqueue 500 in a commit, 1 client", {"enqueue_500", 1, 500, false}, 10},
      {"claim, then done, 1 client", {"claim_then_done", 1, 1, true}, 1},
      {"claim, then done, 8 clients", {"claim_then_done", 8, 1, true}, 1},
      {"claim 100, then done, 1 client", {"claim_100_then_done", 1, 100, true}, 4}};
  return all;
}

std::string title_of(measure what) {
  switch (what) {
    case measure::enqueue_one:
      return "enqueue, one by one";
    case measure::enqueue_eight:
      return "enqueue, 8 at once";
    case measure::enqueue_batch:
      return "enqueue, 500 a call";
    case measure::process_one:
      return "process, one at a time";
    case measure::process_ten:
      return "process, 10 at once";
    case measure::process_batch:
      return "process, batched";
    case measure::latency:
      return "latency";
  }
  return {};
}

bool is_process(measure what) {
  using enum measure;
  return what == process_one || what == process_ten || what == process_batch;
}

void add(tasks_report& to, measure what, const std::string& system, const outcome& seen) {
  const std::string title = title_of(what);
  if (what != measure::latency) {
    to.add(title, system, "jobs/s", seen.per_second);
    if (is_process(what))
      to.add(title, system + ", handlers only", "jobs/s", seen.handlers_per_second);
    return;
  }
  to.add(title + " p50", system, "ms", seen.p50);
  to.add(title + " p99", system, "ms", seen.p99);
  to.add(title + " max", system, "ms", seen.max);
  to.add(title + " p50 from the return", system, "ms", seen.returned_p50);
}

// All that is compared is run round by round, each system once, so that whatever else the machine
// does meets all of them alike.
void compare(measure what, const scratch_database& on, const peers* beside,
             const floor_of_server& floor, const plan& how, tasks_report& to) {
  for (std::size_t round = 0; round < how.rounds(); ++round) {
    throw_if_interrupted();
    fmt::print(stderr, "measuring: {}, round {}\n", title_of(what), round + 1);
    const std::size_t count = jobs_of(what, how.quick);
    add(to, what, "matview", measure_library(on, what, count));
    for (const peer& one : compared()) {
      if (beside == nullptr || one.what != what) continue;
      throw_if_interrupted();
      add(to, what, one.title, beside->measure_one(one.name, on, what, count / one.part));
    }
    if (what != measure::process_ten || !floor.there()) continue;
    // Beside what it is the floor of.
    for (const floor_row& one : floors()) {
      to.add(one.title, "pgbench", "jobs/s",
             floor.jobs_per_second(on, one.script, one.times * how.floor_jobs()));
    }
  }
}

void measure_idle_worker(const server& on, const plan& how, tasks_report& to) {
  fmt::print(stderr, "measuring: an idle worker\n");
  const auto connection = connect(on.conninfo());
  // Its transactions would be counted as the worker's.
  const auto autovacuum = [&](const std::string& change) {
    if (!on.is_private()) return;
    execute(connection.get(), "ALTER SYSTEM " + change);
    execute(connection.get(), "SELECT pg_reload_conf()");
  };
  autovacuum("SET autovacuum = off");
  const idle_use seen = measure_idle(on.conninfo(), how.idle_seconds());
  autovacuum("RESET autovacuum");
  to.add("idle worker: resident", "matview", "MiB", seen.resident_mib);
  to.add("idle worker: CPU", "matview", "%", seen.cpu_percent);
  to.add("idle worker: queries", "matview", "in 5 s", seen.transactions_in_5s);
}

void measure_all(const plan& how) {
  const server on;
  tasks_report report;
  std::string versions = "not asked for";
  {
    const scratch_database database(on.conninfo(), "queue");
    std::optional<peers> beside;
    if (how.with_peers) {
      beside.emplace();
      versions = beside->there() ? beside->versions() : "not there";
      if (!beside->there()) beside.reset();
    }
    const floor_of_server floor;
    using enum measure;
    for (const measure what : {enqueue_one, enqueue_eight, enqueue_batch, process_one, process_ten,
                               process_batch, latency}) {
      compare(what, database, beside ? &*beside : nullptr, floor, how, report);
    }
    for (std::size_t i = 0; i < how.rounds(); ++i) {
      fmt::print(stderr, "measuring: schedules, round {}\n", i + 1);
      report.add("claim of 10,000 due schedules", "matview", "s",
                 measure_schedules(database, 10'000));
    }
    for (std::size_t i = 0; i < how.takeovers(); ++i) {
      fmt::print(stderr, "measuring: takeover, {} of {}\n", i + 1, how.takeovers());
      const double phase = (static_cast<double>(i) + 0.5) / static_cast<double>(how.takeovers());
      report.add("takeover after kill -9", "matview", "s", measure_takeover(database, phase));
    }
    measure_idle_worker(on, how, report);
    use_server(on.conninfo(), 1);  // The library's connections to the database go.
  }
  report.print_rows();
  report.print_goals();
  fmt::print("\nmachine: {}\npeers: {}\n", on.description(), versions);
  if (std::fflush(stdout) != 0) throw std::runtime_error("the results could not be written");
}

}  // namespace

int main(int argc, char** argv) {
  plan how;
  for (const std::string_view one : std::vector<std::string_view>(argv + 1, argv + argc)) {
    if (one == worker_flag) {
      be_a_worker();
      return 0;
    }
    if (one == "--quick") {
      how.quick = true;
    } else if (one == "--without-peers") {
      how.with_peers = false;
    } else {
      const bool asked = one == "--help";
      fmt::print(asked ? stdout : stderr, "{}", usage);
      return asked ? 0 : 2;
    }
  }
  mark_interruptions();
  try {
    measure_all(how);
  } catch (const interrupted& by) {
    return 128 + by.signal;
  } catch (const std::exception& fault) {
    fmt::print(stderr, "tasks_bench: {}\n", fault.what());
    return 1;
  }
  return 0;
}
