#pragma once

#include "support/server.hpp"

#include <memory>
#include <stdexcept>
#include <string>

struct pg_conn;
struct pg_result;

namespace matview::trial {

using test::rows;

/// The server's refusal of a statement, or a lost connection (then there is no SQLSTATE).
class sql_error final : public std::runtime_error {
 public:
  sql_error(std::string sqlstate, const std::string& words)
      : std::runtime_error(words), sqlstate_(std::move(sqlstate)) {}

  [[nodiscard]] const std::string& sqlstate() const noexcept { return sqlstate_; }
  /// Somebody else was in the way: the same may work the next time.
  [[nodiscard]] bool is_conflict() const;
  /// Whether its text, which has the server's context, mentions `name`.
  [[nodiscard]] bool mentions(std::string_view name) const;

 private:
  std::string sqlstate_;
};

/// A libpq session whose errors tell their SQLSTATE, and that knows COPY .. FROM STDIN with its
/// data in the lines below it, as psql does. One thread at a time.
class connection final {
 public:
  /// @throws std::runtime_error with libpq's words.
  explicit connection(const std::string& url);

  /// One statement or several; the rows of the last, NULL as "NULL".
  /// @throws sql_error
  rows query(const std::string& sql);
  std::string query_one(const std::string& sql);
  void execute(const std::string& sql) { query(sql); }
  /// ROLLBACK if there is something to roll back; throws nothing.
  void roll_back() noexcept;
  [[nodiscard]] bool in_transaction() const noexcept;
  [[nodiscard]] int server_version() const noexcept;
  [[nodiscard]] pg_conn* native() noexcept { return connection_.get(); }

 private:
  struct deleter {
    void operator()(pg_conn* connection) const noexcept;
    void operator()(pg_result* result) const noexcept;
  };
  using result = std::unique_ptr<pg_result, deleter>;
  result run(const std::string& sql);
  result copy(const std::string& data);

  std::unique_ptr<pg_conn, deleter> connection_;
};

}  // namespace matview::trial
