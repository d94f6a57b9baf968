// Workers as real processes on a real server, killed, stopped and cut off at random moments. What
// is looked at is what must hold, never what was logged: effects = done jobs = jobs, each tick once
// and none missing, no attempt too many, no job left with a dead worker.

#include "pg/fake_servers.hpp"
#include "pg/pooler.hpp"
#include "pg/tasks_fixture.hpp"
#include "support/process.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

namespace matview::test {
namespace {

using clock = std::chrono::steady_clock;

std::uint64_t seed() {
  static const std::uint64_t once = [] {
    const char* given = std::getenv("MATVIEW_CHAOS_SEED");
    return given != nullptr ? std::strtoull(given, nullptr, 10) : std::random_device{}();
  }();
  return once;
}

// How long a random test makes trouble; `make test-long` says more.
std::chrono::seconds trouble_time() {
  const char* given = std::getenv("MATVIEW_CHAOS_SECONDS");
  return std::chrono::seconds(given != nullptr ? std::atoi(given) : 6);
}

struct worker_settings {
  int concurrency = 4;
  std::string heartbeat = "500 milliseconds";
  std::string lease = "2 seconds";
  std::map<std::string, std::optional<std::string>> env = {};
};

class Chaos : public tasks_test {
 protected:
  Chaos() : random_(seed()) {
    std::printf("MATVIEW_CHAOS_SEED=%llu\n", static_cast<unsigned long long>(seed()));
    tasks::pause_queue("made so that the schema is there");
    db.execute("CREATE TABLE effect (n bigint)");
  }
  ~Chaos() override {
    // One that is stopped would not hear of its end.
    for (const auto& one : workers_) one->send_signal(SIGCONT);
    for (const auto& one : workers_) one->send_signal(SIGKILL);
  }

  process& start_worker(const worker_settings& how = {}, const std::string& url = "") {
    process_options options{.env = how.env};
    options.env["MATVIEW_URL"] = url.empty() ? db.url() : url;
    std::vector<std::string> argv{MATVIEW_CHAOS_WORKER, std::to_string(how.concurrency),
                                  how.heartbeat, how.lease};
    if (const char* log = std::getenv("MATVIEW_CHAOS_LOG")) argv.emplace_back(log);
    workers_.push_back(std::make_unique<process>(argv, std::move(options)));
    return *workers_.back();
  }

  std::size_t any(std::size_t count) {
    return std::uniform_int_distribution<std::size_t>(0, count - 1)(random_);
  }
  std::chrono::milliseconds up_to(std::chrono::milliseconds most) {
    return std::chrono::milliseconds(any(static_cast<std::size_t>(most.count())) + 1);
  }

  /// Kills one and starts another in its place.
  void replace_one() {
    auto& victim = workers_.at(any(workers_.size()));
    victim->send_signal(SIGKILL);
    victim->wait();
    std::swap(victim, workers_.back());
    workers_.pop_back();
    start_worker();
  }
  void suspend_one(std::chrono::milliseconds how_long) {
    const process& victim = *workers_.at(any(workers_.size()));
    victim.send_signal(SIGSTOP);
    std::this_thread::sleep_for(how_long);
    victim.send_signal(SIGCONT);
  }

  /// Kills and suspends workers at random moments; some for longer than a lease.
  void make_trouble() {
    const auto until = clock::now() + trouble_time();
    while (clock::now() < until) {
      std::this_thread::sleep_for(up_to(300ms));
      if (any(2) == 0) {
        replace_one();
      } else {
        suspend_one(up_to(3000ms));
      }
    }
  }

