#include <matview/error.hpp>
#include <matview/graph.hpp>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <functional>
#include <numeric>
#include <queue>
#include <tuple>
#include <utility>

namespace matview {

namespace {

using index = view_graph::index;

bool is_plain(std::string_view name) {
  const auto letter = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
  };
  const auto inner = [&](char c) { return letter(c) || (c >= '0' && c <= '9'); };
  return !name.empty() && letter(name.front()) && std::all_of(name.begin(), name.end(), inner);
}

std::string shown_part(const std::string& name) {
  if (is_plain(name)) return name;
  std::string out = "\"";
  for (const char c : name) out += c == '"' ? std::string("\"\"") : std::string(1, c);
  return out + '"';
}

auto sort_key(const graph_node& node) {
  return std::tie(node.schema, node.name, node.kind, node.oid);
}

// All that `links` lead to from `start`, at any distance.
std::vector<index> reached(const std::vector<std::vector<index>>& links, index start) {
  std::vector<bool> seen(links.size());
  std::vector<index> open = links.at(start);
  std::vector<index> out;
  while (!open.empty()) {
    const index at = open.back();
    open.pop_back();
    if (seen[at]) continue;
    seen[at] = true;
    out.push_back(at);
    open.insert(open.end(), links[at].begin(), links[at].end());
  }
  std::sort(out.begin(), out.end());
  return out;
}

// Nodes in an order in which each follows what it depends on, the first by position wherever
// several could; those in a cycle, or behind one, are left out.
std::vector<index> sorted(const std::vector<std::vector<index>>& upstream,
                          const std::vector<std::vector<index>>& downstream) {
  std::vector<std::size_t> missing;
  missing.reserve(upstream.size());
  for (const auto& on : upstream) missing.push_back(on.size());
  std::priority_queue<index, std::vector<index>, std::greater<>> ready;
  for (index at = 0; at < missing.size(); ++at) {
    if (missing[at] == 0) ready.push(at);
  }
  std::vector<index> out;
  while (!ready.empty()) {
    const index at = ready.top();
    ready.pop();
    out.push_back(at);
    for (const index next : downstream[at]) {
      if (--missing[next] == 0) ready.push(next);
    }
  }
  return out;
}

}  // namespace

std::string_view to_string(node_kind kind) noexcept {
  switch (kind) {
    case node_kind::materialized_view:
      return "materialized view";
    case node_kind::incremental_view:
      return "incremental view";
    case node_kind::view:
      return "view";
    case node_kind::table:
      return "table";
    case node_kind::foreign_table:
      return "foreign table";
    case node_kind::function:
      return "function";
  }
  return "table";
}

std::string_view to_string(edge_source known) noexcept {
  return known == edge_source::catalog ? "catalog" : "declared";
}

std::string graph_node::display() const {
  return shown_part(schema) + '.' + (kind == node_kind::function ? name : shown_part(name));
}

view_graph::view_graph(std::vector<graph_node> nodes, std::vector<graph_edge> edges)
    : nodes_(std::move(nodes)), edges_(std::move(edges)) {
  std::vector<index> by_name(nodes_.size());
  std::iota(by_name.begin(), by_name.end(), index{0});
  std::sort(by_name.begin(), by_name.end(),
            [&](index a, index b) { return sort_key(nodes_[a]) < sort_key(nodes_[b]); });
  std::vector<index> place(nodes_.size());
  std::vector<graph_node> ordered;
  ordered.reserve(nodes_.size());
  for (const index at : by_name) {
    place[at] = ordered.size();
    ordered.push_back(std::move(nodes_[at]));
  }
  nodes_ = std::move(ordered);
  for (graph_edge& edge : edges_) {
    edge.from = place.at(edge.from);
    edge.on = place.at(edge.on);
  }
  // The catalog's come first among equals, so they are the ones that stay.
  std::sort(edges_.begin(), edges_.end());
  const auto same_ends = [](const graph_edge& a, const graph_edge& b) {
    return a.from == b.from && a.on == b.on;
  };
  edges_.erase(std::unique(edges_.begin(), edges_.end(), same_ends), edges_.end());
  upstream_.resize(nodes_.size());
  downstream_.resize(nodes_.size());
  for (const graph_edge& edge : edges_) {
    upstream_[edge.from].push_back(edge.on);
    downstream_[edge.on].push_back(edge.from);
  }
}

