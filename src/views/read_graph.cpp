#include "store/graph_catalog.hpp"
#include "views/session.hpp"
#include <matview/graph.hpp>

#include <fmt/format.h>

#include <optional>
#include <utility>

namespace matview {

namespace views {

namespace {

asio::awaitable<view_graph> read_on(pg::connection& on) {
  store::graph_rows rows = co_await store::read_graph(on);
  if (on.log()) {
    for (const store::broken_declaration& one : rows.broken) {
      on.log()(log_level::warning,
               fmt::format("{} is declared to depend on {}, which is not there: matview declare "
                           "--remove forgets that",
                           one.view, one.name));
    }
  }
  co_return view_graph(std::move(rows.nodes), std::move(rows.edges));
}

asio::awaitable<view_graph> read_anywhere(graph_options options) {
  session where{std::nullopt, options.database, options.log};
  const auto work = [](pg::connection& on) { return read_on(on); };
  co_return co_await on_session(std::move(where), work);
}

}  // namespace

}  // namespace views

asio::awaitable<view_graph> aread_graph(graph_options options) {
  return views::isolated(views::read_anywhere(std::move(options)));
}

view_graph read_graph(const graph_options& options) {
  return pg::run_sync(aread_graph(options));
}

}  // namespace matview
