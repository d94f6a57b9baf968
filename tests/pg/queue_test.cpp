#include "tasks_fixture.hpp"

#include <boost/json.hpp>
#include <gtest/gtest.h>
#include <libpq-fe.h>

#include <atomic>
#include <mutex>
#include <set>
#include <vector>

namespace matview::test {
namespace {

namespace json = boost::json;
using tasks::enqueue;
using tasks::task_queue;

class Queue : public tasks_test {};

TEST_F(Queue, RunsAPlainTaskOnce) {
  std::atomic<int> runs = 0;
  task_queue queue;
  queue.task({.name = "count"}, [&] { ++runs; });
  const auto job = queue.enqueue("count");
  EXPECT_EQ(state_of(tasks::enqueue("unknown to this one")), "ready");
  queue.drain_once();
  EXPECT_EQ(runs, 1);
  EXPECT_EQ(state_of(job), "done");
  EXPECT_EQ(db.query_one("SELECT count(*) FROM matview.job WHERE state = 'ready'"), "1")
      << "a task of another program's is left for it";
}

TEST_F(Queue, GivesATaskItsArguments) {
  std::string seen;
  task_queue queue;
  queue.task({.name = "greet"},
             [&](const json::object& args) { seen = std::string(args.at("name").as_string()); });
  queue.enqueue("greet", R"({"name": "J\u00fcrg"})");
  queue.drain_once();
  EXPECT_EQ(seen, "J\xC3\xBCrg");
}

TEST_F(Queue, RunsACoroutine) {
  std::string seen;
  task_queue queue;
  queue.task({.name = "greet"}, [&](const json::object& args) -> asio::awaitable<void> {
    co_await asio::post(co_await asio::this_coro::executor, asio::use_awaitable);
    seen = std::string(args.at("name").as_string());
  });
  queue.enqueue("greet", R"({"name": "x"})");
  queue.drain_once();
  EXPECT_EQ(seen, "x");
}

TEST_F(Queue, RefreshesAView) {
  db.execute(
      "CREATE TABLE t AS SELECT 1 AS id; CREATE MATERIALIZED VIEW v AS SELECT id FROM t; "
      "CREATE UNIQUE INDEX ON v (id); UPDATE t SET id = 2");
  task_queue queue;
  queue.task({.name = "v.refresh"}, matview_refresh_task("v"));
  const auto job = queue.enqueue("v.refresh");
  queue.drain_once();
  EXPECT_EQ(state_of(job), "done");
  EXPECT_EQ(db.query_one("SELECT id FROM v"), "2");
}

TEST_F(Queue, RefreshesAViewByArgumentsAndRunsSql) {
  db.execute("CREATE TABLE t (id int); CREATE MATERIALIZED VIEW v AS SELECT id FROM t");
  enqueue("sql", sql("INSERT INTO t VALUES (7)"), {.priority = 1});
  enqueue("refresh", R"({"view": "v"})", {.priority = 2});
  task_queue queue({.concurrency = 1});
  queue.drain_once();
  EXPECT_EQ(db.query_one("SELECT id FROM v"), "7");
  EXPECT_EQ(count("matview.job WHERE state = 'done'"), "2");
}

TEST_F(Queue, RemembersItsRefreshes) {
  db.execute("CREATE TABLE t (id int); CREATE MATERIALIZED VIEW v AS SELECT id FROM t");
  tasks::set_schedule({.name = "s",
                       .task = "refresh",
                       .args = R"({"view": "v", "mode": "auto", "if_changed": true})",
                       .every = interval::parse("1 hour")});
  tasks::run_schedule_now("s");
  task_queue queue;
  queue.drain_once();
  const auto again = enqueue("refresh", R"({"view": "v", "if_changed": true})");
  queue.drain_once();
  EXPECT_EQ(state_of(again), "done");
  enqueue("refresh", R"({"view": "v", "mode": "sideways"})");
  db.execute("DROP TABLE t CASCADE");
  queue.drain_once();
  const auto all = list_history();
  ASSERT_EQ(all.size(), 2U);
  EXPECT_EQ(all[1].asked_by, refresh_origin::schedule);
  EXPECT_EQ(all[1].outcome, history_outcome::done);
  EXPECT_EQ(all[0].asked_by, refresh_origin::api);
  EXPECT_EQ(all[0].outcome, history_outcome::skipped);
  EXPECT_TRUE(contains(all[0].reason, "none of its 1 table has changed")) << all[0].reason;
}

TEST_F(Queue, TriesAgainWhatMayHelpAndNotWhatCannot) {
  db.execute("CREATE TABLE t AS SELECT 1 AS id");
  const auto missing = enqueue("refresh", R"({"view": "nope"})");
  const auto divided = enqueue("sql", sql("SELECT 1/0"));
  const auto locked =
      enqueue("sql", sql("DO $$ BEGIN RAISE EXCEPTION 'busy' USING ERRCODE = '55P03'; END $$"));
  const auto two = enqueue("sql", sql("SELECT 1; DROP TABLE t"));
  const auto commits = enqueue("sql", sql("COMMIT"));
  const auto no_object = enqueue("sql", R"({"sql": 1})");
  task_queue queue;
  queue.drain_once();
  EXPECT_EQ(state_of(missing), "dead");
  EXPECT_TRUE(contains(tasks::find_job(missing).last_error, "no materialized view \"nope\""));
  EXPECT_EQ(state_of(divided), "dead");
  EXPECT_EQ(state_of(locked), "ready");
  EXPECT_EQ(tasks::find_job(locked).attempt, 1);
  EXPECT_EQ(db.query_one("SELECT run_at - clock_timestamp() BETWEEN '3 s' AND '6 s' "
                         "FROM matview.job WHERE id = " +
                         std::to_string(locked)),
            "t");
  EXPECT_EQ(state_of(two), "dead");
  EXPECT_TRUE(exists("t"));
  EXPECT_EQ(state_of(commits), "dead");
  EXPECT_EQ(state_of(no_object), "dead");
}

TEST_F(Queue, AsksLittleForJobsThatMustWait) {
  tasks::pause_queue("paused");
  enqueue("sql", sql("SELECT 1"), {.queue = "paused"});
  const auto first = enqueue("sql", sql("SELECT pg_sleep(2)"), {.dedupe = "k"});
  const std::string commits =
      "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()";
  const int before = std::stoi(db.query_one(commits));
  std::int64_t twin = 0;
  task_queue queue({.concurrency = 4});
  run_until(queue, [&] {
    if (twin == 0 && state_of(first) == "running") {
      twin = enqueue("sql", sql("SELECT 1"), {.dedupe = "k"});
    }
    return twin != 0 && state_of(twin) == "done";
  });
  EXPECT_LT(std::stoi(db.query_one(commits)) - before, 1000);
  EXPECT_EQ(db.query_one("SELECT b.started_at - a.finished_at BETWEEN '0 s' AND '1 s' FROM "
                         "matview.job a, matview.job b WHERE b.id > a.id AND b.dedupe = a.dedupe"),
            "t")
      << "the end of the first is what the second waits for, not the next heartbeat";
}

// What the database looks like when the answer to a fetch was lost on its way.
TEST_F(Queue, RunsAJobThatItsWorkerDoesNotKnowItHas) {
  const auto job = enqueue("sql", sql("SELECT 1"), {.queue = "other"});
  task_queue queue({.poll_interval = interval::parse("1 second")});
  bool fetched = false;
  run_until(queue, [&] {
    if (!fetched && count("matview.worker") == "1") {
      db.execute(
          "UPDATE matview.job SET state = 'running', attempt = 1, started_at = clock_timestamp(), "
          "worker_id = (SELECT id FROM matview.worker), lease_until = clock_timestamp() + '3 s', "
          "queue = 'default'");
      fetched = true;
    }
    return state_of(job) == "done";
  });
  EXPECT_EQ(tasks::find_job(job).attempt, 1) << "it cost no attempt";
}

TEST_F(Queue, KeepsTenErrorsAndGivesUp) {
  task_queue queue;
  std::atomic<int> runs = 0;
  queue.task({.name = "fails", .max_attempts = 12}, [&] {
    ++runs;
    throw std::runtime_error("the " + std::to_string(runs.load()) + ". time");
  });
  const auto job = queue.enqueue("fails");
  for (int i = 0; i < 12; ++i) {
    db.execute("UPDATE matview.job SET run_at = clock_timestamp()");
    queue.drain_once();
  }
  const tasks::job_info after = tasks::find_job(job);
  EXPECT_EQ(after.state, "dead");
  EXPECT_EQ(runs, 12);
  EXPECT_EQ(after.attempt, 12);
  EXPECT_EQ(after.last_error, "the 12. time");
  EXPECT_EQ(json::parse(after.errors).as_array().size(), 10U);
}

TEST_F(Queue, RunsTheUrgentFirst) {
  std::vector<std::string> order;
  task_queue queue({.concurrency = 1});
  queue.task({.name = "note"},
             [&](const json::object& args) { order.emplace_back(args.at("n").as_string()); });
  enqueue("note", R"({"n": "late"})", {.priority = 200});
  enqueue("note", R"({"n": "first"})", {.priority = 1});
  enqueue("note", R"({"n": "normal"})");
  queue.drain_once();
  EXPECT_EQ(order, (std::vector<std::string>{"first", "normal", "late"}));
}

TEST_F(Queue, HasOneWaitingAndOneRunningOfAKey) {
  const auto first = enqueue("note", "{}", {.dedupe = "k"});
  EXPECT_EQ(enqueue("note", "{}", {.dedupe = "k"}), first);
  std::atomic<int> at_once = 0;
  std::atomic<int> most = 0;
  std::atomic<int> runs = 0;
  task_queue queue({.concurrency = 4});
  queue.task({.name = "note"}, [&] {
    most = std::max(most.load(), ++at_once);
    if (++runs == 1) {
      // While it runs, one more may wait, and only one.
      const auto second = enqueue("note", "{}", {.dedupe = "k"});
      EXPECT_NE(second, first);
      EXPECT_EQ(enqueue("note", "{}", {.dedupe = "k"}), second);
      std::this_thread::sleep_for(300ms);
    }
    --at_once;
  });
  run_until(queue, [&] { return count("matview.job WHERE state = 'done'") == "2"; });
  EXPECT_EQ(most, 1);
  EXPECT_EQ(runs, 2);
}

TEST_F(Queue, IsPartOfTheCallersTransaction) {
  enqueue("makes the schema");
  PGconn* raw = PQconnectdb(db.url().c_str());
  PQclear(PQexec(raw, "BEGIN"));
  const auto undone = enqueue(raw, "note");
  PQclear(PQexec(raw, "ROLLBACK"));
  PQclear(PQexec(raw, "BEGIN"));
  const auto kept = enqueue(raw, "note");
  EXPECT_EQ(count("matview.job WHERE id = " + std::to_string(kept)), "0");
  PQclear(PQexec(raw, "COMMIT"));
  PQfinish(raw);
  EXPECT_EQ(count("matview.job WHERE id = " + std::to_string(undone)), "0");
  EXPECT_EQ(count("matview.job WHERE id = " + std::to_string(kept)), "1");
}

TEST_F(Queue, TakesJobsFromPlainSql) {
  enqueue("makes the schema");
  db.execute("SELECT matview.enqueue('note', '{\"a\": 1}', dedupe => 'k')");
  EXPECT_EQ(count("matview.job WHERE task = 'note' AND args = '{\"a\": 1}'"), "1");
  EXPECT_THROW(db.execute("SELECT matview.enqueue('note', '[1]')"), std::runtime_error);
  EXPECT_THROW(
      db.execute("SELECT matview.enqueue('note', jsonb_build_object('a', repeat('x', 1048577)))"),
      std::runtime_error);
}

TEST_F(Queue, RefusesWhatIsNoJob) {
  const auto refused = [](const std::string& args, tasks::job_options options = {}) {
    return failure_of([&] { return enqueue("note", args, options); });
  };
  EXPECT_EQ(refused("[1]").code(), errc::invalid_option);
  EXPECT_EQ(refused("{").code(), errc::invalid_option);
  EXPECT_TRUE(
      contains(refused("{\"a\": \"" + std::string(1'048'577, 'x') + "\"}").what(), "1048576"));
  EXPECT_EQ(refused("{}", {.max_attempts = 0}).code(), errc::invalid_option);
  EXPECT_EQ(refused("{}", {.priority = 40'000}).code(), errc::invalid_option);
  EXPECT_EQ(failure_of([] { return enqueue("", "{}"); }).code(), errc::invalid_option);
  EXPECT_FALSE(exists("matview.job")) << "nothing was changed";
}

TEST_F(Queue, RefusesAWorkerThatCannotWork) {
  const auto refused = [](tasks::queue_options options) {
    return failure_of([&] {
             task_queue(options).run();
             return 0;
           })
        .code();
  };
  EXPECT_EQ(refused({.poll_interval = interval::parse("0 seconds")}), errc::invalid_option);
  EXPECT_EQ(refused({.concurrency = 0}), errc::invalid_option);
  EXPECT_EQ(refused({.database = "nowhere"}), errc::unknown_database);
  task_queue queue;
  EXPECT_EQ(failure_of([&] {
              queue.task({.name = "t", .cron = "* * *"}, [] {});
              return 0;
            }).code(),
            errc::invalid_cron);
  EXPECT_EQ(failure_of([&] { return queue.enqueue("unknown"); }).code(), errc::invalid_option);
  EXPECT_FALSE(exists("matview.job"));
}

TEST_F(Queue, WaitsForItsTime) {
  task_queue queue;
  std::atomic<int> runs = 0;
  queue.task({.name = "note"}, [&] { ++runs; });
  enqueue("note", "{}", {.delay = interval::parse("700 milliseconds")});
  queue.drain_once();
  EXPECT_EQ(runs, 0);
  const auto began = std::chrono::steady_clock::now();
  run_until(queue, [&] { return runs == 1; });
  EXPECT_LT(std::chrono::steady_clock::now() - began, 4s) << "by the timer, not by the next pulse";
}

TEST_F(Queue, ManyAtOnce) {
  std::vector<std::string> args;
  for (int i = 0; i < 1000; ++i) args.push_back("{\"n\": " + std::to_string(i) + "}");
  EXPECT_EQ(tasks::enqueue_all("note", args), 1000);
  std::multiset<std::int64_t> seen;
  task_queue queue({.concurrency = 50});
  queue.task({.name = "note"}, [&](const json::object& given) -> asio::awaitable<void> {
    seen.insert(given.at("n").as_int64());
    co_return;
  });
  queue.drain_once();
  EXPECT_EQ(seen.size(), 1000U);
  EXPECT_EQ(std::set<std::int64_t>(seen.begin(), seen.end()).size(), 1000U);
  EXPECT_EQ(count("matview.job WHERE state = 'done'"), "1000");
}

TEST_F(Queue, PausesAndResumes) {
  task_queue queue;
  std::atomic<int> runs = 0;
  queue.task({.name = "note"}, [&] { ++runs; });
  tasks::pause_queue("default");
  enqueue("note");
  queue.drain_once();
  EXPECT_EQ(runs, 0);
  tasks::resume_queue("default");
  queue.drain_once();
  EXPECT_EQ(runs, 1);
}

TEST_F(Queue, CancelsAJobThatWaits) {
  const auto job = enqueue("note");
  EXPECT_TRUE(tasks::cancel_job(job));
  EXPECT_EQ(state_of(job), "cancelled");
  EXPECT_EQ(failure_of([&] { return tasks::cancel_job(job); }).code(), errc::invalid_option);
  EXPECT_EQ(failure_of([&] { return tasks::cancel_job(job + 1000); }).code(), errc::invalid_option);
  tasks::retry_job(job);
  EXPECT_EQ(state_of(job), "ready");
}

TEST_F(Queue, CancelsAStatementThatRunsInTheServer) {
  const auto job = enqueue("sql", sql("SELECT pg_sleep(60)"));
  task_queue queue;
  const auto began = std::chrono::steady_clock::now();
  run_until(queue, [&, asked = false]() mutable {
    if (!asked && running("%pg_sleep(60)%") == 1) {
      EXPECT_FALSE(tasks::cancel_job(job));
      asked = true;
    }
    return state_of(job) == "cancelled";
  });
  EXPECT_LT(std::chrono::steady_clock::now() - began, 4s) << "at once, not with the next pulse";
  EXPECT_EQ(running("%pg_sleep(60)%"), 0);
}

TEST_F(Queue, StopsAJobAtItsTimeout) {
  const auto job =
      enqueue("sql", sql("SELECT pg_sleep(60)"), {.timeout = interval::parse("300 milliseconds")});
  task_queue queue;
  queue.drain_once();
  const tasks::job_info after = tasks::find_job(job);
  EXPECT_EQ(after.state, "ready");
  EXPECT_TRUE(contains(after.last_error, "longer than its timeout of 0.3 s")) << after.last_error;
  EXPECT_EQ(running("%pg_sleep(60)%"), 0);
}

TEST_F(Queue, GivesBackWhatDoesNotEndWithinTheGrace) {
  const auto job = enqueue("sql", sql("SELECT pg_sleep(60)"));
  task_queue queue({.grace = interval::parse("200 milliseconds")});
  run_until(queue, [&] { return running("%pg_sleep(60)%") == 1; });
  const tasks::job_info after = tasks::find_job(job);
  EXPECT_EQ(after.state, "ready");
  EXPECT_EQ(after.attempt, 0) << "a stop costs no attempt";
  EXPECT_EQ(running("%pg_sleep(60)%"), 0);
  EXPECT_EQ(count("matview.worker"), "0");
}

TEST_F(Queue, EndsByItselfWhenIdle) {
  task_queue queue({.stop_after_idle = interval::parse("300 milliseconds")});
  queue.run();
  EXPECT_EQ(count("matview.worker"), "0");
}

TEST_F(Queue, PurgesWhatHasEnded) {
  enqueue("sql", sql("SELECT 1"));
  enqueue("sql", sql("SELECT 1/0"));
  const auto waiting = enqueue("note");
  task_queue queue;
  queue.drain_once();
  EXPECT_EQ(tasks::purge_jobs(interval::parse("1 hour")), 0);
  EXPECT_EQ(tasks::purge_jobs(interval::parse("0 seconds"), {.state = "done"}), 1);
  EXPECT_EQ(tasks::retry_dead_jobs(), 1);
  EXPECT_EQ(count("matview.job WHERE state = 'ready'"), "2");
  EXPECT_EQ(state_of(waiting), "ready");
}

TEST_F(Queue, NeedsARightAndSaysWhich) {
  enqueue("note");
  const test_role stranger(db, "stranger");
  configure({{"default", stranger.url()}});
  task_queue queue;
  const error refused = failure_of([&] {
    queue.run();
    return 0;
  });
  EXPECT_EQ(refused.code(), errc::permission_denied);
  EXPECT_TRUE(contains(refused.hint(), "GRANT")) << refused.hint();
}

TEST_F(Queue, SaysThatTheWorkersRoleMayNotRefreshTheView) {
  db.execute("CREATE MATERIALIZED VIEW v AS SELECT 1 AS id");
  const auto job = enqueue("refresh", R"({"view": "v"})");
  const test_role limited(db, "limited");
  db.execute("GRANT USAGE ON SCHEMA matview TO " + limited.name() +
             "; GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA matview TO " +
             limited.name());
  configure({{"default", limited.url()}});
  task_queue queue;
  queue.drain_once();
  EXPECT_EQ(state_of(job), "dead");
  const std::string said = tasks::find_job(job).last_error;
  EXPECT_TRUE(contains(said, server_version() < 170000 ? "owner" : "MAINTAIN")) << said;
}

TEST_F(Queue, SaysThatThereIsNothingWhereThereIsNoSchema) {
  EXPECT_EQ(tasks::list_jobs().size(), 0U);
  EXPECT_EQ(tasks::list_workers().size(), 0U);
  EXPECT_EQ(tasks::list_schedules().size(), 0U);
  EXPECT_FALSE(tasks::remove_schedule("s"));
  EXPECT_FALSE(exists("matview.job"));
}

TEST_F(Queue, RefusesASchemaThatIsNewerThanTheProgram) {
  enqueue("note");
  db.execute("INSERT INTO matview.migration (number, name, checksum) VALUES (99, 'later', 'x')");
  task_queue queue;
  const error refused = failure_of([&] {
    queue.run();
    return 0;
  });
  EXPECT_TRUE(contains(refused.what(), "version 99")) << refused.what();
}

TEST_F(Queue, IsMadeByManyAtTheSameTime) {
  std::vector<std::thread> all;
  std::atomic<int> failed = 0;
  for (int i = 0; i < 20; ++i) {
    all.emplace_back([&] {
      try {
        task_queue queue;
        queue.drain_once();
      } catch (const error& e) {
        ++failed;
        ADD_FAILURE() << e.what();
      }
    });
  }
  for (std::thread& one : all) one.join();
  EXPECT_EQ(failed, 0);
  EXPECT_EQ(db.query_one("SELECT count(*) = max(number) FROM matview.migration"), "t");
}

TEST_F(Queue, LogsInTextOrJson) {
  std::vector<std::string> lines;
  std::mutex mutex;
  const log_sink log = [&](log_level, std::string_view line) {
    const std::lock_guard guard(mutex);
    lines.emplace_back(line);
  };
  enqueue("sql", sql("SELECT 1"));
  task_queue queue({.log = log});
  queue.drain_once();
  EXPECT_TRUE(std::any_of(lines.begin(), lines.end(), [](const std::string& line) {
    return line.starts_with("job done id=1 task=sql queue=default attempt=1 ");
  }));
}

}  // namespace
}  // namespace matview::test
