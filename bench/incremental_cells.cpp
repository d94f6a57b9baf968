#include "incremental_cells.hpp"

#include "interruption.hpp"
#include "sampling.hpp"
#include <matview/views.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <memory>
#include <random>
#include <stdexcept>

namespace matview::bench {

namespace {

using stopwatch = std::chrono::steady_clock;

// The five forms of one query.
struct forms {
  const bench_query* query;
  std::string sql;
  std::string names[methods];
  bool has_diff = false;

  [[nodiscard]] const std::string& name(method of) const {
    return names[static_cast<std::size_t>(of)];
  }
};

class bench_views final {
 public:
  explicit bench_views(const cells_wanted& what)
      : what_(what), on_(connect(what.conninfo, {"SET client_min_messages = warning"})) {
    for (const bench_query& one : bench_queries()) {
      if (one.of != what.set) continue;
      if (!what.only.empty() && std::ranges::count(what.only, one.name) == 0) continue;
      all_.push_back(make(one));
    }
  }
  bench_views(const bench_views&) = delete;
  bench_views& operator=(const bench_views&) = delete;
  ~bench_views() {
    try {
      for (const forms& one : all_) drop(one);
    } catch (const std::exception& fault) {
      fmt::print(stderr, "incremental_bench: views stay behind: {}\n", fault.what());
    }
  }

  [[nodiscard]] const std::vector<forms>& all() const { return all_; }
  [[nodiscard]] PGconn* on() const { return on_.get(); }

  void prune() const {
    while (value_of(on(), "SELECT matview.prune(10000000)") != "0") continue;
  }

  // Empty logs and no dead rows, so that no measurement pays for the one before.
  void tidy() const {
    prune();
    std::string tables = value_of(on(),
                                  "SELECT coalesce(string_agg(format('matview.log_%s', id), ', '), "
                                  "'') FROM matview.change_log");
    for (const std::string& table : changed_tables(what_.schema, what_.set)) {
      tables += (tables.empty() ? "" : ", ") + table;
    }
    for (const forms& one : all_) {
      tables += ", " + storage_of(one.name(method::changes));
      if (one.has_diff) tables += ", " + storage_of(one.name(method::diff));
      if (!what_.plain_too) continue;
      tables += ", " + one.name(method::concurrently) + ", " + storage_of(one.name(method::swap));
    }
    execute(on(), "VACUUM (ANALYZE) " + tables);
    execute(on(), "VACUUM matview.incremental");
  }

  [[nodiscard]] std::string storage_of(const std::string& view) const {
    return value_of(on(), fmt::format("SELECT storage::text FROM matview.incremental "
                                      "WHERE view = '{}'::regclass",
                                      view));
  }

 private:
  forms make(const bench_query& query) const {
    forms made{.query = &query,
               .sql = fmt::format(fmt::runtime(query.sql), what_.schema),
               .names = {what_.schema + ".i_" + query.name, what_.schema + ".r_" + query.name,
                         what_.schema + ".c_" + query.name, what_.schema + ".d_" + query.name,
                         what_.schema + ".s_" + query.name}};
    create_matview(made.name(method::changes), made.sql, {.kind = view_kind::incremental});
    if (!what_.plain_too) return made;
    create_matview(made.name(method::swap), made.sql, {.kind = view_kind::incremental});
    made.has_diff =
        value_of(on(), fmt::format("SELECT program ->> 'diff' IS NOT NULL FROM matview.incremental "
                                   "WHERE view = '{}'::regclass",
                                   made.name(method::changes))) == "t";
    if (made.has_diff) {
      create_matview(made.name(method::diff), made.sql, {.kind = view_kind::incremental});
    }
    execute(on(),
            fmt::format("CREATE MATERIALIZED VIEW {} AS {}; CREATE MATERIALIZED VIEW {} AS {}; "
                        "CREATE UNIQUE INDEX ON {} ({})",
                        made.name(method::refresh), made.sql, made.name(method::concurrently),
                        made.sql, made.name(method::concurrently), query.key));
    return made;
  }

  void drop(const forms& one) const {
    drop_matview(one.name(method::changes), {});
    if (!what_.plain_too) return;
    drop_matview(one.name(method::swap), {});
    if (one.has_diff) drop_matview(one.name(method::diff), {});
    execute(on(), fmt::format("DROP MATERIALIZED VIEW {}, {}", one.name(method::refresh),
                              one.name(method::concurrently)));
  }

