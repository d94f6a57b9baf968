#include "store/catalog.hpp"
#include "store/doctor_catalog.hpp"
#include "text/function_body.hpp"
#include "views/findings.hpp"
#include "views/session.hpp"
#include <matview/doctor.hpp>
#include <matview/error.hpp>
#include <matview/identifier.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <limits>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace matview {

namespace {

using kind_word = std::pair<finding_kind, std::string_view>;

constexpr std::array<kind_word, 18> kind_words{{
    {finding_kind::not_populated, "not_populated"},
    {finding_kind::owner_cannot_refresh, "owner_cannot_refresh"},
    {finding_kind::no_right_to_refresh, "no_right_to_refresh"},
    {finding_kind::unqualified_names, "unqualified_names"},
    {finding_kind::temp_table_in_function, "temp_table_in_function"},
    {finding_kind::impossible_schedule, "impossible_schedule"},
    {finding_kind::no_unique_index, "no_unique_index"},
    {finding_kind::volatile_expression, "volatile_expression"},
    {finding_kind::time_dependent, "time_dependent"},
    {finding_kind::index_only_scans_lost, "index_only_scans_lost"},
    {finding_kind::bloat, "bloat"},
    {finding_kind::stale_statistics, "stale_statistics"},
    {finding_kind::capture_incomplete, "capture_incomplete"},
    {finding_kind::detached, "detached"},
    {finding_kind::growing_log, "growing_log"},
    {finding_kind::leftovers, "leftovers"},
    {finding_kind::altered_view, "altered_view"},
    {finding_kind::unused, "unused"},
}};

}  // namespace

std::string_view to_string(severity level) noexcept {
  switch (level) {
    case severity::error:
      return "error";
    case severity::warning:
      return "warning";
    case severity::note:
      return "note";
  }
  return "note";
}

std::string_view to_string(finding_kind kind) noexcept {
  const auto* const found = std::find_if(kind_words.begin(), kind_words.end(),
                                         [kind](const kind_word& w) { return w.first == kind; });
  return found == kind_words.end() ? "unused" : found->second;
}

const std::vector<finding_kind>& finding_kinds() {
  static const std::vector<finding_kind> all = [] {
    std::vector<finding_kind> out;
    out.reserve(kind_words.size());
    for (const kind_word& word : kind_words) out.push_back(word.first);
    return out;
  }();
  return all;
}

