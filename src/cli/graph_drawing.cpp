#include "cli/graph_drawing.hpp"

#include <fmt/format.h>

#include <string_view>

namespace matview::cli {

namespace {

std::string_view dot_shape(node_kind kind) {
  switch (kind) {
    case node_kind::materialized_view:
      return "box, style=filled";
    case node_kind::incremental_view:
      return "box, style=filled, peripheries=2";
    case node_kind::view:
      return "box, style=dashed";
    case node_kind::function:
      return "ellipse";
    case node_kind::table:
    case node_kind::foreign_table:
      break;
  }
  return "cylinder";
}

std::string in_dot_quotes(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c == '\n' ? ' ' : c;
  }
  return out + '"';
}

struct brackets {
  std::string_view open;
  std::string_view close;
};

brackets mermaid_shape(node_kind kind) {
  switch (kind) {
    case node_kind::materialized_view:
      return {"[", "]"};
    case node_kind::incremental_view:
      return {"[[", "]]"};
    case node_kind::view:
      return {"(", ")"};
    case node_kind::function:
      return {"{{", "}}"};
    case node_kind::table:
    case node_kind::foreign_table:
      break;
  }
  return {"[(", ")]"};
}

// Mermaid has no escape characters, but reads entities written with # for &.
std::string in_mermaid_quotes(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    switch (c) {
      case '"':
      case '#':
      case '&':
      case '<':
      case '>':
      case '`':
      case '\\':
        out += fmt::format("#{};", static_cast<int>(c));
        break;
      case '\n':
        out += ' ';
        break;
      default:
        out += c;
    }
  }
  return out + '"';
}

}  // namespace

std::string dot_of(const view_graph& graph) {
  std::string out = "digraph matview {\n  rankdir=LR;\n";
  for (std::size_t at = 0; at < graph.nodes().size(); ++at) {
    const graph_node& node = graph.nodes()[at];
    out += fmt::format("  n{} [label={}, shape={}];\n", at, in_dot_quotes(node.display()),
                       dot_shape(node.kind));
  }
  for (const graph_edge& edge : graph.edges()) {
    out += fmt::format("  n{} -> n{}{};\n", edge.on, edge.from,
                       edge.known == edge_source::declared ? " [style=dashed]" : "");
  }
  return out + "}\n";
}

std::string mermaid_of(const view_graph& graph) {
  std::string out = "graph LR\n";
  for (std::size_t at = 0; at < graph.nodes().size(); ++at) {
    const graph_node& node = graph.nodes()[at];
    const auto [open, close] = mermaid_shape(node.kind);
    out += fmt::format("  n{}{}{}{}\n", at, open, in_mermaid_quotes(node.display()), close);
  }
  for (const graph_edge& edge : graph.edges()) {
    out += fmt::format("  n{} {} n{}\n", edge.on,
                       edge.known == edge_source::declared ? "-.->" : "-->", edge.from);
  }
  return out;
}

}  // namespace matview::cli
