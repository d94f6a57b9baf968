#include "cli/command.hpp"
#include "cli/graph_drawing.hpp"
#include "cli/output.hpp"
#include "cli/run.hpp"
#include <matview/graph.hpp>
#include <matview/identifier.hpp>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <memory>
#include <numeric>
#include <optional>
#include <string>
#include <vector>

namespace matview::cli {

namespace {

namespace json = boost::json;

struct graph_arguments {
  std::string name;
  std::string format;  // Empty: what --format says before the command.
};

asio::awaitable<void> read_into(const graph_options& options, view_graph& into) {
  into = co_await aread_graph(options);
}

// What the named one is made from and what is made from it.
view_graph around(const view_graph& whole, const std::string& name) {
  const identifier wanted = identifier::parse(name);
  const std::optional<view_graph::index> found = whole.find(wanted.schema(), wanted.name());
  if (!found) {
    throw error(
        errc::view_not_found,
        fmt::format("{} is no materialized view, and none is made from it", wanted.quoted()),
        {.hint = "matview graph shows those there are; names are case-sensitive"});
  }
  std::vector<view_graph::index> part = whole.upstream(*found);
  const std::vector<view_graph::index> below = whole.downstream(*found);
  part.insert(part.end(), below.begin(), below.end());
  part.push_back(*found);
  return whole.part(part);
}

// By name where nothing else can be: a cycle must be seen to be mended.
std::vector<view_graph::index> order_of(const view_graph& graph) {
  if (graph.cycle().empty()) return graph.order();
  std::vector<view_graph::index> out(graph.nodes().size());
  std::iota(out.begin(), out.end(), view_graph::index{0});
  return out;
}

std::vector<std::string> names_upstream(const view_graph& graph, view_graph::index of) {
  std::vector<std::string> out;
  for (const graph_edge& edge : graph.edges()) {
    if (edge.from != of) continue;
    out.push_back(graph.nodes()[edge.on].display() +
                  (edge.known == edge_source::declared ? " (declared)" : ""));
  }
  return out;
}

std::string state_of(const graph_node& node) {
  if (!node.accessible) return "closed to this role";
  if (!node.refreshable()) return node.opaque ? "not seen through" : "";
  return node.populated ? "populated" : "not populated";
}

std::string rows_of(const view_graph& graph, output_format format) {
  table rows({{"NAME"}, {"KIND"}, {"STATE"}, {"SIZE", true}, {"DEPENDS ON"}});
  for (const view_graph::index at : order_of(graph)) {
    const graph_node& node = graph.nodes()[at];
    const std::string kind(to_string(node.kind));
    const std::string upstream = fmt::format("{}", fmt::join(names_upstream(graph, at), ", "));
    rows.add({node.display(), kind, state_of(node), node.bytes ? pretty_bytes(*node.bytes) : "",
              upstream},
             {},
             {node.display(), kind, state_of(node),
              node.bytes ? fmt::format("{}", *node.bytes) : "", upstream});
  }
  return rows.text(format);
}

std::string json_of(const view_graph& graph) {
  json::array nodes;
  for (const view_graph::index at : order_of(graph)) {
    const graph_node& node = graph.nodes()[at];
    json::object one{{"id", node.display()},
                     {"schema", node.schema},
                     {"name", node.name},
                     {"kind", to_string(node.kind)},
                     {"accessible", node.accessible}};
    if (node.refreshable()) {
      one["populated"] = node.populated;
      one["bytes"] = node.bytes ? json::value(*node.bytes) : json::value();
    }
    if (node.kind == node_kind::function) one["opaque"] = node.opaque;
    nodes.emplace_back(std::move(one));
  }
  json::array edges;
  for (const graph_edge& edge : graph.edges()) {
    edges.emplace_back(json::object{{"from", graph.nodes()[edge.from].display()},
                                    {"depends_on", graph.nodes()[edge.on].display()},
                                    {"known", to_string(edge.known)}});
  }
  return json::serialize(json::object{{"nodes", std::move(nodes)}, {"edges", std::move(edges)}}) +
         '\n';
}

std::string text_of(const view_graph& graph, const std::string& format) {
  if (format == "dot") return dot_of(graph);
  if (format == "mermaid") return mermaid_of(graph);
  if (format == "json") return json_of(graph);
  return rows_of(graph, format == "tsv" ? output_format::tsv : output_format::table);
}

// Whether somebody has said of each view that is made with this function what it depends on.
bool is_declared_for(const view_graph& graph, view_graph::index function) {
  const auto told = [&](view_graph::index view) {
    return std::any_of(graph.edges().begin(), graph.edges().end(), [&](const graph_edge& edge) {
      return edge.from == view && edge.known == edge_source::declared;
    });
  };
  const std::vector<view_graph::index> below = graph.downstream(function);
  return std::all_of(below.begin(), below.end(), [&](view_graph::index at) {
    return !graph.nodes()[at].refreshable() || told(at);
  });
}

// What a person must know to trust the graph.
exit_code tell_gaps(const view_graph& graph, const context& with) {
  for (view_graph::index at = 0; at < graph.nodes().size(); ++at) {
    const graph_node& node = graph.nodes()[at];
    if (!node.opaque || is_declared_for(graph, at)) continue;
    with.screen.note(
        fmt::format("what {} reads is not known to the catalog; if it reads views, say "
                    "so: matview declare VIEW --depends-on OTHER",
                    node.display()));
  }
  if (graph.cycle().empty()) return exit_code::done;
  try {
    static_cast<void>(graph.order());
  } catch (const error& failed) {
    with.screen.fail(failed);
  }
  return exit_code::look_at_it;
}

exit_code graph(const graph_arguments& given, const context& with) {
  if (!given.name.empty()) static_cast<void>(identifier::parse(given.name));
  const graph_options options{.database = with.options.database, .log = with.screen.log()};
  view_graph whole;
  run_interruptibly(with.screen, "reading the graph", read_into(options, whole));
  const view_graph shown = given.name.empty() ? whole : around(whole, given.name);
  write_result(text_of(shown, chosen_format(given.format, with.options.format)));
  if (shown.nodes().empty()) with.screen.note("no materialized views in this database");
  return tell_gaps(shown, with);
}

}  // namespace

command add_graph(CLI::App& app) {
  const auto given = std::make_shared<graph_arguments>();  // Shared: the parser writes, run reads.
  CLI::App* parser =
      app.add_subcommand("graph", "Show what materialized views are made from, at any depth");
  parser
      ->add_option("NAME", given->name,
                   "Only what this one is made from and what is made from it: VIEW or SCHEMA.VIEW")
      ->type_name("")
      ->check(not_empty());
  parser
      ->add_option("--format", given->format,
                   "table, json or tsv; dot for Graphviz, mermaid for Markdown")
      ->type_name("FORMAT")
      ->check(one_of({"table", "json", "tsv", "dot", "mermaid"}));
  return {parser, [given](const context& with) { return graph(*given, with); }};
}

}  // namespace matview::cli
