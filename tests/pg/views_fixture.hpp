#pragma once

#include "support/refusal.hpp"
#include "support/server.hpp"
#include <matview/matview.hpp>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_future.hpp>
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <future>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

namespace matview::test {

namespace asio = boost::asio;

/// The error that `call` throws. A call that succeeds fails the test.
template <class Call>
[[nodiscard]] error failure_of(Call&& call) {
  std::optional<error> thrown = refusal(std::forward<Call>(call));
  if (!thrown) throw std::runtime_error("the call succeeded, but had to fail");
  return *thrown;
}

/// Whether `condition` becomes true in time.
template <class Condition>
[[nodiscard]] bool eventually(Condition condition, std::chrono::seconds patience = 30s) {
  const auto until = std::chrono::steady_clock::now() + patience;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > until) return false;
    std::this_thread::sleep_for(2ms);
  }
  return true;
}

[[nodiscard]] inline bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

/// A database of the test's own, and the alias "default" stands for it.
class views_test : public testing::Test {
 protected:
  views_test() { configure({{"default", db.url()}}); }
  // Closes the connections before the database goes.
  ~views_test() override { configure({}); }

  [[nodiscard]] int server_version() { return std::stoi(db.query_one("SHOW server_version_num")); }
  [[nodiscard]] bool exists(const std::string& relation) {
    return db.query_one("SELECT to_regclass('" + relation + "') IS NOT NULL") == "t";
  }
  [[nodiscard]] std::string count(const std::string& relation) {
    return db.query_one("SELECT count(*) FROM " + relation);
  }
  /// How many statements like this (a LIKE pattern) run in the database now.
  [[nodiscard]] int running(const std::string& pattern) {
    return std::stoi(
        db.query_one("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
                     "AND state = 'active' AND pid <> pg_backend_pid() AND query LIKE '" +
                     pattern + "'"));
  }
  /// Connections of the library: all but the test's own sessions, whose application_name is empty.
  [[nodiscard]] int connections() {
    return std::stoi(
        db.query_one("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
                     "AND application_name LIKE 'matview%'"));
  }
  [[nodiscard]] int idle_in_transaction() {
    return std::stoi(
        db.query_one("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
                     "AND state LIKE 'idle in transaction%'"));
  }

  test_database db;
};

/// A role that can log in and do nothing more; its alias is its purpose. Roles belong to the whole
/// server, so its name has the database's in it.
class test_role final {
 public:
  test_role(test_database& db, const std::string& purpose)
      : db_(db), name_(db.name() + "_" + purpose) {
    db_.execute("CREATE ROLE " + name_ + " LOGIN");
  }
  test_role(const test_role&) = delete;
  test_role& operator=(const test_role&) = delete;
  ~test_role() {
    try {
      db_.execute("DROP OWNED BY " + name_ + " CASCADE; DROP ROLE " + name_);
    } catch (const std::exception& failure) {
      ADD_FAILURE() << failure.what();
    }
  }

  [[nodiscard]] const std::string& name() const noexcept { return name_; }
  [[nodiscard]] std::string url() const { return with_parameter(db_.url(), "user", name_); }

 private:
  test_database& db_;
  std::string name_;
};

/// Holds up every query that has `condition()` in its WHERE, until it is opened.
class gate final {
 public:
  explicit gate(const std::string& url) : holder_(url), watcher_(url) { close(); }

  static std::string condition() { return "pg_advisory_xact_lock_shared(4711)::text IS NOT NULL"; }

  void close() { holder_.execute("SELECT pg_advisory_lock(4711)"); }
  void open() { holder_.execute("SELECT pg_advisory_unlock(4711)"); }

  [[nodiscard]] int waiting() {
    return std::stoi(watcher_.query_one(
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted "
        "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"));
  }
  /// Until `count` queries stand before it.
  void await(int count = 1) {
    if (!eventually([&] { return waiting() >= count; })) {
      throw std::runtime_error(fmt::format("{} of {} came to the gate", waiting(), count));
    }
  }

 private:
  session holder_;
  session watcher_;
};

/// `work` from a coroutine that lets every type of cancellation through, as a caller's would who
/// wants them (co_spawn's own default is terminal).
template <class T>
asio::awaitable<T> cancellable(asio::awaitable<T> work) {
  co_await asio::this_coro::reset_cancellation_state(asio::enable_total_cancellation());
  co_return co_await std::move(work);
}

/// An asynchronous operation on an event loop of its own, while the test looks on.
template <class T>
class background final {
 public:
  explicit background(asio::awaitable<T> work) {
    asio::co_spawn(context_, cancellable(std::move(work)),
                   asio::bind_cancellation_slot(stop_.slot(), completion()));
    thread_ = std::thread([this] { context_.run(); });
  }
  background(const background&) = delete;
  background& operator=(const background&) = delete;
  ~background() {
    context_.stop();  // An operation that hangs fails its test in get(), and must not hang here.
    thread_.join();
  }

  void cancel(asio::cancellation_type type = asio::cancellation_type::terminal) {
    asio::post(context_, [this, type] { stop_.emit(type); });
  }
  [[nodiscard]] bool done() const { return future_.wait_for(0s) == std::future_status::ready; }

  /// Its result or what it threw.
  T get() {
    if (future_.wait_for(60s) != std::future_status::ready) {
      throw std::runtime_error("the operation did not end within a minute");
    }
    return future_.get();
  }

 private:
  auto completion() {
    if constexpr (std::is_void_v<T>) {
      return [this](std::exception_ptr failed) {
        failed ? promise_.set_exception(failed) : promise_.set_value();
      };
    } else {
      return [this](std::exception_ptr failed, T value) {
        failed ? promise_.set_exception(failed) : promise_.set_value(std::move(value));
      };
    }
  }

  asio::io_context context_{1};
  asio::cancellation_signal stop_;
  std::promise<T> promise_;
  std::future<T> future_ = promise_.get_future();
  std::thread thread_;
};

template <class T>
background(asio::awaitable<T>) -> background<T>;

/// Runs `work` to its end here and now.
template <class T>
T run_async(asio::awaitable<T> work) {
  asio::io_context context(1);
  std::future<T> result = asio::co_spawn(context, std::move(work), asio::use_future);
  context.run();
  return result.get();
}

}  // namespace matview::test
