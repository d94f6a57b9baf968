#include "incremental/affected_keys.hpp"

#include "incremental/key_graph.hpp"
#include "incremental/properties.hpp"
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <optional>
#include <set>
#include <string_view>
#include <utility>

namespace matview::incremental {

namespace {

// A column that a key may have.
struct candidate {
  node* own = nullptr;  // In the terms of the SELECT; nothing for an output of a set operation.
  std::size_t position = 0;  // Of that output.
  std::string column;        // Its name in the output; empty if it is not there.
};

// A vertex with the expressions on it that are the key, for the vertices of its side.
struct rooted {
  std::string root;
  std::vector<node*> expressions;
  std::set<std::string> side;  // Empty: all.
};

// What a candidate is in one graph: one root, or two of a FULL JOIN.
using roots = std::vector<rooted>;

roots roots_of(const candidate& one, const key_graph& graph) {
  node* expression =
      one.own != nullptr ? graph.followed(one.own) : graph.output().at(one.position).expression;
  if (expression == nullptr) return {};
  for (const merged_column& merged : graph.merged()) {
    if (!same(merged.whole, expression)) continue;
    return {{*aliases_in(merged.left).begin(), {merged.left}, merged.left_side},
            {*aliases_in(merged.right).begin(), {merged.right}, merged.right_side}};
  }
  const std::set<std::string> on = aliases_in(expression);
  if (on.size() != 1 || graph.may_be_null(*on.begin())) return {};
  return {{*on.begin(), {expression}, {}}};
}

bool same_roots(const roots& left, const roots& right) {
  return left.size() == right.size() &&
         std::equal(left.begin(), left.end(), right.begin(), [](const rooted& a, const rooted& b) {
           return a.root == b.root && a.side == b.side;
         });
}

// Candidates that have the same roots: together they are a finer key.
struct choice {
  std::vector<std::size_t> members;
  roots found;
};

class planner final {
 public:
  planner(const query_context& in, const relation& query, const std::map<std::int64_t, int>& bits,
          const std::map<std::int64_t, int>& logs)
      : in_(in), query_(query), parts_(parts_of(query)), bits_(bits), logs_(logs) {}

  key_plan run() {
    build_graphs();
    require_all_vertices();
    find_candidates();
    std::vector<choice> choices = choices_in(graphs_.front());
    std::stable_sort(choices.begin(), choices.end(),
                     [this](const choice& a, const choice& b) { return worth(a) > worth(b); });
    if (choices.empty()) {
      if (graphs_.front().has_limited()) throw not_incremental(construct::limit_inside, "LIMIT");
      throw not_incremental(construct::no_key, "the query");
    }
    refusal why{.what = construct::no_path, .detail = {}};
    for (const choice& one : choices) {
      if (std::optional<key_plan> plan = plan_for(one.members, why)) return std::move(*plan);
    }
    throw not_incremental(why);
  }

 private:
  void build_graphs() {
    constexpr std::size_t most = 64;
    std::vector<int> branches;
    while (graphs_.size() < most) {
      graphs_.emplace_back(in_, query_, branches, types_);
      while (!branches.empty() && branches.back() == 1) branches.pop_back();
      if (branches.empty()) return;
      branches.back() = 1;
    }
    throw not_incremental(construct::too_large, "a query of more than 64 branches");
  }

  // A table that stands where no graph looks, in a subquery in VALUES or below a function in FROM,
  // would have no part in any piece: its changes would be passed by.
  void require_all_vertices() const {
    for (const std::string& alias : scans_in(query_)) {
      const bool there = std::any_of(graphs_.begin(), graphs_.end(), [&](const key_graph& graph) {
        return std::ranges::find(graph.vertices(), alias) != graph.vertices().end();
      });
      if (there) continue;
      const store::table_facts& table = *in_.query.scan_of(alias)->table;
      throw not_incremental(construct::no_path, fmt::format("{}.{}", table.schema, table.name),
                            table.name, alias);
    }
  }

