#pragma once

#include "pg/asio.hpp"
#include "pg/result.hpp"
#include <matview/error.hpp>
#include <matview/log.hpp>

#include <boost/asio/posix/stream_descriptor.hpp>
#include <libpq-fe.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace matview::pg {

struct finish_connection {
  void operator()(PGconn* raw) const noexcept { PQfinish(raw); }
};
using connection_handle = std::unique_ptr<PGconn, finish_connection>;

using deadline = std::chrono::steady_clock::time_point;

/// Who receives what the server says in passing.
enum class notices_to {
  log,     ///< The log sink, from now on and until the connection is closed or wrapped again.
  caller,  ///< The receiver that is set: libpq offers no way to put a replaced one back.
};

/// Whether a cancellation of the operation may interrupt a statement.
enum class interruptible {
  yes,  ///< It is cancelled in the server and errc::cancelled is thrown.
  no,   ///< It runs to its end; the caller asks cancelled() afterwards.
};

/// A socket that belongs to libpq: closed by libpq alone, whatever happens to the coroutine.
class borrowed_socket final {
 public:
  borrowed_socket(const asio::any_io_executor& executor, int native)
      : descriptor_(executor, native) {}
  borrowed_socket(const borrowed_socket&) = delete;
  borrowed_socket& operator=(const borrowed_socket&) = delete;
  ~borrowed_socket() { descriptor_.release(); }

  asio::posix::stream_descriptor& operator*() noexcept { return descriptor_; }
  asio::posix::stream_descriptor* operator->() noexcept { return &descriptor_; }

 private:
  asio::posix::stream_descriptor descriptor_;
};

/// What another session has told with NOTIFY.
struct notification {
  std::string channel;
  std::string payload;
};

/// A statement that is prepared on first use and known to the server by its name from then on.
struct named_statement {
  const char* name;
  const char* sql;
};

/// A bound value as text; nothing is NULL.
using parameter = std::optional<std::string>;

/// `{a,"b c"}`: texts as one value of an array type, whatever is in them.
[[nodiscard]] std::string array_literal(const std::vector<std::string>& texts);

/// Connects. Honours cancellation.
/// @throws error with errc::connection_failed (also when `until` passes) or errc::cancelled.
[[nodiscard]] asio::awaitable<connection_handle> establish(std::string conninfo, deadline until);

/// A libpq connection while it is used from one executor: statements as coroutines.
///
/// It borrows the PGconn, which must outlive it, and makes it non-blocking for as long as it lives.
/// One statement at a time; to be used from one coroutine, on whose executor all of it happens. The
/// coroutine must have called shield_cancellation().
///
/// Cancelling a statement asks the server to cancel it, from a helper thread since PQcancel blocks,
/// and then reads on to the server's answer: only then does it know whether the statement was
/// stopped, and only then is the connection in step with the protocol. A server that does not
/// answer within `drain_limit` makes the connection unusable.
class connection final {
 public:
  connection(PGconn* raw, const asio::any_io_executor& executor, log_sink log, notices_to receiver);
  connection(const connection&) = delete;
  connection& operator=(const connection&) = delete;
  ~connection();

  /// Runs one or more statements as one message (the simple protocol) and returns a result each.
  /// @throws error as the server says; errc::connection_lost; errc::cancelled.
  asio::awaitable<std::vector<result>> run(std::string sql,
                                           interruptible mode = interruptible::yes);

  /// Runs one statement with bound values, `$1` and so on, all as text.
  asio::awaitable<result> query(std::string sql, std::vector<parameter> values = {});

  /// Runs a statement that this object has prepared, or prepares first. Not on a connection that
  /// somebody else has prepared the same name on.
  asio::awaitable<result> execute(const named_statement& statement,
                                  const std::vector<parameter>& values);

  /// Waits for notifications on the channels that the session listens to. Empty when `until` has
  /// passed.
  /// @throws error with errc::connection_lost; errc::cancelled, the connection then being in step.
  asio::awaitable<std::vector<notification>> notifications(deadline until);

  /// Runs `COPY ... FROM STDIN` and sends `data` as its input; returns the number of rows.
  asio::awaitable<std::int64_t> copy_in(std::string sql, std::string_view data);

  /// Breaks the connection: whatever waits for the server finds it lost.
  void hang_up() noexcept;

  [[nodiscard]] PGTransactionStatusType transaction_status() const noexcept;
  [[nodiscard]] bool usable() const noexcept;
  /// Whether the server reads the text of a statement as this library does: with
  /// standard_conforming_strings, and as UTF-8 unless it is plain ASCII.
  [[nodiscard]] bool reads_as_we_do(std::string_view sql) const noexcept;
  /// The role that it was made for.
  [[nodiscard]] std::string user() const { return PQuser(raw_); }
  /// Of the server's process, as told when the connection was made: by a pooler, if there is one.
  [[nodiscard]] int backend_pid() const noexcept { return PQbackendPID(raw_); }
  [[nodiscard]] int server_version() const noexcept { return PQserverVersion(raw_); }
  [[nodiscard]] const log_sink& log() const noexcept { return log_; }
  /// The last thing that the server has warned of while the last statement ran, or empty: VACUUM
  /// says with a warning, not with an error, that it did nothing. Always empty where notices go to
  /// the caller.
  [[nodiscard]] const std::string& warning() const noexcept { return warning_; }

 private:
  asio::awaitable<std::vector<result>> finish(interruptible mode);
  asio::awaitable<void> flush(interruptible mode);
  asio::awaitable<void> wait(asio::posix::descriptor_base::wait_type side, interruptible mode);
  asio::awaitable<void> cancel_and_drain();
  void check_idle() const;
  [[noreturn]] void lose(const std::optional<error>& last_words = {}) const;
  static void receive_notice(void* self, const PGresult* raw) noexcept;

  PGconn* raw_;
  borrowed_socket socket_;
  log_sink log_;
  std::string warning_;
  notices_to receiver_;
  int caller_nonblocking_;
  std::set<std::string_view> prepared_;
};

/// Prepares the current coroutine for connection: every type of cancellation is let through, and
/// none of them throws by itself between two statements.
[[nodiscard]] asio::awaitable<void> shield_cancellation();

/// Throws errc::cancelled if the current coroutine has been asked to stop.
asio::awaitable<void> refuse_if_cancelled();

/// The error that a cancelled operation ends with.
[[noreturn]] void throw_cancelled();

}  // namespace matview::pg
