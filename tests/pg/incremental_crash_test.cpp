// Incremental views on servers of their own, which are killed in the middle of refreshes, lose what
// unlogged tables held, and take part in logical replication. Killed at each step, one after the
// other: ../cli/incremental_kill_test.cpp.
#include "pg/views_fixture.hpp"
#include <matview/incremental.hpp>

#include <fmt/format.h>
#include <signal.h>

#include <algorithm>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace matview::test {

namespace {

class IncrementalCrash : public testing::Test {
 protected:
  explicit IncrementalCrash(std::vector<std::string> settings = {})
      : server(std::move(settings)), dice_(seed()) {
    server.start();
    configure({{"default", server.url()}});
    RecordProperty("seed", std::to_string(seed()));
  }
  ~IncrementalCrash() override { configure({}); }

  static refresh_report make(const std::string& name, const std::string& sql) {
    return create_matview(name, sql, {.kind = view_kind::incremental});
  }
  static void expect_right(const std::string& view) {
    const verify_report found = verify_matview(view);
    EXPECT_TRUE(found.right()) << view << ": " << found.missing << " missing, " << found.unexpected
                               << " unexpected, seed " << seed();
  }
  static unsigned seed() {
    static const unsigned chosen = std::random_device{}();
    return chosen;
  }
  std::chrono::microseconds any_time(std::chrono::microseconds below) {
    return std::chrono::microseconds(
        std::uniform_int_distribution<std::int64_t>(0, below.count())(dice_));
  }
  void execute(const std::string& sql) { session(server.url()).execute(sql); }
  std::string one(const std::string& sql) { return session(server.url()).query_one(sql); }

  // Once it has come back by itself.
  bool accepts() {
    return eventually([this] {
      try {
        return one("SELECT 1") == "1";
      } catch (const std::runtime_error&) {
        return false;
      }
    });
  }

  // Three views of the three mechanisms over enough rows that a refresh takes a while.
  void make_views() {
    execute(
        "CREATE TABLE r (id int PRIMARY KEY, a int, x int);"
        "CREATE TABLE s (a int PRIMARY KEY, name text);"
        "INSERT INTO s SELECT i, 'n' || i FROM generate_series(0, 299) i;"
        "INSERT INTO r SELECT i, i % 300, i FROM generate_series(1, 20000) i");
    make("linear",
         "SELECT s.name, count(*) AS n, sum(r.x) AS sx FROM r JOIN s USING (a) GROUP BY 1");
    make("keyed", "SELECT r.id, r.x, s.name FROM r LEFT JOIN s USING (a)");
    make("both", "SELECT count(*) AS n, sum(x) AS sx, max(x) AS mx FROM keyed WHERE name > 'n1'");
  }
  void change(int round) {
    execute(
        fmt::format("UPDATE r SET x = x + 1, a = (a + {0}) % 300 WHERE id % 3 = {0} % 3;"
                    "DELETE FROM r WHERE id % 50 = {0}; DELETE FROM s WHERE a = {0};"
                    "INSERT INTO r SELECT {0} * 100000 + i, i, i FROM generate_series(1, 200) i",
                    round));
  }
  // Refreshes each view in turn until `end` has ended one of them. Whether it has; else it came too
  // late, and comes earlier the next time.
  template <class End>
  bool refresh_until_killed(End end) {
    background refreshes([]() -> asio::awaitable<int> {
      int done = 0;
      for (const char* const view : {"linear", "keyed", "both"}) {
        try {
          co_await arefresh_matview(view);
        } catch (const error&) {
          co_return done;
        }
        ++done;
      }
      co_return done;
    }());
    std::this_thread::sleep_for(any_time(latest_));  // The very moment is what is tried.
    end();
    const bool killed = refreshes.get() < 3;
    if (!killed) latest_ = latest_ * 3 / 4;
    return killed;
  }
  // Those that are in a refresh now, if any.
  void kill_backends() {
    session looking(server.url());
    const rows backends = looking.query(
        "SELECT pid FROM pg_stat_activity WHERE datname IS NOT NULL AND state <> 'idle' AND "
        "application_name LIKE 'matview%'");
    for (const auto& row : backends) ::kill(std::stoi(row.front()), SIGKILL);
    // Until the server has noticed: then it ends all sessions and recovers.
    EXPECT_TRUE(backends.empty() || eventually([&] {
                  try {
                    looking.execute("SELECT 1");
                    return false;
                  } catch (const std::runtime_error&) {
                    return true;
                  }
                }));
  }
  void expect_all_right_after_a_refresh() {
    for (const char* const view : {"linear", "keyed", "both"}) {
      refresh_matview(view);
      expect_right(view);
    }
  }

