#include "pg/transaction.hpp"

#include <matview/error.hpp>

#include <string_view>
#include <utility>

namespace matview::pg {

namespace {

bool caller_has_one(const connection& on) {
  switch (on.transaction_status()) {
    case PQTRANS_IDLE:
      return false;
    case PQTRANS_INTRANS:
      return true;
    case PQTRANS_INERROR:
      throw error(errc::invalid_option,
                  "the transaction that is open on this connection has failed",
                  {.hint = "roll it back first"});
    case PQTRANS_ACTIVE:
      throw error(errc::invalid_option, "another command is in progress on this connection",
                  {.hint = "read its results to the end first"});
    case PQTRANS_UNKNOWN:
      break;
  }
  throw error(errc::connection_failed, "this connection is not open", {.connection_usable = false});
}

constexpr std::string_view savepoint = "SAVEPOINT matview_operation";

// An error's position counts from the start of the message.
error without_prefix(const error& failed, std::size_t prefix) {
  const auto position = failed.position();
  return {failed.code(),
          failed.what(),
          {.sqlstate = failed.sqlstate(),
           .hint = failed.hint(),
           .position =
               position && *position > prefix ? std::optional(*position - prefix) : std::nullopt,
           .connection_usable = failed.connection_usable()}};
}

}  // namespace

transaction::transaction(connection& on) : on_(on), nested_(caller_has_one(on)) {}

asio::awaitable<std::vector<result>> transaction::run(std::string sql) {
  std::string prefix;
  if (!begun_) prefix = nested_ ? std::string(savepoint) + "; " : "BEGIN; ";
  begun_ = true;
  std::optional<error> failure;
  try {
    std::vector<result> results = co_await on_.run(prefix + sql);
    if (!prefix.empty()) results.erase(results.begin());
    co_return results;
  } catch (const error& failed) {
    failure = failed;
  }
  throw without_prefix(*failure, prefix.size());
}

asio::awaitable<void> transaction::commit() {
  std::string end = nested_ ? "RELEASE " + std::string(savepoint) : "COMMIT";
  std::optional<error> failure;
  try {
    co_await on_.run(std::move(end), interruptible::no);
    begun_ = false;
  } catch (const error& failed) {
    failure = failed;
  }
  if (!failure) co_return;
  if (failure->code() != errc::connection_lost || nested_) throw error(*failure);
  throw error(errc::in_doubt,
              std::string("the connection was lost during the commit, so the change may have been "
                          "made or not: ") +
                  failure->what(),
              {.sqlstate = failure->sqlstate(),
               .hint = "look at the view (matview list) before you try again",
               .connection_usable = false});
}

asio::awaitable<void> transaction::rollback() {
  if (!begun_ || !on_.usable()) co_return;
  if (on_.transaction_status() == PQTRANS_ACTIVE) co_return;  // The server stopped answering.
  begun_ = false;
  try {
    std::string undo = "ROLLBACK";
    if (nested_) {
      undo = "ROLLBACK TO " + std::string(savepoint) + "; RELEASE " + std::string(savepoint);
    }
    co_await on_.run(std::move(undo), interruptible::no);
  } catch (const error&) {
    // The first error is the one to tell; the pool sees the state of the connection.
    co_return;
  }
}

}  // namespace matview::pg
