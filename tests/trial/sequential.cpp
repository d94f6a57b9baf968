#include "trial/sequential.hpp"

#include "trial/seed.hpp"

#include <fmt/format.h>

namespace matview::trial {

namespace {

// A statement that fails is part of the game: it fails again when the case is repeated.
void perform(connection& on, const std::vector<std::string>& statements) {
  try {
    for (const std::string& sql : statements) on.execute(sql);
    if (on.in_transaction()) on.execute("COMMIT");
  } catch (const sql_error& refused) {
    on.roll_back();
    if (refused.sqlstate().empty()) throw;
  }
}

class one_run final {
 public:
  one_run(const trial_case& one, const arena& in, statistics* seen)
      : case_(one), arena_(in), runtime_(in.under_trial()), seen_(seen), on_(in.url()) {}
  one_run(const one_run&) = delete;
  one_run& operator=(const one_run&) = delete;
  ~one_run() { end_prepared(on_); }

  case_result run() {
    // Only a prepared transaction can be in the way, and it does not go while one waits.
    on_.execute("SET lock_timeout = '10ms'");
    for (const std::string& sql : case_.tables.ddl) perform(on_, {sql});
    for (const std::string& sql : case_.tables.rows) perform(on_, {sql});
    on_.execute(analyze_sql(case_.tables));
    if (!create_views() || views_.empty()) return std::move(result_);
    if (runtime_.mutation) runtime_.mutation(on_);
    for (std::size_t i = 0; i < case_.steps.size() && !result_.failed; ++i) take(i);
    return std::move(result_);
  }

 private:
  bool is_good(const std::string& sql) {
    const verdict found = judge_query(on_, sql);
    result_.valid = result_.valid && found == verdict::good;
    if (found != verdict::good && seen_ != nullptr) {
      seen_->count(found == verdict::dear ? "queries that are too dear" : "invalid queries");
    }
    return found == verdict::good;
  }

  bool create(const std::string& name, const query& body, bool report) {
    const std::string sql = to_sql(body);
    const std::string qualified = arena_.qualified(name);
    if (!is_good(sql)) return false;
    try {
      const creation made = runtime_.create(arena_.url(), qualified, sql);
      if (made.incremental) views_.push_back({.name = qualified, .sql = sql});
      if (!made.incremental && !report) create_natively(on_, qualified, sql);
      if (report && seen_ != nullptr) seen_->created(case_.view, made);
      return made.incremental || !report;
    } catch (const std::exception& thrown) {
      result_.failed = failure{.kind = "not created", .view = qualified, .details = thrown.what()};
      return false;
    }
  }

  bool create_views() {
    for (const definition& one : case_.view.underneath) {
      if (one.materialized) {
        if (!create(one.name, one.body, false)) return false;
      } else {
        if (!is_good(to_sql(one.body))) return false;
        on_.execute("CREATE VIEW " + one.name + " AS " + to_sql(one.body));
      }
    }
    return create(case_.view.name, case_.view.body, true);
  }

  void take(std::size_t number) {
    const step& now = case_.steps[number];
    if (now.refresh_mode.empty()) {
      perform(on_, now.statements);
      return;
    }
    for (const checked_view& view : views_) {
      check(view, now);
      if (!result_.failed) continue;
      result_.failed->step = number;
      return;
    }
  }

  void check(const checked_view& view, const step& now) {
    failure seen{.kind = "wrong result", .view = view.name, .mode = now.refresh_mode};
    try {
      const check_result done =
          refresh_and_compare(on_, case_.tables, view, now.refresh_mode, now.roll_back);
      if (seen_ != nullptr) seen_->checked(done.mode, done.reason);
      if (done.difference.empty()) return;
      seen.mode += ", done as " + done.mode;
      seen.reason = done.reason;
      seen.details = done.difference;
    } catch (const sql_error& refused) {
      // A prepared transaction may hold what TRUNCATE or DDL has locked.
      if (refused.is_conflict()) return;
      if (is_refused_mode(now.refresh_mode, refused)) {
        if (seen_ != nullptr) seen_->count("mode refused: " + refused.sqlstate());
        return;
      }
      seen.kind = refused.sqlstate();
      seen.details = refused.what();
    }
    if (runtime_.program) seen.program = runtime_.program(on_, view.name);
    result_.failed = std::move(seen);
  }

