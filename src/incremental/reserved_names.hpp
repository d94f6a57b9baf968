#pragma once

#include "store/query_facts.hpp"

#include "incremental/syntax.hpp"

namespace matview::incremental {

/// Refuses a text of the query, of a view below it, or a name of a column, in which stands what a
/// refresh replaces in a program (program.hpp).
/// @throws not_incremental  reserved_name.
void refuse_marks(const store::query_facts& facts);

/// Refuses names of columns, at any level of the query and in its tables, that a program or a log
/// has for columns of its own beside them. `query` is without WITH and plain views.
/// @throws not_incremental  reserved_name.
void refuse_own_names(const store::query_facts& facts, const select_statement* query);

}  // namespace matview::incremental
