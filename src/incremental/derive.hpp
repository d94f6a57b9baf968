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

/// A SELECT of these targets over `input`.
[[nodiscard]] const relation* projected(const query_context& in, const relation& input,
                                        const std::vector<node*>& targets);

/// The query with one target more; it is no set operation.
[[nodiscard]] const relation* with_target(const query_context& in, const relation& query,
                                          node* value, std::string_view name);

/// The query with these names for its columns; it is no set operation.
[[nodiscard]] const relation* with_names(const query_context& in, const relation& query,
                                         const std::vector<std::string>& names);

}  // namespace matview::incremental
