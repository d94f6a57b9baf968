#include "fake_servers.hpp"
#include "views_fixture.hpp"

#include <boost/asio/steady_timer.hpp>
#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <optional>
#include <random>
#include <string>
#include <vector>

namespace matview::test {
namespace {

using asio::cancellation_type;

/// An operation on an event loop that the test turns by hand, so that it knows where it stands.
class stepped final {
 public:
  explicit stepped(asio::awaitable<refresh_report> work) {
    asio::co_spawn(context_, std::move(work),
                   asio::bind_cancellation_slot(stop_.slot(),
                                                [this](std::exception_ptr failed, refresh_report) {
                                                  done_ = true;
                                                  failure_ = failed;
                                                }));
  }

  /// Until nothing is ready any more.
  void advance() {
    while (context_.poll() > 0) continue;
  }
  /// One step; false when none became ready for a while.
  bool step() { return context_.run_one_for(50ms) > 0; }
  void cancel(cancellation_type type = cancellation_type::terminal) { stop_.emit(type); }
  bool ends_within(std::chrono::seconds limit) {
    context_.run_for(limit);
    return done_;
  }
  [[nodiscard]] bool done() const { return done_; }
  /// Nothing if it succeeded.
  [[nodiscard]] std::optional<error> failure() const {
    return refusal([this] {
      if (failure_) std::rethrow_exception(failure_);
      return 0;
    });
  }

 private:
  asio::cancellation_signal stop_;
  bool done_ = false;
  std::exception_ptr failure_;
  asio::io_context context_{1};
};

class Cancelling : public views_test {
 protected:
  Cancelling() : slow(db.url()) {
    slow.open();
    configure_databases({{"default", {.url = db.url(), .pool_size = 1}}});
    db.execute(
        "CREATE TABLE t AS SELECT 1 AS id; CREATE MATERIALIZED VIEW v AS "
        "SELECT id FROM t WHERE " +
        gate::condition() + "; CREATE UNIQUE INDEX ON v (id); UPDATE t SET id = 2");
  }
  std::string contents() { return db.query_one("SELECT id FROM v"); }
  std::string library_pid() {
    return db.query_one(
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database() "
        "AND application_name LIKE 'matview%'");
  }

