#include "incremental/locate.hpp"

#include "text/utf8.hpp"
#include <matview/error.hpp>

#include "incremental/syntax.hpp"
#include <boost/json/parse.hpp>

#include <algorithm>
#include <string_view>

namespace matview::incremental {

namespace {

constexpr double coarse = 200;  // Rows of the largest table for each row of the result.

// The last part of `my.function()`.
std::string last_word(std::string_view detail) {
  detail = detail.substr(0, detail.find('('));
  while (!detail.empty() && detail.back() == ' ') detail.remove_suffix(1);
  const std::size_t before = detail.find_last_of(". ");
  return std::string(before == std::string_view::npos ? detail : detail.substr(before + 1));
}

int limit_place(const select_statement* query) {
  const node* limit = query->limit_count != nullptr ? query->limit_count : query->limit_offset;
  return limit != nullptr && limit->node_case == PG_QUERY__NODE__NODE_A_CONST
             ? limit->a_const->location
             : -1;
}

// The byte at which this message is the one that is looked for, or -1.
int place_in(const ProtobufCMessage* of, const refusal& why, const select_statement* whole) {
  auto* message = const_cast<ProtobufCMessage*>(of);  // NOLINT: as() reads
  const std::string word = last_word(why.detail);
  if (const auto* call = as<PgQuery__FuncCall>(message, pg_query__func_call__descriptor)) {
    if (why.what == construct::window_without_partition) {
      return call->over != nullptr && call->over->n_partition_clause == 0 ? call->location : -1;
    }
    return string_of(call->funcname[call->n_funcname - 1]) == word ? call->location : -1;
  }
  if (const auto* value =
          as<PgQuery__SQLValueFunction>(message, pg_query__sqlvalue_function__descriptor)) {
    return why.what == construct::clock || why.what == construct::session ? value->location : -1;
  }
  if (const auto* with = as<PgQuery__WithClause>(message, pg_query__with_clause__descriptor)) {
    return why.what == construct::recursive_cte ? with->location : -1;
  }
  if (const auto* cast = as<PgQuery__TypeCast>(message, pg_query__type_cast__descriptor)) {
    return why.what == construct::text_to_time ? cast->location : -1;
  }
  if (const auto* table = as<PgQuery__RangeVar>(message, pg_query__range_var__descriptor)) {
    const bool about_table = why.what == construct::foreign_table ||
                             why.what == construct::materialized_view ||
                             why.what == construct::temporary_table ||
                             why.what == construct::row_security || why.what == construct::no_path;
    const bool named = why.detail.find(std::string(".") + table->relname) != std::string::npos;
    return about_table && named ? table->location : -1;
  }
  if (const auto* column = as<PgQuery__ColumnRef>(message, pg_query__column_ref__descriptor)) {
    const bool about_column =
        why.what == construct::system_column || why.what == construct::virtual_column;
    return about_column && string_of(column->fields[column->n_fields - 1]) == word
               ? column->location
               : -1;
  }
  const auto* select = as<select_statement>(message, pg_query__select_stmt__descriptor);
  const bool about_limit = why.what == construct::limit_inside || why.what == construct::no_key ||
                           why.what == construct::no_path;
  return select != nullptr && select != whole && about_limit ? limit_place(select) : -1;
}

std::size_t character(int byte, const std::string& query) {
  return 1 + text::characters(std::string_view(query).substr(0, static_cast<std::size_t>(byte)));
}

// Where the parenthesis or EXISTS stands. The compiler has counted them in the server's text of the
// query: where that has another number of them nothing can be said.
std::optional<std::size_t> place_of_sub_link(const select_statement* tree, const refusal& why,
                                             const std::string& query) {
  std::size_t count = 0;
  int byte = -1;
  walk(&tree->base, [&](ProtobufCMessage* message) {
    const auto* sub = as<PgQuery__SubLink>(message, pg_query__sub_link__descriptor);
    if (sub != nullptr && ++count == why.sub_link) byte = sub->location;
    return true;
  });
  if (byte < 0 || count != why.sub_links) return std::nullopt;
  return character(byte, query);
}

}  // namespace

std::optional<std::size_t> locate(const refusal& why, const std::string& query) {
  arena memory;
  int byte = -1;
  try {
    const select_statement* tree = parse_query(memory, query);
    if (why.what == construct::uncorrelated_subquery) return place_of_sub_link(tree, why, query);
    walk(&tree->base, [&](ProtobufCMessage* message) {
      if (byte < 0) byte = place_in(message, why, tree);
      return byte < 0;
    });
  } catch (const error&) {
    return std::nullopt;
  }
  if (byte < 0) return std::nullopt;
  return character(byte, query);
}

bool has_coarse_groups(const std::string& plan, const store::query_facts& facts) {
  namespace json = boost::json;
  json::error_code unreadable;
  const json::value tree = json::parse(plan, unreadable);
  if (unreadable) return false;
  // Groups are made whatever LIMIT leaves of them.
  const json::object* top = &tree.as_array().at(0).as_object().at("Plan").as_object();
  while (top->at("Node Type") == "Limit") {
    const json::array& below = top->at("Plans").as_array();
    const auto* input = std::find_if(below.begin(), below.end(), [](const json::value& one) {
      return one.as_object().at("Parent Relationship") == "Outer";
    });
    if (input == below.end()) return false;
    top = &input->as_object();
  }
  const double groups = top->at("Plan Rows").to_number<double>();
  double rows = 0;
  for (const auto& [name, table] : facts.tables) rows = std::max(rows, table.rows);
  return rows > coarse * std::max(groups, 1.0);
}

}  // namespace matview::incremental
