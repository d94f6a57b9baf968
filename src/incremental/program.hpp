#pragma once

#include "store/query_facts.hpp"

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace matview::incremental {

// What the compiler makes: SQL in pieces, which the refresh puts together for the tables that have
// changed. Migration 3 has the function that does so and tells what the marks between /* */ become.

/// The names of what a view consists of beside its own: qualified and quoted.
struct view_parts {
  std::string storage = "matview.storage";
  std::string source = "matview.source";            ///< The view that yields its rows anew.
  std::string core = "matview.core";                ///< Of mechanism D: the rows below GROUP BY.
  std::string core_source = "matview.core_source";  ///< The view that yields those anew.
  std::map<std::int64_t, int> logs = {};            ///< By the table's oid; the number of its log.
};

/// The query of the rows anew, where a statement fills a storage with them. The refresh may put a
/// table there that it has filled by a parallel plan, which no statement that writes can have.
[[nodiscard]] inline std::string fresh_rows(const std::string& source) {
  return "/*source*/" + source;
}

/// A part of a statement. It takes part if all tables in `mask` have changed.
struct piece {
  int section;
  std::uint64_t mask;
  std::string sql;
};

struct captured_table {
  const store::table_facts* table;
  std::vector<std::string> columns;
};

/// What explain shows of one part of the query.
struct explained_part {
  std::string what;       ///< `aggregate by customer`, `lineitem`
  std::string mechanism;  ///< L, K, D or residue.
  std::string why;        ///< A sentence.
};

/// What explain shows of one operator.
struct explained_operator {
  int depth;              ///< 0 at the top; what an operator goes over follows it, one deeper.
  std::string what;       ///< `LEFT JOIN ON o.customer_id = c.id`
  std::string mechanism;  ///< L, K, D or residue.
  std::string why;        ///< A sentence.
};

/// A view that can be maintained.
struct compiled_view {
  std::string mechanism;                      ///< L, K or D: that of its rows.
  std::vector<explained_part> parts;          ///< From the outside to the inside.
  std::vector<explained_operator> operators;  ///< The same of each operator.
  std::vector<captured_table> tables;         ///< Bit i of each mask is tables[i].
  std::string source;                         ///< The query whose rows fill the storage.
  std::string core_source;                    ///< Of mechanism D; else empty.
  std::string view;                           ///< The query of the view that users read.
  std::vector<std::string> indexes;           ///< CREATE INDEX statements.
  std::map<std::string, std::string> stored;  ///< Output column -> expression on the storage.
  bool unique_rows = true;                    ///< A row of the storage is a row of the view.
  std::vector<piece> pieces;
  std::string apply;
  std::string full;
  std::string diff;                ///< Or empty.
  int max_tables = 4;              ///< With more of them changed at once a full refresh is faster.
  std::vector<std::string> notes;  ///< What its user should know, as sentences.
};

}  // namespace matview::incremental