  void expect_right_by_changes(const char* view) {
    const refresh_report done = refresh_matview(view, {.mode = refresh_mode::incremental});
    EXPECT_EQ(done.mode, refresh_mode::incremental) << view << ": " << done.reason;
    expect_right(view);
  }

  private_server server;

 private:
  std::mt19937 dice_;
  std::chrono::microseconds latest_ = 400ms;
};

// The numbers of transactions go on in the new cluster, and the logs are there as they were.
TEST_F(IncrementalCrash, AClusterThatPgUpgradeMadeIsNoticedAndTheNextRefreshIsFull) {
  make_views();
  change(1);
  configure({});
  if (!server.upgrade()) GTEST_SKIP() << "there is no pg_upgrade";
  configure({{"default", server.url()}});
  change(2);
  for (const char* const view : {"linear", "keyed", "both"}) {
    const refresh_report anew = refresh_matview(view);
    EXPECT_NE(anew.mode, refresh_mode::incremental) << view;
    EXPECT_TRUE(contains(anew.reason, "restored")) << anew.reason;
    expect_right(view);
  }
  change(3);
  for (const char* const view : {"linear", "keyed", "both"}) {
    expect_right_by_changes(view);
  }
}

// In another database, and in a copy of one, the numbers of transactions in a log mean nothing.
TEST_F(IncrementalCrash, ARestoredDumpAndACopyAreNoticedAndTheNextRefreshIsFull) {
  make_views();
  change(1);  // Waits in the logs of all three.
  configure({});
  execute("CREATE DATABASE copied TEMPLATE postgres");
  std::vector<std::string> databases{"copied"};
  if (server.restore_dump_as("restored")) databases.emplace_back("restored");
  for (const std::string& database : databases) {
    configure({{"default", with_parameter(server.url(), "dbname", database)}});
    session there(with_parameter(server.url(), "dbname", database));
    for (const char* const view : {"linear", "keyed", "both"}) {
      const refresh_report anew = refresh_matview(view);
      EXPECT_NE(anew.mode, refresh_mode::incremental) << database << " " << view;
      EXPECT_TRUE(contains(anew.reason, "restored")) << anew.reason;
      expect_right(view);
    }
    there.execute("UPDATE r SET x = x + 1 WHERE id % 7 = 0; DELETE FROM s WHERE a = 3");
    for (const char* const view : {"linear", "keyed", "both"}) {
      expect_right_by_changes(view);
    }
  }
  configure({{"default", server.url()}});
  for (const char* const view : {"linear", "keyed", "both"}) {
    expect_right_by_changes(view);
  }
}

// Older than the tables are, in the same cluster: the numbers of transactions are its own.
TEST_F(IncrementalCrash, OlderRowsOfTheSchemaAreNoticedAndTheNextRefreshIsFull) {
  make_views();
  change(1);  // Waits in the logs of all three.
  if (!server.dump_rows()) GTEST_SKIP() << "there is no pg_dump";
  for (const char* const view : {"linear", "keyed", "both"}) expect_right_by_changes(view);
  execute("SELECT matview.prune()");
  change(2);
  server.load_rows();
  change(3);
  for (const char* const view : {"linear", "keyed", "both"}) {
    const refresh_report anew = refresh_matview(view);
    EXPECT_NE(anew.mode, refresh_mode::incremental) << view;
    EXPECT_TRUE(contains(anew.reason, "restored from a dump")) << anew.reason;
    expect_right(view);
  }
  change(4);
  for (const char* const view : {"linear", "keyed", "both"}) expect_right_by_changes(view);
}

TEST_F(IncrementalCrash, BackendsKilledAtAnyMomentOfARefreshLeaveItRight) {
  make_views();
  int killed = 0;
  for (int round = 1; killed < 5 && round <= 15; ++round) {
    change(round);
    if (refresh_until_killed([this] { kill_backends(); })) ++killed;
    ASSERT_TRUE(accepts());
    expect_all_right_after_a_refresh();
  }
  EXPECT_EQ(killed, 5) << "all others came too late, seed " << seed();
}

TEST_F(IncrementalCrash, AServerKilledInMidRefreshIsRightAfterTheNextOne) {
  make_views();
  int killed = 0;
  for (int round = 1; killed < 5 && round <= 15; ++round) {
    change(round);
    if (refresh_until_killed([this] { server.kill_now(); })) ++killed;
    server.start();
    expect_all_right_after_a_refresh();
  }
  EXPECT_EQ(killed, 5) << "all others came too late, seed " << seed();
}

TEST_F(IncrementalCrash, AnUnloggedTableIsEmptyAfterwardsAndTheNextRefreshFillsTheViewAnew) {
  execute(
      "CREATE UNLOGGED TABLE u (id int PRIMARY KEY, a int);"
      "CREATE TABLE p (id int, a int) PARTITION BY RANGE (id);"
      "CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (100);"
      "CREATE UNLOGGED TABLE p2 PARTITION OF p FOR VALUES FROM (100) TO (200);"
      "INSERT INTO u SELECT i, i % 3 FROM generate_series(1, 100) i;"
      "INSERT INTO p SELECT i, i % 3 FROM generate_series(50, 149) i");
  make("v", "SELECT a, count(*) AS n FROM u GROUP BY a");
  make("w", "SELECT a, count(*) AS n FROM p GROUP BY a");
  execute("DELETE FROM u WHERE id < 10; DELETE FROM p WHERE id > 140");
  EXPECT_EQ(refresh_matview("v").mode, refresh_mode::incremental);
  EXPECT_EQ(refresh_matview("w").mode, refresh_mode::incremental);
  server.kill_now();
  server.start();
  EXPECT_EQ(one("SELECT count(*) FROM u"), "0");
  for (const char* const view : {"v", "w"}) {
    const refresh_report done = refresh_matview(view);
    EXPECT_EQ(done.mode, refresh_mode::diff);
    EXPECT_TRUE(contains(done.reason, "the server was restarted")) << done.reason;
    expect_right(view);
  }
  EXPECT_EQ(one("SELECT count(*) FROM v"), "0");
  EXPECT_EQ(one("SELECT sum(n) FROM w"), "50");
  execute("INSERT INTO u VALUES (1, 1)");
  EXPECT_EQ(refresh_matview("v").mode, refresh_mode::incremental);
  expect_right("v");
}

class IncrementalSubscriber : public IncrementalCrash {
 protected:
  IncrementalSubscriber() : IncrementalCrash({"wal_level = logical"}) {
    execute("CREATE DATABASE publisher");
    there = std::make_unique<session>(with_parameter(server.url(), "dbname", "publisher"));
    there->execute(
        "CREATE TABLE r (id int PRIMARY KEY, a int);"
        "INSERT INTO r SELECT i, i % 5 FROM generate_series(1, 100) i;"
        "CREATE PUBLICATION all_of_it FOR TABLE r");
    there->execute("SELECT pg_create_logical_replication_slot('matview_test', 'pgoutput')");
    execute("CREATE TABLE r (id int PRIMARY KEY, a int)");
  }
  // Both are in one server: a subscription that makes its slot itself would wait for itself.
  void subscribe() {
    execute(
        fmt::format("CREATE SUBSCRIPTION s CONNECTION '{}' PUBLICATION all_of_it WITH "
                    "(create_slot = false, slot_name = 'matview_test')",
                    with_parameter(server.url(), "dbname", "publisher")));
  }
  bool arrived() {
    const std::string sum = "SELECT count(*) || ' ' || coalesce(sum(id * (a + 1)), 0) FROM r";
    const std::string sent = there->query_one(sum);
    return eventually([&] { return one(sum) == sent; });
  }

