#include "views/status.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <optional>
#include <string>

namespace matview::views {
namespace {

using namespace std::chrono_literals;

using usual_time = view_status::usual_time;

TEST(StatusTime, IsComparedWithTheUsual) {
  const usual_time steady{.median = 10s, .deviation = 0s, .refreshes = 20};
  const usual_time varying{.median = 10s, .deviation = 2s, .refreshes = 20};
  const auto compared = [](std::optional<std::chrono::microseconds> now,
                           const std::optional<usual_time>& usual) {
    return compared_with_usual(now, usual);
  };
  EXPECT_EQ(compared(3s, steady), "30 % of its usual time");
  EXPECT_EQ(compared(10s, steady), "100 % of its usual time");
  EXPECT_EQ(compared(11s, steady), "past its usual time, but not by more than it varies");
  EXPECT_EQ(compared(12s, steady), "longer than usual: 1.2 times its usual time");
  EXPECT_EQ(compared(18s, varying), "past its usual time, but not by more than it varies");
  EXPECT_EQ(compared(20s, varying), "longer than usual: 2.0 times its usual time");
  EXPECT_EQ(compared(20s, std::nullopt), "how long it usually takes is not known");
  EXPECT_EQ(compared(std::nullopt, steady), "since when is hidden from this role");
}

// A view whose memory is in order and of whose tables nothing has changed.
status_case settled() {
  const std::string state = R"({"xmin": "7", "file": 1, "shape": "s", "writes": 1, "scans": 0})";
  const store::view_sources sources{
      .view = 42, .ground = "g", .tables = {{.name = "public.t", .mark = "r/1/1/0/0"}}};
  store::status_memory memory{.view = 42,
                              .known_oid = 42,
                              .data_as_of = 1'000'000,
                              .sources = store::to_json(sources),
                              .state = state,
                              .now = state};
  return {.facts = {.oid = 42, .populated = true, .now = 61'000'000},
          .memory = memory,
          .sources = sources};
}

void expect(const status_case& view, freshness fresh, const std::string& reason) {
  const view_status told = status_of(view);
  EXPECT_EQ(to_string(told.fresh), to_string(fresh)) << reason;
  EXPECT_NE(told.reason.find(reason), std::string::npos) << told.reason;
}

TEST(StatusFreshness, IsFreshOnlyWhenThatIsCertain) {
  expect(settled(), freshness::fresh, "none of its 1 table has changed");
  EXPECT_EQ(status_of(settled()).age, 60s);
  EXPECT_TRUE(needs_sources(settled()));
  status_case changed = settled();
  changed.sources->tables.front().mark = "r/1/2/0/0";
  expect(changed, freshness::stale, "public.t has changed");
  status_case dated = settled();
  dated.sources->unknown = "it depends on the time or on who asks";
  expect(dated, freshness::unknown, "it depends on the time");
}

TEST(StatusFreshness, OfAViewWithoutDataIsStaleWhateverElseIsKnown) {
  status_case empty = settled();
  empty.facts.populated = false;
  expect(empty, freshness::stale, "it holds no data");
  EXPECT_FALSE(status_of(empty).age);
  empty.memory.reset();
  expect(empty, freshness::stale, "it holds no data");
  EXPECT_FALSE(needs_sources(empty));
}

TEST(StatusFreshness, IsUnknownWhereTheMemoryIsOfSomethingElse) {
  status_case closed = settled();
  closed.memory.reset();
  closed.no_memory = "this role may not read it";
  expect(closed, freshness::unknown, "this role may not read it");
  status_case declared = settled();
  declared.memory->data_as_of.reset();
  expect(declared, freshness::unknown, "no refresh of it is remembered");
  status_case anew = settled();
  anew.memory->known_oid = 41;
  expect(anew, freshness::unknown, "the view was made anew");
  EXPECT_FALSE(status_of(anew).age);
  status_case standby = settled();
  standby.standby = true;
  expect(standby, freshness::unknown, "a standby does not count");
  for (const status_case& view : {closed, declared, anew, standby}) {
    EXPECT_FALSE(needs_sources(view));
  }
}

TEST(StatusFreshness, IsUnknownAfterAnOutsideRefreshButNotAfterAGrant) {
  status_case outside = settled();
  outside.memory->now = R"({"xmin": "8", "file": 2, "shape": "s", "writes": 2, "scans": 0})";
  expect(outside, freshness::unknown, "it was refreshed outside");
  EXPECT_TRUE(status_of(outside).outside.value().refreshed);
  status_case granted = settled();
  granted.memory->now = R"({"xmin": "8", "file": 1, "shape": "t", "writes": 1, "scans": 0})";
  expect(granted, freshness::fresh, "none of its 1 table");
  EXPECT_FALSE(status_of(granted).outside.value().refreshed);
}

TEST(StatusSchedules, TheFirstIsTheNextAndAPausedOneHasNoTime) {
  status_case view = settled();
  EXPECT_FALSE(status_of(view).next);
  view.schedules = {{.view = 42, .name = "hourly", .next_at = 5'000'000},
                    {.view = 42, .name = "daily", .next_at = 9'000'000}};
  EXPECT_EQ(status_of(view).next.value().schedule, "hourly");
  EXPECT_EQ(status_of(view).next.value().at, view_status::time_point(5s));
  view.schedules = {{.view = 42, .name = "off", .next_at = 5'000'000, .paused = true}};
  EXPECT_TRUE(status_of(view).next.value().paused);
  EXPECT_FALSE(status_of(view).next.value().at);
}

}  // namespace
}  // namespace matview::views
