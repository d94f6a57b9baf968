#include "views/compilation.hpp"

#include "store/query_catalog.hpp"
#include "text/quote.hpp"

#include "incremental/locate.hpp"
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <fmt/format.h>

#include <utility>

namespace matview::views {

namespace json = boost::json;

asio::awaitable<store::query_facts> facts_of(pg::connection& on, std::int64_t view) {
  co_return co_await store::read_query_facts(on, view);
}

asio::awaitable<compilation> compile_on(pg::connection& on, store::query_facts facts,
                                        incremental::view_parts parts) {
  compilation out{std::move(facts), incremental::refusal{}};
  // What is refused anyhow need not be planned, and sometimes cannot: a foreign table for one.
  if (const auto refused = incremental::early_refusal(out.facts)) {
    out.result = *refused;
    co_return out;
  }
  incremental::compile_input input{.facts = out.facts, .parts = std::move(parts)};
  const auto planned = co_await on.run("EXPLAIN (FORMAT JSON) " + out.facts.query);
  input.coarse_groups = incremental::has_coarse_groups(planned.back().string(0, 0), out.facts);
  for (;;) {
    incremental::compile_result result = incremental::compile(input);
    if (const auto* wanted = std::get_if<incremental::needs_types>(&result)) {
      const std::string query = wanted->query;
      std::vector<store::column_facts> types = co_await store::read_types(on, std::string(query));
      input.types.insert_or_assign(query, std::move(types));
      continue;
    }
    if (auto* view = std::get_if<incremental::compiled_view>(&result)) {
      out.result = std::move(*view);
    } else {
      out.result = std::get<incremental::refusal>(std::move(result));
    }
    co_return out;
  }
}

incremental::view_parts parts_of(int id) {
  return {.storage = fmt::format("matview.storage_{}", id),
          .source = fmt::format("matview.source_{}", id),
          .core = fmt::format("matview.core_{}", id),
          .core_source = fmt::format("matview.core_source_{}", id),
          .logs = {}};
}

std::string program_json(const incremental::compiled_view& view,
                         const incremental::view_parts& parts) {
  json::array bases;
  for (const incremental::captured_table& table : view.tables) {
    bases.push_back(json::object{{"log", parts.logs.at(table.table->oid)},
                                 {"oid", fmt::format("{}", table.table->oid)},
                                 {"storage", table.table->storage}});
  }
  json::array pieces;
  for (const incremental::piece& one : view.pieces) {
    pieces.push_back(json::object{{"section", one.section}, {"mask", one.mask}, {"sql", one.sql}});
  }
  json::object out{{"bases", std::move(bases)},
                   {"pieces", std::move(pieces)},
                   {"mechanism", view.mechanism},
                   {"apply", view.apply},
                   {"full", view.full},
                   {"max_bases", view.max_tables},
                   {"unique_rows", view.unique_rows}};
  if (view.diff.empty()) {
    out["diff"] = nullptr;
  } else {
    out["diff"] = view.diff;
  }
  return json::serialize(out);
}

std::string told(const incremental::refusal& why) {
  return fmt::format("{}: {}", why.detail, incremental::text_of(why.what).why);
}

std::optional<std::size_t> place_of(const incremental::refusal& why, const std::string& query) {
  return incremental::locate(why, query);
}

error refused(const incremental::refusal& why, const std::string& query) {
  const std::string message = "the query cannot be maintained incrementally: " + told(why);
  const std::optional<std::size_t> place = place_of(why, query);
  std::string text = message;
  if (place) text += "\n" + text::caret_lines(query, *place);
  const std::string instead(incremental::text_of(why.what).instead);
  const bool native = instead.ends_with("make the view native");
  return {errc::invalid_select,
          text,
          {.hint = instead + (native ? " (--kind native)" : "; or make it native (--kind native)"),
           .position = place}};
}

}  // namespace matview::views
