// Incremental views beside REFRESH and REFRESH CONCURRENTLY, in one run on the same data: the time
// and the WAL of a refresh by the share of rows that has changed, what capture costs writers, what
// it takes on disk, and how it grows with the tables. A goal that is missed is printed as MISSED
// and is no failure; a view that differs from its query is one.
//
// usage: incremental_bench [--quick] [--lineitems N] [--rounds N] [--plots FOLDER]
//                          [--part refresh|writers|sizes]...    default: all three
//
// Three million lineitems and three rounds if nothing is said, about half an hour on two cores. The
// goals are meant for that size. --quick is for the program and not for the figures.

#include "bare_libpq.hpp"
#include "incremental_cells.hpp"
#include "incremental_data.hpp"
#include "incremental_report.hpp"
#include "incremental_writers.hpp"
#include "interruption.hpp"
#include "library.hpp"
#include "server.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace {

using namespace matview::bench;

constexpr const char* main_schema = "incremental_bench";

struct plan {
  data_sizes sizes{.accounts = 1'000'000, .lineitems = 3'000'000, .flights = 1'000'000};
  std::vector<double> percents{0.001, 0.01, 0.1, 1, 5, 10, 20};
  std::size_t rounds = 3;
  int writers_seconds = 4;
  long fixed_rows = 1'000;
  std::filesystem::path plots = {};
  std::vector<std::string> parts = {};  ///< Empty: all of them.

  [[nodiscard]] bool has(std::string_view part) const {
    return parts.empty() || std::ranges::count(parts, part) > 0;
  }

