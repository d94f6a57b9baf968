#include "views_fixture.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

namespace matview::test {
namespace {

class Pool : public views_test {
 protected:
  Pool() : slow(db.url()) {
    db.execute("CREATE MATERIALIZED VIEW v AS SELECT 1 AS id");
    for (int i = 0; i < 8; ++i) {
      db.execute("CREATE MATERIALIZED VIEW " + slow_view(i) + " AS SELECT 1 AS id WHERE " +
                 gate::condition() + " WITH NO DATA");
    }
  }
  static std::string slow_view(int i) { return "slow" + std::to_string(i); }
  void configure_pool(std::size_t size, const std::string& acquire_timeout = "30 seconds") {
    configure_databases({{"default",
                          {.url = db.url(),
                           .pool_size = size,
                           .acquire_timeout = interval::parse(acquire_timeout)}}});
  }
  std::string library_pids() {
    return db.query_one(
        "SELECT coalesce(string_agg(pid::text, ' ' ORDER BY pid), '') FROM "
        "pg_stat_activity WHERE datname = current_database() AND "
        "application_name LIKE 'matview%'");
  }

  gate slow;
};

using many = std::vector<std::unique_ptr<background<refresh_report>>>;

TEST_F(Pool, ConnectsOnlyWhenItIsUsed) {
  EXPECT_EQ(connections(), 0);
  list_matviews();
  EXPECT_EQ(connections(), 1);
}

TEST_F(Pool, UsesAConnectionAgain) {
  list_matviews();
  const std::string pid = library_pids();
  for (int i = 0; i < 10; ++i) refresh_matview("v");
  EXPECT_EQ(library_pids(), pid);
}

TEST_F(Pool, OpensNoMoreThanItsSizeAndLetsTheOthersWait) {
  configure_pool(3);
  many all;
  for (int i = 0; i < 8; ++i) {
    all.push_back(std::make_unique<background<refresh_report>>(arefresh_matview(slow_view(i))));
  }
  slow.await(3);
  EXPECT_EQ(connections(), 3);
  slow.open();
  for (const auto& one : all) EXPECT_EQ(one->get().rows, 1);
  EXPECT_EQ(connections(), 3);
}

TEST_F(Pool, GivesUpWaitingAfterItsTimeout) {
  configure_pool(1, "50 milliseconds");
  background holder(arefresh_matview(slow_view(0)));
  slow.await();
  const auto began = std::chrono::steady_clock::now();
  const error failure = failure_of([] { return refresh_matview("v"); });
  EXPECT_GE(std::chrono::steady_clock::now() - began, 50ms);
  EXPECT_EQ(failure.code(), errc::connection_failed);
  EXPECT_TRUE(failure.may_retry());
  EXPECT_TRUE(contains(failure.what(), "all 1 connections")) << failure.what();
  EXPECT_TRUE(contains(failure.hint(), "pool_size")) << failure.hint();
  EXPECT_TRUE(contains(failure.hint(), "acquire_timeout")) << failure.hint();
  slow.open();
  EXPECT_EQ(holder.get().rows, 1);
  EXPECT_EQ(refresh_matview("v").rows, 1);
}

TEST_F(Pool, ServesThoseWhoWaitInTheirOrder) {
  configure_pool(1);
  asio::io_context context(1);
  std::vector<int> order;
  for (int i = 0; i < 5; ++i) {
    asio::co_spawn(context, arefresh_matview(slow_view(i)),
                   [&order, i](std::exception_ptr failed, const refresh_report&) {
                     if (!failed) order.push_back(i);
                   });
  }
  EXPECT_TRUE(eventually([&] { return context.poll(), slow.waiting() == 1; }));
  slow.open();
  context.run();
  EXPECT_EQ(order, (std::vector<int>{0, 1, 2, 3, 4}));
}

// A place handed over at the moment when the one in line gives up must go to the next.
TEST_F(Pool, LosesNoPlaceWhenThoseInLineGiveUp) {
  const unsigned seed = std::random_device{}();
  SCOPED_TRACE(fmt::format("seed {}", seed));
  std::mt19937 random(seed);
  configure_pool(2, "20 seconds");
  slow.open();
  for (int round = 0; round < 30; ++round) {
    many all;
    for (int i = 0; i < 8; ++i) {
      all.push_back(std::make_unique<background<refresh_report>>(arefresh_matview("v")));
    }
    for (int i = 0; i < 6; ++i) {
      all.at(random() % all.size())->cancel(asio::cancellation_type::total);
    }
    for (const auto& one : all) {
      const auto failure = refusal([&] { return one->get(); });
      if (failure) {
        ASSERT_EQ(failure->code(), errc::cancelled) << failure->what();
      }
    }
  }
  many all;
  slow.close();
  for (int i = 0; i < 2; ++i) {
    all.push_back(std::make_unique<background<refresh_report>>(arefresh_matview(slow_view(i))));
  }
  slow.await(2);
  slow.open();
  for (const auto& one : all) EXPECT_EQ(one->get().rows, 1);
  EXPECT_EQ(connections(), 2);
}

TEST_F(Pool, ReplacesConnectionsThatBrokeWhileIdle) {
  list_matviews();
  const std::string pid = library_pids();
  db.execute("SELECT pg_terminate_backend(" + pid + ")");
  ASSERT_TRUE(eventually([&] { return library_pids().empty(); }));
  EXPECT_EQ(refresh_matview("v").rows, 1);
  EXPECT_NE(library_pids(), pid);
  EXPECT_EQ(connections(), 1);
}

TEST_F(Pool, ReplacesAConnectionThatBrokeInUse) {
  configure_pool(1);
  background refresh(arefresh_matview(slow_view(0)));
  slow.await();
  db.execute("SELECT pg_terminate_backend(" + library_pids() + ")");
  const error failure = failure_of([&] { return refresh.get(); });
  EXPECT_EQ(failure.code(), errc::connection_lost);
  EXPECT_EQ(failure.sqlstate(), "57P01");
  EXPECT_FALSE(failure.connection_usable());
  EXPECT_TRUE(failure.may_retry());
  EXPECT_FALSE(failure.may_have_happened());
  EXPECT_EQ(refresh_matview("v").rows, 1);
  EXPECT_EQ(connections(), 1);
}

TEST_F(Pool, LeaksNothingOverManyFailures) {
  configure_pool(2, "20 seconds");
  db.execute(
      "CREATE TABLE t (id int); CREATE MATERIALIZED VIEW above AS SELECT id FROM v; "
      "CREATE MATERIALIZED VIEW late AS SELECT pg_sleep(60)::text AS id WITH NO DATA");
  const std::vector<std::function<void()>> failing{
      [] { refresh_matview("missing"); },
      [] { refresh_matview("t"); },
      [] { refresh_matview("v", {.concurrently = true}); },
      [] { refresh_matview("slow0", {.concurrently = true}); },
      [] { refresh_matview("v\n"); },
      [] { refresh_matview("late", {.statement_timeout = interval::parse("1 millisecond")}); },
      [] { create_matview("v", "SELECT 1"); },
      [] { create_matview("w", "SELECT nothing"); },
      [] { create_matview("w", "SELECT 1; SELECT 2"); },
      [] { create_matview("nowhere.w", "SELECT 1"); },
      [] { create_matview("w", "SELECT 1 AS id", {.indexes = {{.columns = {"no"}}}}); },
      [] { drop_matview("v"); },
      [] { drop_matview("t"); },
      [] { drop_matview("missing", {.if_exists = false}); },
      [] { list_matviews({.database = "nowhere"}); }};
  for (int i = 0; i < 200; ++i) {
    const auto& call = failing[static_cast<std::size_t>(i) % failing.size()];
    ASSERT_TRUE(refusal([&] { return call(), 0; })) << i;
    ASSERT_EQ(idle_in_transaction(), 0) << i;
  }
  EXPECT_EQ(connections(), 1);
  EXPECT_EQ(refresh_matview("v").rows, 1);
  EXPECT_EQ(list_matviews().size(), 11U);
}

TEST_F(Pool, MayBeUsedFromManyThreads) {
  configure_pool(3);
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 8; ++thread) {
    threads.emplace_back([&wrong, thread] {
      const std::string mine = "mine" + std::to_string(thread);
      for (int round = 0; round < 10; ++round) {
        const auto failure = refusal([&] {
          create_matview(mine, "SELECT " + std::to_string(round) + " AS id");
          wrong += refresh_matview(mine).rows == 1 ? 0 : 1;
          drop_matview(mine, {.if_exists = false});
          return 0;
        });
        wrong += failure ? 1 : 0;
        wrong += refusal([&] { return refresh_matview(mine); }) ? 0 : 1;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_LE(connections(), 3);
  EXPECT_EQ(idle_in_transaction(), 0);
}

TEST_F(Pool, MovesBetweenEventLoops) {
  configure_pool(1);
  for (int i = 0; i < 5; ++i) EXPECT_EQ(run_async(arefresh_matview("v")).rows, 1);
  EXPECT_EQ(connections(), 1);
}

TEST_F(Pool, OfAnOperationUnderWayOutlivesItsConfiguration) {
  const test_database other;
  background refresh(arefresh_matview(slow_view(0)));
  slow.await();
  configure({{"default", other.url()}});
  EXPECT_EQ(list_matviews(), std::vector<std::string>{});
  slow.open();
  EXPECT_EQ(refresh.get().rows, 1);
  EXPECT_EQ(count(slow_view(0)), "1");
  // With the last operation the old pool's connections went.
  EXPECT_TRUE(eventually([&] { return connections() == 0; }));
}

TEST_F(Pool, IsConfiguredAnewWhileManyThreadsUseIt) {
  std::atomic<bool> stop{false};
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      while (!stop) wrong += refusal([] { return refresh_matview("v"); }) ? 1 : 0;
    });
  }
  for (int i = 0; i < 50; ++i) {
    configure_pool(2);
    list_matviews();
  }
  stop = true;
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_TRUE(eventually([&] { return connections() <= 2; }));
}

TEST_F(Pool, EndsItsStatementsSoonAfterTheClientIsGone) {
  EXPECT_EQ(db.query_one("SHOW client_connection_check_interval"), "0");  // Not the server's own.
  create_matview("shown", "SELECT current_setting('client_connection_check_interval') AS id");
  EXPECT_EQ(db.query_one("SELECT id FROM shown"), "2s");
}

}  // namespace
}  // namespace matview::test
