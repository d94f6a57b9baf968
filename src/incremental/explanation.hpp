#pragma once

#include "incremental/affected_keys.hpp"
#include "incremental/algebra.hpp"
#include "incremental/program.hpp"

#include <cstddef>
#include <string>
#include <vector>

namespace matview::incremental {

// What explain tells of a view: which mechanism each part has, and why. Words only.

/// What is left to the view that users read, of a query over `stored`: groups or rows.
/// @param top     `query` without ORDER BY and LIMIT, if it is grouped from stored groups.
[[nodiscard]] std::vector<explained_part> explained_residue(const query_context& in,
                                                            const relation& query,
                                                            const relation* top,
                                                            const std::string& stored);

/// `UNION ALL, EXCEPT`: of the operations and DISTINCT that counters decide.
[[nodiscard]] std::string counted_operations(const relation& query);

/// Why the rows of a query cannot be counted: the part of it that is in the way, as one writes it.
[[nodiscard]] std::string not_counted_because(const relation& query);

/// The tables of linear queries.
[[nodiscard]] std::vector<explained_part> explained_tables(
    const query_context& in, const std::vector<captured_table>& tables,
    const std::vector<const relation*>& queries);

/// How keys are found, one part for each table.
[[nodiscard]] std::vector<explained_part> explained_paths(const std::vector<key_path>& paths);

/// `orders.o_orderkey, c.name`
[[nodiscard]] std::string shown_keys(const key_plan& plan);

/// Parts of which the same is to be said become one, at the first one's place.
[[nodiscard]] std::vector<explained_part> without_repetition(
    const std::vector<explained_part>& parts);

}  // namespace matview::incremental
