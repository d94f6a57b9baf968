#include "pg/transaction.hpp"
#include "store/catalog.hpp"
#include "store/incremental.hpp"
#include "text/quote.hpp"
#include "text/select_query.hpp"
#include "views/compilation.hpp"
#include "views/create.hpp"
#include "views/session.hpp"
#include <matview/identifier.hpp>
#include <matview/incremental.hpp>

#include <boost/algorithm/string/replace.hpp>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

namespace matview {

namespace views {

namespace {

// `rows changed in public.a, public.b` for the tables in the mask.
std::string piece_name(const incremental::compiled_view& view, const incremental::piece& one) {
  if (one.mask == 0) return "no change";
  std::vector<std::string> tables;
  for (std::size_t i = 0; i < view.tables.size(); ++i) {
    if ((one.mask >> i & 1U) == 0) continue;
    tables.push_back(view.tables[i].table->schema + "." + view.tables[i].table->name);
  }
  return fmt::format("changed: {}", fmt::join(tables, ", "));
}

void add_view(const incremental::compiled_view& view, matview_explanation& to) {
  to.mechanism = view.mechanism;
  for (const incremental::explained_part& part : view.parts) {
    to.parts.push_back({part.what, part.mechanism, part.why});
  }
  for (const incremental::explained_operator& one : view.operators) {
    to.operators.push_back({one.depth, one.what, one.mechanism, one.why});
  }
  for (const incremental::captured_table& table : view.tables) {
    to.captured.push_back({table.table->schema + "." + table.table->name, table.columns});
  }
  to.notes = view.notes;
  if (view.max_tables < static_cast<int>(view.tables.size())) {
    to.notes.push_back(
        fmt::format("when more than {} of its tables have changed at once it is computed anew",
                    view.max_tables));
  }
  to.statements.push_back({"view", view.view});
  to.statements.push_back({"storage", view.source});
  if (!view.core_source.empty()) to.statements.push_back({"rows below", view.core_source});
  to.statements.push_back({"apply", view.apply});
  for (const incremental::piece& one : view.pieces) {
    to.statements.push_back(
        {fmt::format("section {}, {}", one.section, piece_name(view, one)), one.sql});
  }
  to.statements.push_back({"full", view.full});
  if (!view.diff.empty()) to.statements.push_back({"diff", view.diff});
}

void add_refusal(const incremental::refusal& why, const std::string& query,
                 matview_explanation& to) {
  const incremental::construct_text& text = incremental::text_of(why.what);
  to.obstacles.push_back({.construct = std::string(text.name),
                          .what = why.detail,
                          .why = std::string(text.why),
                          .instead = std::string(text.instead),
                          .position = place_of(why, query)});
}

// The user's names of incremental views that the query reads, instead of those of their storages.
asio::awaitable<void> name_storages(pg::connection& on, matview_explanation& to) {
  const auto is_storage = [](const captured_columns& one) {
    return one.table.starts_with("matview.storage_");
  };
  if (std::ranges::none_of(to.captured, is_storage)) co_return;
  // The longer numbers first: 12 begins like 1.
  const auto found = co_await on.run(
      "SELECT pg_catalog.format('matview.storage_%s', i.id), n.nspname || '.' || c.relname "
      "FROM matview.incremental i JOIN pg_catalog.pg_class c ON c.oid = i.view::pg_catalog.oid "
      "JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace ORDER BY i.id DESC");
  const pg::result& names = found.back();
  for (int row = 0; row < names.rows(); ++row) {
    const auto put = [&](std::string& text) {
      boost::algorithm::replace_all(text, names.text(row, 0), names.text(row, 1));
    };
    for (captured_columns& one : to.captured) put(one.table);
    for (std::string& one : to.notes) put(one);
    for (incremental_part& one : to.parts) {
      put(one.what);
      put(one.why);
    }
    for (incremental_operator& one : to.operators) {
      put(one.what);
      put(one.why);
    }
  }
}

// Compiles the query of a view that is there for this transaction at least.
asio::awaitable<matview_explanation> explain_in(pg::transaction& in, std::int64_t view,
                                                std::string query) {
  co_await in.run("SET LOCAL search_path = ''");
  store::query_facts facts = co_await facts_of(in.on(), view);
  compilation compiled = co_await compile_on(in.on(), std::move(facts), incremental::view_parts());
  matview_explanation out;
  if (compiled.view() != nullptr) {
    out.kind = view_kind::incremental;
    add_view(*compiled.view(), out);
    co_await name_storages(in.on(), out);
  } else {
    add_refusal(*compiled.refusal(), query, out);
  }
  co_return out;
}

// The query as a view that lasts as long as the transaction, which is then undone.
asio::awaitable<matview_explanation> explain_text(pg::connection& on, text::select_query query) {
  pg::transaction in(on);
  const std::string head = "CREATE TEMPORARY VIEW matview_explained AS ";
  std::optional<error> failure;
  matview_explanation out;
  try {
    co_await in.run("SET LOCAL application_name = 'matview explain'");
    const auto made = co_await in.run(
        head + query.text() +
        "\n; SELECT "
        "'pg_temp.matview_explained'::pg_catalog.regclass::pg_catalog.oid::pg_catalog.int8");
    out = co_await explain_in(in, made.back().integer(0, 0), std::string(query.text()));
  } catch (const error& failed) {
    failure = in_query(failed, query, head.size());
  }
  co_await in.rollback();
  if (failure) throw error(*failure);
  co_return out;
}

asio::awaitable<matview_explanation> explain_view(pg::connection& on, store::relation there) {
  const std::string definition =
      there.incremental ? fmt::format(
                              "(SELECT definition FROM matview.incremental WHERE view = "
                              "{}::pg_catalog.regclass)",
                              text::sql_literal(there.quoted))
                        : text::sql_literal(there.quoted) + "::pg_catalog.regclass";
  const auto found = co_await on.run(fmt::format(
      "SELECT {}, n.nspname || '.' || c.relname FROM pg_catalog.pg_class c JOIN "
      "pg_catalog.pg_namespace n ON n.oid = c.relnamespace "
      "WHERE c.oid = {}::pg_catalog.regclass",
      store::view_text_sql(definition + "::pg_catalog.oid"), text::sql_literal(there.quoted)));
  if (found.back().is_null(0, 0)) throw error(store::definition_gone(there.quoted));
  const text::select_query query = text::select_query::parse(found.back().text(0, 0));
  matview_explanation out = co_await explain_text(on, query);
  out.view = found.back().string(0, 1);
  out.kind = there.incremental ? view_kind::incremental : view_kind::native;
  co_return out;
}

asio::awaitable<matview_explanation> explain_named(pg::connection& on, identifier name) {
  const std::optional<store::relation> there = co_await store::find_relation(on, name);
  if (!there || !there->is_view()) throw error(store::no_such_view(name, there));
  try {
    co_return co_await explain_view(on, *there);
  } catch (const error& failed) {
    if (failed.sqlstate() != "42501" || there->parts_of_another.empty()) throw;
    throw error(store::parts_refused(*there, failed));
  }
}

asio::awaitable<matview_explanation> explain_anywhere(std::string name, explain_options options) {
  const identifier view = identifier::parse(name);
  session where{std::nullopt, options.database, options.log};
  const auto work = [&](pg::connection& on) { return explain_named(on, view); };
  co_return co_await on_session(std::move(where), work);
}

asio::awaitable<matview_explanation> explain_text_anywhere(std::string sql,
                                                           explain_options options) {
  const text::select_query query = text::select_query::parse(sql);
  session where{std::nullopt, options.database, options.log};
  const auto work = [&](pg::connection& on) { return explain_text(on, query); };
  co_return co_await on_session(std::move(where), work);
}

}  // namespace

}  // namespace views

asio::awaitable<matview_explanation> aexplain_matview(std::string_view name,
                                                      explain_options options) {
  return views::isolated(views::explain_anywhere(std::string(name), std::move(options)));
}

asio::awaitable<matview_explanation> aexplain_query(std::string_view select_sql,
                                                    explain_options options) {
  return views::isolated(views::explain_text_anywhere(std::string(select_sql), std::move(options)));
}

matview_explanation explain_matview(std::string_view name, const explain_options& options) {
  return pg::run_sync(aexplain_matview(name, options));
}

matview_explanation explain_query(std::string_view select_sql, const explain_options& options) {
  return pg::run_sync(aexplain_query(select_sql, options));
}

}  // namespace matview
