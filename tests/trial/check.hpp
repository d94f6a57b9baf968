#pragma once

#include "trial/connection.hpp"
#include "trial/schema.hpp"

#include <string>

namespace matview::trial {

/// A view that is there, and what it has to show.
struct checked_view {
  std::string name = {};
  std::string sql = {};
};

struct check_result {
  std::string mode = {};
  std::string reason = {};
  std::string difference = {};  ///< Some of the rows that are missing or too many; empty: equal.
  /// A partition came or went between the refresh and the comparison, which even one snapshot
  /// sees: nothing can be said.
  bool unclear = false;
};

/// Refreshes and compares inside one snapshot; then COMMIT, or ROLLBACK.
/// @throws sql_error; nothing is left open.
check_result refresh_and_compare(connection& on, const schema& tables, const checked_view& view,
                                 const std::string& mode, bool roll_back);

/// As a user does it, in a transaction of its own.
check_result refresh_plainly(connection& on, const checked_view& view);

/// The rows in which view and query differ: at most some, as text.
std::string difference(connection& on, const checked_view& view);

/// Whether the server takes a query and does not need long for it: some random queries multiply
/// their tables until nothing else gets its turn.
enum class verdict { good, dear, invalid };
[[nodiscard]] verdict judge_query(connection& on, const std::string& sql);

/// What a refused view under another becomes, unless whoever refused it has made it.
void create_natively(connection& on, const std::string& name, const std::string& sql);

/// Prepared transactions outlive their session, and a database that has one cannot be dropped:
/// this ends those of the connection's database.
void end_prepared(connection& on) noexcept;

/// For scripts: the same comparison as SQL.
[[nodiscard]] std::string comparison_sql(const checked_view& view);
[[nodiscard]] std::string analyze_sql(const schema& tables);
[[nodiscard]] std::string lock_sql(const schema& tables);

/// A mode that was asked for by name may be impossible just now; that is no failure.
[[nodiscard]] bool is_refused_mode(const std::string& mode, const sql_error& error);

}  // namespace matview::trial
