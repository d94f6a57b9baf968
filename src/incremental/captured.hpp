#pragma once

#include "store/query_facts.hpp"

#include "incremental/program.hpp"
#include "incremental/resolve.hpp"

#include <vector>

namespace matview::incremental {

/// Refuses what the server has told of the query's functions.
/// @throws not_incremental
void check_faults(const store::query_facts& facts);

/// The tables with the columns that the query reads, and their primary keys.
/// @throws not_incremental if it reads no table.
[[nodiscard]] std::vector<captured_table> captured(const resolved_query& query);

}  // namespace matview::incremental
