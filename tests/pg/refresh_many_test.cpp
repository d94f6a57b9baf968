#include "fake_servers.hpp"
#include "views_fixture.hpp"

#include <boost/asio/thread_pool.hpp>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <mutex>
#include <string>
#include <vector>

namespace matview::test {
namespace {

using names = std::vector<std::string>;

names names_of(const refresh_summary& summary) {
  names out;
  for (const refreshed_view& one : summary.views) out.push_back(one.view);
  return out;
}

const refreshed_view& view_of(const refresh_summary& summary, const std::string& name) {
  const auto found = std::find_if(summary.views.begin(), summary.views.end(),
                                  [&](const refreshed_view& one) { return one.view == name; });
  if (found == summary.views.end()) throw std::runtime_error("nothing of " + name);
  return *found;
}

// base <- left, right <- top; alone. All over table t, whose rows tell whether they were refreshed.
class RefreshMany : public views_test {
 protected:
  RefreshMany() {
    db.execute("CREATE TABLE t AS SELECT 1 AS id");
    create_matview("base", "SELECT id FROM t");
    create_matview("left_one", "SELECT id FROM base");
    create_matview("right_one", "SELECT id FROM base");
    create_matview("top", "SELECT l.id FROM left_one l JOIN right_one r USING (id)");
    create_matview("alone", "SELECT id FROM t");
    db.execute("INSERT INTO t VALUES (2)");
  }
  [[nodiscard]] bool fresh(const std::string& view) { return count(view) == "2"; }
  /// A view over t whose query waits wherever the gate is closed.
  void create_gated(const std::string& name, const std::string& from = "t") {
    db.execute("CREATE MATERIALIZED VIEW " + name + " AS SELECT id FROM " + from + " WHERE " +
               gate::condition());
  }
};

TEST_F(RefreshMany, RefreshesAllWhatIsUpstreamFirst) {
  const refresh_summary summary = refresh_many({.which = {.all = true}});
  EXPECT_EQ(summary.count(refresh_outcome::done), 5U);
  for (const std::string view : {"base", "left_one", "right_one", "top", "alone"}) {
    EXPECT_TRUE(fresh(view)) << view;
  }
  EXPECT_FALSE(summary.cancelled);
  EXPECT_EQ(summary.jobs, 2U);
  EXPECT_EQ(view_of(summary, "public.top").report->rows, 2);
}

TEST_F(RefreshMany, GivesTheSameResultWithAnyNumberOfJobs) {
  for (const std::size_t jobs : {1U, 2U, 3U, 16U}) {
    SCOPED_TRACE(jobs);
    db.execute("TRUNCATE t; INSERT INTO t VALUES (1), (2)");
    const refresh_summary summary = refresh_many({.which = {.all = true}, .jobs = jobs});
    EXPECT_EQ(summary.count(refresh_outcome::done), 5U);
    EXPECT_TRUE(fresh("top"));
  }
}

TEST_F(RefreshMany, TakesExactlyWhatIsNeeded) {
  const std::string alone = db.query_one("SELECT pg_relation_filenode('alone')");
  const std::string right = db.query_one("SELECT pg_relation_filenode('right_one')");
  EXPECT_EQ(names_of(refresh_many({.which = {.names = {"left_one"}, .with_upstream = true}})),
            (names{"public.base", "public.left_one"}));
  EXPECT_EQ(names_of(refresh_many({.which = {.names = {"left_one"}, .with_downstream = true}})),
            (names{"public.left_one", "public.top"}));
  EXPECT_EQ(db.query_one("SELECT pg_relation_filenode('alone')"), alone);
  EXPECT_EQ(db.query_one("SELECT pg_relation_filenode('right_one')"), right);
}

TEST_F(RefreshMany, TakesASchemaInTheOrderThatLeadsThroughOthers) {
  db.execute("CREATE SCHEMA s");
  create_matview("s.z", "SELECT id FROM t");
  create_matview("between", "SELECT id FROM s.z");
  create_matview("s.a", "SELECT id FROM between");
  EXPECT_EQ(names_of(refresh_many({.which = {.schemas = {"s"}}, .jobs = 4})),
            (names{"s.z", "s.a"}));
}

TEST_F(RefreshMany, GoesByDeclaredDependenciesToo) {
  db.execute(
      "CREATE FUNCTION dark() RETURNS bigint LANGUAGE plpgsql AS "
      "$$BEGIN RETURN (SELECT count(*) FROM public.top); END$$");
  create_matview("a_first_by_name", "SELECT dark() AS n");
  declare_dependencies("a_first_by_name", {"top"});
  static_cast<void>(refresh_many({.which = {.all = true}, .jobs = 4}));
  EXPECT_EQ(db.query_one("SELECT n FROM a_first_by_name"), "2");
}

TEST_F(RefreshMany, LetsTheCallersOptionsThrough) {
  db.execute("CREATE UNIQUE INDEX ON alone (id)");
  const std::string before = db.query_one("SELECT pg_relation_filenode('alone')");
  const refresh_summary summary =
      refresh_many({.which = {.names = {"alone"}}, .each = {.concurrently = true}});
  EXPECT_EQ(summary.views.at(0).report->mode, refresh_mode::concurrently);
  EXPECT_EQ(db.query_one("SELECT pg_relation_filenode('alone')"), before);
}

TEST_F(RefreshMany, RunsIndependentViewsAtTheSameTime) {
  create_gated("g1");
  create_gated("g2");
  create_gated("g3");
  gate stop(db.url());
  background many(arefresh_many({.which = {.names = {"g1", "g2", "g3"}}, .jobs = 2}));
  stop.await(2);
  EXPECT_EQ(connections(), 2);
  EXPECT_FALSE(many.done());
  stop.open();
  EXPECT_EQ(many.get().count(refresh_outcome::done), 3U);
}

TEST_F(RefreshMany, FailsWhatIsBehindAFailureAndGoesOnWithTheRest) {
  db.execute(
      "CREATE TABLE divisor AS SELECT 1 AS n;"
      "CREATE MATERIALIZED VIEW broken AS SELECT id / n AS id FROM t, divisor;"
      "CREATE VIEW plain AS SELECT id FROM broken;"
      "CREATE MATERIALIZED VIEW behind AS SELECT id FROM plain;"
      "CREATE MATERIALIZED VIEW far_behind AS SELECT b.id FROM behind b, top;"
      "UPDATE divisor SET n = 0");
  std::vector<std::string> told;
  const refresh_summary summary =
      refresh_many({.which = {.all = true},
                    .on_ended = [&](const refreshed_view& one) { told.push_back(one.view); }});
  EXPECT_EQ(summary.count(refresh_outcome::done), 5U);
  const refreshed_view& broken = view_of(summary, "public.broken");
  EXPECT_EQ(broken.outcome, refresh_outcome::failed);
  EXPECT_EQ(broken.failure->sqlstate(), "22012");
  for (const std::string view : {"public.behind", "public.far_behind"}) {
    EXPECT_EQ(view_of(summary, view).outcome, refresh_outcome::upstream_failed);
    EXPECT_EQ(view_of(summary, view).reason, "upstream public.broken failed");
  }
  EXPECT_EQ(told, names_of(summary));
  EXPECT_TRUE(fresh("top"));
}

TEST_F(RefreshMany, RefusesBeforeItRefreshesAnything) {
  const auto code = [](const view_selection& which) {
    return failure_of([&] { return refresh_many({.which = which}); }).code();
  };
  EXPECT_EQ(code({}), errc::invalid_option);
  EXPECT_EQ(code({.names = {"base", "nope"}}), errc::view_not_found);
  EXPECT_EQ(code({.names = {"t"}}), errc::view_not_found);
  EXPECT_EQ(code({.schemas = {"nope"}}), errc::view_not_found);
  EXPECT_EQ(failure_of([] { return refresh_many({.which = {.all = true}, .jobs = 0}); }).code(),
            errc::invalid_option);
  EXPECT_FALSE(fresh("base"));
}

TEST_F(RefreshMany, IsFineWithNothingToDo) {
  db.execute("DROP TABLE t CASCADE");
  int told = 0;
  const refresh_summary summary = refresh_many(
      {.which = {.all = true}, .on_progress = [&](const refresh_progress&) { ++told; }});
  EXPECT_TRUE(summary.views.empty());
}

TEST_F(RefreshMany, UsesNoMoreConnectionsThanThePoolHas) {
  configure_databases({{"default", {.url = db.url(), .pool_size = 2}}});
  const refresh_summary summary = refresh_many({.which = {.all = true}, .jobs = 50});
  EXPECT_EQ(summary.jobs, 2U);
  EXPECT_EQ(summary.count(refresh_outcome::done), 5U);
}

TEST_F(RefreshMany, TellsDroppedRenamedAndRemadeViewsApart) {
  create_gated("gated");
  for (const std::string view : {"dropped", "renamed", "moved", "remade"}) {
    db.execute("CREATE MATERIALIZED VIEW " + view +
               " AS SELECT t.id FROM t, (SELECT 1 FROM gated LIMIT 1) g");
  }
  db.execute("INSERT INTO t VALUES (3); CREATE SCHEMA elsewhere");
  gate stop(db.url());
  background many(
      arefresh_many({.which = {.names = {"gated"}, .with_downstream = true}, .jobs = 2}));
  stop.await();
  db.execute(
      "DROP MATERIALIZED VIEW dropped; ALTER MATERIALIZED VIEW renamed RENAME TO other;"
      "ALTER MATERIALIZED VIEW moved SET SCHEMA elsewhere; DROP MATERIALIZED VIEW remade;"
      "CREATE MATERIALIZED VIEW remade AS SELECT id FROM t WITH NO DATA");
  stop.open();
  const refresh_summary summary = many.get();
  EXPECT_EQ(view_of(summary, "public.gated").outcome, refresh_outcome::done);
  EXPECT_EQ(view_of(summary, "public.dropped").outcome, refresh_outcome::skipped);
  EXPECT_EQ(view_of(summary, "public.dropped").reason, "it was dropped while this ran");
  EXPECT_EQ(view_of(summary, "public.renamed").outcome, refresh_outcome::done);
  EXPECT_EQ(view_of(summary, "public.renamed").reason, "it is now called public.other");
  EXPECT_EQ(view_of(summary, "public.moved").reason, "it is now called elsewhere.moved");
  EXPECT_EQ(view_of(summary, "public.remade").outcome, refresh_outcome::done);
  EXPECT_EQ(view_of(summary, "public.remade").reason, "it was made anew while this ran");
  EXPECT_EQ(count("other"), "3");
  EXPECT_EQ(count("elsewhere.moved"), "3");
  EXPECT_EQ(count("remade"), "3");
}

TEST_F(RefreshMany, FollowsAViewThatIsRenamedWhileItWaitsForItsLock) {
  session holder(db.url());
  holder.execute("BEGIN; ALTER MATERIALIZED VIEW alone RENAME TO other");
  background many(arefresh_many({.which = {.names = {"alone"}}}));
  ASSERT_TRUE(eventually([&] {
    return db.query_one(
               "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = "
               "'alone'::regclass") == "1";
  }));
  holder.execute("COMMIT");
  const refresh_summary summary = many.get();
  EXPECT_EQ(summary.views.at(0).outcome, refresh_outcome::done) << summary.views.at(0).reason;
  EXPECT_TRUE(fresh("other"));
}

TEST_F(RefreshMany, SkipsWhatIsClosedToTheRoleAndFailsWhatItMayNotRefresh) {
  const test_role role(db, "limited");
  db.execute(
      "CREATE SCHEMA closed; CREATE MATERIALIZED VIEW closed.c AS SELECT 1 AS id;"
      "CREATE MATERIALIZED VIEW mine AS SELECT id FROM closed.c;"
      "GRANT SELECT ON t TO " +
      role.name() + "; ALTER MATERIALIZED VIEW alone OWNER TO " + role.name());
  configure({{"default", role.url()}});
  const refresh_summary summary = refresh_many({.which = {.all = true}});
  EXPECT_EQ(view_of(summary, "closed.c").outcome, refresh_outcome::skipped);
  EXPECT_EQ(view_of(summary, "closed.c").reason, "this role may not use schema closed");
  EXPECT_EQ(view_of(summary, "public.alone").outcome, refresh_outcome::done);
  EXPECT_EQ(view_of(summary, "public.base").failure->code(), errc::permission_denied);
  EXPECT_EQ(view_of(summary, "public.top").outcome, refresh_outcome::upstream_failed);
}

TEST_F(RefreshMany, TellsALostConnectionAndGoesOn) {
  create_gated("gated");
  create_matview("behind", "SELECT id FROM gated");
  gate stop(db.url());
  background many(arefresh_many({.which = {.all = true}, .jobs = 2}));
  stop.await();
  db.execute(
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = "
      "'matview refresh public.gated'");
  const refresh_summary summary = many.get();
  const refreshed_view& gated = view_of(summary, "public.gated");
  EXPECT_EQ(gated.outcome, refresh_outcome::failed);
  EXPECT_EQ(gated.failure->code(), errc::connection_lost);
  EXPECT_TRUE(contains(gated.reason, "looked up again, the view is as it was")) << gated.reason;
  EXPECT_EQ(view_of(summary, "public.behind").reason, "upstream public.gated failed");
  EXPECT_EQ(summary.count(refresh_outcome::done), 5U);
}

TEST_F(RefreshMany, LooksUpAgainWhetherALostCommitHasHappened) {
  db.execute("CREATE UNIQUE INDEX ON base (id)");
  proxy between(db.url());
  configure({{"default", between.url()}});
  for (const bool concurrently : {false, true}) {
    SCOPED_TRACE(concurrently);
    const refresh_many_options options{.which = {.names = {"base"}},
                                       .each = {.concurrently = concurrently}};
    between.arrange("COMMIT", proxy::fate::lose_reply);
    const refreshed_view there = refresh_many(options).views.at(0);
    EXPECT_EQ(there.outcome, refresh_outcome::done) << there.reason;
    EXPECT_TRUE(contains(there.reason, "looked up again, the view has been refreshed"));

    between.arrange("COMMIT", proxy::fate::lose_request);
    const refreshed_view not_there = refresh_many(options).views.at(0);
    EXPECT_EQ(not_there.outcome, refresh_outcome::failed);
    EXPECT_EQ(not_there.failure->code(), errc::in_doubt);
    EXPECT_TRUE(contains(not_there.reason, "looked up again, the view is as it was"))
        << not_there.reason;
  }
  configure({});
}

TEST_F(RefreshMany, GoesOnAfterTheServerHasCrashed) {
  private_server server;
  server.start();
  session on(server.url());
  on.execute(
      "CREATE TABLE t AS SELECT 1 AS id; CREATE MATERIALIZED VIEW other AS SELECT id FROM t;"
      "CREATE MATERIALIZED VIEW gated AS SELECT id FROM t WHERE " +
      gate::condition() +
      "; CREATE MATERIALIZED VIEW behind AS SELECT id FROM gated;"
      "INSERT INTO t VALUES (2); SELECT pg_advisory_lock(4711)");
  configure({{"default", server.url()}});
  background many(arefresh_many({.which = {.all = true}, .jobs = 1}));
  session watcher(server.url());
  ASSERT_TRUE(eventually([&] {
    return watcher.query_one(
               "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT "
               "granted") == "1";
  }));
  server.kill_now();
  server.start();
  const refresh_summary summary = many.get();
  EXPECT_EQ(view_of(summary, "public.gated").outcome, refresh_outcome::failed);
  EXPECT_TRUE(contains(view_of(summary, "public.gated").reason, "looked up again"));
  EXPECT_EQ(view_of(summary, "public.behind").outcome, refresh_outcome::upstream_failed);
  EXPECT_EQ(view_of(summary, "public.other").outcome, refresh_outcome::done);
  configure({});
}

TEST_F(RefreshMany, CancelledItStopsWhatRunsAndTellsOfEach) {
  create_gated("a_gated");
  create_matview("behind", "SELECT id FROM a_gated");
  gate stop(db.url());
  background many(arefresh_many({.which = {.names = {"a_gated"}, .with_downstream = true}}));
  stop.await();
  many.cancel();
  const refresh_summary summary = many.get();
  EXPECT_TRUE(summary.cancelled);
  EXPECT_EQ(view_of(summary, "public.a_gated").failure->code(), errc::cancelled);
  EXPECT_EQ(view_of(summary, "public.behind").outcome, refresh_outcome::skipped);
  EXPECT_EQ(running("REFRESH%"), 0);
  EXPECT_EQ(idle_in_transaction(), 0);
}

TEST_F(RefreshMany, ShowsItsProgressAndWhoBlocksIt) {
  create_gated("gated");
  gate stop(db.url());
  session holder(db.url());
  holder.execute("BEGIN; SELECT id FROM alone");
  std::mutex mutex;
  refresh_progress latest;
  background many(arefresh_many({.which = {.names = {"gated", "alone"}},
                                 .on_progress =
                                     [&](const refresh_progress& now) {
                                       const std::lock_guard guard(mutex);
                                       latest = now;
                                     },
                                 .progress_every = std::chrono::milliseconds(20)}));
  const auto seen = [&] {
    const std::lock_guard guard(mutex);
    return latest;
  };
  const std::string holder_pid = "pid " + std::to_string(holder.backend_pid()) + " ";
  EXPECT_TRUE(eventually([&] {
    const refresh_progress now = seen();
    return std::any_of(now.running.begin(), now.running.end(), [&](const running_view& one) {
      return one.view == "public.alone" && !one.blocked_by.empty() &&
             one.blocked_by.front().starts_with(holder_pid) && one.old_bytes;
    });
  }));
  EXPECT_TRUE(eventually([&] {
    const refresh_progress now = seen();
    return std::any_of(now.running.begin(), now.running.end(), [&](const running_view& one) {
      return one.view == "public.gated" && one.new_bytes;
    });
  }));
  EXPECT_EQ(seen().views, 2U);
  EXPECT_EQ(seen().ended, 0U);
  holder.execute("ROLLBACK");
  EXPECT_TRUE(eventually([&] { return seen().ended == 1; }));
  stop.open();
  EXPECT_EQ(many.get().count(refresh_outcome::done), 2U);
}

TEST_F(RefreshMany, SeesTheNewHeapGrow) {
  db.execute("CREATE TABLE wide AS SELECT repeat('x', 1000) AS x FROM generate_series(1, 2000)");
  db.execute(
      "CREATE MATERIALIZED VIEW grown AS SELECT x FROM wide UNION ALL SELECT x FROM wide "
      "WHERE " +
      gate::condition());
  gate stop(db.url());
  std::mutex mutex;
  refresh_progress latest;
  background many(arefresh_many({.which = {.names = {"grown"}},
                                 .on_progress =
                                     [&](const refresh_progress& now) {
                                       const std::lock_guard guard(mutex);
                                       latest = now;
                                     },
                                 .progress_every = std::chrono::milliseconds(20)}));
  stop.await();
  EXPECT_TRUE(eventually([&] {
    const std::lock_guard guard(mutex);
    return !latest.running.empty() && latest.running[0].new_bytes.value_or(0) > 1'000'000 &&
           latest.running[0].old_bytes.value_or(0) > 4'000'000;
  }));
  stop.open();
  EXPECT_EQ(many.get().count(refresh_outcome::done), 1U);
}

TEST_F(RefreshMany, ForecastsWhatItWouldDoAndDoesNothing) {
  refresh_forecast plan = forecast_refresh({.which = {.names = {"top"}, .with_upstream = true}});
  ASSERT_EQ(plan.views.size(), 4U);
  EXPECT_EQ(plan.views.front().view, "public.base");
  EXPECT_EQ(plan.views.back().view, "public.top");
  EXPECT_EQ(plan.views.back().after, (names{"public.left_one", "public.right_one"}));
  EXPECT_FALSE(plan.expected);
  EXPECT_FALSE(fresh("base"));

  declare_dependencies("alone", {"t"});  // Makes the tables of history.
  db.execute(
      "INSERT INTO matview.refresh (schema, name, mode, reason, outcome, asked_by, started_at, "
      "finished_at) SELECT 'public', v, 'full', '', 'done', 'hand', ts, ts + s * interval '1 s' "
      "FROM (VALUES ('base', 10), ('base', 2), ('base', 2), ('left_one', 4), ('right_one', 1), "
      "('top', 3)) r(v, s), (SELECT now() AS ts) n");
  plan = forecast_refresh({.which = {.names = {"top"}, .with_upstream = true}});
  EXPECT_EQ(plan.views.front().expected, std::chrono::seconds(2));  // The median.
  EXPECT_EQ(plan.views.at(1).view, "public.left_one");              // The longer way comes first.
  EXPECT_EQ(plan.expected, std::chrono::seconds(9));
  EXPECT_EQ(plan.critical_path, std::chrono::seconds(9));
  EXPECT_EQ(plan.views.back().begins, std::chrono::seconds(6));
}

TEST_F(RefreshMany, KnowsNoDurationsWhereHistoryIsClosed) {
  const test_role role(db, "limited");
  declare_dependencies("alone", {"t"});
  configure({{"default", role.url()}});
  EXPECT_FALSE(forecast_refresh({.which = {.all = true}}).expected);
}

TEST_F(RefreshMany, RunsTheSameOnAnExecutorOfSeveralThreads) {
  for (int i = 0; i < 20; ++i) create_matview("w" + std::to_string(i), "SELECT id FROM base");
  asio::thread_pool threads(4);
  auto future =
      asio::co_spawn(threads, arefresh_many({.which = {.all = true}, .jobs = 8}), asio::use_future);
  EXPECT_EQ(future.get().count(refresh_outcome::done), 25U);
  threads.join();
}

}  // namespace
}  // namespace matview::test
