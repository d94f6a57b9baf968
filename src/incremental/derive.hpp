#pragma once

#include "incremental/algebra.hpp"

namespace matview::incremental {

/// What a resolved query computes.
[[nodiscard]] const relation* derive(const query_context& in, const select_statement* query);

/// An expression of an operator. `must_hold`: its rows are those for which it is true.
[[nodiscard]] expression derive_expression(const query_context& in, node* tree,
                                           bool must_hold = false);

/// The same of what is joined by AND.
[[nodiscard]] std::vector<expression> derive_conjuncts(const query_context& in, node* condition,
                                                       bool must_hold);

}  // namespace matview::incremental
