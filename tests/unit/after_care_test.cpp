#include "views/after_care.hpp"

#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <vector>

namespace matview::views {
namespace {

using analyze_when = care_options::analyze_when;
using vacuum_when = care_options::vacuum_when;

// A full refresh of an indexed view of 10,000 rows that did not change in number.
care_facts usual() {
  return {.rows_before = 10'000,
          .rows_after = 10'000,
          .pages = 100,
          .any_index = true,
          .analyzed = true};
}

TEST(PlanCare, AnalyzesWhenTheRowsMovedByATenthAndAThousand) {
  struct row {
    std::optional<std::int64_t> before, after;
    bool wanted;
  };
  for (const row& one : std::vector<row>{{10'000, 10'999, false},
                                         {10'000, 11'000, true},
                                         {10'000, 9'000, true},
                                         {100'000, 109'999, false},
                                         {100'000, 110'000, true},
                                         {0, 999, false},
                                         {0, 1'000, true},
                                         {1'000, 0, true},
                                         {std::nullopt, 10'000, false},
                                         {10'000, std::nullopt, false}}) {
    care_facts facts = usual();
    facts.rows_before = one.before;
    facts.rows_after = one.after;
    const care_step step = plan_care(facts, {}).analyze;
    EXPECT_EQ(step.wanted, one.wanted)
        << one.before.value_or(-1) << " " << one.after.value_or(-1) << " " << step.why;
  }
}

TEST(PlanCare, SaysHowTheRowsMoved) {
  care_facts facts = usual();
  facts.rows_after = 20'000;
  EXPECT_EQ(plan_care(facts, {}).analyze.why, "the number of rows moved from 10000 to 20000");
}

TEST(PlanCare, AnalyzesAViewThatNeverWas) {
  care_facts facts = usual();
  facts.analyzed = false;
  facts.rows_before.reset();
  EXPECT_TRUE(plan_care(facts, {}).analyze.wanted);
}

TEST(PlanCare, VacuumsAfterAFullRefreshOfWhatIsLargeAndIndexed) {
  EXPECT_TRUE(plan_care(usual(), {}).vacuum.wanted);
  care_facts facts = usual();
  facts.mode = refresh_mode::concurrently;
  EXPECT_FALSE(plan_care(facts, {}).vacuum.wanted);
  facts = usual();
  facts.any_index = false;
  EXPECT_FALSE(plan_care(facts, {}).vacuum.wanted);
  facts = usual();
  facts.pages = 63;
  EXPECT_FALSE(plan_care(facts, {}).vacuum.wanted);
  facts.pages = 64;
  EXPECT_TRUE(plan_care(facts, {}).vacuum.wanted);
}

TEST(PlanCare, DoesWhatItIsToldTo) {
  care_facts facts = usual();
  facts.mode = refresh_mode::concurrently;
  facts.pages = 1;
  const care_plan all =
      plan_care(facts, {.analyze = analyze_when::always, .vacuum = vacuum_when::always});
  EXPECT_TRUE(all.analyze.wanted);
  EXPECT_TRUE(all.vacuum.wanted);
  facts = usual();
  facts.analyzed = false;
  const care_plan none =
      plan_care(facts, {.analyze = analyze_when::never, .vacuum = vacuum_when::never});
  EXPECT_FALSE(none.analyze.wanted);
  EXPECT_FALSE(none.vacuum.wanted);
  EXPECT_EQ(none.vacuum.why, "it is switched off");
}

TEST(PlanCare, SaysWhatStandsInTheWay) {
  const care_options always{.analyze = analyze_when::always, .vacuum = vacuum_when::always};
  care_facts facts = usual();
  facts.own_session = false;
  EXPECT_FALSE(plan_care(facts, always).vacuum.wanted);
  EXPECT_NE(plan_care(facts, always).vacuum.why.find("transaction"), std::string::npos);
  facts = usual();
  facts.permitted = false;
  EXPECT_FALSE(plan_care(facts, always).analyze.wanted);
  EXPECT_NE(plan_care(facts, always).analyze.why.find("MAINTAIN"), std::string::npos);
  facts = usual();
  facts.mode = refresh_mode::none;
  EXPECT_FALSE(plan_care(facts, always).vacuum.wanted);
}

TEST(CareReport, IsASentenceForTheHistory) {
  care_report report;
  EXPECT_EQ(report.text(), "");
  report.acts = {{.what = "VACUUM", .done = true, .why = "a"}, {.what = "ANALYZE", .why = "b"}};
  EXPECT_EQ(report.text(), "VACUUM: done (a); ANALYZE: not done (b)");
}

}  // namespace
}  // namespace matview::views
