#pragma once

#include "incremental/algebra.hpp"

namespace matview::incremental {

/// What a resolved query computes.
[[nodiscard]] const relation* derive(const query_context& in, const select_statement* query);

/// A part of such a query as the expression of an operator.
[[nodiscard]] expression derive_expression(const query_context& in, node* tree);

}  // namespace matview::incremental
