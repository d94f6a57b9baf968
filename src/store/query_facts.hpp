#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace matview::store {

// What the server says of a query and of what it reads: the input of the compiler of incremental
// views. Plain data.

struct column_facts {
  std::string name;
  std::string type;         ///< As format_type() writes it, with its length or scale.
  bool not_null = false;    ///< Of a table's column: has NOT NULL.
  bool hashable = false;    ///< Its type has an equality that can be hashed, bit for bit the same.
  bool fixed_size = false;  ///< A short value: fit for a btree index, always.
  bool virtual_column = false;  ///< GENERATED ... VIRTUAL: triggers do not see it.
};

struct table_facts {
  std::int64_t oid = 0;
  std::string schema;
  std::string name;
  char kind = 'r';         ///< pg_class.relkind.
  char persistence = 'p';  ///< pg_class.relpersistence.
  bool row_security = false;
  bool storage = false;      ///< The storage of another incremental view.
  bool may_trigger = false;  ///< This role may make triggers on it.
  std::string owner;
  double rows = 0;  ///< As far as the planner knows.
  std::vector<column_facts> columns;
  std::vector<std::string> primary_key;
  std::string query;          ///< Of a plain view: its query, every name with its schema.
  bool owned = false;         ///< This role has the rights of its owner.
  std::string foreign_below;  ///< A foreign table that is its partition or inherits from it.
  bool subscribed = false;    ///< Logical replication writes into it, or into a table below it.
};

/// A function, operator or value in the query whose result is not made from its arguments alone.
struct function_fault {
  std::string
      name;  ///< As one writes it: `now`, `my.function`, `CURRENT_DATE`; of from_text the type.
  enum class kind {
    is_volatile,
    clock,
    session,
    stable,
    from_text,
    hidden_operator,
    levels
  } what = kind::is_volatile;
};

struct query_facts {
  std::string query;                 ///< Every name with its schema, `*` written out.
  std::vector<column_facts> output;  ///< What it yields.
  /// By schema and name: what it reads, the views underneath included.
  std::map<std::pair<std::string, std::string>, table_facts> tables;
  std::vector<function_fault> faults;
  std::set<std::string> aggregates;     ///< Their names as the query writes them.
  std::set<std::string> set_returning;  ///< Functions, so too.
  bool casts_keep_null = true;          ///< A cast of NULL is NULL: not so with some of users.
  bool uses_settings = false;           ///< Its rows may depend on TimeZone, DateStyle or the like.
};

/// The columns of queries, by their texts.
using known_types = std::map<std::string, std::vector<column_facts>>;

}  // namespace matview::store
