#include "incremental/captured.hpp"

#include "incremental/refusal.hpp"

#include <algorithm>
#include <map>
#include <set>
#include <string>

namespace matview::incremental {

void check_faults(const store::query_facts& facts) {
  using kind = store::function_fault::kind;
  for (const store::function_fault& fault : facts.faults) {
    switch (fault.what) {
      case kind::is_volatile:
        throw not_incremental(construct::volatile_function, fault.name + "()", fault.name);
      case kind::clock:
        throw not_incremental(construct::clock, fault.name, fault.name);
      case kind::session:
        throw not_incremental(construct::session, fault.name, fault.name);
      case kind::stable:
        throw not_incremental(construct::stable_function, fault.name + "()", fault.name);
      case kind::levels:
        throw not_incremental(construct::mixed_types, fault.name);
      case kind::from_text:
        throw not_incremental(construct::text_to_time, "a cast from text to " + fault.name,
                              fault.name);
      case kind::hidden_operator:
        throw not_incremental(construct::hidden_operator, "the operator " + fault.name);
    }
  }
}

namespace {

using used_columns = std::map<std::string, std::set<std::string>>;  // By alias.

void add_used(const ProtobufCMessage* below, used_columns& to) {
  walk(below, [&](ProtobufCMessage* message) {
    const auto* column = as<PgQuery__ColumnRef>(message, pg_query__column_ref__descriptor);
    if (column != nullptr && column->n_fields == 2) {
      to[std::string(string_of(column->fields[0]))].emplace(string_of(column->fields[1]));
    }
    return true;
  });
}

void add_columns(const resolved_query& query, used_columns& used, std::vector<captured_table>& to) {
  for (const scan& one : query.scans) {
    auto at = std::find_if(to.begin(), to.end(), [&](const captured_table& known) {
      return known.table->oid == one.table->oid;
    });
    if (at == to.end()) at = to.insert(to.end(), {one.table, {}});
    for (const store::column_facts& column : one.table->columns) {
      const bool known =
          std::find(at->columns.begin(), at->columns.end(), column.name) != at->columns.end();
      if (used[one.alias].contains(column.name) && !known) at->columns.push_back(column.name);
    }
  }
}

}  // namespace

std::vector<captured_table> captured(const resolved_query& query) {
  if (query.scans.empty()) throw not_incremental(construct::values_only, "the query");
  used_columns used;
  add_used(&query.tree->base, used);
  std::vector<captured_table> out;
  add_columns(query, used, out);
  return out;
}

void add_captured(const resolved_query& query, const std::vector<node*>& keys,
                  std::vector<captured_table>& to) {
  used_columns used;
  for (const node* one : keys) add_used(&one->base, used);
  add_columns(query, used, to);
}

}  // namespace matview::incremental
