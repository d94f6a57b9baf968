// What a refresh does beyond computing: one at a time, giving way, a mode with a reason, left out
// when it is not needed, remembered.

#include "pooler.hpp"
#include "views_fixture.hpp"
#include <matview/history.hpp>

#include <gtest/gtest.h>
#include <libpq-fe.h>
#include <unistd.h>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

namespace matview::test {
namespace {

class RefreshTrust : public views_test {
 protected:
  RefreshTrust() {
    db.execute(
        "CREATE TABLE t AS SELECT 1 AS id; CREATE MATERIALIZED VIEW v AS SELECT id FROM t; "
        "CREATE UNIQUE INDEX ON v (id)");
  }
  refresh_record last() { return list_history({.view = "v", .limit = 1}).at(0); }
};

TEST_F(RefreshTrust, KeepsNoHistoryBeforeSomebodyWantsOne) {
  refresh_matview("v");
  EXPECT_TRUE(list_history().empty());
  EXPECT_FALSE(exists("matview.refresh"));
  EXPECT_EQ(prune_history(), 0);
}

TEST_F(RefreshTrust, IsRemembered) {
  keep_history();
  keep_history();
  refresh_matview("v", {.asked_by = refresh_origin::hand});
  db.execute("INSERT INTO t SELECT generate_series(2, 1000)");
  refresh_matview("v", {.concurrently = true});
  const auto all = list_history({.view = "v"});
  ASSERT_EQ(all.size(), 2U);
  EXPECT_EQ(all[1].mode, refresh_mode::full);
  EXPECT_EQ(all[1].asked_by, refresh_origin::hand);
  EXPECT_EQ(all[1].reason, "asked for without concurrently");
  EXPECT_EQ(all[1].rows_after, 1);
  const refresh_record& now = all[0];
  EXPECT_EQ(now.schema + "." + now.name, "public.v");
  EXPECT_EQ(now.mode, refresh_mode::concurrently);
  EXPECT_EQ(now.outcome, history_outcome::done);
  EXPECT_EQ(now.asked_by, refresh_origin::api);
  EXPECT_EQ(now.rows_before, 1);
  EXPECT_EQ(now.rows_after, 1000);
  EXPECT_GT(now.bytes_after, now.bytes_before);
  EXPECT_GT(now.wal_bytes, 1000 * 8);
  EXPECT_GT(now.finished, now.started);
  EXPECT_EQ(now.pid, ::getpid());
  EXPECT_FALSE(now.host.empty());
}

TEST_F(RefreshTrust, OfACallersTransactionIsRememberedWithIt) {
  keep_history();
  PGconn* raw = PQconnectdb(db.url().c_str());
  PQclear(PQexec(raw, "BEGIN"));
  refresh_matview(raw, "v");
  PQclear(PQexec(raw, "ROLLBACK"));
  EXPECT_TRUE(list_history().empty());
  refresh_matview(raw, "v");
  EXPECT_EQ(list_history().size(), 1U);
  PQfinish(raw);
}

TEST_F(RefreshTrust, ThatFailedIsRememberedWithItsReason) {
  keep_history();
  db.execute("INSERT INTO t VALUES (1)");
  EXPECT_EQ(failure_of([] { return refresh_matview("v"); }).sqlstate(), "23505");
  EXPECT_EQ(last().outcome, history_outcome::failed);
  EXPECT_EQ(last().sqlstate, "23505");
  EXPECT_TRUE(contains(last().error, "unique")) << last().error;
}

TEST_F(RefreshTrust, IsPrunedButForTheLastTwenty) {
  keep_history();
  db.execute(
      "INSERT INTO matview.refresh (schema, name, mode, reason, outcome, asked_by, started_at, "
      "finished_at) SELECT 'public', 'v', 'full', '', 'done', 'api', at, at FROM "
      "generate_series(now() - interval '2000 hours', now(), '1 hour') AS at");
  EXPECT_EQ(prune_history({.keep = interval::parse("101 hours")}), 1900);
  EXPECT_EQ(prune_history({.keep = interval::parse("1 second")}), 81);
  EXPECT_EQ(list_history({.limit = 100}).size(), 20U);
}

TEST_F(RefreshTrust, TellsOutsideRefreshesFromGrants) {
  keep_history();
  const std::string counts =
      "SELECT n_tup_ins + n_tup_del + seq_scan + idx_scan FROM pg_stat_all_tables "
      "WHERE relid = 'v'::regclass";
  const auto outside = [&](const std::string& sql, bool counted = false) {
    refresh_matview("v", {.concurrently = true});
    const std::string before = db.query_one(counts);
    db.execute(sql);
    // The server tells its counters within some seconds.
    EXPECT_TRUE(!counted || eventually([&] { return db.query_one(counts) != before; }));
    refresh_matview("v", {.concurrently = true});
    const refresh_record seen = list_history({.view = "v", .limit = 2}).at(1);
    return seen.outcome == history_outcome::outside ? std::string(to_string(seen.mode))
                                                    : std::string("nothing");
  };
  EXPECT_EQ(outside("REFRESH MATERIALIZED VIEW v"), "full");
  EXPECT_EQ(outside("REFRESH MATERIALIZED VIEW CONCURRENTLY v", true), "concurrently");
  EXPECT_EQ(outside("UPDATE t SET id = 2; REFRESH MATERIALIZED VIEW CONCURRENTLY v", true),
            "concurrently");
  for (const char* no_refresh :
       {"GRANT SELECT ON v TO public", "GRANT SELECT ON v TO public /* again */",
        "ALTER MATERIALIZED VIEW v SET (fillfactor = 90)", "VACUUM v", "ANALYZE v",
        "REINDEX TABLE v", "SELECT 1"}) {
    EXPECT_EQ(outside(no_refresh), "nothing") << no_refresh;
  }
}

TEST_F(RefreshTrust, ChoosesItsModeAndSaysWhy) {
  const auto automatic = [] { return refresh_matview("v", {.mode = refresh_mode::automatic}); };
  EXPECT_EQ(automatic().reason, "nobody has read it since the server's statistics began");
  {
    session reader(db.url());
    reader.execute("BEGIN; DECLARE c CURSOR FOR SELECT * FROM v; FETCH c");
    const refresh_report report = automatic();
    EXPECT_EQ(report.mode, refresh_mode::concurrently);
    EXPECT_TRUE(contains(report.reason, "1 session reads it now")) << report.reason;
    reader.execute("COMMIT");
  }
  db.execute("DROP INDEX v_id_idx");
  EXPECT_EQ(automatic().reason, "it has no unique index that CONCURRENTLY could use");
  db.execute("CREATE UNIQUE INDEX ON v (id); REFRESH MATERIALIZED VIEW v WITH NO DATA");
  EXPECT_EQ(automatic().reason, "it holds no data yet, which CONCURRENTLY needs");
  EXPECT_EQ(failure_of([] { return refresh_matview("v", {.mode = refresh_mode::none}); }).code(),
            errc::invalid_option);
  EXPECT_EQ(
      failure_of([] { return refresh_matview("nope", {.mode = refresh_mode::automatic}); }).code(),
      errc::view_not_found);
  EXPECT_EQ(
      failure_of([] { return refresh_matview("t", {.mode = refresh_mode::automatic}); }).code(),
      errc::view_not_found);
}

class RefreshTurns : public RefreshTrust {
 protected:
  RefreshTurns() : slow(db.url()) {
    keep_history();
    slow.open();
    create_matview("w", "SELECT id FROM t WHERE " + gate::condition());
    slow.close();
  }
  gate slow;
};

TEST_F(RefreshTurns, WaitsForTheOther) {
  background first(arefresh_matview("w"));
  slow.await();
  background second(arefresh_matview("w"));
  slow.await(2);  // The second one stands before the first one's lock.
  slow.open();
  first.get();
  EXPECT_EQ(second.get().mode, refresh_mode::full);
  EXPECT_EQ(db.query_one("SELECT count(*) FROM matview.refresh a JOIN matview.refresh b ON a.id < "
                         "b.id AND b.started_at < a.finished_at"),
            "0")
      << "two ran at once";
}

TEST_F(RefreshTurns, JoinsSkipsOrFails) {
  background first(arefresh_matview("w"));
  slow.await();
  const refresh_report skipped = refresh_matview("w", {.if_running = if_running::skip});
  EXPECT_EQ(skipped.mode, refresh_mode::none);
  EXPECT_TRUE(contains(skipped.reason, "it is being refreshed by pid ")) << skipped.reason;
  EXPECT_TRUE(contains(skipped.reason, "matview refresh w")) << skipped.reason;
  EXPECT_EQ(list_history({.view = "w", .limit = 1}).at(0).outcome, history_outcome::skipped);
  const error refused =
      failure_of([] { return refresh_matview("w", {.if_running = if_running::fail}); });
  EXPECT_EQ(refused.code(), errc::already_refreshing);
  EXPECT_TRUE(contains(refused.what(), "matview refresh w")) << refused.what();
  refresh_options join{.if_running = if_running::join};
  background second(arefresh_matview("w", join));
  slow.await(2);
  slow.open();
  EXPECT_EQ(first.get().mode, refresh_mode::full);
  const refresh_report joined = second.get();
  EXPECT_EQ(joined.mode, refresh_mode::none);
  EXPECT_TRUE(contains(joined.reason, "joined")) << joined.reason;
}

TEST_F(RefreshTurns, WhoJoinsOneThatFailsRefreshes) {
  background first(arefresh_matview("w"));
  slow.await();
  refresh_options join{.if_running = if_running::join};
  background second(arefresh_matview("w", join));
  slow.await(2);
  first.cancel(asio::cancellation_type::terminal);
  EXPECT_EQ(failure_of([&] { return first.get(); }).code(), errc::cancelled);
  slow.await(1);
  slow.open();
  EXPECT_EQ(second.get().mode, refresh_mode::full);
}

TEST_F(RefreshTurns, IsStoppedFromAnywhere) {
  EXPECT_EQ(cancel_refresh("w"), 0);
  background first(arefresh_matview("w"));
  slow.await();
  EXPECT_EQ(cancel_refresh("w"), 1);
  EXPECT_EQ(failure_of([&] { return first.get(); }).code(), errc::cancelled);
  session other(db.url());
  std::thread psql([&] {
    try {
      other.execute("REFRESH MATERIALIZED VIEW w");
      ADD_FAILURE() << "it was not stopped";
    } catch (const std::exception& stopped) {
      EXPECT_TRUE(contains(stopped.what(), "cancel")) << stopped.what();
    }
  });
  slow.await();
  EXPECT_EQ(cancel_refresh("w"), 1);
  psql.join();
}

TEST_F(RefreshTurns, EndsAfterItsMaxDuration) {
  const error late = failure_of(
      [] { return refresh_matview("w", {.max_duration = interval::parse("300 milliseconds")}); });
  EXPECT_EQ(late.code(), errc::statement_timeout);
  const refresh_record row = list_history({.view = "w", .limit = 1}).at(0);
  EXPECT_EQ(row.outcome, history_outcome::failed);
  EXPECT_GE(row.finished - row.started, 300ms) << "from when it was asked for";
  slow.open();
  EXPECT_EQ(refresh_matview("w", {.lock_timeout = interval::parse("1 second"),
                                  .max_duration = interval::parse("1 hour")})
                .mode,
            refresh_mode::full);
}

TEST_F(RefreshTrust, LetsReadersPassBetweenItsTries) {
  session holder(db.url());
  holder.execute("BEGIN; SELECT * FROM v");
  background refresh(arefresh_matview("v"));
  ASSERT_TRUE(eventually([&] {
    return db.query_one(
               "SELECT count(*) FROM pg_locks WHERE NOT granted AND "
               "mode = 'AccessExclusiveLock' AND database = (SELECT oid FROM pg_database WHERE "
               "datname = current_database())") == "1";
  }));
  // Behind a REFRESH that waits for ever these would wait for ever.
  session reader(db.url());
  for (int i = 0; i < 3; ++i) EXPECT_EQ(reader.query_one("SELECT id FROM v"), "1");
  holder.execute("COMMIT");
  const refresh_report report = refresh.get();
  EXPECT_GE(report.lock_waits, 1);
}

TEST_F(RefreshTrust, IsTriedAgainAfterADeadlock) {
  // The other takes a lock that the refresh needs second, and then waits for its first.
  session other(db.url());
  other.execute("SET deadlock_timeout = '20 s'; BEGIN; LOCK TABLE t");
  db.execute(
      "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET deadlock_timeout = 100', "
      "current_database()); END $$");
  background refresh(arefresh_matview("v"));
  ASSERT_TRUE(eventually([&] {
    return db.query_one(
               "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = "
               "'t'::regclass") == "1";
  }));
  std::thread second([&] { other.execute("SELECT * FROM v; COMMIT"); });
  EXPECT_GE(refresh.get().lock_waits, 1);
  second.join();
}

// The turn is a lock of the transaction, so that sessions that are shared do no harm.
TEST_F(RefreshTrust, HoldsThroughAPoolerInTransactionMode) {
  keep_history();
  session server(db.url());
  const pooler shared(server, "transaction");
  ASSERT_TRUE(eventually([&] { return shared.ready(); }));
  configure({{"default", shared.url(db.query_one("SELECT current_database()"))}});
  EXPECT_EQ(refresh_matview("v", {.mode = refresh_mode::automatic, .care = care_options()}).mode,
            refresh_mode::full);
  EXPECT_EQ(refresh_matview("v", {.concurrently = true}).rows, 1);
  EXPECT_EQ(ensure_fresh("v", interval::parse("1 hour")).mode, refresh_mode::none);
  EXPECT_EQ(cancel_refresh("v"), 0);
  gate slow(db.url());
  slow.open();
  create_matview("w", "SELECT id FROM t WHERE " + gate::condition());
  slow.close();
  background first(arefresh_matview("w"));
  slow.await();
  EXPECT_EQ(refresh_matview("w", {.if_running = if_running::skip}).mode, refresh_mode::none);
  background second(arefresh_matview("w"));
  slow.await(2);
  slow.open();
  EXPECT_EQ(first.get().mode, refresh_mode::full);
  EXPECT_EQ(second.get().mode, refresh_mode::full);
  EXPECT_EQ(
      db.query_one("SELECT count(*) FROM matview.refresh a JOIN matview.refresh b ON a.id < "
                   "b.id AND a.name = b.name AND b.started_at < a.finished_at AND a.outcome = "
                   "'done' AND b.outcome = 'done'"),
      "0");
  EXPECT_EQ(db.query_one("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND classid = "
                         "7173746 AND database = (SELECT oid FROM pg_database WHERE datname = "
                         "current_database())"),
            "0");
}

class EnsureFresh : public RefreshTrust {
 protected:
  const interval hour = interval::parse("1 hour");
};

TEST_F(EnsureFresh, RefreshesWhatIsTooOldAndNothingElse) {
  EXPECT_EQ(ensure_fresh("v", hour).mode, refresh_mode::full) << "nothing is known of its age yet";
  const refresh_report fresh = ensure_fresh("v", hour);
  EXPECT_EQ(fresh.mode, refresh_mode::none);
  EXPECT_EQ(fresh.view, "public.v");
  EXPECT_TRUE(contains(fresh.reason, "old, and may be 1 hour")) << fresh.reason;
  db.execute("UPDATE matview.view SET data_as_of = now() - interval '61 min'");
  EXPECT_EQ(ensure_fresh("v", hour).mode, refresh_mode::full);
  db.execute("DROP MATERIALIZED VIEW v; CREATE MATERIALIZED VIEW v AS SELECT id FROM t");
  EXPECT_EQ(ensure_fresh("v", hour).mode, refresh_mode::full) << "another view of that name";
  EXPECT_EQ(failure_of([&] { return ensure_fresh("nope", hour); }).code(), errc::view_not_found);
}

TEST_F(EnsureFresh, OfTwoHundredAtOnceOneRefreshes) {
  keep_history();
  std::atomic<int> done = 0;
  std::vector<std::thread> all;
  for (int i = 0; i < 8; ++i) {
    all.emplace_back([&] {
      asio::io_context loop;
      for (int j = 0; j < 25; ++j) {
        asio::co_spawn(loop, aensure_fresh("v", hour),
                       [&](std::exception_ptr failed, const refresh_report& report) {
                         EXPECT_FALSE(failed);
                         if (report.mode != refresh_mode::none) ++done;
                       });
      }
      loop.run();
    });
  }
  for (std::thread& one : all) one.join();
  EXPECT_EQ(done, 1);
  EXPECT_EQ(db.query_one("SELECT count(*) FROM matview.refresh WHERE outcome = 'done'"), "1");
}

TEST_F(RefreshTurns, EnsuringFreshnessJoinsOneThatBeganLateEnough) {
  background first(arefresh_matview("w"));
  slow.await();
  refresh_options plain;
  background second(aensure_fresh("w", interval::parse("1 hour"), plain));
  slow.await(2);
  slow.open();
  first.get();
  EXPECT_EQ(second.get().mode, refresh_mode::none);
}

TEST_F(RefreshTurns, EnsuringFreshnessDoesNotJoinOneThatBeganTooEarly) {
  background first(arefresh_matview("w"));
  slow.await();
  const auto began = std::chrono::steady_clock::now();
  ASSERT_TRUE(eventually([&] { return std::chrono::steady_clock::now() - began > 50ms; }));
  refresh_options plain;
  background second(aensure_fresh("w", interval::parse("1 millisecond"), plain));
  slow.await(2);
  slow.open();
  first.get();
  EXPECT_EQ(second.get().mode, refresh_mode::full);
}

}  // namespace
}  // namespace matview::test
