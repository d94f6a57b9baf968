#include "store/catalog.hpp"
#include "store/incremental_catalog.hpp"
#include "store/sources.hpp"
#include "store/status_catalog.hpp"
#include "views/session.hpp"
#include "views/statements.hpp"
#include "views/status.hpp"
#include <matview/identifier.hpp>
#include <matview/status.hpp>

#include <fmt/format.h>

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace matview {

namespace views {

namespace {

struct status_request {
  status_options options;
  std::vector<std::string> names;  // Quoted.
};

status_request checked(status_options options) {
  status_request out;
  for (const std::string& name : options.names) {
    out.names.push_back(identifier::parse(name).quoted());
  }
  out.options = std::move(options);
  return out;
}

// @throws error with errc::view_not_found.
asio::awaitable<std::vector<std::int64_t>> oids_of(pg::connection& on,
                                                   const std::vector<std::string>& names) {
  std::vector<std::int64_t> out;
  if (names.empty()) co_return out;
  const std::vector<store::named_relation> found = co_await store::find_relations(on, names);
  for (std::size_t i = 0; i < found.size(); ++i) {
    const store::named_relation& one = found[i];
    if (!one.oid || (one.kind != 'm' && !one.incremental)) {
      throw error(errc::view_not_found,
                  one.oid ? fmt::format("{} is {}, not a materialized view", one.quoted,
                                        store::kind_name(one.kind))
                          : fmt::format("there is no materialized view {}", names.at(i)),
                  {.hint = "matview list shows those there are; names are case-sensitive"});
    }
    out.push_back(*one.oid);
  }
  co_return out;
}

using cases = std::vector<status_case>;

asio::awaitable<void> add_memories(pg::connection& on, const std::vector<std::int64_t>& oids,
                                   cases& to) {
  std::map<std::int64_t, store::status_memory> known;
  std::vector<store::status_memory> remembered = co_await store::read_status_memory(on, oids);
  for (store::status_memory& one : remembered) {
    known.emplace(one.view, std::move(one));
  }
  for (status_case& view : to) {
    const auto found = known.find(view.facts.oid);
    // Dropped meanwhile if it is not there: as good as nothing remembered.
    view.memory = found == known.end() ? store::status_memory() : std::move(found->second);
  }
}

asio::awaitable<void> add_sources(pg::connection& on, cases& to) {
  std::vector<std::int64_t> oids;
  for (const status_case& view : to) {
    if (needs_sources(view)) oids.push_back(view.facts.oid);
  }
  if (oids.empty()) co_return;
  const std::vector<store::view_sources> found = co_await store::read_sources(on, oids);
  for (const store::view_sources& one : found) {
    for (status_case& view : to) {
      if (view.facts.oid == one.view) view.sources = one;
    }
  }
}

// How many changed rows are worth counting.
constexpr std::int64_t most_changed = 100'000;

asio::awaitable<void> add_incremental(pg::connection& on, cases& to) {
  std::vector<std::int64_t> oids;
  for (const status_case& view : to) {
    if (view.facts.incremental) oids.push_back(view.facts.oid);
  }
  if (oids.empty()) co_return;
  const store::incremental_states found =
      co_await store::read_incremental(on, oids, false, most_changed);
  for (status_case& view : to) {
    view.no_incremental =
        found.unknown.empty() ? "its record in matview.incremental is gone" : found.unknown;
    for (const store::incremental_state& one : found.views) {
      if (one.view == view.facts.oid) view.incremental = one;
    }
  }
}

asio::awaitable<void> add_schedules(pg::connection& on, const std::vector<std::int64_t>& oids,
                                    cases& to) {
  const std::vector<store::status_schedule> found = co_await store::read_status_schedules(on, oids);
  for (status_case& view : to) {
    for (const store::status_schedule& one : found) {
      if (one.view == view.facts.oid) view.schedules.push_back(one);
    }
  }
}

asio::awaitable<status_report> read_on(pg::connection& on, const status_request& asked) {
  const std::vector<std::int64_t> named = co_await oids_of(on, asked.names);
  const store::status_access access = co_await store::read_status_access(on);
  const std::vector<store::status_facts> facts =
      co_await store::read_status_facts(on, named, asked.options.schemas, turn_class);
  status_report out;
  out.unseen = unseen_by(access);
  std::vector<std::int64_t> oids;
  cases views;
  for (const store::status_facts& one : facts) {
    oids.push_back(one.oid);
    status_case view;
    view.facts = one;
    view.standby = access.standby;
    if (!access.history) view.no_memory = out.unseen.front();
    views.push_back(std::move(view));
  }
  if (access.history) co_await add_memories(on, oids, views);
  co_await add_sources(on, views);
  co_await add_incremental(on, views);
  if (access.schedules) co_await add_schedules(on, oids, views);
  for (const status_case& view : views) out.views.push_back(status_of(view));
  co_return out;
}

asio::awaitable<status_report> read_anywhere(std::optional<PGconn*> borrowed,
                                             status_options options) {
  const status_request asked = checked(std::move(options));
  session where{borrowed, asked.options.database, asked.options.log};
  const auto work = [&](pg::connection& on) { return read_on(on, asked); };
  co_return co_await on_session(std::move(where), work);
}

}  // namespace

}  // namespace views

asio::awaitable<status_report> amatview_status(status_options options) {
  return views::isolated(views::read_anywhere(std::nullopt, std::move(options)));
}

asio::awaitable<status_report> amatview_status(PGconn* connection, status_options options) {
  return views::isolated(views::read_anywhere(connection, std::move(options)));
}

status_report matview_status(const status_options& options) {
  return pg::run_sync(amatview_status(options));
}

status_report matview_status(PGconn* connection, const status_options& options) {
  return pg::run_sync(amatview_status(connection, options));
}

}  // namespace matview
