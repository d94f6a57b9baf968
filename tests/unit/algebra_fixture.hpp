#pragma once

#include "incremental/derive.hpp"

#include <set>
#include <string>
#include <utility>
#include <vector>

namespace matview::incremental {

// Queries for the compiler's unit tests, which have no server.

inline store::table_facts table(std::string name, std::vector<std::string> columns,
                                std::vector<std::string> key) {
  store::table_facts out;
  out.schema = "public";
  out.name = std::move(name);
  out.primary_key = std::move(key);
  for (std::string& one : columns) {
    out.columns.push_back({.name = std::move(one), .type = "integer", .hashable = true});
  }
  return out;
}

inline const std::set<std::string> aggregate_names{"array_agg", "avg",        "bool_and", "bool_or",
                                                   "count",     "every",      "max",      "min",
                                                   "mode",      "string_agg", "sum"};

inline void add(store::query_facts& to, store::table_facts one) {
  const std::pair<std::string, std::string> name{one.schema, one.name};
  to.tables.emplace(name, std::move(one));
}

// As pg_get_viewdef() does it, which every query comes from.
inline std::string with_schemas(const store::query_facts& facts, const std::string& sql) {
  arena memory;
  select_statement* tree = parse_query(memory, sql);
  walk(&tree->base, [&](ProtobufCMessage* message) {
    auto* name = as<PgQuery__RangeVar>(message, pg_query__range_var__descriptor);
    if (name != nullptr && facts.tables.contains({"public", name->relname})) {
      name->schemaname = memory.text("public");
    }
    return true;
  });
  return print(tree);
}

inline store::query_facts shop(const std::string& sql) {
  store::query_facts out;
  out.aggregates = aggregate_names;
  add(out, table("customers", {"id", "name", "country"}, {"id"}));
  add(out, table("orders", {"id", "customer_id", "placed", "amount", "weight"}, {"id"}));
  add(out, table("items", {"order_id", "product", "quantity"}, {}));
  out.query = with_schemas(out, sql);
  return out;
}

// A query as the compiler has it.
struct derived {
  explicit derived(const store::query_facts& of)
      : facts(of), query(resolve(memory, facts)), in{memory, query, facts, types} {}
  derived(const derived&) = delete;
  derived& operator=(const derived&) = delete;

  [[nodiscard]] const relation& whole() const { return *derive(in, query.tree); }

  const store::query_facts& facts;
  store::known_types types = {};
  arena memory;
  resolved_query query;
  query_context in;
};

}  // namespace matview::incremental
