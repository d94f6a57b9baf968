#pragma once

#include <matview/log.hpp>

#include <boost/asio/awaitable.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace matview {

/// What a node of the graph is in the database.
enum class node_kind {
  materialized_view,  ///< What refreshes are about, native ones,
  incremental_view,   ///< and incremental ones: in the database a plain view over a table.
  view,               ///< A plain view: looked through.
  table,              ///< Also a partitioned one.
  foreign_table,      ///< What stands behind it is not seen.
  function,           ///< Looked through if its body is BEGIN ATOMIC; see graph_node::opaque.
};

/// `materialized view`, `incremental view`, `view`, `table`, `foreign table` or `function`. Never
/// fails.
[[nodiscard]] std::string_view to_string(node_kind kind) noexcept;

/// How it is known that one thing depends on another.
enum class edge_source {
  catalog,   ///< PostgreSQL says so: a query, or the body of a function, names it.
  declared,  ///< A person says so; see declare_dependencies().
};

/// `catalog` or `declared`. Never fails.
[[nodiscard]] std::string_view to_string(edge_source known) noexcept;

/// A relation or function that materialized views are made from, or a materialized view. Plain
/// data.
struct graph_node {
  std::string schema = {};  ///< Exactly as the server has it.
  std::string name = {};    ///< Exactly as the server has it; a function's as `f(integer)`.
  node_kind kind = node_kind::table;
  std::uint32_t oid = 0;   ///< Of pg_class, of a function that of pg_proc.
  bool populated = true;   ///< Whether a materialized view holds data; true for the others.
  bool accessible = true;  ///< Whether the role may use the schema.
  bool in_path = false;    ///< Whether the session means it by its name alone.
  bool opaque = false;     ///< A function whose body cannot be read for what it depends on.
  std::optional<std::int64_t> bytes = {};  ///< Of a materialized view: as in matview_info.

  /// Whether it is a materialized view of either kind: what is refreshed.
  [[nodiscard]] bool refreshable() const noexcept {
    return kind == node_kind::materialized_view || kind == node_kind::incremental_view;
  }

  /// `sales.Daily`, `sales."two words"`: as this library takes it, and quoted where it does not.
  [[nodiscard]] std::string display() const;
};

/// One thing depends directly on another. Plain data; positions in view_graph::nodes().
struct graph_edge {
  std::size_t from = 0;  ///< What depends,
  std::size_t on = 0;    ///< on this.
  edge_source known = edge_source::catalog;

  friend auto operator<=>(const graph_edge&, const graph_edge&) = default;
};

/// What the materialized views of a database are made from. A value: nothing in it changes, and it
/// may be read from any thread. Nodes are known by their position in nodes().
class view_graph final {
 public:
  using index = std::size_t;

  view_graph() = default;

  /// @throws std::out_of_range for an edge whose ends are no nodes.
  view_graph(std::vector<graph_node> nodes, std::vector<graph_edge> edges);

  /// By schema and name.
  [[nodiscard]] const std::vector<graph_node>& nodes() const noexcept { return nodes_; }

  /// By position; none twice: what the catalog and a person both say is the catalog's.
  [[nodiscard]] const std::vector<graph_edge>& edges() const noexcept { return edges_; }

  /// The relation of this name, never a function. With an empty schema the one that the session
  /// means by the name alone.
  [[nodiscard]] std::optional<index> find(std::string_view schema, std::string_view name) const;

  /// What the node depends on directly, and what depends directly on it. Ascending.
  [[nodiscard]] const std::vector<index>& direct_upstream(index node) const;
  [[nodiscard]] const std::vector<index>& direct_downstream(index node) const;

  /// All that the node depends on, and all that depends on it, at any distance. Ascending; without
  /// the node itself unless it stands in a cycle.
  [[nodiscard]] std::vector<index> upstream(index node) const;
  [[nodiscard]] std::vector<index> downstream(index node) const;

  /// The materialized views among upstream() that are reached without passing another one.
  [[nodiscard]] std::vector<index> nearest_views_upstream(index node) const;

  /// All nodes, each after all that it depends on; otherwise by name.
  /// @throws error with errc::invalid_option, naming the whole cycle, if there is one.
  [[nodiscard]] std::vector<index> order() const;

  /// A cycle, each node depending on the next and the last on the first; empty if there is none.
  /// Views alone cannot form one, but a replaced view or function and declarations can.
  [[nodiscard]] std::vector<index> cycle() const;

  /// The nodes that are wanted, with the edges between them.
  [[nodiscard]] view_graph part(const std::vector<index>& wanted) const;

 private:
  std::vector<graph_node> nodes_;
  std::vector<graph_edge> edges_;
  std::vector<std::vector<index>> upstream_;
  std::vector<std::vector<index>> downstream_;
};

/// Options of read_graph().
struct graph_options {
  /// The alias of the database.
  std::string database = "default";
  /// Receives what is done.
  log_sink log = {};
};

/// Reads the graph: every materialized view of the database in any schema, what its query reads
/// through plain views and functions at any depth, and what has been declared. What the graph
/// cannot see is said in docs/graph.md.
///
/// One round trip to the server, no locks on what it tells about. Errors, cancellation and threads
/// are as in views.hpp. A schema that the role may not use is told by graph_node::accessible: the
/// catalog is open to every role.
[[nodiscard]] view_graph read_graph(const graph_options& options = {});
[[nodiscard]] boost::asio::awaitable<view_graph> aread_graph(
    graph_options options = graph_options());

/// Options of declare_dependencies().
struct declare_options {
  /// The alias of the database.
  std::string database = "default";
  /// Whether the dependencies are taken back instead.
  bool remove = false;
  /// Receives what is done.
  log_sink log = {};
};

/// Declares that a materialized view depends on other relations, for what the catalog does not say:
/// a PL/pgSQL function that reads them, dynamic SQL, a foreign table over one of them. It holds by
/// name until it is taken back. Makes the schema `matview` if it is not there.
///
/// Takes effect whole or not at all; doing it again changes nothing.
/// @param view    the materialized view, by the rule of identifier.
/// @param others  relations; of any kind unless they are taken back.
/// @return how many declarations were added or taken back.
/// @throws error  besides the common ones of views.hpp: view_not_found for a name that there is
/// not,
///                invalid_option for an empty list and for a declaration that would close a cycle,
///                which is named.
std::size_t declare_dependencies(std::string_view view, const std::vector<std::string>& others,
                                 const declare_options& options = {});
[[nodiscard]] boost::asio::awaitable<std::size_t> adeclare_dependencies(
    std::string view, std::vector<std::string> others, declare_options options = declare_options());

}  // namespace matview
