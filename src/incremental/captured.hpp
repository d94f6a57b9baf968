#pragma once

#include "store/query_facts.hpp"

#include "incremental/program.hpp"
#include "incremental/resolve.hpp"

#include <vector>

namespace matview::incremental {

/// Refuses what the server has told of the query's functions.
/// @throws not_incremental
void check_faults(const store::query_facts& facts);

/// The tables with the columns that the query reads.
/// @throws not_incremental if it reads no table.
[[nodiscard]] std::vector<captured_table> captured(const resolved_query& query);

/// The same with those that these expressions name: changed rows are asked for their key.
void add_captured(const resolved_query& query, const std::vector<node*>& keys,
                  std::vector<captured_table>& to);

}  // namespace matview::incremental
