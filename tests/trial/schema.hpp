#pragma once

#include "trial/dice.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace matview::trial {

enum class value_type {
  integer,
  bigint,
  numeric,  ///< With one scale for ever: may be averaged.
  whole,    ///< numeric without a fraction, so that it meets integers and prints as they do.
  wide,     ///< numeric whose scale depends on the rows, as an average has: is never averaged.
  text,
  boolean,
  date,
  array  ///< Of integers.
};

struct column {
  std::string name = {};
  value_type type = value_type::integer;
  bool not_null = false;
};

enum class table_kind { plain, partitioned, parent };

struct table {
  std::string name = {};
  std::vector<column> columns = {};
  std::vector<std::string> key = {};  ///< The primary key's columns; none: rows may be equal.
  table_kind kind = table_kind::plain;
  std::vector<std::string> leaves = {};  ///< Partitions, or the children of an inheritance.

  [[nodiscard]] const column* find(std::string_view name) const;
  [[nodiscard]] bool has_key_of(std::string_view column) const;
};

/// Tables whose columns of one name have one type, so that USING works, over domains so small that
/// joins meet.
struct schema {
  std::vector<table> tables = {};
  std::vector<std::string> ddl = {};
  std::vector<std::string> rows =
      {};  ///< An INSERT of one row each, so that a shrinker may drop it.
};

/// Each table has one of this name that nobody reads or writes, for changes of the definition.
constexpr const char* spare_column = "spare";

[[nodiscard]] schema make_schema(dice& choose);

/// `partition` attached to `of` for the part of the domain that no partition has at first.
[[nodiscard]] std::string attach_partition(const table& of, std::string_view partition);

/// A value of the domain as SQL, with its type; never NULL.
[[nodiscard]] std::string constant(value_type type, dice& choose);
/// What a column may hold: also NULL, unless it may not.
[[nodiscard]] std::string random_value(const column& of, dice& choose);
[[nodiscard]] std::string type_name(value_type type);

/// Of what a set operation of two types of whole numbers is.
[[nodiscard]] value_type wider(value_type one, value_type other);

/// "x, y, z"
[[nodiscard]] std::string joined(const std::vector<std::string>& parts, std::string_view between);
[[nodiscard]] std::string column_list(const table& of);
/// "(1, NULL, 'p')"; `key` is the value of the first key column when that is the int "id".
[[nodiscard]] std::string random_row(const table& of, dice& choose);
[[nodiscard]] std::string random_row(const table& of, dice& choose, int key);

}  // namespace matview::trial
