#include "incremental/explanation.hpp"

#include "incremental/projection.hpp"
#include "incremental/properties.hpp"
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <set>
#include <utility>

namespace matview::incremental {

namespace {

using texts = std::vector<std::string>;

void add_once(texts& to, std::string one) {
  if (std::find(to.begin(), to.end(), one) == to.end()) to.push_back(std::move(one));
}

// Whether some target is more than a column of GROUP BY or one aggregate.
bool has_expressions(const query_context& in, const relation& project) {
  return std::ranges::any_of(shown_by(project), [&](node* value) {
    const PgQuery__FuncCall* call = func_call(value);
    const bool aggregate = call != nullptr && is_aggregate(call, in.facts);
    return !aggregate && !aggregates_in(in, value).empty();
  });
}

void add_operations(const relation& query, texts& to) {
  const select_parts parts = parts_of(query);
  if (!is_set_operation(*parts.from)) {
    if (parts.distinct != nullptr) add_once(to, "DISTINCT");
    return;
  }
  const std::string name(keyword_of(*parts.from));
  add_once(to, parts.from->all ? name + " ALL" : name);
  add_operations(*parts.from->input, to);
  add_operations(*parts.from->right, to);
}

}  // namespace

std::vector<explained_part> explained_residue(const query_context& in, const relation& query,
                                              const relation* top, const std::string& stored) {
  texts what;
  if (top != nullptr) {
    const select_parts grouped = parts_of(*top);
    if (grouped.having != nullptr) what.emplace_back("HAVING");
    if (has_expressions(in, *grouped.project)) what.emplace_back("expressions over aggregates");
    if (grouped.distinct != nullptr) what.emplace_back("DISTINCT");
  }
  const select_parts whole = parts_of(query);
  if (whole.sort != nullptr) what.emplace_back("ORDER BY");
  const bool limited = whole.limit != nullptr;
  if (limited && whole.limit->bounds->limit_count != nullptr) what.emplace_back("LIMIT");
  if (limited && whole.limit->bounds->limit_offset != nullptr) what.emplace_back("OFFSET");
  if (what.empty()) return {};
  return {{fmt::format("{}", fmt::join(what, ", ")), "residue",
           fmt::format("computed from the stored {} when the view is read{}", stored,
                       limited ? "; what is beyond LIMIT is stored, too" : "")}};
}

std::string counted_operations(const relation& query) {
  texts out;
  add_operations(query, out);
  return fmt::format("{}", fmt::join(out, ", "));
}

std::string not_counted_because(const relation& query) {
  const select_parts parts = parts_of(query);
  if (parts.limit != nullptr) return "LIMIT";
  if (is_set_operation(*parts.from)) {
    std::string left = not_counted_because(*parts.from->input);
    return left.empty() ? not_counted_because(*parts.from->right) : left;
  }
  const relation* rows = parts.distinct != nullptr ? parts.distinct : parts.project;
  if (rows == nullptr) rows = parts.from;
  if (rows->kind == relation_kind::distinct) rows = rows->input;
  return nonlinear_part(*rows).value_or("");
}

std::vector<explained_part> explained_tables(const query_context& in,
                                             const std::vector<captured_table>& tables,
                                             const std::vector<const relation*>& queries) {
  std::set<const store::table_facts*> joined;
  for (const relation* query : queries) {
    const texts scans = scans_in(*query);
    for (const std::string& one : scans) {
      if (scans.size() > 1) joined.insert(in.query.scan_of(one)->table);
    }
  }
  std::vector<explained_part> out;
  out.reserve(tables.size());
  for (const captured_table& one : tables) {
    out.push_back({one.table->schema + "." + one.table->name, "L",
                   joined.contains(one.table)
                       ? "changed rows are joined with the new state of the rest of FROM"
                       : "changes need no other table"});
  }
  return out;
}

std::vector<explained_part> explained_paths(const std::vector<key_path>& paths) {
  std::vector<std::pair<std::string, texts>> chains;  // By table, in their order.
  for (const key_path& one : paths) {
    auto at = std::find_if(chains.begin(), chains.end(),
                           [&](const auto& known) { return known.first == one.table; });
    if (at == chains.end()) at = chains.insert(chains.end(), {one.table, {}});
    add_once(at->second, one.chain.size() == 1
                             ? "in the changed rows themselves"
                             : fmt::format("along {}", fmt::join(one.chain, " - ")));
  }
  std::vector<explained_part> out;
  out.reserve(chains.size());
  for (const auto& [table, ways] : chains) {
    out.push_back({table, "K", fmt::format("the key is found {}", fmt::join(ways, ", and "))});
  }
  return out;
}

std::string shown_keys(const key_plan& plan) {
  texts out;
  for (std::size_t i = 0; i < plan.columns.size(); ++i) {
    out.push_back(plan.expressions[i] == nullptr ? plan.columns[i] : print(plan.expressions[i]));
  }
  return fmt::format("{}", fmt::join(out, ", "));
}

std::vector<explained_part> without_repetition(const std::vector<explained_part>& parts) {
  std::vector<explained_part> out;
  for (const explained_part& one : parts) {
    const auto same = std::find_if(out.begin(), out.end(), [&](const explained_part& known) {
      return known.mechanism == one.mechanism && known.why == one.why;
    });
    if (same == out.end()) {
      out.push_back(one);
    } else {
      same->what += ", " + one.what;
    }
  }
  return out;
}

}  // namespace matview::incremental
