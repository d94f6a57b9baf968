#pragma once

#include "incremental/algebra.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace matview::incremental {

// What a query shows, and the same query showing something else.

/// The values of a projection's targets.
[[nodiscard]] std::vector<node*> shown_by(const relation& project);

/// The names of a query's columns: those of its first branch. VALUES has none of its own.
[[nodiscard]] std::vector<std::string> column_names(const relation& query);

/// A SELECT of these targets over `input`.
[[nodiscard]] const relation* projected(const query_context& in, const relation& input,
                                        const std::vector<node*>& targets);

/// The query with one target more; it is no set operation.
[[nodiscard]] const relation* with_target(const query_context& in, const relation& query,
                                          node* value, std::string_view name);

/// The query with these names for its columns, as far as they go; it is no set operation.
[[nodiscard]] const relation* with_names(const query_context& in, const relation& query,
                                         const std::vector<std::string>& names);

}  // namespace matview::incremental
