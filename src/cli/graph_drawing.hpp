#pragma once

#include <matview/graph.hpp>

#include <string>

namespace matview::cli {

// The graph for programs that draw. An arrow leads from what is read to what is made from it, and
// is dashed where it was declared by hand. Pure.

/// For Graphviz: `matview graph --format dot | dot -Tsvg`.
[[nodiscard]] std::string dot_of(const view_graph& graph);

/// For Mermaid, which GitHub and GitLab draw in Markdown.
[[nodiscard]] std::string mermaid_of(const view_graph& graph);

}  // namespace matview::cli
