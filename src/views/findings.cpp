#include "views/findings.hpp"

#include "text/function_body.hpp"
#include "text/quote.hpp"
#include <matview/error.hpp>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <set>
#include <string_view>
#include <tuple>
#include <utility>

namespace matview::views {

namespace {

using store::function_facts;
using store::view_facts;

// Where REFRESH begins to look names up in pg_catalog alone.
constexpr int safe_path_version = 170'000;

// Below these nothing hurts that a refresh or autovacuum does not soon put right.
constexpr std::int64_t least_pages = 64;
constexpr std::int64_t least_rows = 50;
constexpr std::int64_t least_dead_rows = 1'000;

constexpr double page_header = 24;
constexpr double row_header = 28;  // With its line pointer.

finding found(severity level, finding_kind kind, const view_facts& in, std::string what,
              std::string why, std::string mend = {}) {
  return {level, kind, in.quoted, std::move(what), std::move(why), std::move(mend)};
}

std::string list(const std::set<std::string>& words) {
  return fmt::format("{}", fmt::join(words, ", "));
}

std::string percent(double part) {
  return fmt::format("{:.0f} %", 100 * part);
}

std::string pretty(std::chrono::microseconds time) {
  return fmt::format("{:.3g} s", std::chrono::duration<double>(time).count());
}

// The rows that it has now, as far as anybody has counted; negative if nobody has.
double known_rows(const view_facts& view) {
  return std::max(view.rows, view.live_rows > 0 ? static_cast<double>(view.live_rows) : -1);
}

// What VACUUM and ANALYZE are to be told.
const std::string& holder_of(const view_facts& view) {
  return view.incremental ? view.held : view.quoted;
}

// ---- rights

// An incremental view is refreshed with the rights of who asks for it, and makes no temporary
// tables.
void judge_owner(const view_case& view, const surroundings& around, std::vector<finding>& out) {
  const view_facts& facts = view.facts;
  if (facts.incremental) return;
  for (const store::unreadable_relation& closed : view.unreadable) {
    out.push_back(found(
        severity::error, finding_kind::owner_cannot_refresh, facts,
        fmt::format("its query reads {}, and {} may not", closed.relation, closed.role),
        "a refresh runs with the rights of the view's owner, and in a plain view with those of "
        "that view's owner, whoever asks for it: it will be refused",
        fmt::format("GRANT SELECT ON {} TO {};", closed.relation, closed.role)));
  }
  for (const function_facts& called : view.functions) {
    if (called.owner_may_execute) continue;
    out.push_back(
        found(severity::error, finding_kind::owner_cannot_refresh, facts,
              fmt::format("{} calls {}, and {} may not",
                          called.index.empty() ? "its query" : "its index " + called.index,
                          called.name, facts.owner),
              "a refresh runs with the rights of the view's owner: it will be refused",
              fmt::format("GRANT EXECUTE ON FUNCTION {} TO {};", called.name, facts.owner)));
  }
  if (!facts.owner_may_temporary && (facts.unique_index || view.scheduled_concurrently)) {
    out.push_back(found(
        severity::error, finding_kind::owner_cannot_refresh, facts,
        fmt::format("{} may not make temporary tables in database {}", facts.owner,
                    around.server.database),
        "a concurrent refresh makes one, with the rights of the view's owner: it will be refused",
        fmt::format("GRANT TEMPORARY ON DATABASE {} TO {};", around.server.database, facts.owner)));
  }
}

void judge_rights(const view_case& view, const surroundings& around, std::vector<finding>& out) {
  judge_owner(view, around, out);
  const view_facts& facts = view.facts;
  if (facts.may_refresh) return;
  const bool maintain = around.server.version >= safe_path_version && !facts.incremental;
  out.push_back(found(
      severity::error, finding_kind::no_right_to_refresh, facts,
      fmt::format("{} may not refresh it: it belongs to {}", around.server.role, facts.owner),
      maintain ? "a refresh asked for by this role will be refused; it takes the owner's rights or "
                 "MAINTAIN"
               : "a refresh asked for by this role will be refused; it takes the owner's rights",
      maintain ? fmt::format("GRANT MAINTAIN ON {} TO {};", facts.quoted, around.server.role)
               : fmt::format("GRANT {} TO {};", facts.owner, around.server.role)));
}

// ---- functions

struct missing_names {
  std::set<std::string> names;    // For the message.
  std::set<std::string> schemas;  // That a search_path needs.
};

missing_names unqualified(const function_facts& called, const surroundings& around) {
  const text::body_names used = text::names_in_body(called.body);
  missing_names out;
  for (const store::name_facts& known : around.names) {
    const std::set<std::string>& asked = known.sort == 'r'   ? used.relations
                                         : known.sort == 'f' ? used.functions
                                                             : used.types;
    if (!asked.contains(known.name)) continue;
    out.names.insert(known.name);
    const auto own = std::find(known.schemas.begin(), known.schemas.end(), called.schema);
    out.schemas.insert(own == known.schemas.end() ? known.schemas.front() : *own);
  }
  return out;
}

// Where it is called, if not in the query itself.
std::string place(const function_facts& called) {
  std::string out;
  if (!called.called_by.empty()) out += fmt::format(", called by {},", called.called_by);
  if (!called.index.empty()) out += fmt::format(", in its index {},", called.index);
  return out;
}

void judge_functions(const view_case& view, const surroundings& around, std::vector<finding>& out) {
  for (const function_facts& called : view.functions) {
    if (called.body.empty()) continue;
    const text::body_names used = text::names_in_body(called.body);
    if (!used.temporary.empty() && !view.facts.incremental) {
      out.push_back(found(
          severity::error, finding_kind::temp_table_in_function, view.facts,
          fmt::format("{}{} makes the temporary table {}", called.name, place(called),
                      list(used.temporary)),
          "REFRESH is a security-restricted operation, in which no temporary table can be made: it "
          "fails there",
          ""));
    }
    if (called.sets_search_path) continue;
    const missing_names missing = unqualified(called, around);
    if (missing.names.empty()) continue;
    const bool own_path = view.facts.incremental;
    const bool breaks = own_path || around.server.version >= safe_path_version;
    out.push_back(found(
        breaks ? severity::error : severity::warning, finding_kind::unqualified_names, view.facts,
        fmt::format("{}{} names {} without a schema", called.name, place(called),
                    list(missing.names)),
        own_path ? "a refresh of an incremental view looks names up in pg_catalog only: it does "
                   "not find them"
        : breaks ? "since PostgreSQL 17 REFRESH looks names up in pg_catalog only: it does not "
                   "find them"
                 : "it works as long as the search_path of whoever refreshes has them; from "
                   "PostgreSQL 17 on REFRESH looks names up in pg_catalog only",
        fmt::format("ALTER FUNCTION {} SET search_path = {}, pg_temp;", called.name,
                    list(missing.schemas))));
  }
}

// ---- what changes by itself

constexpr std::array<std::string_view, 4> clock_functions{"now", "transaction_timestamp",
                                                          "statement_timestamp", "age"};
// Volatile ones of pg_catalog, for bodies of functions that are declared to be better than that.
constexpr std::array<std::string_view, 8> chance_functions{
    "random",    "random_normal", "gen_random_uuid", "clock_timestamp",
    "timeofday", "nextval",       "uuidv4",          "uuidv7"};

template <std::size_t Size>
bool is_one_of(std::string_view word, const std::array<std::string_view, Size>& words) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

// age(a, b) is arithmetic; age(a) counts from today.
bool tells_the_time(const function_facts& called) {
  return called.schema == "pg_catalog" && is_one_of(called.bare_name, clock_functions) &&
         called.name.find(',') == std::string::npos && !called.name.ends_with("(xid)");
}

struct changing {
  std::set<std::string> by_chance;
  std::set<std::string> by_time;
  std::set<std::string> declared;  // Functions of users that are declared VOLATILE.
};

void read_body(const function_facts& called, changing& out) {
  const text::body_names used = text::names_in_body(called.body);
  for (const std::string_view name : chance_functions) {
    if (used.functions.contains(std::string(name))) {
      out.by_chance.insert(fmt::format("{}() in {}", name, called.name));
    }
  }
  std::set<std::string> times = used.clock_words;
  for (const std::string_view name : {"now", "transaction_timestamp", "statement_timestamp"}) {
    if (used.functions.contains(std::string(name))) times.insert(fmt::format("{}()", name));
  }
  for (const std::string& word : times) {
    out.by_time.insert(fmt::format("{} in {}", word, called.name));
  }
}

changing what_changes(const view_case& view) {
  changing out;
  for (const std::string& word : view.words) {
    (word == "TABLESAMPLE" ? out.by_chance : out.by_time).insert(word);
  }
  for (const function_facts& called : view.functions) {
    if (!called.index.empty()) continue;
    // What a function calls is its own affair: it answers for its declaration.
    if (called.volatility == 'v' && called.called_by.empty()) {
      const bool built_in = called.schema == "pg_catalog";
      out.by_chance.insert(built_in ? fmt::format("{}()", called.bare_name) : called.name);
      if (!built_in) out.declared.insert(called.name);
    } else if (tells_the_time(called)) {
      out.by_time.insert(fmt::format("{}()", called.bare_name));
    } else if (!called.body.empty()) {
      read_body(called, out);
    }
  }
  return out;
}

void judge_changes(const view_case& view, std::vector<finding>& out) {
  const changing all = what_changes(view);
  if (!all.by_chance.empty()) {
    std::string mend;
    for (const std::string& name : all.declared) {
      mend +=
          fmt::format("{}ALTER FUNCTION {} STABLE; -- if it is", mend.empty() ? "" : "\n", name);
    }
    out.push_back(found(severity::warning, finding_kind::volatile_expression, view.facts,
                        fmt::format("its query has what is volatile: {}", list(all.by_chance)),
                        all.declared.empty()
                            ? "each refresh may yield other rows from the same data, so a "
                              "concurrent one rewrites them and nobody can check the view"
                            : "each refresh may yield other rows from the same data; VOLATILE is "
                              "also what a function is that nobody has declared otherwise",
                        mend));
  }
  if (!all.by_time.empty()) {
    out.push_back(
        found(severity::note, finding_kind::time_dependent, view.facts,
              fmt::format("its query asks for the time: {}", list(all.by_time)),
              "its contents are those of the moment of its last refresh and grow wrong with time, "
              "though no table has changed: refresh it by the clock"));
  }
}

// ---- contents and indexes

void judge_contents(const view_case& view, std::vector<finding>& out) {
  if (view.facts.populated) return;
  out.push_back(found(severity::error, finding_kind::not_populated, view.facts,
                      "it holds no data and was never refreshed",
                      "whoever reads it gets an error, and it cannot be refreshed concurrently",
                      fmt::format("REFRESH MATERIALIZED VIEW {};", view.facts.quoted)));
}

std::string index_proposal(const view_case& view) {
  const view_facts& facts = view.facts;
  if (!facts.invalid_index.empty()) {
    return fmt::format("REINDEX INDEX CONCURRENTLY {};", facts.invalid_index);
  }
  if (!view.probe || !view.probe->columns || view.probe->columns->empty()) return {};
  return fmt::format("CREATE UNIQUE INDEX ON {} ({});", facts.quoted,
                     fmt::join(*view.probe->columns, ", "));
}

std::string index_advice(const view_case& view) {
  if (!view.facts.invalid_index.empty()) {
    return "; the one there is is invalid, as its creation has failed";
  }
  if (!view.probe) return {};
  if (!view.probe->columns) {
    return fmt::format("; what could be unique is not known, because {}", view.probe->why_not);
  }
  if (view.probe->columns->empty()) {
    return "; no column and no first columns of it are now without duplicates and NULLs, so its "
           "query must yield a key first";
  }
  return fmt::format("; its rows now differ in ({}) and none is NULL there",
                     fmt::join(*view.probe->columns, ", "));
}

void judge_unique_index(const view_case& view, std::vector<finding>& out) {
  if (view.facts.unique_index || view.facts.incremental) return;
  out.push_back(
      found(view.scheduled_concurrently ? severity::error : severity::warning,
            finding_kind::no_unique_index, view.facts,
            "it has no unique index that a concurrent refresh can use" + index_advice(view),
            view.scheduled_concurrently
                ? "a schedule refreshes it concurrently, which is refused each time"
                : "each refresh locks its readers out for as long as it runs",
            index_proposal(view)));
}

// ---- upkeep

void judge_statistics(const view_case& view, std::vector<finding>& out) {
  const view_facts& facts = view.facts;
  if (!facts.populated) return;
  const std::string mend = fmt::format("ANALYZE {};", holder_of(facts));
  if (!facts.analyzed) {
    // A server that crashed forgets when it analyzed, and keeps what it learned.
    const bool holds_rows = facts.live_rows >= least_rows || facts.pages.value_or(0) >= least_pages;
    if (facts.rows >= 0 || !holds_rows) return;
    out.push_back(found(severity::warning, finding_kind::stale_statistics, facts,
                        "it holds rows and was never analyzed",
                        "the planner guesses how many rows queries on it yield", mend));
    return;
  }
  const double part = static_cast<double>(facts.changed_rows) /
                      std::max<double>(1, static_cast<double>(facts.live_rows));
  if (facts.changed_rows < least_rows || part < 0.2) return;
  out.push_back(found(
      severity::warning, finding_kind::stale_statistics, facts,
      fmt::format("{} rows were written since it was last analyzed, and it has {}",
                  facts.changed_rows, facts.live_rows),
      "the planner goes by statistics of rows that are gone; autovacuum may come late, or not at "
      "all",
      mend));
}

void judge_visibility(const view_case& view, std::vector<finding>& out) {
  const view_facts& facts = view.facts;
  const std::int64_t pages = facts.pages.value_or(0);
  // Its storage is a table, which autovacuum looks after as it is written.
  if (facts.incremental || facts.indexes == 0 || pages < least_pages) return;
  const double visible = static_cast<double>(facts.visible_pages) / static_cast<double>(pages);
  if (visible >= 0.5) return;
  out.push_back(
      found(severity::warning, finding_kind::index_only_scans_lost, facts,
            fmt::format("{} of its {} pages are marked all-visible", percent(visible), pages),
            "an index-only scan must then look into the table for each row; a plain refresh "
            "clears the marks, and VACUUM sets them",
            fmt::format("VACUUM {};", facts.quoted)));
}

void judge_bloat(const view_case& view, const surroundings& around, std::vector<finding>& out) {
  const view_facts& facts = view.facts;
  if (!facts.populated) return;
  if (facts.dead_rows >= least_dead_rows && facts.dead_rows > facts.live_rows) {
    out.push_back(found(
        severity::warning, finding_kind::bloat, facts,
        fmt::format("it has {} dead rows beside {} live ones", facts.dead_rows, facts.live_rows),
        fmt::format(
            "{} leave the old rows behind, and each scan reads them; an old transaction "
            "may keep VACUUM from removing them",
            facts.incremental ? "refreshes of an incremental view" : "concurrent refreshes"),
        fmt::format("VACUUM {};", holder_of(facts))));
    return;
  }
  const std::int64_t pages = facts.pages.value_or(0);
  const double rows = known_rows(facts);
  if (pages < least_pages || !facts.row_bytes || rows < 0) return;
  const double row = row_header + 8 * std::ceil(*facts.row_bytes / 8);
  const double page = (static_cast<double>(around.server.block_bytes) - page_header) * facts.fill;
  const double needed = std::ceil(rows * row / page);
  if (static_cast<double>(pages) < 2 * needed + static_cast<double>(least_pages) / 2) return;
  out.push_back(found(
      severity::warning, finding_kind::bloat, facts,
      fmt::format("it takes {} pages, and its {:.0f} rows need about {:.0f}", pages, rows, needed),
      facts.incremental ? "refreshes leave free space behind that VACUUM does not give back"
                        : "concurrent refreshes leave free space behind that VACUUM does not give "
                          "back; a refresh "
                          "that is not concurrent writes the view and its indexes anew",
      fmt::format("{} {}; -- readers wait for its end",
                  facts.incremental ? "VACUUM (FULL)" : "REFRESH MATERIALIZED VIEW",
                  holder_of(facts))));
}

void judge_use(const view_case& view, const surroundings& around, std::vector<finding>& out) {
  const view_facts& facts = view.facts;
  // How often refreshes have read the storage nobody has counted.
  if (facts.incremental) return;
  // An index that is built scans the view, and nobody knows when that was.
  const std::int64_t own_scans = facts.indexes + view.refresh_scans;
  if (!facts.populated || !around.server.counts || facts.scans > own_scans ||
      facts.dependents > 0 || around.server.counting < around.unread_for) {
    return;
  }
  out.push_back(
      found(severity::note, finding_kind::unused, facts,
            fmt::format("nobody has read it and nothing depends on it; counted since {}",
                        around.server.counting_since),
            "its refreshes cost, and serve nobody on this server (a standby counts its "
            "own)",
            fmt::format("DROP MATERIALIZED VIEW {}; -- if nobody needs it", facts.quoted)));
}

// ---- schedules

// The shortest time between two of the next fires, if there are two.
std::optional<std::chrono::microseconds> shortest_period(const store::schedule_facts& schedule,
                                                         cron::instant now) {
  if (schedule.every) return schedule.every;
  constexpr int looked_at = 50;
  const cron when = cron::parse(schedule.cron, schedule.time_zone);
  std::optional<std::chrono::microseconds> shortest;
  std::optional<cron::instant> last = when.next_after(now);
  for (int i = 1; i < looked_at && last; ++i) {
    const std::optional<cron::instant> next = when.next_after(*last);
    if (next && (!shortest || *next - *last < *shortest)) shortest = *next - *last;
    last = next;
  }
  return shortest;
}

}  // namespace

name_questions questions_about(const std::vector<function_facts>& functions) {
  std::set<std::pair<std::string, std::string>> all;
  for (const function_facts& called : functions) {
    if (called.body.empty() || called.sets_search_path) continue;
    const text::body_names used = text::names_in_body(called.body);
    for (const std::string& name : used.relations) all.emplace("r", name);
    for (const std::string& name : used.functions) all.emplace("f", name);
    for (const std::string& name : used.types) all.emplace("t", name);
  }
  name_questions out;
  for (const auto& [sort, name] : all) {
    out.sorts.push_back(sort);
    out.names.push_back(name);
  }
  return out;
}

std::vector<finding> findings_of(const view_case& view, const surroundings& around) {
  std::vector<finding> out;
  judge_contents(view, out);
  judge_rights(view, around, out);
  judge_functions(view, around, out);
  judge_unique_index(view, out);
  judge_changes(view, out);
  judge_statistics(view, out);
  judge_visibility(view, out);
  judge_bloat(view, around, out);
  judge_use(view, around, out);
  return out;
}

std::vector<finding> findings_of(const store::schedule_facts& schedule, cron::instant now,
                                 std::vector<std::string>& unreadable) {
  std::vector<finding> out;
  const auto add = [&](severity level, std::string what, std::string why, std::string mend) {
    out.push_back({level, finding_kind::impossible_schedule, "schedule " + schedule.name,
                   std::move(what), std::move(why), std::move(mend)});
  };
  if (!schedule.view_id) {
    add(severity::error,
        fmt::format("it refreshes {}, and there is no such view", text::shown(schedule.view)),
        "each of its jobs fails, and after some it is suspended",
        fmt::format("DELETE FROM matview.schedule WHERE name = {};",
                    text::sql_literal(schedule.name)));
    return out;
  }
  if (!schedule.usual_duration) return out;
  const std::string usual = fmt::format("a refresh of {} usually takes {}", schedule.view,
                                        pretty(*schedule.usual_duration));
  if (schedule.timeout && *schedule.timeout <= *schedule.usual_duration) {
    add(severity::error,
        fmt::format("{}, and is stopped after {}", usual, pretty(*schedule.timeout)),
        "its jobs are stopped before they have done anything",
        fmt::format("UPDATE matview.schedule SET timeout = NULL, revision = revision + 1, "
                    "updated_at = pg_catalog.clock_timestamp() WHERE name = {};",
                    text::sql_literal(schedule.name)));
  }
  try {
    const auto period = shortest_period(schedule, now);
    if (period && *period < *schedule.usual_duration) {
      add(severity::warning, fmt::format("{}, and it fires every {}", usual, pretty(*period)),
          "it cannot keep its times: fires are coalesced or pile up; `matview schedule set` gives "
          "it a longer period",
          "");
    }
  } catch (const error& failed) {
    unreadable.push_back(fmt::format("when schedule {} fires cannot be told here: {}",
                                     schedule.name, failed.what()));
  }
  return out;
}

void sort_findings(std::vector<finding>& findings) {
  std::stable_sort(findings.begin(), findings.end(), [](const finding& a, const finding& b) {
    return std::tie(a.level, a.object, a.kind) < std::tie(b.level, b.object, b.kind);
  });
}

}  // namespace matview::views
