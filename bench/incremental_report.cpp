#include "incremental_report.hpp"

#include "incremental_plot.hpp"
#include "sampling.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <optional>

namespace matview::bench {

namespace {

constexpr double diff_goal = 3.0;
constexpr double swap_goal = 8.0;
constexpr double auto_goal = 1.2;
constexpr double noop_goal_ms = 1.2;
constexpr double size_goal = 1.5;

std::string shown(double value) {
  if (value <= 0) return "-";
  if (value >= 100) return fmt::format("{:.0f}", value);
  return value >= 10 ? fmt::format("{:.1f}", value) : fmt::format("{:.2f}", value);
}

class verdicts final {
 public:
  std::string at_least(double value, double goal) { return said(value >= goal); }
  std::string at_most(double value, double goal) { return said(value <= goal); }
  void print() const { fmt::print("\n{} goals met, {} MISSED\n", met_, missed_); }

 private:
  std::string said(bool fine) {
    ++(fine ? met_ : missed_);
    return fine ? "ok" : "MISSED";
  }
  int met_ = 0;
  int missed_ = 0;
};

double median_of(const std::vector<double>& all) {
  return all.empty() ? 0 : estimate_of(all).median;
}

double wal_of(const cell& one, method how) {
  return median_of(one.wal[static_cast<std::size_t>(how)]);
}

std::optional<double> goal_of(const cell& one) {
  const auto found = one.view->goals.find(one.percent);
  if (found == one.view->goals.end()) return std::nullopt;
  return found->second;
}

void print_cells(const findings& of, verdicts& all) {
  fmt::print(
      "\n### A refresh beside the other ways\n\n"
      "| view | changed % | log rows | auto did | this ms | REFRESH ms | CONC ms | diff ms | "
      "REFRESH / this | goal | | CONC / this | goal | | this / diff | goal | | "
      "REFRESH / this, WAL |\n"
      "|---|---:|---:|---|---:|---:|---:|---:|---:|---:|---|---:|---:|---|---:|---:|---|---:|\n");
  for (const cell& one : of.cells) {
    const double to_refresh = one.ratio_of(method::refresh, method::changes);
    const double to_concurrently = one.ratio_of(method::concurrently, method::changes);
    const auto goal = goal_of(one);
    const double to_full = one.ratio_of(method::changes, method::diff);
    const auto other = one.percent == 0.1 ? one.view->concurrently_goal : std::nullopt;
    fmt::print(
        "| {} | {:g} | {}{} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | "
        "{} | {} | {} |\n",
        one.view->name, one.percent, one.modes.ends_with('i') ? "" : "&ge; ", one.changed,
        one.modes, shown(one.median_ms(method::changes)), shown(one.median_ms(method::refresh)),
        shown(one.median_ms(method::concurrently)), shown(one.median_ms(method::diff)),
        shown(to_refresh), goal ? shown(*goal) : "", goal ? all.at_least(to_refresh, *goal) : "",
        shown(to_concurrently), other ? shown(*other) : "",
        other ? all.at_least(to_concurrently, *other) : "", shown(to_full), shown(auto_goal),
        all.at_most(to_full, auto_goal),
        shown(wal_of(one, method::refresh) / std::max(1.0, wal_of(one, method::changes))));
  }
}

void print_rebuilds(const findings& of, verdicts& all) {
  fmt::print(
      "\n### Filled anew without blocking readers, beside CONCURRENTLY\n\n"
      "| view | changed % | CONC / keyed diff | goal | | CONC / swap | goal | |\n"
      "|---|---:|---:|---:|---|---:|---:|---|\n");
  for (const cell& one : of.cells) {
    const double to_diff = one.ratio_of(method::concurrently, method::diff);
    const bool judged = one.view->rebuild_goal && one.percent <= 10;
    const double to_swap = one.ratio_of(method::concurrently, method::swap);
    fmt::print("| {} | {:g} | {} | {} | {} | {} | {} | {} |\n", one.view->name, one.percent,
               shown(to_diff), judged ? shown(diff_goal) : "",
               judged ? all.at_least(to_diff, diff_goal) : "", shown(to_swap),
               judged ? shown(swap_goal) : "", judged ? all.at_least(to_swap, swap_goal) : "");
  }
}

void print_overheads(const findings& of, verdicts& all) {
  fmt::print(
      "\n### What it takes, and a refresh when nothing has changed\n\n"
      "| view | storage MiB | materialized view MiB | ratio | log bytes a changed row | "
      "no-op in SQL, ms | by the library, ms | goal | | \n"
      "|---|---:|---:|---:|---:|---:|---:|---:|---|\n");
  for (const overhead& one : of.overheads) {
    fmt::print("| {} | {:.2f} | {:.2f} | {:.2f} | {:.0f} | {:.2f} | {:.2f} | {:.2f} | {} |\n",
               one.view->name, one.storage / 1048576, one.native / 1048576,
               one.storage / std::max(1.0, one.native), one.log_bytes_a_row, one.noop_ms,
               one.noop_library_ms, noop_goal_ms, all.at_most(one.noop_ms, noop_goal_ms));
  }
}

void print_writers(const findings& of, verdicts& all) {
  fmt::print(
      "\n### Writers, with capture / without\n\n"
      "| writing | without | with | ratio | goal | | WAL bytes a row without | with | ratio |\n"
      "|---|---:|---:|---:|---:|---|---:|---:|---:|\n");
  for (const writing& one : of.writers) {
    const double measured = ratio(one.captured, one.plain).median;
    const auto number = [&](double value) {
      return one.single_row ? fmt::format("{:.0f} tps", value)
                            : fmt::format("{:.0f} ms", 1000 * value);
    };
    std::string verdict;
    if (one.goal) {
      verdict =
          one.single_row ? all.at_least(measured, *one.goal) : all.at_most(measured, *one.goal);
    }
    fmt::print("| {} | {} | {} | {:.2f} | {} | {} | {:.0f} | {:.0f} | {:.2f} |\n", one.name,
               number(median_of(one.plain)), number(median_of(one.captured)), measured,
               one.goal ? fmt::format("{} {:.2f}", one.single_row ? ">=" : "<=", *one.goal) : "",
               verdict, median_of(one.wal_plain), median_of(one.wal_captured),
               ratio(one.wal_captured, one.wal_plain).median);
  }
}

void print_sizes(const findings& of, verdicts& all) {
  fmt::print(
      "\n### {} changed rows in tables of growing size\n\n"
      "| view | rows of the table: refresh ms | largest / smallest | goal | |\n"
      "|---|---|---:|---:|---|\n",
      of.fixed_rows);
  for (const auto& steps : of.sizes) {
    for (std::size_t i = 0; i < steps.front().cells.size(); ++i) {
      std::string each;
      for (const size_step& step : steps) {
        each += fmt::format("{}{}: {}", each.empty() ? "" : ", ", step.rows,
                            shown(step.cells[i].median_ms(method::changes)));
      }
      const double grown = steps.back().cells[i].median_ms(method::changes) /
                           steps.front().cells[i].median_ms(method::changes);
      fmt::print("| {} | {} | {:.2f} | {:.2f} | {} |\n", steps.front().cells[i].view->name, each,
                 grown, size_goal, all.at_most(grown, size_goal));
    }
  }
}

// A line for each view, over the shares of changed rows.
template <class Height>
std::vector<plot_line> lines_of(const findings& of, const Height& height) {
  std::vector<plot_line> out;
  for (const cell& one : of.cells) {
    if (out.empty() || out.back().name != one.view->name) {
      const auto known = std::ranges::find(out, one.view->name, &plot_line::name);
      if (known == out.end()) {
        out.push_back({.name = one.view->name, .points = {}});
      } else {
        std::rotate(known, known + 1, out.end());
      }
    }
    out.back().points.emplace_back(one.percent, height(one));
  }
  return out;
}

std::vector<plot_bar> bars_of(const findings& of, bool wal) {
  std::vector<plot_bar> out;
  for (const writing& one : of.writers) {
    out.push_back({one.name, wal ? ratio(one.wal_captured, one.wal_plain).median
                                 : ratio(one.captured, one.plain).median});
  }
  return out;
}

}  // namespace

void print_report(const findings& of) {
  verdicts all;
  fmt::print("{}\n{}\n", of.machine, of.data);
  print_cells(of, all);
  print_rebuilds(of, all);
  print_overheads(of, all);
  print_writers(of, all);
  print_sizes(of, all);
  all.print();
}

void write_plots(const std::filesystem::path& folder, const findings& of) {
  std::filesystem::create_directories(folder);
  constexpr const char* changed = "changed rows, % of the table";
  write_plot(folder / "incremental-refresh.svg",
             line_plot{"Incremental refresh beside REFRESH", changed, "times as fast as REFRESH",
                       lines_of(of,
                                [](const cell& one) {
                                  return one.ratio_of(method::refresh, method::changes);
                                }),
                       1});
  write_plot(
      folder / "incremental-concurrently.svg",
      line_plot{"Incremental refresh beside CONCURRENTLY", changed, "times as fast as CONCURRENTLY",
                lines_of(of,
                         [](const cell& one) {
                           return one.ratio_of(method::concurrently, method::changes);
                         }),
                1});
  write_plot(folder / "incremental-diff.svg",
             line_plot{"Keyed diff beside CONCURRENTLY", changed, "times as fast as CONCURRENTLY",
                       lines_of(of,
                                [](const cell& one) {
                                  return one.ratio_of(method::concurrently, method::diff);
                                }),
                       1});
  write_plot(
      folder / "incremental-wal.svg",
      line_plot{"WAL of a refresh: REFRESH / incremental", changed, "times less WAL than REFRESH",
                lines_of(of,
                         [](const cell& one) {
                           return wal_of(one, method::refresh) /
                                  std::max(1.0, wal_of(one, method::changes));
                         }),
                1});
  write_plot(
      folder / "incremental-writers.svg",
      bar_plot{"Writers with capture", "with capture / without: transactions a second, then time",
               bars_of(of, false), 1});
  write_plot(
      folder / "incremental-writers-wal.svg",
      bar_plot{"WAL of writers with capture", "with capture / without", bars_of(of, true), 1});
  bar_plot storage{"Storage of incremental views", "times the size of a materialized view", {}, 1};
  for (const overhead& one : of.overheads) {
    storage.bars.push_back({one.view->name, one.storage / std::max(1.0, one.native)});
  }
  write_plot(folder / "incremental-storage.svg", storage);
  line_plot sizes{fmt::format("{} changed rows in tables of growing size", of.fixed_rows),
                  "rows of the table",
                  "refresh, ms",
                  {},
                  0};
  for (const auto& steps : of.sizes) {
    for (std::size_t i = 0; i < steps.front().cells.size(); ++i) {
      plot_line line{.name = steps.front().cells[i].view->name, .points = {}};
      for (const size_step& step : steps) {
        line.points.emplace_back(static_cast<double>(step.rows),
                                 step.cells[i].median_ms(method::changes));
      }
      sizes.lines.push_back(std::move(line));
    }
  }
  write_plot(folder / "incremental-size.svg", sizes);
}

}  // namespace matview::bench