namespace views {

namespace {

using std::chrono::milliseconds;

struct request {
  doctor_options options;
  std::vector<identifier> names;
  milliseconds probe_limit{10'000};
  std::chrono::seconds unread_for{std::chrono::hours(7 * 24)};
};

request checked(doctor_options options) {
  request out;
  for (const std::string& name : options.names) out.names.push_back(identifier::parse(name));
  if (options.probe_limit) {
    out.probe_limit = std::chrono::ceil<milliseconds>(options.probe_limit->to_duration());
    if (out.probe_limit.count() > std::numeric_limits<int>::max()) {
      throw error(errc::invalid_option,
                  fmt::format("a probe limit of {} is too long", options.probe_limit->text()),
                  {.hint = "the server takes at most 24 days; 0 seconds searches for nothing"});
    }
  }
  if (options.unread_for) {
    out.unread_for =
        std::chrono::duration_cast<std::chrono::seconds>(options.unread_for->to_duration());
  }
  out.options = std::move(options);
  return out;
}

// The names as the catalog has them. @throws error with errc::view_not_found.
asio::awaitable<std::vector<std::string>> resolved(pg::connection& on,
                                                   const std::vector<identifier>& names) {
  std::vector<std::string> out;
  for (const identifier& name : names) {
    const std::optional<store::relation> found = co_await store::find_relation(on, name);
    if (!found || !found->is_view()) throw error(store::no_such_view(name, found));
    out.push_back(found->quoted);
  }
  co_return out;
}

// Adds what these functions call by full name, what that calls, and so on. It ends, as each
// function is added once for each view.
asio::awaitable<void> follow_calls(pg::connection& on,
                                   std::vector<store::function_facts>& functions) {
  std::set<std::pair<store::oid, std::string>> known;
  for (const store::function_facts& called : functions) known.emplace(called.view, called.name);
  for (std::size_t from = 0; from < functions.size();) {
    const std::size_t end = functions.size();
    std::set<std::pair<std::string, std::string>> calls;
    for (std::size_t i = from; i < end; ++i) {
      calls.merge(text::names_in_body(functions[i].body).calls);
    }
    std::vector<std::string> schemas;
    std::vector<std::string> names;
    for (const auto& [schema, name] : calls) {
      schemas.push_back(schema);
      names.push_back(name);
    }
    if (calls.empty()) break;
    const std::vector<store::function_facts> found =
        co_await store::read_called(on, schemas, names);
    for (std::size_t i = from; i < end; ++i) {
      const store::function_facts caller = functions[i];
      const auto mine = text::names_in_body(caller.body).calls;
      for (store::function_facts called : found) {
        if (!mine.contains({called.schema, called.bare_name})) continue;
        if (!known.emplace(caller.view, called.name).second) continue;
        called.view = caller.view;
        called.index = caller.index;
        called.called_by = caller.name;
        called.sets_search_path = called.sets_search_path || caller.sets_search_path;
        functions.push_back(std::move(called));
      }
    }
    from = end;
  }
}

// Functions of whose SQL a part is made up when they run.
std::vector<std::string> dynamic(const std::vector<store::function_facts>& functions) {
  std::set<std::string> names;
  for (const store::function_facts& called : functions) {
    if (text::names_in_body(called.body).dynamic) names.insert(called.name);
  }
  std::vector<std::string> out;
  out.reserve(names.size());
  for (const std::string& name : names) {
    out.push_back(
        fmt::format("{} runs SQL that it makes up (EXECUTE): that was not looked at", name));
  }
  return out;
}

// Why columns of this view are not searched for, or nothing.
std::string reason_not_to_probe(const store::view_facts& view, milliseconds left) {
  if (!view.populated) return "it holds no data";
  if (!view.may_read) return "this role may not read it";
  if (!view.pages) return "somebody holds it locked";
  if (*view.pages == 0) return "it is empty";
  if (left.count() <= 0) return "the time for looking was up";
  return {};
}

asio::awaitable<void> probe(pg::connection& on, view_case& view,
                            std::chrono::steady_clock::time_point until) {
  if (view.facts.unique_index || view.facts.incremental) co_return;
  using clock = std::chrono::steady_clock;
  const auto left = std::chrono::duration_cast<milliseconds>(until - clock::now());
  unique_probe answer{.columns = {}, .why_not = reason_not_to_probe(view.facts, left)};
  if (answer.why_not.empty()) {
    store::relation relation;
    relation.quoted = view.facts.quoted;
    std::vector<std::string> columns =
        co_await store::unique_columns(on, relation, static_cast<int>(left.count()));
    if (columns.empty() && clock::now() >= until) {
      answer.why_not = "the time for looking was up";
    } else {
      answer.columns = std::move(columns);
    }
  }
  view.probe = std::move(answer);
}

template <class Fact>
std::vector<Fact> of_view(const std::vector<Fact>& all, store::oid view) {
  std::vector<Fact> out;
  std::copy_if(all.begin(), all.end(), std::back_inserter(out),
               [view](const Fact& fact) { return fact.view == view; });
  return out;
}

// The schedules that matter to who asked: all, or those of the views that were named.
std::vector<store::schedule_facts> chosen(std::vector<store::schedule_facts> schedules,
                                          const request& asked,
                                          const std::vector<store::view_facts>& views) {
  if (asked.names.empty() && asked.options.schemas.empty()) return schedules;
  std::erase_if(schedules, [&](const store::schedule_facts& schedule) {
    return std::none_of(views.begin(), views.end(),
                        [&](const store::view_facts& view) { return schedule.view_id == view.id; });
  });
  return schedules;
}

// How many rows of a log are worth counting: a tenth of the usual limit, and some.
constexpr std::int64_t most_changed = 1'100'000;

// Rows without a view are found when all is looked at.
asio::awaitable<void> examine_incremental(pg::connection& on, const request& asked,
                                          const std::vector<std::string>& names,
                                          const std::vector<store::view_facts>& views,
                                          doctor_report& report) {
  std::vector<std::int64_t> oids = co_await store::find_altered(on, names, asked.options.schemas);
  for (const store::view_facts& view : views) {
    if (view.incremental) oids.push_back(view.id);
  }
  const bool all = asked.names.empty() && asked.options.schemas.empty();
  if (!all && oids.empty()) co_return;
  const store::incremental_states found =
      co_await store::read_incremental(on, oids, all, most_changed);
  if (!found.unknown.empty() && !oids.empty()) report.unseen.push_back(found.unknown);
  for (const store::incremental_state& one : found.views) {
    std::vector<finding> wrong = findings_of(one);
    std::move(wrong.begin(), wrong.end(), std::back_inserter(report.findings));
  }
  if (!found.unknown.empty()) co_return;
  for (const store::view_facts& view : views) {
    const bool known = std::ranges::any_of(
        found.views, [&](const store::incremental_state& one) { return one.view == view.id; });
    if (view.incremental && !known) report.findings.push_back(unknown_to_its_schema(view.quoted));
  }
}

asio::awaitable<doctor_report> examine_on(pg::connection& on, const request& asked) {
  doctor_report report;
  const std::vector<std::string> names = co_await resolved(on, asked.names);
  surroundings around;
  around.unread_for = asked.unread_for;
  around.server = co_await store::read_server(on);
  const std::vector<store::view_facts> views =
      co_await store::read_views(on, names, asked.options.schemas);
  const std::string oids = store::oid_array(views);
  std::vector<store::function_facts> functions = co_await store::read_functions(on, oids);
  co_await follow_calls(on, functions);
  report.unseen = dynamic(functions);
  const auto expressions = co_await store::read_expressions(on, oids);
  const auto unreadable = co_await store::read_unreadable(on, oids);
  const name_questions questions = questions_about(functions);
  around.names = co_await store::read_names(on, questions.sorts, questions.names);
  const store::own_tables own = co_await store::find_own_tables(on);
  std::vector<store::schedule_facts> schedules;
  if (own.schedules_readable) {
    schedules = co_await store::read_schedules(on, own.history_readable);
    schedules = chosen(std::move(schedules), asked, views);
  } else if (own.schedules) {
    report.unseen.emplace_back(
        "this role may not read matview.schedule: no schedule was looked at");
  }
  if (!around.server.counts) {
    report.unseen.emplace_back(
        "track_counts is off: what is read, changed and dead nobody has counted");
  }
  std::vector<store::refresh_counts> refreshes;
  if (own.history_readable) {
    refreshes = co_await store::read_refresh_counts(on, around.server.counting);
  }
  report.schedules = schedules.size();

  const auto until = std::chrono::steady_clock::now() + asked.probe_limit;
  for (const store::view_facts& facts : views) {
    report.views.push_back(facts.quoted);
    view_case view{.facts = facts,
                   .functions = of_view(functions, facts.id),
                   .unreadable = of_view(unreadable, facts.id)};
    for (const auto& expression : of_view(expressions, facts.id)) {
      view.words.push_back(expression.word);
    }
    // A full refresh scans the view for each index, a concurrent one to compare it.
    for (const auto& done : of_view(refreshes, facts.id)) {
      view.refresh_scans += done.full * facts.indexes + done.concurrently;
    }
    view.scheduled_concurrently = std::any_of(
        schedules.begin(), schedules.end(),
        [&](const store::schedule_facts& s) { return s.concurrently && s.view_id == facts.id; });
    co_await probe(on, view, until);
    std::vector<finding> found = findings_of(view, around);
    std::move(found.begin(), found.end(), std::back_inserter(report.findings));
  }
  co_await examine_incremental(on, asked, names, views, report);
  const auto now = std::chrono::floor<std::chrono::microseconds>(std::chrono::system_clock::now());
  for (const store::schedule_facts& schedule : schedules) {
    std::vector<finding> found = findings_of(schedule, now, report.unseen);
    std::move(found.begin(), found.end(), std::back_inserter(report.findings));
  }
  sort_findings(report.findings);
  co_return report;
}

asio::awaitable<doctor_report> examine_anywhere(std::optional<PGconn*> borrowed,
                                                doctor_options options) {
  const request asked = checked(std::move(options));
  session where{borrowed, asked.options.database, asked.options.log};
  const auto work = [&](pg::connection& on) { return examine_on(on, asked); };
  co_return co_await on_session(std::move(where), work);
}

asio::awaitable<std::vector<finding>> findings_in(asio::awaitable<doctor_report> examined) {
  doctor_report report = co_await std::move(examined);
  co_return std::move(report.findings);
}

}  // namespace

}  // namespace views

asio::awaitable<doctor_report> aexamine_matviews(doctor_options options) {
  return views::isolated(views::examine_anywhere(std::nullopt, std::move(options)));
}

asio::awaitable<doctor_report> aexamine_matviews(PGconn* connection, doctor_options options) {
  return views::isolated(views::examine_anywhere(connection, std::move(options)));
}

asio::awaitable<std::vector<finding>> adoctor(doctor_options options) {
  return views::findings_in(aexamine_matviews(std::move(options)));
}

asio::awaitable<std::vector<finding>> adoctor(PGconn* connection, doctor_options options) {
  return views::findings_in(aexamine_matviews(connection, std::move(options)));
}

doctor_report examine_matviews(const doctor_options& options) {
  return pg::run_sync(aexamine_matviews(options));
}

doctor_report examine_matviews(PGconn* connection, const doctor_options& options) {
  return pg::run_sync(aexamine_matviews(connection, options));
}

std::vector<finding> doctor(const doctor_options& options) {
  return pg::run_sync(adoctor(options));
}

std::vector<finding> doctor(PGconn* connection, const doctor_options& options) {
  return pg::run_sync(adoctor(connection, options));
}

}  // namespace matview
