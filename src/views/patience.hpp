#pragma once

#include "pg/asio.hpp"
#include "pg/connection.hpp"
#include <matview/error.hpp>

#include <boost/asio/steady_timer.hpp>

#include <chrono>
#include <optional>
#include <utility>

namespace matview::views {

// Giving way: whoever asks for an exclusive lock makes all who come later wait behind the wish. So
// it asks for a short time, lets them pass, and asks again.

/// How long one try may wait for a lock when nobody has said otherwise. Shorter than the server's
/// deadlock_timeout (1 s unless it is changed): where others wait for what we hold, it is we who
/// give way, and not their transaction that is ended.
inline constexpr std::chrono::milliseconds one_wait{750};

/// A worker of autovacuum gives way only to those who have waited for deadlock_timeout. So from
/// this try on each waits for its first lock a little longer than that.
inline constexpr int outwaits_autovacuum = 3;

/// How long it goes on trying.
inline constexpr std::chrono::minutes all_waits{10};

/// Until when it goes on: a caller who has said how long a lock may be waited for is told at once.
[[nodiscard]] inline std::chrono::steady_clock::time_point last_try(
    bool patient,
    std::chrono::steady_clock::time_point began = std::chrono::steady_clock::now()) noexcept {
  return patient ? began + all_waits : began;
}

/// The pause after the `tries`-th try that was in vain, at least 1: short, since the lock is mostly
/// free again soon; then longer and longer, up to 10 s. Pure.
[[nodiscard]] constexpr std::chrono::milliseconds pause_after(int tries) noexcept {
  constexpr std::chrono::milliseconds first{200};
  constexpr std::chrono::milliseconds longest{10'000};
  if (tries > 6) return longest;
  return std::min(longest, first * (1 << (tries - 1)));
}

/// How often it meets that a table changed under it before it says so: a query that fails so each
/// time is not to be run for minutes.
inline constexpr int most_serialization_failures = 5;

/// Whether a change of somebody else's came in between: it says so itself (40001), or a relation
/// that was there when the statement was read is not there any more (XX000). Pure.
[[nodiscard]] inline bool was_overtaken(const error& failed) noexcept {
  return failed.sqlstate() == "40001" || failed.sqlstate() == "XX000";
}

/// Whether the same again may succeed after `tries` in vain, at least 1, because somebody else was
/// in the way: a lock that was not granted in time, a deadlock that the server broke, or a change
/// that came in between. Pure.
[[nodiscard]] inline bool others_were_in_the_way(
    const error& failed, int tries, int most_failures = most_serialization_failures) noexcept {
  return failed.connection_usable() &&
         (failed.code() == errc::lock_timeout || failed.sqlstate() == "40P01" ||
          (was_overtaken(failed) && tries < most_failures));
}

/// Waits for that long, or until it is cancelled: then it throws error with errc::cancelled.
inline asio::awaitable<void> wait_after(int tries) {
  asio::steady_timer timer(co_await asio::this_coro::executor, pause_after(tries));
  co_await timer.async_wait(pg::as_value);
  co_await pg::refuse_if_cancelled();
}

/// Runs `work(tries)`, an awaitable, until it succeeds, fails for another reason than others being
/// in the way, or `until` has passed. Honours cancellation between two tries.
/// @param most_failures  0 where a change that came in between is not undone by trying again.
template <class Work>
auto patiently(std::chrono::steady_clock::time_point until, Work work,
               int most_failures = most_serialization_failures)
    -> decltype(work(std::declval<int>())) {
  for (int tries = 0;;) {
    std::optional<error> failure;
    try {
      co_return co_await work(tries);
    } catch (const error& failed) {
      failure = failed;
    }
    ++tries;
    if (!others_were_in_the_way(*failure, tries, most_failures) ||
        std::chrono::steady_clock::now() + pause_after(tries) >= until) {
      throw error(*failure);
    }
    co_await wait_after(tries);
  }
}

}  // namespace matview::views
