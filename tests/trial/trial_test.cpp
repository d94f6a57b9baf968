// Incremental views by random trial: see sequential.hpp and concurrent.hpp for what is done, and
// library_runtime.cpp for what it is done to. MATVIEW_TRIAL_SEED repeats the choices of a run,
// MATVIEW_TRIAL_SECONDS says how long each trial goes on.
#include "trial/concurrent.hpp"
#include "trial/seed.hpp"
#include "trial/sequential.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>

namespace matview::trial {
namespace {

using namespace std::chrono_literals;

void expect_right(const std::optional<std::string>& report, const statistics& seen) {
  fmt::print("{}", seen.text());
  EXPECT_FALSE(report) << "MATVIEW_TRIAL_SEED=" << seed() << '\n' << *report;
  EXPECT_GT(seen.incremental_views(), 0);
  EXPECT_GT(seen.checks(), 0);
}

TEST(IncrementalTrial, ViewsEqualTheirQueriesAfterEachRefresh) {
  statistics seen;
  const auto report = run_sequential(library_runtime(), trial_time(), seed(), seen);
  expect_right(report, seen);
}

TEST(IncrementalTrial, ViewsEqualTheirQueriesWhileOthersWrite) {
  statistics seen;
  const auto report = run_concurrent(library_runtime(), trial_time(), seed(), seen);
  expect_right(report, seen);
}

/// The script at the end of a report; empty: the failure did not come again.
std::string shrunk_part(const std::string& report) {
  const std::size_t at = report.find("- shrunk -");
  return at == std::string::npos ? "" : report.substr(at);
}

void expect_short(const std::string& script, int lines = 30) {
  fmt::print("{}\n", script);
  EXPECT_FALSE(script.empty());
  const std::string without_program = script.substr(0, script.find("-- program:"));
  EXPECT_LT(std::ranges::count(without_program, '\n'), lines);
}

/// A failure of run_concurrent() as a short script. How the sessions met may be so close a thing
/// that it does not come again; then another failure will.
std::string shrunk_among_writers(const runtime& broken) {
  for (std::uint64_t i = 0; i < 4; ++i) {
    statistics seen;
    const auto report = run_concurrent(broken, 120s, seed() + i, seen);
    if (!report) {
      ADD_FAILURE() << seen.text();
      return "";
    }
    if (std::string least = shrunk_part(*report); !least.empty()) return least;
    fmt::print("{}\n", *report);
  }
  return "";
}

// What must be found: programs and functions of the library, broken in one place.

runtime broken_library(const std::string& sql) {
  runtime broken = library_runtime();
  broken.mutation = [sql](connection& on) { on.execute(sql); };
  broken.shrinking = 0s;
  return broken;
}

TEST(NegativeControl, TheSignOfInclusionAndExclusionIsMissed) {
  statistics seen;
  const auto report =
      run_sequential(broken_library("UPDATE matview.incremental SET program = "
                                    "replace(program::text, '(- 1::bigint)', '1::bigint')::jsonb"),
                     300s, seed(), seen);
  EXPECT_TRUE(report) << seen.text();
}

TEST(NegativeControl, NullKeysComparedWithEqualsAreMissed) {
  statistics seen;
  const auto report =
      run_sequential(broken_library("UPDATE matview.incremental SET program = "
                                    "replace(program::text, 'IS NOT DISTINCT FROM', '=')::jsonb"),
                     120s, seed(), seen);
  EXPECT_TRUE(report) << seen.text();
}

// What began before the last refresh and committed after it is left out, as with a sequence.
TEST(NegativeControl, AWatermarkThatTakesOnlyWhatBeganLaterIsMissed) {
  runtime broken = broken_library(R"(DO $$ BEGIN EXECUTE replace(
        pg_get_functiondef('matview.refresh(regclass, text, boolean, boolean)'::regprocedure),
        'NOT pg_visible_in_snapshot(l.__mv_xid, $1)',
        'l.__mv_xid >= pg_snapshot_xmax($1)'); END $$)");
  broken.shrinking = 60s;
  const std::string least = shrunk_among_writers(broken);
  constexpr int rows_as_well = 200;  // On a busy machine the time may not suffice for them.
  expect_short(least, rows_as_well);
  EXPECT_NE(least.find("\nw"), std::string::npos) << "no writer has a part in it";
}

// A TRUNCATE that is committed between the look at the marks and the statement that applies.
TEST(NegativeControl, NoLockBeforeTheSnapshotIsMissed) {
  // Within a minute as a rule, but not always.
  if (trial_time() < 60s) GTEST_SKIP() << "only with MATVIEW_TRIAL_SECONDS=60 or more";
  statistics seen;
  const auto report = run_concurrent(broken_library(R"(DO $$ BEGIN EXECUTE replace(
        pg_get_functiondef('matview.lock_tables(regclass[], text)'::regprocedure),
        'EXECUTE format(''LOCK TABLE %s IN %s MODE'', names, mode)',
        'PERFORM pg_sleep(0.02)'); END $$)"),
                                     600s, seed(), seen);
  EXPECT_TRUE(report) << seen.text();
}

// The trial itself, on a runtime that is right because it computes everything anew, and on the same
// with a fault.

TEST(TrialItself, FindsNothingWhereNothingIsWrong) {
  statistics seen;
  const auto report = run_sequential(recomputing_runtime(), 5s, seed(), seen);
  expect_right(report, seen);
}

TEST(TrialItself, FindsNothingAmongWritersWhereNothingIsWrong) {
  statistics seen;
  const auto report = run_concurrent(recomputing_runtime(), 5s, seed(), seen);
  expect_right(report, seen);
}

runtime with_fault(const std::string& from, const std::string& to) {
  runtime broken = recomputing_runtime();
  broken.mutation = [from, to](connection& on) {
    on.execute(fmt::format("UPDATE matview.incremental SET right_text = '{}', wrong_text = '{}'",
                           from, to));
  };
  return broken;
}

TEST(TrialItself, FindsAFaultAndShrinksIt) {
  statistics seen;
  const auto report = run_sequential(with_fault(" LEFT JOIN ", " JOIN "), 60s, seed(), seen);
  ASSERT_TRUE(report);
  const std::string least = shrunk_part(*report);
  EXPECT_NE(least.find("LEFT JOIN"), std::string::npos) << *report;
  expect_short(least);
}

// Nothing is wrong until something has changed: it needs a view, a change and a refresh.
TEST(TrialItself, FindsAViewThatStaysAsItWasAndShrinksIt) {
  statistics seen;
  runtime idle = recomputing_runtime();
  idle.mutation = [](connection& on) {
    on.execute(
        "CREATE OR REPLACE FUNCTION matview.refresh(regclass, text DEFAULT 'auto', boolean DEFAULT "
        "false, boolean DEFAULT false) RETURNS TABLE (mode text, reason text) LANGUAGE sql AS "
        "$$SELECT 'incremental', 'nothing is done'$$");
  };
  const auto report = run_sequential(idle, 60s, seed(), seen);
  ASSERT_TRUE(report);
  expect_short(shrunk_part(*report));
}

TEST(TrialItself, FindsAFaultAmongWritersAndShrinksIt) {
  const std::string least =
      shrunk_among_writers(with_fault(") AS computed", ") AS computed LIMIT 1"));
  EXPECT_NE(least.find("wrong result"), std::string::npos);
  expect_short(least);
}

}  // namespace
}  // namespace matview::trial