  std::unique_ptr<session> there;
};

TEST_F(IncrementalSubscriber, CapturesWhatReplicationWritesIfItsCreatorOwnsTheTable) {
  make("v", "SELECT a, count(*) AS n FROM r GROUP BY a");
  subscribe();
  ASSERT_TRUE(arrived()) << server.log();
  EXPECT_NE(refresh_matview("v").mode, refresh_mode::none);
  EXPECT_EQ(one("SELECT sum(n) FROM v"), "100");
  there->execute(
      "UPDATE r SET a = a + 1 WHERE id < 50; DELETE FROM r WHERE id > 90;"
      "INSERT INTO r VALUES (1000, 3)");
  ASSERT_TRUE(arrived());
  EXPECT_EQ(refresh_matview("v").mode, refresh_mode::incremental);
  expect_right("v");
  there->execute("TRUNCATE r; INSERT INTO r VALUES (1, 1)");
  ASSERT_TRUE(arrived());
  EXPECT_EQ(refresh_matview("v").mode, refresh_mode::diff);
  expect_right("v");
  EXPECT_EQ(one("SELECT sum(n) FROM v"), "1");
  execute("DROP SUBSCRIPTION s");
}

TEST_F(IncrementalSubscriber, IsRefusedToWhoDoesNotOwnTheTable) {
  const std::string sql = "SELECT a, count(*) AS n FROM r GROUP BY a";
  execute(
      "CREATE ROLE guest LOGIN; GRANT SELECT, TRIGGER ON r TO guest;"
      "GRANT CREATE ON SCHEMA public TO guest; GRANT CREATE ON DATABASE postgres TO guest;"
      "INSERT INTO r VALUES (5000, 0)");
  configure({{"default", with_parameter(server.url(), "user", "guest")}});
  make("before", sql);
  subscribe();
  EXPECT_TRUE(eventually([this] { return one("SELECT count(*) FROM r") == "101"; }));
  for (const error& refusal :
       {failure_of([&] { make("v", sql); }), failure_of([] { refresh_matview("before"); })}) {
    EXPECT_EQ(refusal.code(), errc::invalid_select) << refusal.what();
    EXPECT_TRUE(contains(refusal.what(), "the table public.r: the rows that logical replication"))
        << refusal.what();
    EXPECT_TRUE(contains(refusal.hint(), "let the owner of the table make the view"));
  }
  EXPECT_EQ(one("SELECT sum(n) FROM before"), "1") << "what it held";
  const std::vector<finding> found = doctor({.names = {"before"}});
  EXPECT_TRUE(std::any_of(found.begin(), found.end(), [](const finding& told) {
    return told.kind == finding_kind::capture_incomplete &&
           contains(told.what, "logical replication writes into public.r");
  }));
  // The owner's refresh makes what it takes.
  configure({{"default", server.url()}});
  EXPECT_EQ(refresh_matview("before").mode, refresh_mode::full);
  EXPECT_EQ(one("SELECT sum(n) FROM before"), "101");
  there->execute("DELETE FROM r WHERE id <= 10");
  EXPECT_TRUE(eventually([this] { return one("SELECT count(*) FROM r") == "91"; }));
  EXPECT_EQ(refresh_matview("before").mode, refresh_mode::incremental);
  expect_right("before");
  execute("DROP SUBSCRIPTION s");
}

}  // namespace

}  // namespace matview::test
