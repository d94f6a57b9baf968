#include "views/findings.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

namespace matview::views {
namespace {

using std::chrono::hours;
using std::chrono::microseconds;
using std::chrono::seconds;

// A view that has nothing wrong: 20,000 rows of 12 bytes on 100 pages, vacuumed, analyzed, read.
view_case sound_view() {
  view_case out;
  store::view_facts& facts = out.facts;
  facts.id = 1;
  facts.quoted = "public.v";
  facts.owner = "ann";
  facts.populated = facts.unique_index = true;
  facts.indexes = 1;
  facts.may_refresh = facts.may_read = facts.analyzed = true;
  facts.rows = 20'000;
  facts.live_rows = 20'000;
  facts.visible_pages = 100;
  facts.pages = 100;
  facts.row_bytes = 12;
  facts.scans = 3;
  return out;
}

surroundings usual_server(int version = 150'000) {
  surroundings out;
  out.server.version = version;
  out.server.role = "joe";
  out.server.counting = hours(24 * 30);
  out.server.counting_since = "2026-10-01T00:00:00Z";
  out.unread_for = hours(24 * 7);
  return out;
}

std::vector<finding_kind> kinds(const std::vector<finding>& findings) {
  std::vector<finding_kind> out;
  for (const finding& one : findings) out.push_back(one.kind);
  return out;
}

using only = std::vector<finding_kind>;

TEST(Findings, AreNoneOfASoundView) {
  EXPECT_EQ(kinds(findings_of(sound_view(), usual_server())), only{});
}

TEST(Findings, HaveAWordEachAndNoTwoTheSame) {
  std::vector<std::string_view> words;
  for (const finding_kind kind : finding_kinds()) words.push_back(to_string(kind));
  EXPECT_EQ(words.size(), static_cast<std::size_t>(finding_kind::unused) + 1);
  std::sort(words.begin(), words.end());
  EXPECT_EQ(std::adjacent_find(words.begin(), words.end()), words.end());
}

TEST(Findings, StatisticsAreOldFromAFifthOfTheRowsOn) {
  struct row {
    std::int64_t rows, changed;
    bool old;
  };
  for (const row& one : std::vector<row>{{20'000, 3'999, false},
                                         {20'000, 4'000, true},
                                         {100, 49, false},
                                         {100, 50, true},
                                         {0, 50, true}}) {
    view_case view = sound_view();
    view.facts.live_rows = one.rows;
    view.facts.changed_rows = one.changed;
    EXPECT_EQ(kinds(findings_of(view, usual_server())),
              one.old ? only{finding_kind::stale_statistics} : only{})
        << one.rows << " " << one.changed;
  }
}

TEST(Findings, NeverAnalyzedIsTheOneOfWhichTheCatalogKnowsNothingEither) {
  view_case view = sound_view();
  view.facts.analyzed = false;  // As after a crash, which forgets the counters.
  EXPECT_EQ(kinds(findings_of(view, usual_server())), only{});
  view.facts.rows = -1;
  EXPECT_EQ(kinds(findings_of(view, usual_server())), only{finding_kind::stale_statistics});
  view.facts.live_rows = 49;
  view.facts.pages = 1;
  EXPECT_EQ(kinds(findings_of(view, usual_server())), only{});
}

TEST(Findings, BloatIsMoreThanTwiceWhatTheRowsNeed) {
  view_case view = sound_view();
  view.facts.pages = view.facts.visible_pages = 200;
  EXPECT_EQ(kinds(findings_of(view, usual_server())), only{});
  view.facts.pages = view.facts.visible_pages = 300;
  EXPECT_EQ(kinds(findings_of(view, usual_server())), only{finding_kind::bloat});
  view.facts.fill = 0.5;  // Half of each page was left free on purpose.
  EXPECT_EQ(kinds(findings_of(view, usual_server())), only{});
  view.facts.fill = 1;
  view.facts.row_bytes.reset();  // Nobody knows how wide a row is.
  EXPECT_EQ(kinds(findings_of(view, usual_server())), only{});
}

TEST(Findings, DeadRowsAreBloatWhenTheyAreMoreThanTheLiving) {
  view_case view = sound_view();
  view.facts.dead_rows = 20'000;
  EXPECT_EQ(kinds(findings_of(view, usual_server())), only{});
  view.facts.dead_rows = 20'001;
  const auto found = findings_of(view, usual_server());
  ASSERT_EQ(kinds(found), only{finding_kind::bloat});
  EXPECT_EQ(found[0].mend, "VACUUM public.v;");
}

TEST(Findings, VisibilityMattersWithAnIndexAndHalfOfThePagesUnmarked) {
  view_case view = sound_view();
  view.facts.visible_pages = 50;
  EXPECT_EQ(kinds(findings_of(view, usual_server())), only{});
  view.facts.visible_pages = 49;
  EXPECT_EQ(kinds(findings_of(view, usual_server())), only{finding_kind::index_only_scans_lost});
  view.facts.indexes = 0;
  EXPECT_EQ(kinds(findings_of(view, usual_server())), only{});
}

TEST(Findings, UnusedIsOnlyWhatWasCountedForLongEnough) {
  view_case view = sound_view();
  view.facts.scans = 0;
  surroundings around = usual_server();
  const auto found = findings_of(view, around);
  ASSERT_EQ(kinds(found), only{finding_kind::unused});
  EXPECT_NE(found[0].what.find("2026-10-01T00:00:00Z"), std::string::npos);
  around.server.counting = hours(24 * 6);
  EXPECT_EQ(kinds(findings_of(view, around)), only{});
  around = usual_server();
  around.server.counts = false;
  EXPECT_EQ(kinds(findings_of(view, around)), only{});
  view.facts.dependents = 1;
  EXPECT_EQ(kinds(findings_of(view, usual_server())), only{});
}

TEST(Findings, UnusedIsWhatOnlyItsRefreshesHaveScanned) {
  view_case view = sound_view();
  view.facts.indexes = 2;
  view.facts.scans = 2;  // Each index was built once.
  EXPECT_EQ(kinds(findings_of(view, usual_server())), only{finding_kind::unused});
  view.facts.scans = 16;
  EXPECT_EQ(kinds(findings_of(view, usual_server())), only{});
  view.refresh_scans = 14;
  EXPECT_EQ(kinds(findings_of(view, usual_server())), only{finding_kind::unused});
  view.facts.scans = 17;
  EXPECT_EQ(kinds(findings_of(view, usual_server())), only{});
}

TEST(Findings, NoUniqueIndexIsAnErrorForAConcurrentSchedule) {
  view_case view = sound_view();
  view.facts.unique_index = false;
  view.probe = unique_probe{.columns = std::vector<std::string>{"a", "\"B\""}};
  auto found = findings_of(view, usual_server());
  ASSERT_EQ(kinds(found), only{finding_kind::no_unique_index});
  EXPECT_EQ(found[0].level, severity::warning);
  EXPECT_EQ(found[0].mend, "CREATE UNIQUE INDEX ON public.v (a, \"B\");");
  view.scheduled_concurrently = true;
  found = findings_of(view, usual_server());
  EXPECT_EQ(found[0].level, severity::error);
}

TEST(Findings, OfARightDependOnWhatTheServerHas) {
  view_case view = sound_view();
  view.facts.may_refresh = false;
  auto found = findings_of(view, usual_server(160'000));
  ASSERT_EQ(kinds(found), only{finding_kind::no_right_to_refresh});
  EXPECT_EQ(found[0].mend, "GRANT ann TO joe;");
  found = findings_of(view, usual_server(170'000));
  EXPECT_EQ(found[0].mend, "GRANT MAINTAIN ON public.v TO joe;");
}

TEST(Findings, OfAFunctionAreBuiltOnWhatTheCatalogHas) {
  view_case view = sound_view();
  view.functions = {{.view = 1,
                     .name = "public.f()",
                     .bare_name = "f",
                     .schema = "public",
                     .language = "sql",
                     .body = "SELECT count(*) FROM t, variable",
                     .volatility = 's'}};
  surroundings around = usual_server(170'000);
  EXPECT_EQ(kinds(findings_of(view, around)), only{});
  around.names = {{.sort = 'r', .name = "t", .schemas = {"archive", "public"}}};
  auto found = findings_of(view, around);
  ASSERT_EQ(kinds(found), only{finding_kind::unqualified_names});
  EXPECT_EQ(found[0].level, severity::error);
  EXPECT_EQ(found[0].mend, "ALTER FUNCTION public.f() SET search_path = public, pg_temp;");
  around.server.version = 160'000;
  EXPECT_EQ(findings_of(view, around).at(0).level, severity::warning);
  view.functions[0].sets_search_path = true;
  EXPECT_EQ(kinds(findings_of(view, around)), only{});
}

store::schedule_facts nightly() {
  store::schedule_facts out;
  out.name = "nightly";
  out.view = "v";
  out.view_id = 1;
  out.cron = "30 3 * * *";
  out.time_zone = "UTC";
  out.usual_duration = seconds(40);
  return out;
}

std::vector<finding> judged(const store::schedule_facts& schedule) {
  std::vector<std::string> unreadable;
  std::vector<finding> out = findings_of(schedule, cron::instant(hours(500'000)), unreadable);
  EXPECT_EQ(unreadable.size(), 0U);
  return out;
}

TEST(Findings, AScheduleCannotBeMetThatFiresFasterThanARefreshIsDone) {
  EXPECT_EQ(kinds(judged(nightly())), only{});
  store::schedule_facts schedule = nightly();
  schedule.cron = "* * * * *";
  EXPECT_EQ(kinds(judged(schedule)), only{});
  schedule.usual_duration = seconds(61);
  auto found = judged(schedule);
  ASSERT_EQ(kinds(found), only{finding_kind::impossible_schedule});
  EXPECT_EQ(found[0].level, severity::warning);
  // The shortest gap counts: 3:30 and 3:31, then nothing for a day.
  schedule.cron = "30,31 3 * * *";
  EXPECT_EQ(kinds(judged(schedule)), only{finding_kind::impossible_schedule});
  schedule.cron = "";
  schedule.every = seconds(61);
  EXPECT_EQ(kinds(judged(schedule)), only{});
  schedule.every = seconds(60);
  EXPECT_EQ(kinds(judged(schedule)), only{finding_kind::impossible_schedule});
}

TEST(Findings, AScheduleCannotBeMetWhoseViewIsMissingOrWhoseTimeoutIsShort) {
  store::schedule_facts schedule = nightly();
  schedule.timeout = seconds(40);
  auto found = judged(schedule);
  ASSERT_EQ(kinds(found), only{finding_kind::impossible_schedule});
  EXPECT_EQ(found[0].level, severity::error);
  schedule.timeout = seconds(41);
  EXPECT_EQ(kinds(judged(schedule)), only{});
  schedule.view_id.reset();
  found = judged(schedule);
  ASSERT_EQ(kinds(found), only{finding_kind::impossible_schedule});
  EXPECT_EQ(found[0].level, severity::error);
  EXPECT_EQ(found[0].object, "schedule nightly");
}

TEST(Findings, AScheduleThatThisHostCannotReadIsSaidToBeUnseen) {
  store::schedule_facts schedule = nightly();
  schedule.time_zone = "Nowhere/Land";
  std::vector<std::string> unreadable;
  EXPECT_EQ(kinds(findings_of(schedule, cron::instant(hours(500'000)), unreadable)), only{});
  ASSERT_EQ(unreadable.size(), 1U);
  EXPECT_NE(unreadable[0].find("nightly"), std::string::npos);
}

TEST(Findings, AreSortedByHowMuchTheyMatter) {
  std::vector<finding> all{{.level = severity::note, .object = "a"},
                           {.level = severity::error, .object = "b"},
                           {.level = severity::warning, .object = "a"},
                           {.level = severity::error, .object = "a"}};
  sort_findings(all);
  std::string order;
  for (const finding& one : all) order += std::string(to_string(one.level)) + one.object + " ";
  EXPECT_EQ(order, "errora errorb warninga notea ");
}

store::incremental_state kept_up() {
  store::incremental_state out;
  out.id = 7;
  out.view = 1;
  out.quoted = "public.v";
  out.filled = true;
  out.log_limit = 10'000'000;
  out.changed_in = "public.t";
  return out;
}

TEST(IncrementalFindings, AreNoneOfASoundView) {
  EXPECT_EQ(kinds(findings_of(kept_up())), only{});
}

TEST(IncrementalFindings, AreOfALogThatManyRowsWaitInForLongOrNearTheLimit) {
  struct row {
    std::int64_t changed;
    std::int64_t limit;
    int hours;
    bool grows;
  };
  for (const row& one : {row{9'999, 10'000, 100, false}, row{10'000, 10'000'000, 23, false},
                         row{10'000, 10'000'000, 24, true}, row{10'000, 100'000, 1, true},
                         row{1'000'000, 10'000'000, 1, true}}) {
    store::incremental_state view = kept_up();
    view.changed = one.changed;
    view.log_limit = one.limit;
    view.since_refresh = hours(one.hours);
    EXPECT_EQ(kinds(findings_of(view)), one.grows ? only{finding_kind::growing_log} : only{})
        << one.changed << " of " << one.limit << " after " << one.hours;
    view.detached = "it was let go";
    EXPECT_EQ(kinds(findings_of(view)), only{finding_kind::detached});
  }
}

TEST(IncrementalFindings, AreOfThePartsAloneWhereAViewIsNotWhole) {
  store::incremental_state view = kept_up();
  view.fault = "a table that it is made from was dropped";
  view.has_definition = false;
  ASSERT_EQ(kinds(findings_of(view)), only{finding_kind::leftovers});
  EXPECT_EQ(findings_of(view)[0].mend, "DROP VIEW public.v;\nSELECT matview.discard(7);");
  view.view.reset();
  EXPECT_EQ(findings_of(view)[0].mend, "SELECT matview.discard(7);");
}

TEST(Findings, OfAnIncrementalViewAreNotThoseOfANativeOne) {
  view_case view = sound_view();
  view.facts.incremental = true;
  view.facts.held = "matview.storage_7";
  view.facts.unique_index = view.facts.owner_may_temporary = false;
  view.facts.visible_pages = view.facts.scans = 0;
  EXPECT_EQ(kinds(findings_of(view, usual_server())), only{});
  view.facts.changed_rows = 10'000;
  ASSERT_EQ(kinds(findings_of(view, usual_server())), only{finding_kind::stale_statistics});
  EXPECT_EQ(findings_of(view, usual_server())[0].mend, "ANALYZE matview.storage_7;");
}

}  // namespace
}  // namespace matview::views
