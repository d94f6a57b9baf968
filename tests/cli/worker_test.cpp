#include "cli_fixture.hpp"

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <optional>
#include <sstream>
#include <stdexcept>

namespace matview::test {
namespace {

namespace json = boost::json;

class CliWorker : public cli_test {
 protected:
  void put(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "enqueue");
    const auto done = matview(arguments);
    ASSERT_EQ(done.exit_code, 0) << done.err;
  }
  std::string jobs() {
    return db.query_one(
        "SELECT string_agg(concat_ws(' ', id, state, attempt), ', ' ORDER BY id) FROM matview.job");
  }
  std::string workers() { return db.query_one("SELECT count(*) FROM matview.worker"); }
  /// A job that waits at a gate, and a worker that runs it.
  process start_at_gate(const std::vector<std::string>& more = {}) {
    put({"refresh", "v"});
    std::vector<std::string> arguments{"worker"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return start(arguments);
  }
};

TEST_F(CliWorker, CompilesAnIncrementalViewAnewWhoseTableWasAltered) {
  db.execute("CREATE TABLE t (id int PRIMARY KEY, g int); INSERT INTO t VALUES (1, 1), (2, 1)");
  ASSERT_EQ(matview({"create", "v", "--kind", "incremental", "--sql",
                     "SELECT g, count(*) AS n FROM t GROUP BY g"})
                .exit_code,
            0);
  db.execute("ALTER TABLE t ALTER g SET NOT NULL; INSERT INTO t VALUES (3, 1)");
  put({"refresh", "v"});
  const auto worked = matview({"worker", "--once"});
  EXPECT_EQ(worked.exit_code, 0) << worked.err;
  EXPECT_EQ(db.query_one("SELECT n FROM v"), "3") << worked.err;
  EXPECT_FALSE(contains(worked.err, "failed")) << worked.err;
}

TEST_F(CliWorker, OnceRunsWhatIsDueAndEnds) {
  db.execute(
      "CREATE TABLE t AS SELECT 1 AS id; CREATE MATERIALIZED VIEW v AS SELECT id FROM t; "
      "CREATE UNIQUE INDEX ON v (id); UPDATE t SET id = 2");
  put({"refresh", "v", "--concurrently"});
  put({"sql", "INSERT INTO t VALUES (3)"});
  put({"sql", "SELECT 1", "--delay", "1 hour"});
  const auto worked = matview({"worker", "--once"});
  EXPECT_EQ(worked.exit_code, 0) << worked.err;
  EXPECT_EQ(worked.out, "");
  EXPECT_TRUE(contains(worked.err, "matview: info: job done id=1 task=refresh")) << worked.err;
  EXPECT_EQ(db.query_one("SELECT max(id) > 1 FROM v"), "t");
  EXPECT_EQ(jobs(), "1 done 1, 2 done 1, 3 ready 0");
  EXPECT_EQ(workers(), "0");
}

TEST_F(CliWorker, WritesEachLogLineAsJson) {
  put({"sql", "SELECT 1/0", "--max-attempts", "1"});
  const auto worked = matview({"worker", "--once", "--log", "json", "--verbose"});
  std::istringstream lines(worked.err);
  std::vector<std::string> events;
  for (std::string line; std::getline(lines, line);) {
    json::error_code failed;
    const json::value parsed = json::parse(line, failed);
    ASSERT_FALSE(failed) << line;
    for (const char* key : {"time", "level", "event"}) {
      EXPECT_TRUE(parsed.as_object().contains(key)) << line;
    }
    events.emplace_back(parsed.at("event").as_string());
    if (events.back() == "job failed") {
      EXPECT_EQ(parsed.at("error"), "division by zero");
      EXPECT_EQ(parsed.at("state"), "dead");
    }
  }
  for (const char* event : {"worker started", "message", "job failed", "worker stopped"}) {
    EXPECT_NE(std::find(events.begin(), events.end(), event), events.end()) << event;
  }
}

TEST_F(CliWorker, SaysNothingWhenQuiet) {
  put({"sql", "SELECT 1"});
  EXPECT_EQ(matview({"worker", "--once", "--quiet"}).err, "");
  EXPECT_EQ(matview({"worker", "--once", "--quiet", "--log", "json"}).err, "");
  EXPECT_EQ(jobs(), "1 done 1");
}

TEST_F(CliWorker, TheFirstSignalLetsJobsEnd) {
  for (const int signal : {SIGTERM, SIGINT}) {
    db.execute("DROP TABLE IF EXISTS t CASCADE; DROP SCHEMA IF EXISTS matview CASCADE");
    create_gated_view("v");
    std::optional<session> gate = close_gate();
    process worker = start_at_gate();
    ASSERT_TRUE(at_gate());
    worker.send_signal(signal);
    ASSERT_TRUE(worker.wait_for_err("worker stopping"));
    EXPECT_EQ(jobs(), "1 running 1");
    gate.reset();
    const auto ended = worker.wait(20s);  // It does not wait for the end of the grace.
    EXPECT_EQ(ended.exit_code, 0) << ended.err;
    EXPECT_EQ(jobs(), "1 done 1");
    EXPECT_EQ(db.query_one("SELECT id FROM v"), "2");
    EXPECT_EQ(workers(), "0");
  }
}

TEST_F(CliWorker, TheSecondSignalCancelsAndGivesBack) {
  create_gated_view("v");
  const session gate = close_gate();
  process worker = start_at_gate();
  ASSERT_TRUE(at_gate());
  worker.send_signal(SIGTERM);
  ASSERT_TRUE(worker.wait_for_err("worker stopping"));
  worker.send_signal(SIGTERM);
  const auto ended = worker.wait(20s);
  EXPECT_EQ(ended.exit_code, 0) << ended.err;
  EXPECT_EQ(jobs(), "1 ready 0");
  EXPECT_EQ(running(), 0);
  EXPECT_EQ(db.query_one("SELECT id FROM v"), "1");
}

TEST_F(CliWorker, TheEndOfTheGraceCancelsAndGivesBack) {
  create_gated_view("v");
  const session gate = close_gate();
  process worker = start_at_gate({"--grace", "10 milliseconds"});
  ASSERT_TRUE(at_gate());
  worker.send_signal(SIGTERM);
  EXPECT_EQ(worker.wait().exit_code, 0);
  EXPECT_EQ(jobs(), "1 ready 0");
}

TEST_F(CliWorker, FetchesOnlyFromItsQueues) {
  for (const char* queue : {"a", "b", "c"}) put({"sql", "SELECT 1", "--queue", queue});
  EXPECT_EQ(matview({"worker", "--once", "--queues", "a,c"}).exit_code, 0);
  EXPECT_EQ(jobs(), "1 done 1, 2 ready 0, 3 done 1");
}

TEST_F(CliWorker, WorksOnSeveralDatabases) {
  test_database other;
  const std::string config = folder.write(
      "two.toml", "[databases]\none = \"" + db.url() + "\"\ntwo = \"" + other.url() + "\"\n");
  const auto both = [&](const std::vector<std::string>& which) {
    for (const char* alias : {"one", "two"}) {
      put({"sql", "SELECT 1", "--config", config, "--database", alias});
    }
    std::vector<std::string> arguments{"worker", "--once", "--config", config};
    arguments.insert(arguments.end(), which.begin(), which.end());
    // The environment's own database is none of those that are configured.
    return matview(arguments, {.env = {{"MATVIEW_URL", "postgresql://nobody@127.0.0.1:1/none"}}});
  };
  for (const auto& which :
       std::vector<std::vector<std::string>>{{"--databases", "one,two"},
                                             {"--databases=one", "--databases=two"},
                                             {"--all-databases"}}) {
    const auto worked = both(which);
    EXPECT_EQ(worked.exit_code, 0) << worked.err;
    for (test_database* each : {&db, &other}) {
      EXPECT_EQ(each->query_one("SELECT count(*) FROM matview.job WHERE state <> 'done'"), "0");
    }
  }
  EXPECT_EQ(other.query_one("SELECT count(*) FROM matview.job"), "3");
}

TEST_F(CliWorker, FiresSchedulesAndEndsWhenIdle) {
  db.execute("CREATE TABLE t (at timestamptz)");
  ASSERT_EQ(matview({"schedule", "set", "s", "--every", "1 second", "--sql",
                     "INSERT INTO t VALUES (now())"})
                .exit_code,
            0);
  process worker = start({"worker", "--stop-after-idle", "2 seconds"});
  EXPECT_TRUE(eventually([this] { return db.query_one("SELECT count(*) > 1 FROM t") == "t"; }));
  ASSERT_EQ(matview({"schedule", "remove", "s"}).exit_code, 0);
  const auto ended = worker.wait();
  EXPECT_EQ(ended.exit_code, 0) << ended.err;
  EXPECT_EQ(db.query_one("SELECT count(*) = count(DISTINCT (schedule, tick)) FROM matview.job"),
            "t");
}

TEST_F(CliWorker, IsListedAsLongAsItLives) {
  put({"sql", "SELECT 1", "--delay", "1 hour"});
  const auto none = matview({"workers"});
  EXPECT_EQ(none.out, "");
  EXPECT_TRUE(contains(none.err, "no workers")) << none.err;
  process worker = start({"worker", "--queues", "a,default", "--concurrency", "3"});
  ASSERT_TRUE(worker.wait_for_err("worker started"));
  json::value found;
  ASSERT_TRUE(eventually([&] {
    found = json_of(matview({"workers", "--format", "json"}));
    return found.as_array().size() == 1 && found.at(0).at("state") == "alive";
  }));
  EXPECT_EQ(found.at(0).at("pid"), worker.id());
  EXPECT_EQ(found.at(0).at("queues"), json::array({"a", "default"}));
  EXPECT_EQ(found.at(0).at("concurrency"), 3);
  EXPECT_FALSE(contains(matview({"enqueue", "sql", "SELECT 1"}).err, "no worker works"));
  EXPECT_TRUE(contains(matview({"enqueue", "sql", "SELECT 1", "--queue", "b"}).err,
                       "no worker works on queue \"b\" now"));
  worker.send_signal(SIGKILL);
  worker.wait();
  EXPECT_TRUE(eventually([&] {
    return json_of(matview({"workers", "--format", "json"})).at(0).at("state") == "lost";
  }));
}

TEST_F(CliWorker, ARunningJobIsCancelledInTheServer) {
  create_gated_view("v");
  const session gate = close_gate();
  process worker = start_at_gate();
  ASSERT_TRUE(at_gate());
  const auto asked = matview({"jobs", "cancel", "1", "--format", "json"});
  EXPECT_EQ(json_of(asked).at("cancelled"), false);
  EXPECT_TRUE(eventually([this] { return jobs() == "1 cancelled 1"; }));
  EXPECT_EQ(running(), 0);
  worker.send_signal(SIGTERM);
  EXPECT_EQ(worker.wait().exit_code, 0);
}

// The service manager's end of sd_notify(3).
class CliWorkerService : public CliWorker {
 protected:
  CliWorkerService() : socket_(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::string path = (folder.path() / "notify").string();
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    const timeval patience{.tv_sec = 30, .tv_usec = 0};
    ::setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (::bind(socket_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
      throw std::runtime_error("bind " + path);
    }
  }
  ~CliWorkerService() override { ::close(socket_); }
  std::string told() const {
    std::array<char, 256> text{};
    const ssize_t size = ::recv(socket_, text.data(), text.size(), 0);
    return {text.data(), static_cast<std::size_t>(std::max<ssize_t>(size, 0))};
  }

 private:
  int socket_;
};

TEST_F(CliWorkerService, HearsWhenItIsReadyAndWhenItStops) {
  process worker =
      start({"worker"}, {.env = {{"NOTIFY_SOCKET", (folder.path() / "notify").string()}}});
  EXPECT_EQ(told(), "READY=1");
  EXPECT_FALSE(worker.ended());
  worker.send_signal(SIGTERM);
  EXPECT_EQ(told(), "STOPPING=1");
  EXPECT_EQ(worker.wait().exit_code, 0);
}

TEST_F(CliWorkerService, HasAUnitThatSystemdAccepts) {
  if (run({"sh", "-c", "command -v systemd-analyze"}).exit_code != 0) {
    GTEST_SKIP() << "no systemd-analyze";
  }
  std::string unit = read_file(MATVIEW_SOURCE_DIR "/packaging/matview-worker.service");
  const std::string installed = "ExecStart=matview ";
  ASSERT_TRUE(contains(unit, installed));
  unit.replace(unit.find(installed), installed.size(), "ExecStart=" MATVIEW_PROGRAM " ");
  const auto checked =
      run({"systemd-analyze", "verify", "--man=no", folder.write("matview-worker.service", unit)});
  EXPECT_EQ(checked.exit_code, 0) << checked.err;
  EXPECT_EQ(checked.err, "");
}

TEST_F(CliWorker, WithoutRightsIsToldWhatToGrant) {
  const std::string role = db.name() + "_guest";
  db.execute("CREATE ROLE " + role + " LOGIN");
  const std::string url = with_parameter(db.url(), "user", role);
  const std::vector<std::vector<std::string>> commands{
      {"worker", "--once"},
      {"schedule", "set", "s", "--every", "1 hour", "--sql", "SELECT 1"},
      {"enqueue", "sql", "SELECT 1"}};
  const auto expect_grant = [&](const std::string& what) {
    for (std::vector<std::string> command : commands) {
      command.insert(command.end(), {"--url", url});
      expect_refusal(matview(command), 1, {"permission denied", what});
    }
  };
  expect_grant("GRANT CREATE ON DATABASE");
  put({"sql", "SELECT 1"});
  expect_grant("GRANT USAGE ON SCHEMA matview");
  EXPECT_EQ(jobs(), "1 ready 0");
  db.execute("DROP OWNED BY " + role + "; DROP ROLE " + role);
}

TEST_F(CliWorker, WithoutAServerEndsAtOnce) {
  const std::vector<std::string> nowhere{"worker", "--url", "postgresql://nobody@127.0.0.1:1/none"};
  expect_refusal(matview(nowhere), 3, {"127.0.0.1"});
  std::vector<std::string> as_json = nowhere;
  as_json.insert(as_json.end(), {"--log", "json"});
  const auto refused = matview(as_json);
  EXPECT_EQ(refused.exit_code, 3);
  EXPECT_EQ(json::parse(refused.err).at("code"), "connection_failed");
}

TEST_F(CliWorker, RefusesWhatMakesNoSense) {
  expect_refusal(matview({"worker", "--databases", "nope"}), 2, {"nope", "configured: default"});
  expect_refusal(matview({"worker", "--concurrency", "0"}), 2, {"--concurrency"});
  expect_refusal(matview({"worker", "--queues", ""}), 2, {"--queues"});
  expect_refusal(matview({"worker", "--log", "xml"}), 2, {"\"xml\" is not text or json"});
  expect_refusal(matview({"worker", "--grace", "soon"}), 2, {"soon"});
  expect_refusal(matview({"worker", "--all-databases", "--databases", "default"}), 2,
                 {"--databases"});
  EXPECT_EQ(db.query_one("SELECT to_regnamespace('matview') IS NULL"), "t");
}

}  // namespace
}  // namespace matview::test
