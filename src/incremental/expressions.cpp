#include "incremental/expressions.hpp"

#include "incremental/refusal.hpp"

#include <functional>

namespace matview::incremental {

namespace {

std::string function_name(const PgQuery__FuncCall* call) {
  std::string out;
  for (std::size_t i = 0; i < call->n_funcname; ++i) {
    if (i > 0) out += '.';
    out += string_of(call->funcname[i]);
  }
  return out;
}

// Each call in an expression, but none in its subqueries. `visit` says whether to go into it.
void calls_in(node* expression, const std::function<bool(node*)>& visit) {
  walk(expression, [&](ProtobufCMessage* message) {
    if (message->descriptor == &pg_query__select_stmt__descriptor) return false;
    auto* holder = as<node>(message, pg_query__node__descriptor);
    if (holder != nullptr && func_call(holder) != nullptr) return visit(holder);
    return true;
  });
}

}  // namespace

bool is_aggregate(const PgQuery__FuncCall* call, const store::query_facts& facts) {
  return call->over == nullptr &&
         (call->agg_star != 0 || call->agg_distinct != 0 || call->agg_within_group != 0 ||
          call->agg_filter != nullptr || call->n_agg_order > 0 ||
          facts.aggregates.contains(function_name(call)));
}

bool returns_set(const query_context& in, node* expression) {
  bool found = false;
  calls_in(expression, [&](node* call) {
    found = found || in.facts.set_returning.contains(function_name(func_call(call)));
    return !found;
  });
  return found;
}

std::vector<node*> aggregates_in(const query_context& in, node* expression) {
  std::vector<node*> out;
  calls_in(expression, [&](node* call) {
    if (!is_aggregate(func_call(call), in.facts)) return true;
    out.push_back(call);
    return false;
  });
  return out;
}

std::vector<PgQuery__FuncCall*> windows_in(node* expression) {
  std::vector<PgQuery__FuncCall*> out;
  calls_in(expression, [&](node* call) {
    if (func_call(call)->over != nullptr) out.push_back(func_call(call));
    return true;
  });
  return out;
}

const std::vector<store::column_facts>& types_of(const query_context& in,
                                                 const std::string& query) {
  const auto known = in.types.find(query);
  if (known == in.types.end()) throw unknown_types{query};
  for (const store::column_facts& one : known->second) {
    if (one.type == "record") {
      throw not_incremental(construct::type_without_hash,
                            "a row, as (a, b), which has to be written as its columns");
    }
  }
  return known->second;
}

const store::column_facts* table_column(const query_context& in, const node* expression) {
  const PgQuery__ColumnRef* column = column_ref(expression);
  if (column == nullptr) return nullptr;
  const scan* table = in.query.scan_of(std::string(string_of(column->fields[0])));
  if (table == nullptr) return nullptr;
  for (const store::column_facts& one : table->table->columns) {
    if (one.name == string_of(column->fields[1])) return &one;
  }
  return nullptr;
}

bool have_one_equality(const query_context& in, const node* left, const node* right) {
  const store::column_facts* a = table_column(in, left);
  const store::column_facts* b = table_column(in, right);
  if (a == nullptr || b == nullptr || !a->hashable || !b->hashable) return false;
  const auto is_integer = [](const store::column_facts& one) {
    return one.type == "smallint" || one.type == "integer" || one.type == "bigint";
  };
  return a->type == b->type || (is_integer(*a) && is_integer(*b));
}

}  // namespace matview::incremental
