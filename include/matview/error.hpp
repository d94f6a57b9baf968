#pragma once

#include <cstddef>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>

namespace matview {

/// What went wrong, as far as a caller would act differently on it.
enum class errc {
  invalid_identifier,  ///< A name outside the allowlist; raised before any connection is made.
  invalid_interval,    ///< An interval outside the allowlist; raised before any connection is made.
  invalid_cron,        ///< A cron expression that is refused.
  invalid_select,      ///< Not exactly one SELECT, VALUES, TABLE or WITH query.
  invalid_option,      ///< An option, a configuration or a connection string makes no sense.
  unknown_database,    ///< No database is configured under this alias.
  unsupported_backend,  ///< The alias names something that is not PostgreSQL.
  connection_failed,    ///< No connection could be made (or leased) in time; nothing was sent.
  connection_lost,      ///< The connection broke before a commit was sent: nothing happened.
  in_doubt,            ///< The connection broke while a commit was under way: it may have happened.
  view_not_found,      ///< There is no materialized view of this name.
  view_exists,         ///< The name is already taken.
  not_populated,       ///< The view holds no data yet, so it cannot be refreshed concurrently.
  needs_unique_index,  ///< CONCURRENTLY needs a unique index that the view does not have.
  permission_denied,   ///< The role lacks a right; the hint says which.
  dependents_exist,    ///< Other objects depend on the view; see drop_options::cascade.
  already_refreshing,  ///< Another refresh of this view is running.
  lock_timeout,        ///< A lock was not granted within lock_timeout.
  statement_timeout,   ///< The statement ran longer than statement_timeout.
  cancelled,           ///< The operation was cancelled; nothing happened.
  server_error,        ///< Any other refusal of the server; see sqlstate().
};

/// The enumerator's own name, such as "needs_unique_index". Never fails.
[[nodiscard]] std::string_view to_string(errc code) noexcept;

/// The one exception type of this library.
///
/// `what()` is a sentence for a person; `hint()`, when it is not empty, says what to do about it.
/// Neither ever holds a password. Values are immutable: an error may be copied and read from any
/// thread.
class error final : public std::runtime_error {
 public:
  /// The parts that not every error has.
  struct details {
    std::string sqlstate = {};                 ///< Five characters, or empty.
    std::string hint = {};                     ///< What to do about it, or empty.
    std::optional<std::size_t> position = {};  ///< 1-based character in the text refused.
    bool connection_usable = true;             ///< See connection_usable().
  };

  error(errc code, const std::string& message);
  error(errc code, const std::string& message, details more);

  [[nodiscard]] errc code() const noexcept { return code_; }

  /// The server's SQLSTATE, empty when the error did not come from a server.
  [[nodiscard]] const std::string& sqlstate() const noexcept { return more_.sqlstate; }

  /// What would put it right, as a sentence or a statement to run; may be empty.
  [[nodiscard]] const std::string& hint() const noexcept { return more_.hint; }

  /// Where in the caller's text (a SELECT, a name) the fault is: 1-based, in characters.
  [[nodiscard]] std::optional<std::size_t> position() const noexcept { return more_.position; }

  /// Whether the connection the operation ran on can still be used. Matters to those who brought
  /// their own `PGconn*`; connections of an alias are replaced by the library.
  [[nodiscard]] bool connection_usable() const noexcept { return more_.connection_usable; }

  /// Whether the same call, made again, is harmless and has a chance.
  [[nodiscard]] bool may_retry() const noexcept;

  /// Whether the effect may be there in spite of the error: true for errc::in_doubt alone.
  [[nodiscard]] bool may_have_happened() const noexcept { return code_ == errc::in_doubt; }

 private:
  errc code_;
  details more_;
};

}  // namespace matview
