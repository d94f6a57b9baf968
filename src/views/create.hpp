#pragma once

#include "pg/transaction.hpp"
#include "text/select_query.hpp"
#include "views/statements.hpp"
#include <matview/error.hpp>
#include <matview/identifier.hpp>
#include <matview/options.hpp>
#include <matview/report.hpp>

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

namespace matview::views {

/// A view that is to be made, checked.
struct create_request {
  identifier view;
  text::select_query query;
  std::vector<checked_index> indexes;
  create_options options;
  statement_settings settings;
};

/// `failed` with the place of the fault in `query`, which stands `offset` characters behind
/// the begin of what was sent. Pure.
[[nodiscard]] error in_query(const error& failed, const text::select_query& query,
                             std::size_t offset);

/// The report of a view that is there already, or nothing if its name is free.
/// @throws error with errc::view_exists if the name is another relation's.
asio::awaitable<std::optional<refresh_report>> there_already(pg::transaction& in,
                                                             const std::string& preamble,
                                                             const identifier& view);

/// Makes an incremental view, in two transactions: in the first one its parts are made and its
/// tables are captured from its commit on; the second one fills it and gives it its name. What is
/// left when it fails or is killed in between has no name that anybody sees, and is discarded by
/// the next one that is made or dropped.
/// @throws error with errc::invalid_select if the query cannot be maintained and kind is not
///         automatic; the message has the construct, its place and what to write instead.
struct incremental_creation {
  std::optional<refresh_report> made;  ///< Nothing if kind is automatic and it cannot be.
  std::string why_not;                 ///< Then a sentence's end.
};
asio::awaitable<incremental_creation> create_incremental(pg::connection& on,
                                                         const create_request& request);

}  // namespace matview::views
