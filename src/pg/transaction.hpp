#pragma once

#include "pg/connection.hpp"

#include <exception>
#include <string>
#include <utility>
#include <vector>

namespace matview::pg {

/// One transaction, or, on a connection on which the caller has one open, one savepoint in it.
///
/// Begins with the first statement, in the same message, so that it costs a round trip less. To be
/// used through in_transaction(), which sees to its end.
class transaction final {
 public:
  /// @throws error with errc::invalid_option if the caller's transaction has already failed.
  explicit transaction(connection& on);

  /// Whether it is a savepoint in the caller's transaction.
  [[nodiscard]] bool nested() const noexcept { return nested_; }

  /// Runs statements as one message. Results of the BEGIN are not among those returned, and the
  /// position in an error counts in `sql` alone.
  asio::awaitable<std::vector<result>> run(std::string sql);

  /// Ends it for good.
  /// @throws error with errc::in_doubt if the connection breaks before the answer; whatever else
  ///         the server says means that nothing happened.
  asio::awaitable<void> commit();

  /// Undoes it; never throws for a connection that is already lost.
  asio::awaitable<void> rollback();

  [[nodiscard]] connection& on() noexcept { return on_; }

 private:
  connection& on_;
  bool nested_;
  bool begun_ = false;
};

/// Runs `work(transaction&)` and commits; whatever it throws is rethrown after a rollback. A
/// request to stop is honoured up to the commit and not during it, so that errc::cancelled always
/// means that nothing happened.
template <class Work>
auto in_transaction(connection& on, Work work) -> decltype(work(std::declval<transaction&>())) {
  transaction current(on);
  std::exception_ptr failure;
  try {
    auto value = co_await work(current);
    co_await refuse_if_cancelled();
    co_await current.commit();
    co_return value;
  } catch (...) {
    failure = std::current_exception();
  }
  co_await current.rollback();
  std::rethrow_exception(failure);
}

}  // namespace matview::pg