  void add_candidate(node* own, const std::vector<followed_column>& output) {
    const bool known = std::any_of(candidates_.begin(), candidates_.end(),
                                   [&](const candidate& c) { return same(c.own, own); });
    if (known) return;
    candidate out{.own = own, .position = 0, .column = {}};
    for (std::size_t i = 0; i < output.size(); ++i) {
      if (same(res_target(parts_.project->expressions[i].tree)->val, own))
        out.column = output[i].name;
    }
    candidates_.push_back(std::move(out));
  }

  void find_candidates() {
    const key_graph& graph = graphs_.front();
    if (is_set_operation(*parts_.from)) {
      for (std::size_t i = 0; i < graph.output().size(); ++i) {
        candidates_.push_back({nullptr, i, graph.output()[i].name});
      }
      return;
    }
    if (const auto deciding = deciding_expressions(in_, query_)) {
      for (node* one : *deciding) add_candidate(one, graph.output());
      return;
    }
    std::set<std::string> shown;
    columns_of(*parts_.from, graph);
    add_shown(*parts_.from, shown);
    for (const merged_column& merged : graph.merged()) {
      const std::set<std::string> on = aliases_in(merged.own);
      if (std::includes(shown.begin(), shown.end(), on.begin(), on.end())) {
        add_candidate(merged.own, graph.output());
      }
    }
  }

  // Of what FROM shows: the primary key of a table, or all its columns that can be compared.
  void columns_of(const relation& item, const key_graph& graph) {
    if (is_join(item)) {
      columns_of(*item.input, graph);
      columns_of(*item.right, graph);
    } else if (item.kind == relation_kind::scan) {
      const scan* occurrence = item.table;
      const store::table_facts& facts = *occurrence->table;
      for (const store::column_facts& column : facts.columns) {
        const bool in_key = std::find(facts.primary_key.begin(), facts.primary_key.end(),
                                      column.name) != facts.primary_key.end();
        if (!facts.primary_key.empty() ? !in_key : !used(occurrence->alias, column.name)) continue;
        if (!column.hashable || column.virtual_column) continue;
        add_candidate(make_column(in_.memory, occurrence->alias, column.name), graph.output());
      }
    } else if (item.kind == relation_kind::rename) {
      const auto derived = graph.derived().find(std::string(item.alias));
      if (derived == graph.derived().end()) return;
      for (const followed_column& column : derived->second.columns) {
        if (column.expression == nullptr) continue;
        add_candidate(make_column(in_.memory, item.alias, column.name), graph.output());
      }
    }
  }

  // The aliases that the SELECT itself can name.
  static void add_shown(const relation& item, std::set<std::string>& to) {
    if (is_join(item)) {
      add_shown(*item.input, to);
      add_shown(*item.right, to);
    } else if (item.kind == relation_kind::scan || item.kind == relation_kind::rename) {
      to.emplace(item.alias);
    }
  }

  // A table without a primary key is told apart by the columns that the query reads.
  bool used(const std::string& alias, const std::string& column) const {
    bool found = false;
    walk(&in_.query.tree->base, [&](ProtobufCMessage* message) {
      const auto* ref = as<PgQuery__ColumnRef>(message, pg_query__column_ref__descriptor);
      found = found || (ref != nullptr && ref->n_fields == 2 &&
                        string_of(ref->fields[0]) == alias && string_of(ref->fields[1]) == column);
      return !found;
    });
    return found;
  }

  std::vector<choice> choices_in(const key_graph& graph) const {
    std::vector<choice> out;
    for (std::size_t i = 0; i < candidates_.size(); ++i) {
      const roots found = roots_of(candidates_[i], graph);
      if (found.empty()) continue;
      const auto at = std::find_if(out.begin(), out.end(),
                                   [&](const choice& one) { return same_roots(one.found, found); });
      if (at == out.end()) {
        out.push_back({{i}, found});
      } else {
        at->members.push_back(i);
      }
    }
    return out;
  }