  const cells_wanted& what_;
  pg::connection_handle on_;
  std::vector<forms> all_;
};

// The same for equal multisets of rows, and hardly ever for others. Of values and not of their
// text: 1.5 and 1.50 are equal.
std::string digest(PGconn* on, const std::string& of) {
  return value_of(on, fmt::format("SELECT count(*) || ' ' || coalesce(sum(hash_record_extended(t, "
                                  "7)::numeric), 0) FROM {} t",
                                  of));
}

void require_equal(PGconn* on, const forms& one, bool plain_too) {
  const std::string wanted = digest(on, fmt::format("({})", one.sql));
  for (const method which : {method::changes, method::diff, method::swap}) {
    if (which != method::changes && !plain_too) continue;
    if (which == method::diff && !one.has_diff) continue;
    const std::string& name = one.name(which);
    if (digest(on, name) == wanted) continue;
    const std::string differ = value_of(
        on, fmt::format("SELECT count(*) FROM ((SELECT * FROM {0} EXCEPT ALL ({1})) UNION ALL "
                        "(({1}) EXCEPT ALL SELECT * FROM {0})) x",
                        name, one.sql));
    if (differ == "0") continue;
    throw std::runtime_error(fmt::format("{} differs from its query in {} rows", name, differ));
  }
}

double number(PGconn* on, const std::string& sql) {
  return std::stod(value_of(on, sql));
}

// A comparison that cannot fail proves nothing: of views that nobody has refreshed, it has to see
// at least one. Not each: a change may be outside of a view.
void require_stale(PGconn* on, const std::vector<forms>& all) {
  const bool seen = std::ranges::any_of(all, [&](const forms& one) {
    return digest(on, one.name(method::changes)) != digest(on, fmt::format("({})", one.sql));
  });
  if (!seen) throw std::runtime_error("the comparison does not tell a stale view from a fresh one");
}

struct timing {
  double seconds;
  double wal;
  std::string said;
};

timing timed(PGconn* on, const std::string& sql) {
  const std::string lsn = value_of(on, "SELECT pg_current_wal_insert_lsn()");
  const auto begin = stopwatch::now();
  const pg::result got = execute(on, sql);
  const std::chrono::duration<double> took = stopwatch::now() - begin;
  return {took.count(),
          number(on, fmt::format("SELECT pg_current_wal_insert_lsn() - '{}'::pg_lsn", lsn)),
          sql.starts_with("SELECT") ? got.string(0, 0) : ""};
}

std::string statement_of(method how, const std::string& name) {
  switch (how) {
    case method::changes:
      return fmt::format("SELECT mode || ' ' || log_rows FROM matview.refresh('{}', 'auto')", name);
    case method::refresh:
      return "REFRESH MATERIALIZED VIEW " + name;
    case method::concurrently:
      return "REFRESH MATERIALIZED VIEW CONCURRENTLY " + name;
    case method::diff:
      return fmt::format("SELECT mode FROM matview.refresh('{}', 'diff')", name);
    case method::swap:
      break;
  }
  return fmt::format("SELECT mode FROM matview.refresh('{}', 'swap')", name);
}

overhead overhead_of(const bench_views& views, const forms& one) {
  overhead out{.view = one.query};
  PGconn* on = views.on();
  const auto size = [&](const std::string& table) {
    return number(on, fmt::format("SELECT pg_total_relation_size('{}')", table));
  };
  out.storage = size(views.storage_of(one.name(method::changes)));
  out.native = size(one.name(method::concurrently));
  std::vector<double> bare;
  std::vector<double> library;
  const std::string sql = statement_of(method::changes, one.name(method::changes));
  for (int i = 0; i < 21; ++i) {
    bare.push_back(timed(on, sql).seconds);
    const auto begin = stopwatch::now();
    refresh_matview(one.name(method::changes), {.count_rows = false});
    library.push_back(std::chrono::duration<double>(stopwatch::now() - begin).count());
  }
  out.noop_ms = 1000 * estimate_of(bare).median;
  out.noop_library_ms = 1000 * estimate_of(library).median;
  return out;
}

// Of the logs as they are now.
double log_bytes_a_row(const bench_views& views, const std::string& view) {
  const std::string logs = fmt::format(
      "FROM matview.capture c JOIN matview.incremental i ON i.id = c.view WHERE i.view = "
      "'{}'::regclass",
      view);
  PGconn* on = views.on();
  const std::string rows = value_of(
      on,
      "SELECT string_agg(format('(SELECT count(*) FROM matview.log_%s)', c.log), ' + ') " + logs);
  const double bytes = number(
      on, "SELECT sum(pg_total_relation_size(format('matview.log_%s', c.log)::regclass)) " + logs);
  return bytes / std::max(1.0, number(on, "SELECT " + rows));
}

}  // namespace

double cell::median_ms(method of) const {
  const auto& all = seconds[static_cast<std::size_t>(of)];
  return all.empty() ? 0 : 1000 * estimate_of(all).median;
}

double cell::ratio_of(method a, method b) const {
  const auto& ours = seconds[static_cast<std::size_t>(a)];
  const auto& theirs = seconds[static_cast<std::size_t>(b)];
  return ours.empty() || theirs.empty() ? 0 : ratio(ours, theirs).median;
}

cells_seen measure_cells(const cells_wanted& what) {
  bench_views views(what);
  cells_seen seen;
  std::mt19937 dice(7);
  PGconn* on = views.on();
  execute(on, "SELECT setseed(0.5)");
  views.tidy();
  if (what.plain_too) {
    for (const forms& one : views.all()) seen.overheads.push_back(overhead_of(views, one));
  }
  for (const double percent : what.percents) {
    const std::size_t first = seen.cells.size();
    for (const forms& one : views.all())
      seen.cells.push_back({.view = one.query, .percent = percent});
    const bool first_cell = percent == what.percents.front();
    const long rows = std::max(1L, std::lround(percent / 100 * static_cast<double>(what.rows)));
    // A session that refreshes again and again keeps its plans until autovacuum comes by, which few
    // rows do not call: one more round, which is not counted.
    const bool few = rows < 2'000;
    const bool warm = few || first_cell;
    const std::size_t rounds = what.rounds + (warm ? 1 : 0);
    for (std::size_t round = 0; round < rounds; ++round) {
      throw_if_interrupted();
      const bool counted = !warm || round > 0;
      change_rows(on, what.schema, what.set, rows);
      if (first_cell && round == 0) require_stale(on, views.all());
      if (percent == 1 && what.plain_too && round == 0) {
        for (std::size_t i = 0; i < views.all().size(); ++i) {
          seen.overheads[i].log_bytes_a_row =
              log_bytes_a_row(views, views.all()[i].name(method::changes));
        }
      }
      for (std::size_t i = 0; i < views.all().size(); ++i) {
        const forms& one = views.all()[i];
        cell& into = seen.cells[first + i];
        std::vector<method> order{method::changes};
        if (what.plain_too && (counted || first_cell)) {
          order.push_back(method::refresh);
          order.push_back(method::concurrently);
          if (one.has_diff) order.push_back(method::diff);
          order.push_back(method::swap);
        }
        std::shuffle(order.begin(), order.end(), dice);
        for (const method how : order) {
          const timing took = timed(on, statement_of(how, one.name(how)));
          if (!counted) continue;
          into.seconds[static_cast<std::size_t>(how)].push_back(took.seconds);
          into.wal[static_cast<std::size_t>(how)].push_back(took.wal);
          if (how != method::changes) continue;
          into.modes += took.said.front();
          into.changed = std::stol(took.said.substr(took.said.find(' ') + 1));
        }
        require_equal(on, one, what.plain_too && order.size() > 1);
      }
      if (few && round + 1 < rounds) {
        views.prune();
      } else {
        views.tidy();
      }
    }
    for (std::size_t i = first; i < seen.cells.size(); ++i) {
      const cell& one = seen.cells[i];
      fmt::print(stderr,
                 "  {:<8} {:>7.4g} %  {} {:9.2f} ms, REFRESH {:.0f}, CONC {:.0f}, diff {:.0f}, "
                 "swap {:.0f}\n",
                 one.view->name, one.percent, one.modes, one.median_ms(method::changes),
                 one.median_ms(method::refresh), one.median_ms(method::concurrently),
                 one.median_ms(method::diff), one.median_ms(method::swap));
    }
  }
  return seen;
}

}  // namespace matview::bench
