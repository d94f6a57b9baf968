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

// What must be found: programs and functions of the library, broken in one place.

runtime broken_library(const std::string& sql) {
  runtime broken = library_runtime();
  broken.mutation = [sql](connection& on) { on.execute(sql); };
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
  statistics seen;
  const auto report = run_concurrent(broken_library(R"(DO $$ BEGIN EXECUTE replace(
        pg_get_functiondef('matview.refresh(regclass, text, boolean, boolean)'::regprocedure),
        'NOT pg_visible_in_snapshot(l.__mv_xid, $1)',
        'l.__mv_xid >= pg_snapshot_xmax($1)'); END $$)"),
                                     120s, seed(), seen);
  EXPECT_TRUE(report) << seen.text();
}

// A TRUNCATE that is committed between the look at the marks and the statement that applies.
TEST(NegativeControl, NoLockBeforeTheSnapshotIsMissed) {
  // Within a minute as a rule, but not always.
  if (trial_time() < 60s) GTEST_SKIP() << "only with MATVIEW_TRIAL_SECONDS=60 or more";
  statistics seen;
  const auto report = run_concurrent(broken_library(R"(DO $$ BEGIN EXECUTE replace(
        pg_get_functiondef('matview.refresh(regclass, text, boolean, boolean)'::regprocedure),
        'EXECUTE ''LOCK TABLE '' || names || '' IN ACCESS SHARE MODE''',
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
    on.execute(fmt::format("UPDATE matview.incremental SET program = replace(program, '{}', '{}')",
                           from, to));
  };
  return broken;
}

TEST(TrialItself, FindsAFaultAndShrinksIt) {
  statistics seen;
  const auto report = run_sequential(with_fault(" LEFT JOIN ", " JOIN "), 60s, seed(), seen);
  ASSERT_TRUE(report);
  const std::string least = report->substr(report->find("- shrunk -"));
  EXPECT_NE(least.find("LEFT JOIN"), std::string::npos) << *report;
  EXPECT_LT(std::ranges::count(least, '\n'), 30) << *report;
  fmt::print("{}\n", least);
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
  const std::string least = report->substr(report->find("- shrunk -"));
  EXPECT_LT(std::ranges::count(least, '\n'), 30) << *report;
  fmt::print("{}\n", least);
}

TEST(TrialItself, FindsAFaultAmongWriters) {
  statistics seen;
  const auto report =
      run_concurrent(with_fault(") AS computed", ") AS computed LIMIT 1"), 60s, seed(), seen);
  ASSERT_TRUE(report);
  EXPECT_NE(report->find("wrong result"), std::string::npos) << *report;
}

}  // namespace
}  // namespace matview::trial
