#pragma once

#include "pg/transaction.hpp"
#include "views/diagnosis.hpp"
#include "views/statements.hpp"
#include <matview/error.hpp>
#include <matview/report.hpp>

#include <chrono>
#include <optional>
#include <string>
#include <utility>

namespace matview::views {

/// A report's times, from the making of this object on.
class stopwatch final {
 public:
  using clock = std::chrono::steady_clock;

  [[nodiscard]] clock::time_point began() const noexcept { return began_; }

  /// `report` with the times of what ends now.
  [[nodiscard]] refresh_report finished(refresh_report report) const;

 private:
  clock::time_point began_ = clock::now();
  std::chrono::system_clock::time_point started_ = std::chrono::system_clock::now();
};

/// The answer to statements::measure() as a report.
[[nodiscard]] refresh_report measured(const pg::result& row, refresh_mode mode, std::string reason);

/// Statements that put back the timeouts of a caller's own transaction, which the end of a
/// savepoint does not; empty in a transaction of ours.
asio::awaitable<std::string> restoring(pg::transaction& in, const statement_settings& settings);

/// Runs `work(transaction&, preamble)` in a transaction, `preamble` being the statements with which
/// its first message must begin, and turns a refusal of the server into the answer to the caller's
/// question.
template <class Work>
auto attempted(pg::connection& on, attempt tried, Work work)
    -> decltype(work(std::declval<pg::transaction&>(), std::declval<const std::string&>())) {
  using answer_type = decltype(work(std::declval<pg::transaction&>(), std::string()));
  const auto framed = [&](pg::transaction& in) -> answer_type {
    const std::string after = co_await restoring(in, tried.settings);
    const std::string preamble = tried.settings.set_local(in.nested());
    auto answer = co_await work(in, preamble);
    if (!after.empty()) co_await in.run(after);
    co_return answer;
  };
  std::optional<error> failure;
  try {
    co_return co_await pg::in_transaction(on, framed);
  } catch (const error& failed) {
    failure = failed;
  }
  const error told = co_await diagnose(on, tried, *failure);
  throw error(told);
}

}  // namespace matview::views
