#include "views_fixture.hpp"

#include <boost/asio/strand.hpp>
#include <boost/asio/thread_pool.hpp>
#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <string>
#include <thread>
#include <vector>

namespace matview::test {
namespace {

class AsyncForms : public views_test {
 protected:
  AsyncForms() { db.execute("CREATE TABLE t AS SELECT 1 AS id"); }
};

TEST_F(AsyncForms, GiveTheResultsOfTheSynchronousOnes) {
  const refresh_report created = run_async(
      acreate_matview("v", "SELECT id FROM t;",
                      {.indexes = {{.columns = {"id"}, .unique = true}}, .comment = "a comment"}));
  EXPECT_EQ(created.view, "public.v");
  EXPECT_EQ(created.mode, refresh_mode::full);
  EXPECT_EQ(created.rows, 1);

  db.execute("INSERT INTO t VALUES (2)");
  const refresh_report refreshed = run_async(arefresh_matview("v", {.concurrently = true}));
  EXPECT_EQ(refreshed.view, "public.v");
  EXPECT_EQ(refreshed.mode, refresh_mode::concurrently);
  EXPECT_EQ(refreshed.rows, 2);

  EXPECT_EQ(run_async(alist_matviews()), list_matviews());
  const auto async_info = run_async(adescribe_matviews());
  ASSERT_EQ(async_info.size(), 1U);
  EXPECT_EQ(async_info[0].comment, "a comment");
  EXPECT_EQ(async_info[0].bytes, describe_matviews().at(0).bytes);

  run_async(adrop_matview("v"));
  EXPECT_FALSE(exists("v"));
}

struct failing {
  std::string name;
  std::function<void()> sync;
  std::function<void()> async;
};

TEST_F(AsyncForms, GiveTheErrorsOfTheSynchronousOnes) {
  create_matview("v", "SELECT id FROM t");
  create_matview("above", "SELECT id FROM v");
  const refresh_options concurrently{.concurrently = true};
  const create_options elsewhere{.database = "nowhere"};
  const std::vector<failing> table{
      {"a wrong name", [] { refresh_matview("v\n"); }, [] { run_async(arefresh_matview("v\n")); }},
      {"a wrong query", [] { create_matview("w", "SELECT 1; SELECT 2"); },
       [] { run_async(acreate_matview("w", "SELECT 1; SELECT 2")); }},
      {"an unknown column", [] { create_matview("w", "SELECT nothing FROM t"); },
       [] { run_async(acreate_matview("w", "SELECT nothing FROM t")); }},
      {"an unknown alias", [&] { create_matview("w", "SELECT 1", elsewhere); },
       [&] { run_async(acreate_matview("w", "SELECT 1", elsewhere)); }},
      {"no view", [] { refresh_matview("missing"); },
       [] { run_async(arefresh_matview("missing")); }},
      {"no unique index", [&] { refresh_matview("v", concurrently); },
       [&] { run_async(arefresh_matview("v", concurrently)); }},
      {"dependents", [] { drop_matview("v"); }, [] { run_async(adrop_matview("v")); }},
      {"an existing view", [] { create_matview("v", "SELECT 1"); },
       [] { run_async(acreate_matview("v", "SELECT 1")); }},
      {"no connection for a list", [] { list_matviews({.database = "nowhere"}); },
       [] { run_async(alist_matviews({.database = "nowhere"})); }},
  };
  for (const failing& row : table) {
    SCOPED_TRACE(row.name);
    const error sync = failure_of([&] { return row.sync(), 0; });
    const error async = failure_of([&] { return row.async(), 0; });
    EXPECT_EQ(sync.code(), async.code());
    EXPECT_STREQ(sync.what(), async.what());
    EXPECT_EQ(sync.sqlstate(), async.sqlstate());
    EXPECT_EQ(sync.hint(), async.hint());
    EXPECT_EQ(sync.position(), async.position());
  }
}

TEST_F(AsyncForms, StartNothingBeforeTheyAreAwaited) {
  {
    const asio::awaitable<refresh_report> never_awaited = acreate_matview("v", "SELECT 1 AS id");
    const asio::awaitable<refresh_report> wrong_and_never_awaited = acreate_matview("v\n", "");
  }
  EXPECT_FALSE(exists("v"));
  EXPECT_EQ(connections(), 0);
}

// What the caller holds may be gone before the first step is made.
TEST_F(AsyncForms, CopyTheirArguments) {
  const auto create = [] {
    std::string name = "a_name_that_is_too_long_for_a_small_string";
    std::string sql = "SELECT 'a query that is too long for a small string' AS id";
    create_options options{.indexes = {{.columns = {"id"}, .unique = true}},
                           .comment = "a comment that is too long for a small string"};
    auto work = acreate_matview(name, sql, options);
    name.assign(name.size(), 'x');
    sql.assign(sql.size(), 'x');
    options.indexes.at(0).columns.at(0).assign(30, 'x');
    options.comment.assign(options.comment.size(), 'x');
    return work;
  };
  EXPECT_EQ(run_async(create()).view, "public.a_name_that_is_too_long_for_a_small_string");
  EXPECT_EQ(describe_matviews().at(0).comment, "a comment that is too long for a small string");

  const auto refresh = [] {
    std::string name = "a_name_that_is_too_long_for_a_small_string";
    auto work = arefresh_matview(name, {.concurrently = true});
    name.assign(name.size(), 'x');
    return work;
  };
  EXPECT_EQ(run_async(refresh()).rows, 1);

  const auto drop = [] {
    std::string name = "a_name_that_is_too_long_for_a_small_string";
    auto work = adrop_matview(name, {.if_exists = false});
    name.assign(name.size(), 'x');
    return work;
  };
  run_async(drop());
  EXPECT_EQ(list_matviews(), std::vector<std::string>{});
}

TEST_F(AsyncForms, KeepManyInFlightOnOneThread) {
  constexpr int many = 100;
  for (int i = 0; i < 10; ++i) create_matview("v" + std::to_string(i), "SELECT id FROM t");
  db.execute("INSERT INTO t VALUES (2)");
  configure_databases({{"default", {.url = db.url(), .pool_size = 8}}});
  asio::io_context context(1);
  const std::thread::id here = std::this_thread::get_id();
  int done = 0;
  int elsewhere = 0;
  for (int i = 0; i < many; ++i) {
    const refresh_options options{.log = [&](log_level, std::string_view) {
      elsewhere += std::this_thread::get_id() == here ? 0 : 1;
    }};
    asio::co_spawn(context, arefresh_matview("v" + std::to_string(i % 10), options),
                   [&](std::exception_ptr failed, const refresh_report& report) {
                     done += !failed && report.rows == 2 ? 1 : 0;
                   });
  }
  context.run();
  EXPECT_EQ(done, many);
  EXPECT_EQ(elsewhere, 0);
  EXPECT_EQ(connections(), 8);
}

TEST_F(AsyncForms, RunInTheServerAtTheSameTime) {
  gate slow(db.url());
  for (int i = 0; i < 5; ++i) {
    create_matview("v" + std::to_string(i), "SELECT id FROM t WHERE " + gate::condition(),
                   {.with_data = false});
  }
  asio::io_context context(1);
  int done = 0;
  for (int i = 0; i < 5; ++i) {
    asio::co_spawn(
        context, arefresh_matview("v" + std::to_string(i)),
        [&](std::exception_ptr failed, const refresh_report&) { done += failed ? 0 : 1; });
  }
  EXPECT_TRUE(eventually([&] { return context.poll(), slow.waiting() == 5; }));
  EXPECT_EQ(done, 0);
  slow.open();
  context.run();
  EXPECT_EQ(done, 5);
}

TEST_F(AsyncForms, ServeCoroutinesOfTheCaller) {
  const auto story = []() -> asio::awaitable<std::vector<std::string>> {
    co_await acreate_matview("a", "SELECT 1 AS id");
    co_await acreate_matview("b", "SELECT id FROM a");
    co_await arefresh_matview("a");
    bool refused = false;
    try {
      co_await adrop_matview("a");
    } catch (const error& failed) {
      refused = failed.code() == errc::dependents_exist;
    }
    EXPECT_TRUE(refused);
    std::vector<std::string> names = co_await alist_matviews();
    co_await adrop_matview("b");
    co_return names;
  };
  EXPECT_EQ(run_async(story()), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(list_matviews(), std::vector<std::string>{"a"});
}

TEST_F(AsyncForms, RunOnAnyExecutor) {
  create_matview("v", "SELECT id FROM t");
  asio::thread_pool threads(4);
  std::atomic<int> done{0};
  for (int i = 0; i < 20; ++i) {
    asio::co_spawn(
        asio::make_strand(threads), arefresh_matview("v"),
        [&](std::exception_ptr failed, const refresh_report&) { done += failed ? 0 : 1; });
  }
  threads.join();
  EXPECT_EQ(done, 20);
}

// An event loop that is thrown away in mid-operation takes its connections with it.
TEST_F(AsyncForms, LeaveNothingBehindWhenTheLoopIsDestroyed) {
  gate slow(db.url());
  create_matview("v", "SELECT id FROM t WHERE " + gate::condition(), {.with_data = false});
  {
    asio::io_context context(1);
    asio::co_spawn(context, arefresh_matview("v"),
                   [](std::exception_ptr, const refresh_report&) { FAIL() << "it ended"; });
    EXPECT_TRUE(eventually([&] { return context.poll(), slow.waiting() == 1; }));
  }
  slow.open();
  EXPECT_TRUE(eventually([&] { return running("%REFRESH%") == 0; }));
  EXPECT_EQ(refresh_matview("v").rows, 1);
  EXPECT_TRUE(eventually([&] { return connections() == 1; }));
}

}  // namespace
}  // namespace matview::test
