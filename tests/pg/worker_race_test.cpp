// What two things at the same time make of a worker: each test arranges one order of events.

#include "fake_servers.hpp"
#include "tasks_fixture.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <ctime>
#include <functional>
#include <mutex>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace matview::test {
namespace {

using fate = proxy::fate;
using tasks::enqueue;
using tasks::task_queue;

class WorkerRaces : public tasks_test {
 protected:
  log_sink log() {
    return [this](log_level, std::string_view line) {
      const std::lock_guard guard(mutex_);
      lines_.emplace_back(line);
    };
  }
  bool logged(std::string_view part) {
    const std::lock_guard guard(mutex_);
    return std::any_of(lines_.begin(), lines_.end(),
                       [part](const std::string& line) { return contains(line, part); });
  }

  void forget_lines() {
    const std::lock_guard guard(mutex_);
    lines_.clear();
  }

  const interval second_ = interval::parse("1 second");

 private:
  std::mutex mutex_;
  std::vector<std::string> lines_;
};

/// Runs a worker on a thread; stopped and waited for at the end.
class running_queue final {
 public:
  explicit running_queue(task_queue& queue) : queue_(queue), thread_([this] { queue_.run(); }) {}
  running_queue(const running_queue&) = delete;
  running_queue& operator=(const running_queue&) = delete;
  ~running_queue() {
    queue_.stop();
    thread_.join();
  }

 private:
  task_queue& queue_;
  std::thread thread_;
};

// It was forgotten, having had none, and fetched this one before it heard of that.
TEST_F(WorkerRaces, AJobOfAWorkerThatWasForgottenIsRescued) {
  const auto job = enqueue("sql", sql("SELECT 1"));
  db.execute(
      "UPDATE matview.job SET state = 'running', attempt = 1, started_at = clock_timestamp(), "
      "worker_id = 4711, lease_until = clock_timestamp()");
  task_queue queue({.poll_interval = second_});
  run_until(queue, [&] { return state_of(job) == "done"; });
  EXPECT_EQ(tasks::find_job(job).rescues, 1);
}

TEST_F(WorkerRaces, RunningOnceIncludesAJobWhoseFetchWasAnsweredIntoTheVoid) {
  enqueue("sql", sql("SELECT 1"));
  proxy between(db.url());
  configure({{"default", between.url()}});
  between.arrange("matview_fetch", fate::lose_reply);
  task_queue queue({.log = log()});
  queue.drain_once();
  EXPECT_TRUE(logged("jobs given back"));
  EXPECT_EQ(db.query("SELECT state, attempt FROM matview.job"), (rows{{"done", "1"}}));
  EXPECT_EQ(count("matview.worker"), "0");
}

TEST_F(WorkerRaces, WhatIsFetchedWhenTheWorkerIsToldToStopIsGivenBack) {
  enqueue("sql", sql("SELECT pg_sleep(20)"));
  proxy between(db.url());
  configure({{"default", between.url()}});
  between.arrange("matview_fetch", fate::hold_reply);
  const auto began = std::chrono::steady_clock::now();
  {
    task_queue queue({.grace = interval::parse("200 milliseconds"), .log = log()});
    const running_queue worker(queue);
    EXPECT_TRUE(eventually([&] { return between.answered(); }));
    queue.stop();
    std::this_thread::sleep_for(100ms);  // It has heard of that, but nothing tells from outside.
    between.release();
  }
  EXPECT_LT(std::chrono::steady_clock::now() - began, 15s) << "the grace has no end";
  EXPECT_EQ(db.query("SELECT state, attempt FROM matview.job"), (rows{{"ready", "0"}}));
  EXPECT_EQ(count("matview.worker"), "0");
}

TEST_F(WorkerRaces, AWorkerThatDeregistersIsNotGivenUpByTheOthers) {
  enqueue("makes the schema");
  proxy between(db.url());
  configure({{"default", between.url()}});
  between.arrange("matview_deregister", fate::hold_reply);
  {
    task_queue queue({.poll_interval = interval::parse("300 milliseconds"), .log = log()});
    const running_queue worker(queue);
    EXPECT_TRUE(eventually([&] { return logged("worker started"); }));
    queue.stop();
    EXPECT_TRUE(eventually([&] { return between.answered(); }));
    std::this_thread::sleep_for(700ms);  // Two heartbeats.
    between.release();
  }
  EXPECT_FALSE(logged("given up"));
  EXPECT_EQ(count("matview.worker"), "0") << "it has registered anew";
}

TEST_F(WorkerRaces, AWorkerWithoutARowWaitsForItInPeace) {
  enqueue("makes the schema");
  task_queue queue({.poll_interval = interval::parse("300 milliseconds"), .log = log()});
  const running_queue worker(queue);
  EXPECT_TRUE(eventually([&] { return count("matview.worker WHERE holds_lock") == "1"; }));
  const std::string first = db.query_one("SELECT id FROM matview.worker");
  const auto job = enqueue("sql", sql("SELECT 1"), {.delay = interval::parse("600 milliseconds")});
  db.execute(
      "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
      "PERFORM pg_sleep(1.2); RETURN NEW; END $$; "
      "CREATE TRIGGER slow BEFORE INSERT ON matview.worker FOR EACH ROW EXECUTE FUNCTION slow(); "
      "DELETE FROM matview.worker");
  EXPECT_TRUE(eventually([&] { return logged("given up"); }));
  const std::clock_t before = std::clock();
  std::this_thread::sleep_for(1s);  // The job is due by now, and cannot be fetched.
  EXPECT_LT(static_cast<double>(std::clock() - before) / CLOCKS_PER_SEC, 0.3);
  EXPECT_TRUE(eventually([&] { return state_of(job) == "done"; }));
  EXPECT_EQ(count("pg_stat_activity WHERE datname = current_database() AND application_name = "
                  "'matview worker " +
                  first + "'"),
            "0")
      << "it would be ended with what that one left";
}

// As when it was rescued from this worker, fetched again by it, and the answer was lost.
TEST_F(WorkerRaces, AnEarlierAttemptOfAJobThatIsHeldAgainIsLost) {
  enqueue("sql", sql("SELECT pg_sleep(60)"));
  task_queue queue({.poll_interval = interval::parse("300 milliseconds"),
                    .grace = interval::parse("200 milliseconds"),
                    .log = log()});
  bool again = false;
  run_until(queue, [&] {
    if (!again && running("%pg_sleep(60)%") == 1) {
      db.execute("UPDATE matview.job SET attempt = 2");
      again = true;
    }
    return logged("job lost") && logged("result discarded") && running("%pg_sleep(60)%") == 1;
  });
  EXPECT_EQ(db.query("SELECT state, attempt FROM matview.job"), (rows{{"ready", "1"}}));
}

TEST_F(WorkerRaces, ALockThatSomebodyElseHadForAMomentIsTakenAgain) {
  enqueue("makes the schema");
  task_queue queue({.poll_interval = interval::parse("300 milliseconds"), .log = log()});
  const running_queue worker(queue);
  const auto held = [&](const char* wanted) {
    return eventually(
        [&] { return db.query_one("SELECT holds_lock FROM matview.worker") == wanted; });
  };
  EXPECT_TRUE(eventually([&] { return count("matview.worker WHERE holds_lock") == "1"; }));
  {
    session other(db.url());
    std::thread waits(
        [&] { other.execute("SELECT pg_advisory_lock(1836414569, id::int) FROM matview.worker"); });
    EXPECT_TRUE(eventually([&] { return running("%pg_advisory_lock(%") == 1; }));
    db.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted "
        "AND classid = 1836414569");
    waits.join();
    EXPECT_TRUE(held("f"));
  }
  EXPECT_TRUE(held("t"));
}