std::optional<index> view_graph::find(std::string_view schema, std::string_view name) const {
  for (index at = 0; at < nodes_.size(); ++at) {
    const graph_node& node = nodes_[at];
    if (node.kind == node_kind::function || node.name != name) continue;
    if (schema.empty() ? node.in_path : node.schema == schema) return at;
  }
  return std::nullopt;
}

const std::vector<index>& view_graph::direct_upstream(index node) const {
  return upstream_.at(node);
}

const std::vector<index>& view_graph::direct_downstream(index node) const {
  return downstream_.at(node);
}

std::vector<index> view_graph::upstream(index node) const {
  return reached(upstream_, node);
}

std::vector<index> view_graph::downstream(index node) const {
  return reached(downstream_, node);
}

std::vector<index> view_graph::nearest_views_upstream(index node) const {
  std::vector<bool> seen(nodes_.size());
  std::vector<index> open = upstream_.at(node);
  std::vector<index> out;
  while (!open.empty()) {
    const index at = open.back();
    open.pop_back();
    if (seen[at]) continue;
    seen[at] = true;
    if (nodes_[at].refreshable()) {
      out.push_back(at);
    } else {
      open.insert(open.end(), upstream_[at].begin(), upstream_[at].end());
    }
  }
  std::sort(out.begin(), out.end());
  return out;
}

std::vector<index> view_graph::order() const {
  std::vector<index> out = sorted(upstream_, downstream_);
  if (out.size() == nodes_.size()) return out;
  std::vector<std::string> names;
  const std::vector<index> round = cycle();
  names.reserve(round.size() + 1);
  for (const index at : round) names.push_back(nodes_[at].display());
  names.push_back(names.front());
  throw error(errc::invalid_option,
              fmt::format("the dependencies form a cycle: {}", fmt::join(names, " -> ")),
              {.hint = "each depends on the next: change one of them, or take a declaration back "
                       "with matview declare VIEW --depends-on OTHER --remove"});
}

std::vector<index> view_graph::cycle() const {
  const std::vector<index> free = sorted(upstream_, downstream_);
  if (free.size() == nodes_.size()) return {};
  std::vector<bool> bound(nodes_.size(), true);
  for (const index at : free) bound[at] = false;
  // What is left stands in a cycle or behind one: from any of them, the way upstream that stays
  // among them comes round.
  std::vector<std::size_t> step(nodes_.size());
  std::vector<index> way;
  const auto first = std::find(bound.begin(), bound.end(), true);
  index at = static_cast<index>(first - bound.begin());
  while (step[at] == 0) {
    way.push_back(at);
    step[at] = way.size();
    at = *std::find_if(upstream_[at].begin(), upstream_[at].end(),
                       [&](index next) { return bound[next]; });
  }
  way.erase(way.begin(), way.begin() + static_cast<std::ptrdiff_t>(step[at] - 1));
  std::rotate(way.begin(), std::min_element(way.begin(), way.end()), way.end());
  return way;
}

view_graph view_graph::part(const std::vector<index>& wanted) const {
  constexpr index none = static_cast<index>(-1);
  std::vector<index> place(nodes_.size(), none);
  std::vector<graph_node> nodes;
  for (const index at : wanted) {
    if (place.at(at) != none) continue;
    place[at] = nodes.size();
    nodes.push_back(nodes_[at]);
  }
  std::vector<graph_edge> edges;
  for (const graph_edge& edge : edges_) {
    if (place[edge.from] == none || place[edge.on] == none) continue;
    edges.push_back({place[edge.from], place[edge.on], edge.known});
  }
  return {std::move(nodes), std::move(edges)};
}

}  // namespace matview
