#pragma once

#include "trial/connection.hpp"
#include "trial/schema.hpp"

#include <string>
#include <vector>

namespace matview::trial {

struct check_result {
  std::string mode = {};
  std::string reason = {};
  std::string difference = {};  ///< Some of the rows that are missing or too many; empty: equal.
  /// A partition came or went between the refresh and the comparison, which even one snapshot
  /// sees: nothing can be said.
  bool unclear = false;
  bool compiled_anew = false;  ///< Before that refresh, as an earlier one has asked for it.
};

struct failure {
  std::string kind = {};  ///< "wrong result", or the SQLSTATE or text of what was thrown.
  std::string view = {};
  std::string mode = {};
  std::string reason = {};
  std::string details = {};  ///< Rows, or the error.
  std::string program = {};
  std::size_t step = 0;  ///< In which it was seen.
};

/// What a view is compared with: a plain view of the same query, made before anything happens, so
/// that it follows what is renamed.
[[nodiscard]] std::string reference_of(const std::string& view);

/// A few of the rows in which a view and its reference differ.
[[nodiscard]] std::string comparison_sql(const std::string& view);
/// Locks the tables of a view, whatever they are called by now.
[[nodiscard]] std::string lock_sql(const std::string& view);
[[nodiscard]] std::string analyze_sql(const schema& tables);

/// What is a partition of what in the schema just now, also inside an older snapshot.
std::string layout(connection& on);

/// Whether the server takes a query and does not need long for it: some random queries multiply
/// their tables until nothing else gets its turn.
enum class verdict { good, dear, invalid };
[[nodiscard]] verdict judge_query(connection& on, const std::string& sql);

/// Prepared transactions outlive their session, and a database that has one cannot be dropped:
/// what ends those of the connection's database.
[[nodiscard]] std::vector<std::string> ends_of_prepared(connection& on);
void end_prepared(connection& on) noexcept;

/// A mode that was asked for by name may be impossible just now; that is no failure.
[[nodiscard]] bool is_refused_mode(const std::string& mode, const sql_error& error);
/// A writer's statement fell over what the library has put on its tables.
[[nodiscard]] bool is_disturbance(const sql_error& error);

}  // namespace matview::trial