  const trial_case& case_;
  const arena& arena_;
  const runtime& runtime_;
  statistics* seen_;
  connection on_;
  std::vector<checked_view> views_;
  case_result result_;
};

step random_refresh(dice& choose) {
  static constexpr const char* modes[] = {"auto", "incremental", "diff", "full", "swap"};
  return {.refresh_mode = modes[choose.weighted({61, 23, 7, 5, 4})],
          .roll_back = choose.percent(10)};
}

// So that one more than the refused share of a young compiler does not take all the time.
constexpr int hopeless = 60;

bool two_phase_allowed() {
  return connection(test::server_url()).query_one("SHOW max_prepared_transactions") != "0";
}

std::string report(const trial_case& whole, const failure& how, arena& in,
                   std::uint64_t case_seed) {
  std::string text = fmt::format("MATVIEW_TRIAL_CASE={}: {}\n", case_seed, how.kind);
  text += script(whole, how);
  const trial_case less = shrunk(whole, how, in, std::chrono::seconds(60));
  const case_result again = run_case(less, in, nullptr);
  text += "\n---------------- shrunk ----------------\n";
  text += again.failed ? script(less, *again.failed) : "it does not fail each time\n";
  return text;
}

}  // namespace

trial_case random_case(dice& choose, const writer_options& writer) {
  trial_case result{.tables = make_schema(choose)};
  result.view = query_generator(result.tables, choose).next("v");
  dml_generator statements(result.tables, choose, writer);
  result.steps.push_back({.refresh_mode = "auto"});
  for (int i = choose.between(10, 30); i > 0; --i) {
    transaction next = statements.next();
    result.steps.push_back({.statements = std::move(next.statements)});
    if (!next.prepared.empty()) {
      result.steps.push_back(random_refresh(choose));
      const char* end = choose.percent(75) ? "COMMIT PREPARED '" : "ROLLBACK PREPARED '";
      result.steps.push_back({.statements = {end + next.prepared + "'"}});
    }
    if (choose.percent(60)) result.steps.push_back(random_refresh(choose));
  }
  result.steps.push_back({.refresh_mode = "auto"});
  return result;
}

case_result run_case(const trial_case& one, arena& in, statistics* seen) {
  in.renew();
  return one_run(one, in, seen).run();
}

namespace {

struct script_view {
  std::string name;
  std::string sql;
  bool incremental;
};

std::vector<script_view> views_of(const view_under_trial& all) {
  std::vector<script_view> result;
  for (const definition& one : all.underneath) {
    result.push_back({one.name, to_sql(one.body), one.materialized});
  }
  result.push_back({all.name, to_sql(all.body), true});
  return result;
}

// psql wants the data of a COPY in the lines after it.
std::string statement_text(const std::string& sql) {
  const std::size_t line = sql.starts_with("COPY ") ? sql.find('\n') : std::string::npos;
  if (line == std::string::npos) return sql + ";\n";
  return sql.substr(0, line) + ";" + sql.substr(line) + "\n";
}

std::string refresh_text(const std::vector<script_view>& views, const step& of) {
  std::string text;
  for (const script_view& view : views) {
    if (!view.incremental) continue;
    text += fmt::format("SELECT * FROM matview.refresh('{}', '{}', true){};\n", view.name,
                        of.refresh_mode, of.roll_back ? " /* and ROLLBACK */" : "");
  }
  return text;
}

}  // namespace

std::string script(const trial_case& one, const failure& how) {
  const std::vector<script_view> views = views_of(one.view);
  std::string text;
  for (const std::string& sql : one.tables.ddl) text += statement_text(sql);
  for (const std::string& sql : one.tables.rows) text += statement_text(sql);
  for (const script_view& view : views) {
    text += fmt::format("{} {} AS {};\n", view.incremental ? "-- incremental:" : "CREATE VIEW",
                        view.name, view.sql);
  }
  for (std::size_t i = 0; i < one.steps.size() && i <= how.step; ++i) {
    for (const std::string& sql : one.steps[i].statements) text += statement_text(sql);
    if (!one.steps[i].refresh_mode.empty()) text += refresh_text(views, one.steps[i]);
  }
  for (const script_view& view : views) {
    if (!how.view.ends_with("." + view.name)) continue;
    text += comparison_sql({.name = view.name, .sql = view.sql}) + ";\n";
  }
  text += fmt::format("-- {} in {}, mode {}, reason: {}\n{}", how.kind, how.view, how.mode,
                      how.reason, how.details);
  if (!how.program.empty()) text += "-- program:\n" + how.program + "\n";
  return text;
}

std::optional<std::string> run_sequential(const runtime& under_trial, std::chrono::seconds how_long,
                                          std::uint64_t seed, statistics& seen) {
  dice choose(seed);
  arena place(under_trial);
  writer_options writer{.server_version = connection(test::server_url()).server_version(),
                        .two_phase = two_phase_allowed()};
  const auto until = std::chrono::steady_clock::now() + how_long;
  for (int round = 0; std::chrono::steady_clock::now() < until; ++round) {
    if (round == hopeless && seen.incremental_views() == 0) break;
    const std::uint64_t case_seed = only_case().value_or(choose.fork());
    dice own(case_seed);
    writer.name = fmt::format("g{:x}", case_seed);
    const trial_case one = random_case(own, writer);
    const case_result result = run_case(one, place, &seen);
    if (result.valid) seen.count("sequential rounds");
    if (result.failed) return report(one, *result.failed, place, case_seed);
    if (only_case()) break;
  }
  return std::nullopt;
}

}  // namespace matview::trial
