#pragma once

#include "store/query_facts.hpp"

#include "incremental/syntax.hpp"

#include <string>
#include <vector>

namespace matview::incremental {

/// A table as it stands once in FROM: an occurrence.
struct scan {
  std::string alias;  ///< Unique in the whole query.
  const store::table_facts* table;
};

/// A query in which every name says what it means, without asking anything else: plain views and
/// WITH are written out in its place, each item of FROM has an alias that no other one has
/// anywhere in the query, each column stands behind its alias, USING has become ON. The meaning is
/// the same.
struct resolved_query {
  select_statement* tree = nullptr;
  std::size_t sub_links = 0;    ///< In the query as it was given: SubLink.location is their number.
  std::vector<scan> scans;      ///< In the order in which they stand.
  bool casts_keep_null = true;  ///< A cast of NULL is NULL.

  [[nodiscard]] const scan* scan_of(const std::string& alias) const;
};

/// @throws not_incremental for what cannot be followed.
[[nodiscard]] resolved_query resolve(arena& in, const store::query_facts& facts);

}  // namespace matview::incremental