  /// `count` jobs that leave one row each.
  void enqueue_effects(int count, const std::string& pause = "0") {
    db.execute(fmt::format(
        "INSERT INTO matview.job (task, args, max_attempts) "
        "SELECT 'sql', jsonb_build_object('sql', format('INSERT INTO effect SELECT %s FROM "
        "(SELECT pg_sleep({})) AS s', i)), 1000 FROM generate_series(1, {}) AS i",
        pause, count));
    db.execute("NOTIFY matview_job, 'default'");
  }
  bool all_ended() { return count("matview.job WHERE state IN ('ready', 'running')") == "0"; }
  void expect_each_effect_once(int jobs) {
    EXPECT_EQ(count("matview.job WHERE state = 'done'"), std::to_string(jobs));
    EXPECT_EQ(count("effect"), std::to_string(jobs));
    EXPECT_EQ(db.query_one("SELECT count(DISTINCT n) FROM effect"), std::to_string(jobs));
    EXPECT_EQ(count("matview.job WHERE attempt > max_attempts OR (state <> 'running') <> "
                    "(lease_until IS NULL)"),
              "0");
  }

  std::vector<std::unique_ptr<process>> workers_;

 private:
  std::mt19937_64 random_;
};

TEST_F(Chaos, KilledAndStoppedWorkersLoseAndDoubleNothing) {
  const int jobs = 100 * static_cast<int>(trouble_time().count());  // Outlast the trouble.
  for (int i = 0; i < 3; ++i) start_worker();
  enqueue_effects(jobs, "0.1");
  make_trouble();
  EXPECT_FALSE(all_ended()) << "the trouble came too late";
  EXPECT_TRUE(eventually([this] { return all_ended(); }, 2 * trouble_time() + 60s));
  expect_each_effect_once(jobs);
  EXPECT_GT(std::stoi(count("matview.job WHERE rescues > 0")), 0) << "there was none";
}

TEST_F(Chaos, EachTickMakesOneJobHoweverManyWorkersDie) {
  for (const char* name : {"a", "b", "c"}) {
    tasks::schedule_definition every{.name = name,
                                     .task = "sql",
                                     .args = sql("INSERT INTO effect VALUES (1)"),
                                     .every = interval::parse("1 second"),
                                     .max_attempts = 1000,
                                     .missed = tasks::missed::all,
                                     .overlap = tasks::overlap::allow};
    tasks::set_schedule(every);
  }
  for (int i = 0; i < 4; ++i) start_worker();
  make_trouble();
  std::this_thread::sleep_for(2s);
  for (const char* name : {"a", "b", "c"}) tasks::pause_schedule(name);
  EXPECT_TRUE(eventually([this] { return all_ended(); }, 60s));
  EXPECT_EQ(db.query("SELECT schedule FROM matview.job GROUP BY schedule HAVING count(*) <> "
                     "count(DISTINCT tick) OR max(tick) - min(tick) <> "
                     "(count(*) - 1) * interval '1 second'"),
            rows{})
      << "a tick fired twice, or was lost";
  EXPECT_EQ(count("matview.skipped_tick"), "0");
  EXPECT_EQ(count("effect"), count("matview.job WHERE state = 'done'"));
  EXPECT_GE(std::stoi(count("effect")), 3 * static_cast<int>(trouble_time().count()) - 3);
}

TEST_F(Chaos, HostsWhoseClocksAreWrongFireNeitherTwiceNorEarly) {
  tasks::set_schedule({.name = "s",
                       .task = "sql",
                       .args = sql("INSERT INTO effect VALUES (1)"),
                       .every = interval::parse("1 second"),
                       .missed = tasks::missed::all,
                       .overlap = tasks::overlap::allow});
  for (const char* wrong : {"+90s", "-90s", "+0s"}) {
    worker_settings how;
    how.env = {{"LD_PRELOAD", MATVIEW_FAKETIME},
               {"FAKETIME", wrong},
               {"FAKETIME_DONT_FAKE_MONOTONIC", "1"}};
    start_worker(how);
  }
  EXPECT_TRUE(eventually([this] { return number("matview.job WHERE state = 'done'") >= 5; }));
  tasks::pause_schedule("s");
  EXPECT_EQ(count("matview.job WHERE created_at < tick"), "0") << "fired before its time";
  EXPECT_EQ(count("matview.job WHERE created_at > tick + interval '2 s'"), "0");
  EXPECT_EQ(db.query_one("SELECT count(*) = count(DISTINCT tick) AND max(tick) - min(tick) = "
                         "(count(*) - 1) * interval '1 second' FROM matview.job"),
            "t");
}

// With the settings that everybody has: a heartbeat every 5 s.
TEST_F(Chaos, AKilledWorkersJobRunsElsewhereWithinSixSeconds) {
  const worker_settings usual{.heartbeat = "5 seconds", .lease = "30 seconds"};
  process& first = start_worker(usual);
  EXPECT_TRUE(eventually([this] { return count("matview.worker") == "1"; }));
  const auto job = tasks::enqueue("sql", sql("SELECT pg_sleep(120)"));
  ASSERT_TRUE(eventually([&] { return running("%pg_sleep(120)%") == 1; }));
  start_worker(usual);
  EXPECT_TRUE(eventually([this] { return count("matview.worker WHERE holds_lock") == "2"; }));
  std::this_thread::sleep_for(up_to(5000ms));  // Anywhere between two of its heartbeats.
  first.send_signal(SIGKILL);
  const auto killed = clock::now();
  ASSERT_TRUE(eventually([&] { return tasks::find_job(job).attempt == 2; }));
  const auto took = std::chrono::duration<double>(clock::now() - killed).count();
  EXPECT_LE(took, 6.0);
  RecordProperty("takeover_seconds", std::to_string(took));
  EXPECT_TRUE(eventually([&] { return running("%pg_sleep(120)%") == 1; }))
      << "the dead worker's statement has been ended";
  EXPECT_EQ(tasks::find_job(job).rescues, 1);
}

TEST_F(Chaos, EachConnectionOfAWorkerMayBeTerminated) {
  constexpr int jobs = 150;
  start_worker();
  start_worker();
  enqueue_effects(jobs, "0.05");
  for (int round = 0; round < 12; ++round) {
    std::this_thread::sleep_for(up_to(300ms));
    db.execute(fmt::format(
        "SELECT pg_terminate_backend(pid) FROM (SELECT pid FROM pg_stat_activity WHERE datname = "
        "current_database() AND application_name LIKE 'matview worker%' ORDER BY pid OFFSET {} "
        "LIMIT 1) AS one",
        any(8)));
  }
  EXPECT_TRUE(eventually([this] { return all_ended(); }, 60s));
  expect_each_effect_once(jobs);
  for (const auto& worker : workers_) EXPECT_FALSE(worker->ended());
}

TEST_F(Chaos, ADiskThatIsFullAtCompletionCostsNothingButTime) {
  // The server's own error at the very statement that completes, three times.
  db.execute(
      "CREATE SEQUENCE refusals; "
      "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
      "IF NEW.state = 'done' AND nextval('refusals') <= 3 THEN "
      "RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100'; "
      "END IF; RETURN NEW; END $$; "
      "CREATE TRIGGER full_disk BEFORE UPDATE ON matview.job FOR EACH ROW EXECUTE FUNCTION "
      "full_disk()");
  start_worker();
  enqueue_effects(5);
  EXPECT_TRUE(eventually([this] { return all_ended(); }, 60s));
  expect_each_effect_once(5);
  EXPECT_EQ(count("matview.job WHERE attempt > 1"), "3");
}

TEST_F(Chaos, AHalfOpenConnectionIsNoticed) {
  proxy between(db.url());
  start_worker({.heartbeat = "300 milliseconds", .lease = "1 second"}, between.url());
  EXPECT_TRUE(eventually([this] { return count("matview.worker") == "1"; }));
  enqueue_effects(3);
  EXPECT_TRUE(eventually([this] { return all_ended(); }));
  between.forget_connections();
  enqueue_effects(3);
  EXPECT_TRUE(eventually([this] { return all_ended(); })) << "it has made new connections";
  EXPECT_EQ(count("effect"), "6");
}

TEST_F(Chaos, TwoDefinitionsOfAScheduleDoNotBothFire) {
  tasks::schedule_definition schedule{.name = "s",
                                      .task = "sql",
                                      .args = sql("INSERT INTO effect VALUES (1)"),
                                      .every = interval::parse("1 second"),
                                      .missed = tasks::missed::all,
                                      .overlap = tasks::overlap::allow};
  tasks::set_schedule(schedule);
  for (int i = 0; i < 3; ++i) start_worker();
  for (int round = 0; round < 10; ++round) {
    std::this_thread::sleep_for(up_to(500ms));
    schedule.args = sql(fmt::format("INSERT INTO effect VALUES ({})", round + 2));
    schedule.every = interval::parse(round % 2 == 0 ? "2 seconds" : "1 second");
    tasks::set_schedule(schedule);
  }
  std::this_thread::sleep_for(2500ms);
  tasks::pause_schedule("s");
  EXPECT_TRUE(eventually([this] { return all_ended(); }));
  EXPECT_EQ(db.query_one("SELECT count(*) = count(DISTINCT tick) FROM matview.job"), "t");
  EXPECT_EQ(
      db.query_one("SELECT count(*) FROM (SELECT tick - lag(tick) OVER (ORDER BY tick) AS gap "
                   "FROM matview.job) AS t WHERE gap < interval '0.2 s'"),
      "0");
  EXPECT_EQ(count("effect"), count("matview.job WHERE state = 'done'"));
}

// A zone that means something else on the other host: they compute different ticks, and still no
// tick makes two jobs, and none that is due is left.
TEST_F(Chaos, HostsWhoseTimeZonesDifferMakeOneJobATick) {
  namespace fs = std::filesystem;
  std::string name = (fs::temp_directory_path() / "matview-zones.XXXXXX").string();
  const fs::path zones = ::mkdtemp(name.data());
  fs::create_directory(zones / "Europe");
  fs::copy_file("/usr/share/zoneinfo/Asia/Kathmandu", zones / "Europe" / "Zurich");
  tasks::set_schedule({.name = "s",
                       .task = "sql",
                       .args = sql("INSERT INTO effect VALUES (1)"),
                       .cron = "17 * * * *",
                       .time_zone = "Europe/Zurich",
                       .overlap = tasks::overlap::allow});
  start_worker();
  worker_settings other;
  other.env = {{"TZDIR", zones.string()}};
  start_worker(other);
  EXPECT_TRUE(eventually([this] { return count("matview.worker WHERE holds_lock") == "2"; }));
  const std::string waits = "SELECT next_at > clock_timestamp() FROM matview.schedule";
  constexpr int rounds = 12;
  for (int round = 1; round <= rounds; ++round) {
    db.execute("UPDATE matview.schedule SET next_at = clock_timestamp(); NOTIFY matview_schedule");
    EXPECT_TRUE(eventually([&] { return db.query_one(waits) == "t"; }));
  }
  EXPECT_TRUE(eventually([this] { return all_ended(); }));
  fs::remove_all(zones);
  EXPECT_EQ(count("matview.job"), std::to_string(rounds));
  EXPECT_EQ(db.query_one("SELECT count(DISTINCT tick) FROM matview.job"), std::to_string(rounds));
  EXPECT_EQ(count("effect"), std::to_string(rounds));
}

TEST_F(Chaos, AnIdleWorkerIsNotEndedForItsIdleness) {
  db.execute("ALTER DATABASE " + db.name() + " SET idle_session_timeout = '300ms'");
  db.execute("ALTER DATABASE " + db.name() + " SET idle_in_transaction_session_timeout = '300ms'");
  start_worker({.heartbeat = "5 seconds", .lease = "30 seconds"});
  EXPECT_TRUE(eventually([this] { return count("matview.worker WHERE holds_lock") == "1"; }));
  const std::string sessions =
      "SELECT string_agg(pid::text, ' ' ORDER BY pid) FROM pg_stat_activity WHERE datname = "
      "current_database() AND application_name LIKE 'matview worker%'";
  ASSERT_TRUE(eventually([&] { return db.query_one(sessions).find(' ') != std::string::npos; }));
  const std::string before = db.query_one(sessions);
  std::this_thread::sleep_for(1s);
  EXPECT_EQ(db.query_one(sessions), before);
  enqueue_effects(1);
  EXPECT_TRUE(eventually([this] { return all_ended(); }));
}

TEST_F(Chaos, APoolerThatSharesSessionsIsRefusedAtTheStart) {
  session server(db.url());
  const pooler shared(server, "transaction");
  ASSERT_TRUE(eventually([&] { return shared.ready(); }));
  process& refused = start_worker({}, shared.url(db.name()));
  const process_result ended = refused.wait();
  EXPECT_EQ(ended.exit_code, 1);
  EXPECT_TRUE(contains(ended.err, "shares sessions")) << ended.err;
  EXPECT_TRUE(contains(ended.err, "pool_mode = session")) << ended.err;
}

TEST_F(Chaos, APoolerThatKeepsSessionsApartIsFine) {
  session server(db.url());
  const pooler apart(server, "session");
  ASSERT_TRUE(eventually([&] { return apart.ready(); }));
  start_worker({}, apart.url(db.name()));
  enqueue_effects(3);
  EXPECT_TRUE(eventually([this] { return all_ended(); }));
  expect_each_effect_once(3);
}

class ChaosServer : public testing::Test {
 protected:
  ChaosServer() {
    server_.start();
    configure({{"default", server_.url()}});
    tasks::pause_queue("made so that the schema is there");
  }
  ~ChaosServer() override { configure({}); }