TEST_F(WorkerRaces, WhicheverStatementIsCutOffNothingIsLostOrDoubled) {
  tasks::set_schedule({.name = "s",
                       .task = "note",
                       .every = interval::parse("1 hour"),
                       .overlap = tasks::overlap::allow});
  proxy between(db.url());
  std::atomic<int> runs = 0;
  int expected = 0;
  for (const char* statement :
       {"matview_register_worker", "matview_tell_lock", "matview_pulse", "matview_due_schedules",
        "matview_claim_ticks", "matview_next_schedule", "matview_fetch", "matview_next_due",
        "matview_complete", "matview_fail", "matview_deregister"}) {
    for (const fate how : {fate::lose_request, fate::lose_reply}) {
      SCOPED_TRACE(std::string(statement) + (how == fate::lose_reply ? ", its reply" : ""));
      configure({{"default", db.url()}});
      enqueue("note");
      enqueue("fails", "{}", {.max_attempts = 1});
      db.execute("UPDATE matview.schedule SET next_at = clock_timestamp()");
      configure({{"default", between.url()}});
      forget_lines();
      task_queue queue({.log = log()});
      queue.task({.name = "note"}, [&] { ++runs; });
      queue.task({.name = "fails"}, [] { throw std::runtime_error("as it is meant to"); });
      between.arrange(statement, how);
      queue.drain_once();
      expected += 2;
      EXPECT_EQ(runs, expected);
      EXPECT_TRUE(logged("worker troubled") || logged("without telling")) << "nothing was cut off";
      EXPECT_EQ(db.query("SELECT state, count(*) FROM matview.job GROUP BY 1 ORDER BY 1"),
                (rows{{"done", std::to_string(expected)}, {"dead", std::to_string(expected / 2)}}));
    }
  }
}

// Both change rows of the same jobs, each in its own order.
TEST_F(WorkerRaces, ThePulseAndTheCompletionsDoNotBlockEachOther) {
  constexpr int jobs = 30'000;
  enqueue("makes the schema");
  db.execute("INSERT INTO matview.job (task) SELECT 'note' FROM generate_series(1, " +
             std::to_string(jobs) + ")");
  task_queue queue({.poll_interval = interval::parse("100 milliseconds"),
                    .concurrency = 400,
                    .log = [sink = log()](log_level level, std::string_view line) {
                      if (level == log_level::warning) sink(level, line);
                    }});
  queue.task({.name = "note"}, [](const boost::json::object&) -> asio::awaitable<void> {
    // They end in another order than they began.
    asio::steady_timer timer(co_await asio::this_coro::executor,
                             std::chrono::milliseconds(std::rand() % 50));
    co_await timer.async_wait(asio::use_awaitable);
  });
  queue.drain_once();
  EXPECT_EQ(count("matview.job WHERE state = 'done'"), std::to_string(jobs));
  EXPECT_FALSE(logged("worker troubled"));
  EXPECT_EQ(db.query_one("SELECT deadlocks FROM pg_stat_database WHERE datname = "
                         "current_database()"),
            "0");
}

}  // namespace
}  // namespace matview::test