  void make_quick() {
    sizes = {.accounts = 100'000, .lineitems = 100'000, .flights = 100'000};
    rounds = 1;
    writers_seconds = 1;
    fixed_rows = 100;
  }
};

void make_schema(PGconn* on, const std::string& name) {
  execute(on, fmt::format("DROP SCHEMA IF EXISTS {0} CASCADE; CREATE SCHEMA {0}", name));
}

// Only the server of this program is told: others keep their settings.
void quieten(const server& where, PGconn* on) {
  if (!where.is_private()) return;
  for (const char* setting :
       {"autovacuum = off", "jit = off", "max_wal_size = '16GB'", "checkpoint_timeout = '1h'"}) {
    execute(on, fmt::format("ALTER SYSTEM SET {}", setting));
  }
  execute(on, "SELECT pg_reload_conf()");
}

cells_wanted wanted(const server& where, const plan& what, data_set set) {
  return {.conninfo = where.conninfo(),
          .schema = main_schema,
          .set = set,
          .rows = what.sizes.rows(set),
          .percents = what.percents,
          .rounds = what.rounds};
}

// A tenth, a third and all of the tables; the same number of rows is changed in each.
std::vector<size_step> grow(const server& where, const plan& what, data_set set) {
  const auto on = connect(where.conninfo(), {"SET client_min_messages = warning"});
  std::vector<size_step> out;
  for (const double part : {0.1, 1.0 / 3, 1.0}) {
    // Whole numbers of all that is a part of it.
    const auto scaled = [&](long rows) {
      return std::max(6'000L, static_cast<long>(static_cast<double>(rows) * part) / 6'000 * 6'000);
    };
    const data_sizes sizes{.accounts = scaled(what.sizes.accounts),
                           .lineitems = scaled(what.sizes.lineitems),
                           .flights = scaled(what.sizes.flights)};
    const std::string schema = fmt::format("{}_part", main_schema);
    make_schema(on.get(), schema);
    make_tables(on.get(), schema, set, sizes);
    const long rows = sizes.rows(set);
    out.push_back(
        {.rows = rows,
         .cells = measure_cells({.conninfo = where.conninfo(),
                                 .schema = schema,
                                 .set = set,
                                 .rows = rows,
                                 .percents = {100.0 * static_cast<double>(what.fixed_rows) /
                                              static_cast<double>(rows)},
                                 .rounds = std::max<std::size_t>(what.rounds, 2) * 2 - 1,
                                 .plain_too = false})
                      .cells});
    execute(on.get(), fmt::format("DROP SCHEMA {} CASCADE", schema));
  }
  return out;
}

void measure_refreshes(const server& where, const plan& what, PGconn* on, findings& found) {
  for (const data_set set :
       {data_set::pgbench, data_set::lineitem, data_set::orders, data_set::flights}) {
    // orders is changed in the tables that were made for lineitem.
    if (set != data_set::orders) make_tables(on, main_schema, set, what.sizes);
    cells_seen seen = measure_cells(wanted(where, what, set));
    found.cells.insert(found.cells.end(), seen.cells.begin(), seen.cells.end());
    found.overheads.insert(found.overheads.end(), seen.overheads.begin(), seen.overheads.end());
  }
}

void measure(const server& where, const plan& what, PGconn* on, findings& found) {
  if (what.has("writers")) {
    found.writers = measure_writers({.conninfo = where.conninfo(),
                                     .schema = main_schema,
                                     .rows = what.sizes.accounts,
                                     .seconds = what.writers_seconds,
                                     .rounds = 2 * what.rounds + 1});
  }
  if (what.has("refresh")) measure_refreshes(where, what, on, found);
  execute(on, fmt::format("DROP SCHEMA {} CASCADE", main_schema));
  if (what.has("sizes")) {
    for (const data_set set : {data_set::pgbench, data_set::lineitem, data_set::orders}) {
      found.sizes.push_back(grow(where, what, set));
    }
  }
}

void report(const plan& what, findings& found) {
  std::ranges::stable_sort(found.cells, {}, [](const cell& one) { return one.view; });
  print_report(found);
  if (!what.plots.empty()) write_plots(what.plots, found);
}

void run(const plan& what) {
  mark_interruptions();
  // As that which the goals were measured on.
  const server where({"shared_buffers = '2GB'"});
  use_server(where.conninfo(), 2);
  const auto on = connect(where.conninfo(), {"SET client_min_messages = warning"});
  quieten(where, on.get());
  make_schema(on.get(), main_schema);
  findings found;
  found.machine = where.description();
  found.data = fmt::format("{} accounts, {} lineitems, {} flights; {} rounds", what.sizes.accounts,
                           what.sizes.lineitems, what.sizes.flights, what.rounds);
  found.fixed_rows = what.fixed_rows;
  fmt::print(stderr, "{}\n{}\n", found.machine, found.data);
  try {
    measure(where, what, on.get(), found);
  } catch (const interrupted&) {
    report(what, found);  // What is measured by now took long enough.
    throw;
  }
  report(what, found);
}

}  // namespace

int main(int argc, char** argv) {
  try {
    plan what;
    for (int i = 1; i < argc; ++i) {
      const std::string_view given = argv[i];
      const bool last = i + 1 == argc;
      if (given == "--quick") {
        what.make_quick();
      } else if (given == "--plots" && !last) {
        what.plots = argv[++i];
      } else if (given == "--part" && !last) {
        what.parts.emplace_back(argv[++i]);
      } else if (given == "--rounds" && !last) {
        what.rounds = static_cast<std::size_t>(std::max(1, std::atoi(argv[++i])));
      } else if (given == "--lineitems" && !last) {
        // The others in proportion, so that one number says how large all of it is.
        const long rows = std::max(60'000L, std::atol(argv[++i]) / 6'000 * 6'000);
        what.sizes = {.accounts = rows / 3'000 * 1'000, .lineitems = rows, .flights = rows / 3};
      } else {
        throw std::runtime_error(
            fmt::format("{} is not understood; usage: incremental_bench "
                        "[--quick] [--lineitems N] [--rounds N] "
                        "[--plots FOLDER] [--part PART]...",
                        given));
      }
    }
    run(what);
    return 0;
  } catch (const interrupted& stopped) {
    return 128 + stopped.signal;
  } catch (const std::exception& failed) {
    fmt::print(stderr, "incremental_bench: {}\n", failed.what());
    return 1;
  }
}
