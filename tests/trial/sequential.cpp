#include "trial/sequential.hpp"

#include "trial/actor.hpp"
#include "trial/script.hpp"
#include "trial/seed.hpp"
#include "trial/views.hpp"

#include <fmt/format.h>

namespace matview::trial {

namespace {

// A statement that fails is part of the game: it fails again when the case is repeated.
bool perform(connection& on, const std::vector<std::string>& statements) {
  try {
    for (const std::string& sql : statements) on.execute(sql);
    if (on.in_transaction()) on.execute("COMMIT");
    return true;
  } catch (const sql_error& refused) {
    on.roll_back();
    if (refused.sqlstate().empty()) throw;
    return false;
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
    if (!create_views()) return std::move(result_);
    if (runtime_.mutation) runtime_.mutation(on_);
    for (std::size_t i = 0; i < case_.steps.size() && !result_.failed; ++i) take(i);
    return std::move(result_);
  }

 private:
  bool create_views() {
    made_views made = make_views(runtime_, arena_.url(), on_, case_.view, arena_.qualified(""));
    views_ = std::move(made.incremental);
    result_.valid = made.queries == verdict::good;
    result_.failed = std::move(made.failed);
    if (seen_ != nullptr) seen_->asked(case_.view, made);
    return made.of_the_view && made.of_the_view->incremental;
  }

  void take(std::size_t number) {
    const step& now = case_.steps[number];
    if (now.refresh_mode.empty()) {
      const bool done = perform(on_, now.statements);
      if (done && seen_ != nullptr && !now.ddl.empty()) seen_->count("DDL: " + now.ddl);
      return;
    }
    for (const std::string& view : views_) {
      check(view, now);
      if (!result_.failed) continue;
      result_.failed->step = number;
      return;
    }
  }

  void check(const std::string& view, const step& now) {
    failure seen{.kind = "wrong result", .view = view, .mode = now.refresh_mode};
    try {
      const check_result done = actor(on_, runtime_).check(view, now.refresh_mode, now.roll_back);
      if (seen_ != nullptr) seen_->checked(done);
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
    seen.program = program_text(runtime_, arena_.url(), view);
    result_.failed = std::move(seen);
  }

  const trial_case& case_;
  const arena& arena_;
  const runtime& runtime_;
  statistics* seen_;
  connection on_;
  std::vector<std::string> views_;
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

std::string report(const trial_case& whole, const failure& how, arena& in, std::uint64_t case_seed,
                   std::chrono::seconds shrinking) {
  std::string text = fmt::format("MATVIEW_TRIAL_CASE={}: {}\n", case_seed, how.kind);
  text += script(whole, how);
  if (shrinking == std::chrono::seconds(0)) return text;
  const trial_case less = shrunk(whole, how, in, shrinking);
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
    result.steps.push_back({.statements = std::move(next.statements), .ddl = next.ddl});
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

std::string refresh_text(const view_under_trial& view, const step& of) {
  std::vector<std::string> names;
  for (const definition& one : view.underneath) {
    if (one.materialized) names.push_back(one.name);
  }
  names.push_back(view.name);
  std::string text;
  for (const std::string& name : names) {
    text += fmt::format("SELECT * FROM matview.refresh('{}', '{}', true){};\n", name,
                        of.refresh_mode, of.roll_back ? " /* and ROLLBACK */" : "");
  }
  return text;
}

}  // namespace

std::string script(const trial_case& one, const failure& how) {
  std::string text = setup_text(one.tables, {one.view});
  for (std::size_t i = 0; i < one.steps.size() && i <= how.step; ++i) {
    for (const std::string& sql : one.steps[i].statements) text += statement_text(sql);
    if (!one.steps[i].refresh_mode.empty()) text += refresh_text(one.view, one.steps[i]);
  }
  if (how.kind == "wrong result") {
    text += statement_text(comparison_sql(how.view.substr(how.view.find('.') + 1)));
  }
  return text + failure_text(how);
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
    if (result.failed) return report(one, *result.failed, place, case_seed, under_trial.shrinking);
    if (only_case()) break;
  }
  return std::nullopt;
}

}  // namespace matview::trial
