#pragma once

#include "trial/query.hpp"

#include <optional>
#include <string>
#include <vector>

namespace matview::trial {

/// What an expression may use: "t1.a", its type, and whether it is never NULL.
struct field {
  std::string text = {};
  value_type type = value_type::integer;
  bool not_null = false;
};
using scope = std::vector<field>;

[[nodiscard]] expr field_expr(const field& of);
[[nodiscard]] std::optional<field> find_field(const scope& in, value_type type, dice& choose);

/// "t1.a, t1.b DESC, t1.c": rows that tie are equal in all that the scope shows.
[[nodiscard]] std::string total_order(const scope& in, dice& choose);

/// Immutable expressions that never fail: no division, no product that could overflow.
[[nodiscard]] expr random_value_of(value_type type, const scope& in, dice& choose, int depth = 2);
[[nodiscard]] expr random_condition(const scope& in, dice& choose, int depth = 2);

/// Between a field and one of `others`, also true where the field is NULL: with coalesce, IS NULL
/// or IS DISTINCT FROM. None: no two have one type.
[[nodiscard]] std::optional<expr> loose_tie(const field& one, const scope& others, dice& choose);

/// One that does not depend on the order of its rows.
[[nodiscard]] expr random_aggregate(const scope& in, dice& choose);

/// A type that at least one field has and that may be joined, grouped and sorted on.
[[nodiscard]] value_type type_in(const scope& in, dice& choose);

}  // namespace matview::trial