  // The finer the key, the fewer rows are made anew: more columns; else the larger table.
  double worth(const choice& one) const {
    const scan* root = in_.query.scan_of(one.found.front().root);
    const bool grouped =
        deciding_expressions(in_, query_).has_value() || is_set_operation(*parts_.from);
    return (grouped ? 1e15 * static_cast<double>(one.members.size()) : 0) +
           (root->table->primary_key.empty() ? 0 : 1) + root->table->rows;
  }

  roots roots_in(const std::vector<std::size_t>& members, const key_graph& graph) const {
    roots all;
    for (const std::size_t member : members) {
      roots found = roots_of(candidates_[member], graph);
      if (found.empty()) return {};
      if (all.empty()) {
        all = std::move(found);
        continue;
      }
      if (!same_roots(all, found)) return {};
      for (std::size_t i = 0; i < all.size(); ++i) {
        all[i].expressions.push_back(found[i].expressions.front());
      }
    }
    return all;
  }

  // Behind a primary key the other columns of its table decide nothing more.
  std::vector<std::size_t> without_determined(const std::vector<std::size_t>& members) const {
    std::vector<std::size_t> key;
    std::set<std::string> columns;
    const scan* table = nullptr;
    for (const std::size_t member : members) {
      const roots found = roots_of(candidates_[member], graphs_.front());
      if (found.size() != 1) return members;
      table = in_.query.scan_of(found.front().root);
      const PgQuery__ColumnRef* column = column_ref(found.front().expressions.front());
      if (column == nullptr) continue;
      const std::string name(string_of(column->fields[1]));
      const std::vector<std::string>& primary = table->table->primary_key;
      if (std::find(primary.begin(), primary.end(), name) == primary.end()) continue;
      if (columns.insert(name).second) key.push_back(member);
    }
    if (table == nullptr || table->table->primary_key.empty()) return members;
    return columns.size() == table->table->primary_key.size() ? key : members;
  }

  std::optional<key_plan> plan_for(std::vector<std::size_t> members, refusal& why) {
    if (graphs_.size() == 1) members = without_determined(members);
    // In another branch fewer of the columns may belong to one table.
    for (const key_graph& graph : graphs_) {
      if (!roots_in(members, graph).empty()) continue;
      std::vector<std::size_t> best;
      for (const choice& one : choices_in(graph)) {
        std::vector<std::size_t> both;
        std::set_intersection(members.begin(), members.end(), one.members.begin(),
                              one.members.end(), std::back_inserter(both));
        if (both.size() > best.size()) best = std::move(both);
      }
      members = best;
      if (members.empty()) {
        why = {.what = construct::no_key, .detail = "a branch of the set operation"};
        return std::nullopt;
      }
    }
    key_plan plan;
    for (const std::size_t member : members) {
      const candidate& one = candidates_[member];
      plan.expressions.push_back(one.own);
      plan.columns.push_back(one.column.empty() ? fmt::format("__mv_k{}", plan.columns.size() + 1)
                                                : one.column);
    }
    for (const key_graph& graph : graphs_) {
      const roots found = roots_in(members, graph);
      if (found.empty() || !add_pieces(graph, found, plan, why)) return std::nullopt;
    }
    return plan;
  }

  bool add_pieces(const key_graph& graph, const roots& found, key_plan& into, refusal& why) const {
    std::set<std::string> reached;
    for (const rooted& one : found) {
      const std::map<std::string, std::string> next = graph.towards(one.root, one.side);
      for (const std::string& vertex : graph.vertices()) {
        if (!one.side.empty() && !one.side.contains(vertex)) continue;
        if (vertex != one.root && !next.contains(vertex)) continue;
        reached.insert(vertex);
        add_piece(graph, one, next, vertex, into);
      }
    }
    for (const std::string& vertex : graph.vertices()) {
      if (reached.contains(vertex)) continue;
      why = unreached(graph, vertex);
      return false;
    }
    return true;
  }