  gate slow;
};

class CancellingByType : public Cancelling,
                         public testing::WithParamInterface<cancellation_type> {};

INSTANTIATE_TEST_SUITE_P(Each, CancellingByType,
                         testing::Values(cancellation_type::terminal, cancellation_type::partial,
                                         cancellation_type::total),
                         [](const auto& type) {
                           if (type.param == cancellation_type::terminal) return "Terminal";
                           return type.param == cancellation_type::partial ? "Partial" : "Total";
                         });

TEST_P(CancellingByType, ARefreshStopsItInTheServerAndKeepsTheOldContents) {
  for (const bool concurrently : {false, true}) {
    SCOPED_TRACE(concurrently ? "concurrently" : "full");
    slow.close();
    background refresh(arefresh_matview("v", {.concurrently = concurrently}));
    slow.await();
    const std::string pid = library_pid();
    refresh.cancel(GetParam());
    const error failure = failure_of([&] { return refresh.get(); });
    EXPECT_EQ(running("%REFRESH%"), 0);
    EXPECT_EQ(idle_in_transaction(), 0);
    EXPECT_EQ(failure.code(), errc::cancelled);
    EXPECT_TRUE(failure.may_retry());
    EXPECT_TRUE(failure.connection_usable());
    EXPECT_EQ(contents(), "1");
    slow.open();
    EXPECT_EQ(list_matviews(), std::vector<std::string>{"v"});
    EXPECT_EQ(library_pid(), pid);
  }
}

// Its notices keep the socket readable: the wait that is cancelled has always just ended well.
TEST_P(CancellingByType, ATalkativeRefreshIsStoppedToo) {
  db.execute(
      "CREATE FUNCTION talk() RETURNS int LANGUAGE plpgsql AS $$ BEGIN "
      "WHILE current_setting('application_name') LIKE 'matview refresh%' LOOP "
      "RAISE NOTICE 'still here'; END LOOP; RETURN 1; END $$; "
      "CREATE MATERIALIZED VIEW talkative AS SELECT talk() AS id");
  background refresh(arefresh_matview("talkative"));
  ASSERT_TRUE(eventually([this] { return running("%REFRESH%") == 1; }));
  refresh.cancel(GetParam());
  EXPECT_EQ(failure_of([&] { return refresh.get(); }).code(), errc::cancelled);
  EXPECT_EQ(running("%REFRESH%"), 0);
}

TEST_P(CancellingByType, ACreateLeavesNoView) {
  slow.close();
  background create(acreate_matview("w", "SELECT id FROM t WHERE " + gate::condition()));
  slow.await();
  create.cancel(GetParam());
  EXPECT_EQ(failure_of([&] { return create.get(); }).code(), errc::cancelled);
  EXPECT_FALSE(exists("w"));
}

TEST_P(CancellingByType, AWaitForALock) {
  session reader(db.url());
  reader.execute("BEGIN; SELECT * FROM v");
  background drop(adrop_matview("v"));
  ASSERT_TRUE(eventually([&] {
    return db.query_one(
               "SELECT count(*) FROM pg_locks WHERE NOT granted AND "
               "relation = 'v'::regclass") == "1";
  }));
  drop.cancel(GetParam());
  EXPECT_EQ(failure_of([&] { return drop.get(), 0; }).code(), errc::cancelled);
  EXPECT_EQ(running("%DROP%"), 0);
  EXPECT_EQ(contents(), "1");
}

TEST_P(CancellingByType, AWaitForAConnectionOfThePool) {
  slow.close();
  background holder(arefresh_matview("v"));
  slow.await();
  stepped waiter(cancellable(arefresh_matview("v")));
  waiter.advance();
  ASSERT_FALSE(waiter.done());
  waiter.cancel(GetParam());
  EXPECT_TRUE(waiter.ends_within(5s));
  ASSERT_TRUE(waiter.failure());
  EXPECT_EQ(waiter.failure()->code(), errc::cancelled);
  slow.open();
  EXPECT_EQ(holder.get().rows, 1);
  EXPECT_EQ(refresh_matview("v").rows, 1);
}

TEST_P(CancellingByType, AnAttemptToConnect) {
  for (const std::string host : {"127.0.0.1", "localhost"}) {
    SCOPED_TRACE(host);
    silent_server nobody;
    configure({{"default", nobody.url(host)}});
    stepped refresh(cancellable(arefresh_matview("v")));
    ASSERT_TRUE(eventually([&] { return refresh.advance(), nobody.was_asked(); }));
    refresh.cancel(GetParam());
    EXPECT_TRUE(refresh.ends_within(5s));
    ASSERT_TRUE(refresh.failure());
    EXPECT_EQ(refresh.failure()->code(), errc::cancelled);
  }
}

// A name is looked up by a function that cannot be interrupted.
TEST_P(CancellingByType, TheLookUpOfAName) {
  silent_server nobody;
  configure({{"default", nobody.url("localhost")}});
  for (int round = 0; round < 20; ++round) {
    stepped refresh(cancellable(arefresh_matview("v")));
    refresh.step();
    refresh.cancel(GetParam());
    EXPECT_TRUE(refresh.ends_within(5s));
    ASSERT_TRUE(refresh.failure());
    EXPECT_EQ(refresh.failure()->code(), errc::cancelled);
  }
}

// A request must not fall between two steps: the refresh would run on for hours.
TEST_F(Cancelling, IsHeardAtEveryStep) {
  for (const bool connected : {false, true}) {
    for (int steps = 0;; ++steps) {
      SCOPED_TRACE(fmt::format("{}after {} steps", connected ? "connected, " : "", steps));
      configure_databases({{"default", {.url = db.url(), .pool_size = 1}}});
      if (connected) list_matviews();
      slow.close();
      stepped refresh(arefresh_matview("v"));
      bool went_on = true;
      for (int i = 0; i < steps && went_on; ++i) went_on = refresh.step();
      refresh.cancel();
      EXPECT_TRUE(refresh.ends_within(3s));
      slow.open();
      refresh.ends_within(10s);
      ASSERT_TRUE(refresh.failure());
      EXPECT_EQ(refresh.failure()->code(), errc::cancelled);
      EXPECT_EQ(running("%REFRESH%"), 0);
      EXPECT_EQ(contents(), "1");
      if (!went_on) break;
    }
  }
}

TEST_F(Cancelling, TwiceIsAsGoodAsOnce) {
  slow.close();
  background refresh(arefresh_matview("v"));
  slow.await();
  for (int i = 0; i < 5; ++i) {
    refresh.cancel(cancellation_type::total);
    refresh.cancel(cancellation_type::terminal);
  }
  EXPECT_EQ(failure_of([&] { return refresh.get(); }).code(), errc::cancelled);
  EXPECT_EQ(running("%REFRESH%"), 0);
  EXPECT_EQ(contents(), "1");
}

TEST_F(Cancelling, OneOperationLeavesTheOthersAlone) {
  configure_databases({{"default", {.url = db.url(), .pool_size = 4}}});
  create_matview("w", "SELECT id FROM t WHERE " + gate::condition());
  db.execute("UPDATE t SET id = 3");
  slow.close();
  background stopped(arefresh_matview("v"));
  background kept(arefresh_matview("w"));
  slow.await(2);
  stopped.cancel();
  EXPECT_EQ(failure_of([&] { return stopped.get(); }).code(), errc::cancelled);
  EXPECT_EQ(slow.waiting(), 1);
  slow.open();
  EXPECT_EQ(kept.get().rows, 1);
  EXPECT_EQ(db.query_one("SELECT id FROM w"), "3");
  EXPECT_EQ(contents(), "1");
}

TEST_F(Cancelling, DoesNotSpoilTheCallersCoroutine) {
  slow.close();
  const auto story = []() -> asio::awaitable<std::string> {
    std::string seen;
    try {
      co_await arefresh_matview("v");
    } catch (const error& failed) {
      seen = to_string(failed.code());
    }
    // The caller asks its own state, and clears it before it goes on.
    const auto state = co_await asio::this_coro::cancellation_state;
    if (state.cancelled() != cancellation_type::none) seen += ", and the caller knows";
    co_await asio::this_coro::reset_cancellation_state();
    const std::vector<std::string> names = co_await alist_matviews();
    co_return seen + fmt::format(", {} view", names.size());
  };
  background whole(story());
  slow.await();
  whole.cancel();
  EXPECT_EQ(whole.get(), "cancelled, and the caller knows, 1 view");
}

// Whatever the moment: "done" is done, "cancelled" means that nothing happened.
TEST_F(Cancelling, AtAnyMomentTellsTheTruth) {
  const unsigned seed = std::random_device{}();
  SCOPED_TRACE(fmt::format("seed {}", seed));
  std::mt19937 random(seed);
  const auto began = std::chrono::steady_clock::now();
  refresh_matview("v");
  const auto longest = std::chrono::duration_cast<std::chrono::microseconds>(
      std::chrono::steady_clock::now() - began);
  std::uniform_int_distribution<std::int64_t> delay(0, longest.count());
  const std::vector<cancellation_type> types{cancellation_type::terminal,
                                             cancellation_type::partial, cancellation_type::total};
  std::string before = contents();
  int cancelled = 0;
  for (int round = 0; round < 200; ++round) {
    const std::string now = std::to_string(100 + round);
    db.execute("UPDATE t SET id = " + now);
    asio::io_context context(1);
    asio::cancellation_signal stop;
    asio::steady_timer first(context, std::chrono::microseconds(delay(random)));
    asio::steady_timer second(context, std::chrono::microseconds(delay(random)));
    const auto emit = [&](boost::system::error_code failed) {
      if (!failed) stop.emit(types[random() % types.size()]);
    };
    first.async_wait(emit);
    if (round % 3 == 0) second.async_wait(emit);
    std::exception_ptr thrown;
    asio::co_spawn(context, cancellable(arefresh_matview("v", {.concurrently = round % 2 == 0})),
                   asio::bind_cancellation_slot(
                       stop.slot(), [&](std::exception_ptr failed, const refresh_report&) {
                         thrown = failed;
                         first.cancel();
                         second.cancel();
                       }));
    context.run();
    const auto failure = refusal([&] {
      if (thrown) std::rethrow_exception(thrown);
      return 0;
    });
    if (failure) {
      ++cancelled;
      ASSERT_EQ(failure->code(), errc::cancelled) << failure->what();
      ASSERT_EQ(contents(), before) << "round " << round;
    } else {
      ASSERT_EQ(contents(), now) << "round " << round;
      before = now;
    }
    ASSERT_EQ(running("%REFRESH%"), 0);
  }
  EXPECT_GT(cancelled, 0);
  EXPECT_LT(cancelled, 200);
  EXPECT_EQ(idle_in_transaction(), 0);
  EXPECT_LE(connections(), 1);
  EXPECT_EQ(refresh_matview("v").rows, 1);
}

}  // namespace
}  // namespace matview::test
