#include "incremental/captured.hpp"

#include "incremental/compile.hpp"
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
      case kind::from_text:
        throw not_incremental(construct::text_to_time, "a cast from text to " + fault.name,
                              fault.name);
      case kind::hidden_operator:
        throw not_incremental(construct::hidden_operator, "the operator " + fault.name);
    }
  }
}

std::vector<captured_table> captured(const resolved_query& query) {
  std::vector<captured_table> out;
  if (query.scans.empty()) throw not_incremental(construct::values_only, "the query");
  std::map<std::string, std::set<std::string>> used;  // By alias.
  walk(&query.tree->base, [&](ProtobufCMessage* message) {
    const auto* column = as<PgQuery__ColumnRef>(message, pg_query__column_ref__descriptor);
    if (column != nullptr && column->n_fields == 2) {
      used[std::string(string_of(column->fields[0]))].emplace(string_of(column->fields[1]));
    }
    return true;
  });
  for (const scan& one : query.scans) {
    auto at = std::find_if(out.begin(), out.end(), [&](const captured_table& known) {
      return known.table->oid == one.table->oid;
    });
    if (at == out.end()) at = out.insert(out.end(), {one.table, {}});
    for (const store::column_facts& column : one.table->columns) {
      const std::vector<std::string>& key = one.table->primary_key;
      const bool wanted = used[one.alias].contains(column.name) ||
                          std::find(key.begin(), key.end(), column.name) != key.end();
      const bool known =
          std::find(at->columns.begin(), at->columns.end(), column.name) != at->columns.end();
      if (wanted && !known) at->columns.push_back(column.name);
    }
  }
  return out;
}

std::variant<std::vector<captured_table>, refusal> captured_by(const store::query_facts& facts) {
  try {
    check_faults(facts);
    arena memory;
    return captured(resolve(memory, facts));
  } catch (const not_incremental& no) {
    return no.why();
  }
}

}  // namespace matview::incremental