  refusal unreached(const key_graph& graph, const std::string& vertex) const {
    const store::table_facts& table = *in_.query.scan_of(vertex)->table;
    std::string shown = fmt::format("{}.{}", table.schema, table.name);
    // orders_1 is the server's own name for a second orders.
    if (!vertex.starts_with(table.name)) shown += fmt::format(" ({})", vertex);
    if (graph.limited(vertex)) {
      return {.what = construct::limit_inside, .detail = "LIMIT of " + shown};
    }
    const dependent_join* sub = graph.subquery_of(vertex);
    if (graph.behind_null(vertex)) {
      const bool denied = sub != nullptr && sub->kind == dependent_kind::anti_join;
      return {.what = construct::null_in_subquery,
              .detail = (denied ? "NOT IN on " : "IN, which need not be true, on ") + shown,
              .name = table.name,
              .alias = vertex};
    }
    if (sub != nullptr && !is_correlated(*sub)) {
      std::vector<std::string> tables;
      for (const std::string& alias : scans_in(*sub->query)) {
        const store::table_facts& read = *in_.query.scan_of(alias)->table;
        std::string name = read.schema + "." + read.name;
        if (std::find(tables.begin(), tables.end(), name) == tables.end()) {
          tables.push_back(std::move(name));
        }
      }
      return {.what = construct::uncorrelated_subquery,
              .detail = fmt::format("the subquery on {}", fmt::join(tables, ", ")),
              .sub_link = static_cast<std::size_t>(sub->written->location),
              .sub_links = in_.query.sub_links};
    }
    return {.what = construct::no_path,
            .detail = std::move(shown),
            .name = table.name,
            .alias = vertex};
  }

  void add_piece(const key_graph& graph, const rooted& root,
                 const std::map<std::string, std::string>& next, const std::string& vertex,
                 key_plan& into) const {
    std::vector<std::string> chain{vertex};
    while (chain.back() != root.root) chain.push_back(next.at(chain.back()));
    const std::set<std::string> members(chain.begin(), chain.end());
    std::vector<std::string> keys;
    std::vector<std::string> from;
    std::vector<std::string> where;
    for (std::size_t i = 0; i < root.expressions.size(); ++i) {
      keys.push_back(fmt::format("{} AS k{}", print(root.expressions[i]), i + 1));
    }
    into.read.insert(into.read.end(), root.expressions.begin(), root.expressions.end());
    const scan* changed = in_.query.scan_of(vertex);
    for (const std::string& one : chain) {
      const store::table_facts& table = *in_.query.scan_of(one)->table;
      from.push_back(one == vertex ? fmt::format("d_{} AS {}", logs_.at(table.oid), quoted(one))
                                   : fmt::format("{}.{} AS {}", quoted(table.schema),
                                                 quoted(table.name), quoted(one)));
    }
    for (const graph_condition& condition : graph.conditions()) {
      if (std::includes(members.begin(), members.end(), condition.on.begin(), condition.on.end())) {
        where.push_back(fmt::format("({})", print(condition.expression)));
      }
    }
    std::string sql =
        fmt::format("SELECT {} FROM {}", fmt::join(keys, ", "), fmt::join(from, ", "));
    if (!where.empty()) sql += fmt::format(" WHERE {}", fmt::join(where, " AND "));
    const std::uint64_t mask = std::uint64_t{1} << bits_.at(changed->table->oid);
    const bool known = std::any_of(into.pieces.begin(), into.pieces.end(),
                                   [&](const piece& one) { return one.sql == sql; });
    if (known) return;
    into.pieces.push_back({1, mask, sql});
    into.paths.push_back(
        {fmt::format("{}.{}", changed->table->schema, changed->table->name), std::move(chain)});
  }

  const query_context& in_;
  const relation& query_;
  const select_parts parts_;
  const std::map<std::int64_t, int>& bits_;
  const std::map<std::int64_t, int>& logs_;
  branch_types types_{in_};
  std::vector<key_graph> graphs_;
  std::vector<candidate> candidates_;
};

}  // namespace

key_plan plan_keys(const query_context& in, const relation& query,
                   const std::map<std::int64_t, int>& bits,
                   const std::map<std::int64_t, int>& logs) {
  return planner(in, query, bits, logs).run();
}

}  // namespace matview::incremental
