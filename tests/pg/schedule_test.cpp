#include "tasks_fixture.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <vector>

namespace matview::test {
namespace {

using tasks::set_schedule;
using tasks::task_queue;

class Schedule : public tasks_test {
 protected:
  Schedule() {
    db.execute("CREATE TABLE t (id int); CREATE MATERIALIZED VIEW v AS SELECT id FROM t");
  }

  static tasks::schedule_definition every_second(std::string name) {
    return {.name = std::move(name),
            .task = "sql",
            .args = R"({"sql": "SELECT 1"})",
            .every = interval::parse("1 second")};
  }
  /// Makes it late by so much.
  void move_back(const std::string& name, const std::string& by) {
    db.execute("UPDATE matview.schedule SET next_at = next_at - interval '" + by +
               "' WHERE name = '" + name + "'");
  }
};

TEST_F(Schedule, StandsInTheDatabase) {
  EXPECT_TRUE(set_schedule({.name = "night",
                            .task = "refresh",
                            .args = R"({"view": "v"})",
                            .cron = "30 3 * * *",
                            .time_zone = "Europe/Zurich"}));
  const auto all = tasks::list_schedules();
  ASSERT_EQ(all.size(), 1U);
  EXPECT_EQ(all[0].definition.cron, "30 3 * * *");
  EXPECT_EQ(all[0].definition.time_zone, "Europe/Zurich");
  ASSERT_TRUE(all[0].next_at);
  EXPECT_EQ(*all[0].next_at, tasks::next_ticks("night", 1).at(0));
}

TEST_F(Schedule, IsChangedOnlyByADifference) {
  auto schedule = every_second("s");
  EXPECT_TRUE(set_schedule(schedule));
  const std::string before = db.query_one("SELECT s::text FROM matview.schedule s");
  EXPECT_FALSE(set_schedule(schedule));
  EXPECT_EQ(db.query_one("SELECT s::text FROM matview.schedule s"), before);
  schedule.priority = 7;
  EXPECT_TRUE(set_schedule(schedule));
  EXPECT_EQ(db.query_one("SELECT revision FROM matview.schedule"), "2");
}

TEST_F(Schedule, RefusesWhatCanNeverRun) {
  const auto code = [](tasks::schedule_definition given) {
    return failure_of([&] { return set_schedule(given); }).code();
  };
  const tasks::schedule_definition good{
      .name = "s", .task = "refresh", .args = R"({"view": "v"})", .cron = "* * * * *"};
  auto bad = good;
  bad.cron = "* * *";
  EXPECT_EQ(code(bad), errc::invalid_cron);
  bad = good;
  bad.cron = "0 0 30 2 *";
  EXPECT_EQ(code(bad), errc::invalid_cron);
  bad = good;
  bad.time_zone = "Europe/Zurch";
  EXPECT_EQ(code(bad), errc::invalid_cron);
  bad = good;
  bad.args = R"({"view": "nope"})";
  EXPECT_EQ(code(bad), errc::view_not_found);
  bad = good;
  bad.args = R"({"view": "t"})";
  EXPECT_EQ(code(bad), errc::view_not_found);
  bad = good;
  bad.args = R"({"view": "v; drop"})";
  EXPECT_EQ(code(bad), errc::invalid_identifier);
  bad = good;
  bad.cron = "";
  EXPECT_EQ(code(bad), errc::invalid_option);
  bad.every = interval::parse("0 seconds");
  EXPECT_EQ(code(bad), errc::invalid_option);
  bad.every = interval::parse("999 milliseconds");
  EXPECT_EQ(code(bad), errc::invalid_option);
  bad = good;
  bad.every = interval::parse("1 second");
  EXPECT_EQ(code(bad), errc::invalid_option) << "both";
  EXPECT_EQ(tasks::list_schedules().size(), 0U);
}

TEST_F(Schedule, FiresEachTickOnceWithManyWorkers) {
  auto all = every_second("s");
  all.missed = tasks::missed::all;
  all.overlap = tasks::overlap::allow;
  set_schedule(all);
  std::vector<std::unique_ptr<task_queue>> queues;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    queues.push_back(std::make_unique<task_queue>());
    threads.emplace_back([&queue = *queues.back()] { queue.run(); });
  }
  EXPECT_TRUE(eventually([&] { return number("matview.job WHERE state = 'done'") >= 4; }));
  for (auto& queue : queues) queue->stop();
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(db.query_one("SELECT count(*) = count(DISTINCT tick) FROM matview.job"), "t");
  EXPECT_EQ(db.query_one("SELECT max(tick) - min(tick) = (count(*) - 1) * interval '1 s' "
                         "FROM matview.job"),
            "t")
      << "no gap";
}

TEST_F(Schedule, MakesUpForAllMissedTicks) {
  auto all = every_second("s");
  all.missed = tasks::missed::all;
  all.overlap = tasks::overlap::allow;
  set_schedule(all);
  move_back("s", "10 s");
  task_queue queue;
  queue.drain_once();
  EXPECT_GE(std::stoi(count("matview.job")), 9);
  EXPECT_EQ(db.query_one("SELECT max(tick) - min(tick) = (count(*) - 1) * interval '1 s' "
                         "FROM matview.job"),
            "t");
}

TEST_F(Schedule, LetsTheNewestStandForTheMissedAndSaysSo) {
  set_schedule(every_second("s"));
  move_back("s", "10 s");
  task_queue queue;
  queue.drain_once();
  EXPECT_EQ(count("matview.job"), "1");
  const auto skipped = tasks::list_skipped_ticks("s");
  ASSERT_EQ(skipped.size(), 1U);
  EXPECT_EQ(skipped[0].outcome, "missed");
  EXPECT_TRUE(contains(skipped[0].reason, "newest"));
  EXPECT_GE(skipped[0].last - skipped[0].first, 7s);
}

TEST_F(Schedule, CoalescesAndSkipsAndSaysSo) {
  auto coalesced = every_second("coalesced");
  coalesced.task = coalesced.name;  // Nobody here runs it.
  auto skipping = every_second("skipping");
  skipping.task = skipping.name;
  skipping.overlap = tasks::overlap::skip;
  set_schedule(coalesced);
  set_schedule(skipping);
  task_queue queue;
  run_until(queue, [&] { return number("matview.skipped_tick") >= 3; });
  for (const auto& [name, outcome] :
       {std::pair{"coalesced", "coalesced"}, std::pair{"skipping", "skipped"}}) {
    EXPECT_EQ(count("matview.job WHERE schedule = '" + std::string(name) + "'"), "1");
    const auto skipped = tasks::list_skipped_ticks(name);
    ASSERT_FALSE(skipped.empty());
    EXPECT_EQ(skipped[0].outcome, outcome);
    EXPECT_NE(skipped[0].reason, "");
  }
}

TEST_F(Schedule, IsPausedAndResumed) {
  set_schedule(every_second("s"));
  tasks::pause_schedule("s");
  move_back("s", "1 hour");
  task_queue queue;
  queue.drain_once();
  EXPECT_EQ(count("matview.job"), "0");
  EXPECT_TRUE(tasks::find_schedule("s").paused_at);
  tasks::resume_schedule("s");
  EXPECT_FALSE(tasks::find_schedule("s").paused_at);
  run_until(queue, [&] { return number("matview.job") >= 1; });
  EXPECT_EQ(failure_of([] {
              tasks::pause_schedule("nope");
              return 0;
            }).code(),
            errc::invalid_option);
}

TEST_F(Schedule, IsSuspendedAfterFailuresInARow) {
  auto failing = every_second("s");
  failing.args = R"({"sql": "SELECT * FROM gone"})";
  failing.max_failures = 2;
  set_schedule(failing);
  task_queue queue;
  run_until(queue, [&] { return tasks::find_schedule("s").paused_at.has_value(); });
  const auto after = tasks::find_schedule("s");
  EXPECT_TRUE(contains(after.paused_why, "2 failures in a row")) << after.paused_why;
  EXPECT_TRUE(contains(after.paused_why, "gone")) << after.paused_why;
  EXPECT_EQ(count("matview.job WHERE state = 'dead'"), "2");
  db.execute("CREATE TABLE gone ()");
  tasks::resume_schedule("s");
  run_until(queue, [&] { return number("matview.job WHERE state = 'done'") >= 1; });
  EXPECT_EQ(tasks::find_schedule("s").failures, 0);
}

TEST_F(Schedule, OfATaskFiresWithTheQueue) {
  std::atomic<int> runs = 0;
  task_queue queue({.name = "cron"});
  queue.task({.name = "beat", .every = interval::parse("1 second")}, [&] { ++runs; });
  run_until(queue, [&] { return runs >= 2; });
  EXPECT_EQ(tasks::find_schedule("beat").definition.queue, "cron");
}

TEST_F(Schedule, ATickInTheFutureOrAnOldRevisionIsNotClaimed) {
  set_schedule(every_second("s"));
  db.execute("UPDATE matview.schedule SET next_at = clock_timestamp() + interval '90 s'");
  task_queue queue;
  queue.drain_once();
  EXPECT_EQ(count("matview.job"), "0");
}

TEST_F(Schedule, RunsNowBesideItsTicks) {
  set_schedule(every_second("s"));
  tasks::pause_schedule("s");
  const auto job = tasks::run_schedule_now("s");
  task_queue queue;
  queue.drain_once();
  EXPECT_EQ(state_of(job), "done");
  EXPECT_TRUE(tasks::remove_schedule("s"));
  EXPECT_FALSE(tasks::remove_schedule("s"));
}

TEST_F(Schedule, TenThousandDueAtOnce) {
  set_schedule(every_second("s"));
  db.execute(
      "INSERT INTO matview.schedule (name, task, args, every, next_at, overlap) "
      "SELECT 's' || i, 'nobody', '{}', '1 hour', clock_timestamp() - interval '1 s', 'allow' "
      "FROM generate_series(1, 10000) AS i");
  task_queue queue;
  queue.drain_once();
  EXPECT_EQ(count("matview.job WHERE task = 'nobody'"), "10000");
  EXPECT_EQ(db.query_one("SELECT count(DISTINCT schedule) FROM matview.job WHERE task = 'nobody'"),
            "10000");
}

}  // namespace
}  // namespace matview::test
