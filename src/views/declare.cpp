#include "pg/transaction.hpp"
#include "store/graph_catalog.hpp"
#include "store/migrations.hpp"
#include "views/refresh_plan.hpp"
#include "views/session.hpp"
#include <matview/graph.hpp>
#include <matview/identifier.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace matview {

namespace views {

namespace {

struct declaration {
  identifier view;
  std::vector<identifier> others;
  bool remove;
};

declaration checked(const std::string& view, const std::vector<std::string>& others, bool remove) {
  declaration out{identifier::parse(view), {}, remove};
  for (const std::string& other : others) out.others.push_back(identifier::parse(other));
  if (others.empty()) {
    throw error(errc::invalid_option, "nothing is named that the view depends on",
                {.hint = "name tables or views"});
  }
  return out;
}

asio::awaitable<view_graph> graph_on(pg::connection& on) {
  store::graph_rows rows = co_await store::read_graph(on);
  co_return view_graph(std::move(rows.nodes), std::move(rows.edges));
}

// The other relations as the declarations spell them. What is taken back need not be there any
// more: it is then taken as it was written.
asio::awaitable<std::vector<std::string>> spelled(pg::connection& on, const declaration& wanted) {
  std::set<std::string> out;
  for (const identifier& other : wanted.others) {
    const std::optional<std::string> found = co_await store::spelled_name(on, other);
    if (found) out.insert(*found);
    if (wanted.remove) out.insert(other.quoted());
    if (wanted.remove || found) continue;
    throw error(
        errc::view_not_found, fmt::format("there is no table or view {}", other.quoted()),
        {.hint = "names are case-sensitive; outside of schema public they need the schema"});
  }
  co_return std::vector<std::string>(out.begin(), out.end());
}

// Others may be there already, which are not this declaration's fault.
void refuse_cycle(const view_graph& graph, view_graph::index through) {
  const std::vector<view_graph::index> above = graph.upstream(through);
  const std::vector<view_graph::index> below = graph.downstream(through);
  std::vector<view_graph::index> both;
  std::set_intersection(above.begin(), above.end(), below.begin(), below.end(),
                        std::back_inserter(both));
  static_cast<void>(graph.part(both).order());
}

asio::awaitable<std::size_t> declare_in(pg::transaction& in, const declaration& wanted) {
  co_await in.run("SET LOCAL application_name = 'matview declare'");
  pg::connection& on = in.on();
  co_await store::lock_declarations(on);
  const view_graph before = co_await graph_on(on);
  const std::vector<std::string> one{wanted.view.text()};
  const graph_node view = before.nodes()[select_views(before, {.names = one}).front()];
  const std::vector<std::string> others = co_await spelled(on, wanted);
  if (wanted.remove) {
    co_return static_cast<std::size_t>(co_await store::remove_declarations(on, view, others));
  }
  const std::int64_t added = co_await store::add_declarations(on, view, others);
  // Read anew, since what was declared brings in what that depends on.
  const view_graph after = co_await graph_on(on);
  refuse_cycle(after, *after.find(view.schema, view.name));
  co_return static_cast<std::size_t>(added);
}

asio::awaitable<std::size_t> declare_on(pg::connection& on, const declaration& wanted) {
  co_await store::migrate(on);
  const auto work = [&](pg::transaction& in) { return declare_in(in, wanted); };
  std::optional<error> failure;
  try {
    co_return co_await pg::in_transaction(on, work);
  } catch (const error& failed) {
    failure = failed;
  }
  throw error(store::explained(*failure, on.user()));
}

asio::awaitable<std::size_t> declare_anywhere(std::string view, std::vector<std::string> others,
                                              declare_options options) {
  const declaration wanted = checked(view, others, options.remove);
  session where{std::nullopt, options.database, options.log};
  const auto work = [&](pg::connection& on) { return declare_on(on, wanted); };
  co_return co_await on_session(std::move(where), work);
}

}  // namespace

}  // namespace views

asio::awaitable<std::size_t> adeclare_dependencies(std::string view,
                                                   std::vector<std::string> others,
                                                   declare_options options) {
  return views::isolated(
      views::declare_anywhere(std::move(view), std::move(others), std::move(options)));
}

std::size_t declare_dependencies(std::string_view view, const std::vector<std::string>& others,
                                 const declare_options& options) {
  return pg::run_sync(adeclare_dependencies(std::string(view), others, options));
}

}  // namespace matview