  private_server server_;
};

TEST_F(ChaosServer, AWorkerOutlivesItsServer) {
  session(server_.url()).execute("CREATE TABLE effect (n bigint)");
  process worker({MATVIEW_CHAOS_WORKER, "4", "500 milliseconds", "2 seconds"},
                 {.env = {{"MATVIEW_URL", server_.url()}}});
  session(server_.url())
      .execute(
          "INSERT INTO matview.job (task, args, max_attempts) SELECT 'sql', "
          "jsonb_build_object('sql', format('INSERT INTO effect SELECT %s FROM (SELECT "
          "pg_sleep(0.05)) AS s', i)), 1000 FROM generate_series(1, 100) AS i; "
          "NOTIFY matview_job, 'default'");
  for (int round = 0; round < 2; ++round) {
    std::this_thread::sleep_for(400ms);
    server_.kill_now();
    std::this_thread::sleep_for(300ms);
    server_.start();
  }
  EXPECT_TRUE(eventually(
      [this] {
        return session(server_.url())
                   .query_one("SELECT count(*) FROM matview.job WHERE state = 'done'") == "100";
      },
      60s));
  EXPECT_EQ(session(server_.url()).query("SELECT count(*), count(DISTINCT n) FROM effect"),
            (rows{{"100", "100"}}));
  EXPECT_FALSE(worker.ended());
  worker.send_signal(SIGTERM);
  EXPECT_EQ(worker.wait().exit_code, 0);
}

TEST_F(ChaosServer, AWorkerCanBeStoppedWhileItsServerIsAway) {
  process worker({MATVIEW_CHAOS_WORKER, "4", "500 milliseconds", "2 seconds"},
                 {.env = {{"MATVIEW_URL", server_.url()}}});
  EXPECT_TRUE(eventually([this] {
    return session(server_.url()).query_one("SELECT count(*) FROM matview.worker") == "1";
  }));
  server_.kill_now();
  worker.send_signal(SIGTERM);
  EXPECT_EQ(worker.wait(20s).exit_code, 0);
}

}  // namespace
}  // namespace matview::test
