#pragma once

#include "text/select_query.hpp"
#include <matview/identifier.hpp>
#include <matview/interval.hpp>

namespace matview::test {

// Whether what was accepted, put into a statement, leaves that statement what it was meant to be,
// by PostgreSQL's own parser. Shared by the property tests and the fuzz targets.

/// `SELECT * FROM <quoted>` reads one relation of exactly these names.
[[nodiscard]] bool keeps_shape(const identifier& name);

/// `SELECT interval '<text>'` holds one constant, the text.
[[nodiscard]] bool keeps_shape(const interval& length);

/// `CREATE MATERIALIZED VIEW v AS <text>` with `WITH NO DATA` on the next line is one statement
/// without data, over the same query that the text is on its own.
[[nodiscard]] bool keeps_shape(const text::select_query& query);

}  // namespace matview::test
