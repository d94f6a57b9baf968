#pragma once

#include "pg/connection.hpp"
#include <matview/graph.hpp>
#include <matview/identifier.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace matview::store {

/// A declaration whose other end is not there (any more).
struct broken_declaration {
  std::string view;  ///< graph_node::display() of the view.
  std::string name;  ///< As it was declared.
};

/// What the catalog and the declarations say, in no order; for the constructor of view_graph.
struct graph_rows {
  std::vector<graph_node> nodes;
  std::vector<graph_edge> edges;
  std::vector<broken_declaration> broken;
};

/// One message, one round trip, whether the schema `matview` is there or not.
asio::awaitable<graph_rows> read_graph(pg::connection& on);

/// `"schema"."name"` of the relation that the session means, as declarations spell it; nothing if
/// there is none that a view can be made from.
asio::awaitable<std::optional<std::string>> spelled_name(pg::connection& on,
                                                         const identifier& name);

/// Sees to it that nobody else adds declarations until the transaction ends: two that are harmless
/// one by one may close a cycle together.
asio::awaitable<void> lock_declarations(pg::connection& on);

/// Adds what is missing to the view's declarations, or takes away what is there.
/// @param quoted  other relations, as spelled_name() writes them.
/// @return how many declarations that were.
asio::awaitable<std::int64_t> add_declarations(pg::connection& on, const graph_node& view,
                                               const std::vector<std::string>& quoted);
asio::awaitable<std::int64_t> remove_declarations(pg::connection& on, const graph_node& view,
                                                  const std::vector<std::string>& quoted);

}  // namespace matview::store
