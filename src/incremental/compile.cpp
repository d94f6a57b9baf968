#include "incremental/compile.hpp"

#include <matview/error.hpp>

#include "incremental/affected_keys.hpp"
#include "incremental/aggregates.hpp"
#include "incremental/blocks.hpp"
#include "incremental/captured.hpp"
#include "incremental/explanation.hpp"
#include "incremental/linear_rows.hpp"
#include "incremental/notes.hpp"
#include "incremental/residue.hpp"
#include "incremental/resolve.hpp"
#include "incremental/statement.hpp"
#include "incremental/unique_rows.hpp"
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <optional>
#include <set>
#include <utility>

namespace matview::incremental {

namespace {

using texts = std::vector<std::string>;

// Where a part of a query asks for what only the server knows.
struct unknown_types {
  std::string query;
};

class compiler final {
 public:
  explicit compiler(const compile_input& input)
      : input_(input), query_(resolve(memory_, input.facts)), in_{memory_, query_, input.facts} {}

  compiled_view run() {
    out_.tables = captured(query_);
    out_.notes = notes_of(in_);
    for (std::size_t i = 0; i < out_.tables.size(); ++i) {
      const std::int64_t oid = out_.tables[i].table->oid;
      bits_[oid] = static_cast<int>(i);
      const auto log = input_.parts.logs.find(oid);
      logs_[oid] = log == input_.parts.logs.end() ? static_cast<int>(i) + 1 : log->second;
    }
    if (out_.tables.size() > 30) {  // The bits of a mask.
      throw not_incremental(construct::too_large, "a query of more than 30 tables");
    }
    const select_statement* whole = query_.tree;
    top_ = without_order(in_, whole);
    if (!is_set_operation(top_) && top_->n_values_lists == 0 && groups(in_, top_)) {
      grouped();
    } else if (counted_formula(top_)) {
      counted();
    } else {
      by_keys("the rows", "because of " + not_counted_because(in_, top_));
    }
    out_.parts = without_repetition(out_.parts);
    return std::move(out_);
  }

 private:
  const std::vector<store::column_facts>& types_of(const std::string& query) {
    const auto known = input_.types.find(query);
    if (known == input_.types.end()) throw unknown_types{query};
    return known->second;
  }

  // ---- Rows that are counted.

  struct branch {
    const select_statement* query;
    std::size_t leaf;
  };

  bool is_distinct_of_linear(const select_statement* query) {
    if (is_set_operation(query) || query->n_distinct_clause == 0 || query->n_values_lists > 0 ||
        query->distinct_clause[0]->node_case != PG_QUERY__NODE__NODE__NOT_SET) {
      return false;
    }
    select_statement* all = copy(memory_, query);
    all->n_distinct_clause = 0;
    all->n_sort_clause = 0;
    return is_linear(in_, all);
  }

  void add_branches(const select_statement* query, std::size_t leaf) {
    if (!is_set_operation(query)) {
      branches_.push_back({query, leaf});
      return;
    }
    add_branches(query->larg, leaf);
    add_branches(query->rarg, leaf);
  }

  // How often a row is in the result, by the counters of the branches; nothing if this cannot be
  // counted.
  std::optional<std::string> counted_formula(const select_statement* query) {
    if (query->limit_count != nullptr || query->limit_offset != nullptr) return std::nullopt;
    if (is_linear(in_, query)) {
      add_branches(query, ++leaves_);
      return fmt::format("s.__mv_n{}", leaves_);
    }
    if (is_distinct_of_linear(query)) {
      branches_.push_back({query, ++leaves_});
      is_set_ = true;
      return fmt::format("least(s.__mv_n{}, 1)", leaves_);
    }
    if (!is_set_operation(query)) return std::nullopt;
    const auto left = counted_formula(query->larg);
    const auto right = left ? counted_formula(query->rarg) : std::nullopt;
    if (!right) return std::nullopt;
    const bool all = query->all != 0;
    is_set_ = !all;
    switch (query->op) {
      case PG_QUERY__SET_OPERATION__SETOP_UNION:
        return all ? fmt::format("({} + {})", *left, *right)
                   : fmt::format("least({} + {}, 1)", *left, *right);
      case PG_QUERY__SET_OPERATION__SETOP_INTERSECT:
        return all ? fmt::format("least({}, {})", *left, *right)
                   : fmt::format("least({}, {}, 1)", *left, *right);
      default:
        return all ? fmt::format("greatest({} - {}, 0)", *left, *right)
                   : fmt::format("CASE WHEN {} > 0 AND {} = 0 THEN 1 ELSE 0 END", *left, *right);
    }
  }

  void counted() {
    branches_.clear();
    leaves_ = 0;
    is_set_ = false;
    const std::string formula = *counted_formula(top_);
    const residue_order order = order_of(in_, query_.tree, input_.facts);
    keyed_storage storage;
    storage.counters = leaves_;
    for (const store::column_facts& column : input_.facts.output) {
      if (!column.hashable) {
        counted_by_keys_instead();
        return;
      }
      storage.keys.push_back(column.name);
      storage.types.push_back(column.type);
    }
    const select_statement* only = branches_.size() == 1 ? branches_.front().query : nullptr;
    for (std::size_t i = 0; i < storage.keys.size(); ++i) {
      const bool target = only != nullptr && i < only->n_target_list;
      storage.traits.push_back(
          {.nullable = !target || !never_null(in_, only, res_target(only->target_list[i])->val),
           .fixed = input_.facts.output[i].fixed_size});
    }
    for (std::size_t i = 0; i < order.hidden.size(); ++i) {
      storage.keys.push_back(fmt::format("__mv_o{}", i + 1));
      storage.traits.push_back({});
    }
    const auto identity = only == nullptr || is_set_
                              ? std::nullopt
                              : identifying_targets(in_, only);
    const bool unique = identity.has_value();
    out_.mechanism = "L";
    out_.unique_rows = unique || is_set_;
    const auto make = [&](const branch& one) { return counted_branch(one, order); };
    if (identity) {
      identified_storage rows{.columns = storage.keys, .types = storage.types,
                              .identity = *identity, .traits = {}};
      for (const std::size_t place : *identity) rows.traits.push_back(storage.traits[place]);
      linear(rows, make);
    } else {
      linear(storage, make);
    }
    for (const std::string& key : storage.keys) out_.stored[key] = quoted(key);
    texts columns;
    for (const store::column_facts& column : input_.facts.output) {
      columns.push_back("s." + quoted(column.name));
    }
    std::string from = input_.parts.storage + " AS s";
    std::string where;
    if (is_set_) {
      where = leaves_ == 1 ? "" : formula + " > 0";
    } else if (!unique) {
      from += fmt::format(", generate_series(1::bigint, {})", formula);
    }
    out_.view = finish_view(in_, query_.tree, order, columns, from, where);
    out_.parts.insert(out_.parts.begin(),
                      {"the rows", "L",
                       unique ? "each row is kept once: " + told_apart(storage.keys, *identity)
                              : "each different row is kept once, with the number of its copies"});
    if (leaves_ > 1 || is_set_) {
      out_.parts.insert(out_.parts.begin(), {counted_operations(top_), "residue",
                                             "decided by the counters when the view is read"});
    }
    explain_residue(nullptr, "rows");
  }

  static std::string told_apart(const texts& columns, const std::vector<std::size_t>& identity) {
    texts names;
    for (const std::size_t place : identity) names.push_back(quoted(columns[place]));
    return fmt::format("primary keys tell it from all others, here by {}", fmt::join(names, ", "));
  }

  void counted_by_keys_instead() {
    branches_.clear();
    by_keys("the rows", "because a column has a type whose values cannot be counted by a hash");
  }

  void explain_residue(const select_statement* grouped, const std::string& stored) {
    const auto left = explained_residue(in_, query_.tree, grouped, stored);
    out_.parts.insert(out_.parts.begin(), left.begin(), left.end());
  }

  select_statement* counted_branch(const branch& one, const residue_order& order) {
    select_statement* out = without_order(in_, one.query);
    out->n_distinct_clause = 0;
    if (out->n_values_lists > 0) return values_branch(out, one.leaf);
    for (std::size_t i = 0; i < out->n_target_list; ++i) {
      res_target(out->target_list[i])->name = memory_.text(fmt::format("k{}", i + 1));
    }
    for (node* hidden : order.hidden) {
      append(
          memory_, out->n_target_list, out->target_list,
          make_target(memory_, copy(memory_, hidden), fmt::format("k{}", out->n_target_list + 1)));
    }
    add_leaf(out, one.leaf);
    return out;
  }

  select_statement* values_branch(select_statement* values, std::size_t leaf) {
    texts columns;
    const std::size_t count = values->values_lists[0]->list->n_items;
    for (std::size_t i = 1; i <= count; ++i) columns.push_back(fmt::format("k{}", i));
    select_statement* out = parse_query(
        memory_,
        fmt::format("SELECT {0} FROM ({1}) AS v({0})", fmt::join(columns, ", "), print(values)));
    add_leaf(out, leaf);
    return out;
  }

  void add_leaf(select_statement* to, std::size_t leaf) {
    append(memory_, to->n_target_list, to->target_list,
           make_target(memory_, parse_expression(memory_, fmt::format("{}::int", leaf)), "leaf"));
  }

  // ---- L, for whatever storage.

  template <class Storage, class Make>
  void linear(const Storage& storage, const Make& make) {
    std::vector<const select_statement*> queries;
    texts rows;
    for (const branch& one : branches_) {
      queries.push_back(make(one));
      rows.push_back(print(queries.back()));
    }
    out_.max_tables = most_tables(in_, queries);
    for (const select_statement* query : queries) {
      for (piece& one : changed_rows(in_, query, 1, bits_, logs_, out_.max_tables)) {
        out_.pieces.push_back(std::move(one));
      }
    }
    const std::string all = fmt::format("{}{}", fmt::join(rows, " UNION ALL "), always_);
    out_.source = storage_source(storage, all);
    out_.diff = keyed_diff(storage, input_.parts);
    apply_by("/*deltas*/" + changes_of(storage, "/*section 1*/", all));
    fill_by(replace_all(input_.parts.storage, fresh_rows(input_.parts.source), "gone", "added"));
    add_index(storage);
    const auto tables = explained_tables(in_, out_.tables, queries);
    out_.parts.insert(out_.parts.end(), tables.begin(), tables.end());
  }

  std::string changes_of(const keyed_storage& storage, const std::string& changes,
                         const std::string& rows) const {
    return add_changes(storage, input_.parts.storage, changes, rows);
  }
  std::string changes_of(const identified_storage& storage, const std::string& changes,
                         const std::string& /*rows*/) const {
    return add_changes(storage, input_.parts.storage, changes);
  }

  void apply_by(const std::string& items) {
    out_.apply = fmt::format(
        "WITH {},\n/*watermark*/\nSELECT (SELECT count(*) FROM changed) + "
        "(SELECT count(*) FROM gone) + (SELECT count(*) FROM added), /*unexpected*/",
        items);
  }

  void fill_by(const std::string& items) {
    out_.full =
        fmt::format("WITH {},\n/*watermark*/\nSELECT (SELECT count(*) FROM added)", items);
  }

  void add_index(const keyed_storage& storage) {
    if (!storage.one_row()) {
      add_index(input_.parts.storage, "UNIQUE ", storage.hashed(), storage.keys);
    }
  }
  void add_index(const identified_storage& storage) {
    texts columns;
    for (const std::size_t place : storage.identity) columns.push_back(storage.columns[place]);
    add_index(input_.parts.storage, "UNIQUE ", storage.hashed(), columns);
  }
  void add_index(const replaced_storage& storage) {
    add_index(storage.storage, "", !storage.hash.empty(), storage.keys);
  }
  void add_index(const std::string& on, const char* unique, bool hashed, const texts& columns) {
    texts names;
    for (const std::string& one : columns) names.push_back(quoted(one));
    out_.indexes.push_back(hashed ? fmt::format("CREATE INDEX ON {} (__mv_hash)", on)
                                  : fmt::format("CREATE {}INDEX ON {} ({})", unique, on,
                                                fmt::join(names, ", ")));
  }

  // ---- Groups.

  struct grouping {
    std::vector<node*> keys;
    std::vector<std::vector<std::size_t>> sets;  // Of keys; empty without grouping sets.
    aggregate_state state;
    std::vector<node*> calls;
    std::string why_not;            // Why the state cannot be updated.
    const node* culprit = nullptr;  // The aggregate that it is said of.
    texts types;                    // Of keys, totals and extremes.
  };

  grouping read_groups() {
    grouping out;
    if (has_grouping_sets(top_)) {
      out.sets = grouping_sets(top_, out.keys);
    } else {
      out.keys = group_expressions(in_, top_);
    }
    const auto read = [&](node* expression) {
      for (node* call : aggregates_in(in_, expression)) {
        out.calls.push_back(call);
        if (const auto why = add_to_state(in_, call, out.state)) {
          out.why_not = *why;
          out.culprit = call;
        }
      }
      if (has_sub_link(expression)) out.why_not = "a subquery stands beside the aggregates";
    };
    for (std::size_t i = 0; i < top_->n_target_list; ++i) {
      read(res_target(top_->target_list[i])->val);
    }
    if (top_->having_clause != nullptr) read(top_->having_clause);
    for (std::size_t i = 0; i < query_.tree->n_sort_clause; ++i) {
      read(query_.tree->sort_clause[i]->sort_by->node);
    }
    if (has_windows(top_)) out.why_not = "a window function goes over the groups";
    return out;
  }

  // The storage of groups; fills in why_not if a type forbids it.
  keyed_storage storage_of(grouping& by) {
    keyed_storage out;
    select_statement* probe = core_of(in_, top_);
    const auto add = [&](node* value) {
      append(memory_, probe->n_target_list, probe->target_list,
             make_target(memory_, value, fmt::format("c{}", probe->n_target_list + 1)));
    };
    for (node* key : by.keys) add(key);
    for (const auto& one : by.state.totals) add(one.of);
    for (const auto& one : by.state.extremes) add(one.of);
    if (probe->n_target_list == 0) add(parse_expression(memory_, "1"));
    const std::vector<store::column_facts>& known = types_of(print(probe));
    by.types.clear();
    for (const store::column_facts& one : known) by.types.push_back(one.type);
    for (std::size_t i = 0; i < by.keys.size(); ++i) {
      if (!known[i].hashable) by.why_not = "a column of GROUP BY has a type without hash";
      const std::string name = output_name(by.keys[i]);
      out.keys.push_back(name.empty() ? fmt::format("__mv_g{}", i + 1) : name);
      out.traits.push_back({.nullable = !by.sets.empty() || !never_null(in_, top_, by.keys[i]),
                            .fixed = known[i].fixed_size});
    }
    if (!by.sets.empty()) {
      out.keys.emplace_back("__mv_set");
      out.traits.push_back({.nullable = false, .fixed = true});
      // The set of no column has its row also when there are none below: see grand_totals().
      if (has_grand_total(by)) out.counters = 2;
    }
    const std::size_t first = by.keys.size();
    for (std::size_t i = 0; i < by.state.totals.size(); ++i) {
      out.sums.push_back(sum_type(by, by.state.totals[i], known[first + i].type));
    }
    for (std::size_t i = 0; i < by.state.extremes.size(); ++i) {
      if (!known[first + by.state.totals.size() + i].hashable) {
        by.why_not = "min or max of a type without hash";
      }
      out.extremes.push_back(by.state.extremes[i].least);
    }
    return out;
  }

  std::string sum_type(grouping& by, const aggregate_state::total& of, const std::string& type) {
    if (of.number_only) return {};
    const bool small = type == "integer" || type == "smallint";
    const bool exact = type == "bigint" || type == "numeric" || type.starts_with("numeric(");
    if (!small && !exact) {
      by.why_not = fmt::format("sums of {} are not exact, so that they cannot be updated", type);
      for (const node* call : by.calls) {
        if (same(argument_of(in_, call), of.of)) by.culprit = call;
      }
    }
    for (const node* call : averaged(by.calls)) {
      if (type == "numeric" && same(argument_of(in_, call), of.of)) {
        by.why_not = "the digits of avg() of a numeric without scale depend on all its values";
      }
    }
    return small ? "bigint" : "numeric";
  }

  std::string output_name(const node* expression) const {
    for (std::size_t i = 0; i < top_->n_target_list; ++i) {
      if (same(res_target(top_->target_list[i])->val, expression)) {
        return input_.facts.output.at(i).name;
      }
    }
    return {};
  }

  void grouped() {
    grouping by = read_groups();
    keyed_storage storage;
    if (by.why_not.empty()) storage = storage_of(by);
    if (!by.why_not.empty()) {
      if (!by.sets.empty()) throw not_incremental(construct::grouping_sets, by.why_not);
      if (by.keys.empty()) throw no_group(by);
      by_keys("the groups", "because " + by.why_not);
      return;
    }
    const std::optional<std::string> nonlinear = nonlinear_core(in_, top_);
    const bool choice = nonlinear && !by.keys.empty() && by.sets.empty();
    if (choice && !input_.coarse_groups && try_groups_by_keys(*nonlinear)) return;
    if (!nonlinear) {
      out_.mechanism = "L";
      branches_ = set_branches(by);
      always_ = grand_totals(by);
      linear(storage, [&](const branch& one) { return group_branch(by, one.leaf); });
    } else {
      rows_below(by, storage, *nonlinear);
    }
    out_.unique_rows = true;
    group_view(by, storage);
  }

  not_incremental no_group(const grouping& by) const {
    if (by.culprit == nullptr) return {construct::no_group, by.why_not};
    const PgQuery__FuncCall* call = func_call(by.culprit);
    const PgQuery__ColumnRef* of = call->n_args > 0 ? column_ref(call->args[0]) : nullptr;
    return {construct::no_group, by.why_not,
            std::string(string_of(call->funcname[call->n_funcname - 1])),
            of == nullptr ? std::string() : std::string(string_of(of->fields[of->n_fields - 1]))};
  }

  bool try_groups_by_keys(const std::string& nonlinear) {
    try {
      by_keys("the groups", fmt::format("because of {}; by the planner's estimate they are small, "
                                        "so that their rows need not be stored",
                                        nonlinear));
    } catch (const not_incremental&) {
      return false;
    }
    return true;
  }

  static bool has_grand_total(const grouping& by) {
    return std::any_of(by.sets.begin(), by.sets.end(), [](const auto& set) { return set.empty(); });
  }

  // A row of the second counter for each set of no column, which keeps its group alive.
  static std::string grand_totals(const grouping& by) {
    std::string out;
    const std::size_t totals = by.keys.size() + by.state.totals.size();
    for (std::size_t set = 0; set < by.sets.size(); ++set) {
      if (!by.sets[set].empty()) continue;
      out += " UNION ALL SELECT ";
      for (std::size_t i = 0; i < by.keys.size(); ++i)
        out += fmt::format("NULL::{}, ", by.types[i]);
      out += fmt::format("{}::int, ", set);
      for (std::size_t i = by.keys.size(); i < totals + by.state.extremes.size(); ++i) {
        out += fmt::format("NULL::{}, ", by.types[i]);
      }
      out += "2::int";
    }
    return out;
  }

  std::vector<branch> set_branches(const grouping& by) const {
    std::vector<branch> out;
    const std::size_t count = std::max<std::size_t>(1, by.sets.size());
    for (std::size_t i = 0; i < count; ++i) out.push_back({top_, i});
    return out;
  }

  // The rows below GROUP BY; of grouping sets those for one set.
  select_statement* group_branch(const grouping& by, std::size_t set) {
    select_statement* out = core_of(in_, top_);
    const auto add = [&](node* value, std::string_view name, std::size_t number) {
      append(memory_, out->n_target_list, out->target_list,
             make_target(memory_, copy(memory_, value), fmt::format("{}{}", name, number)));
    };
    for (std::size_t i = 0; i < by.keys.size(); ++i) {
      const bool grouped = by.sets.empty() || std::find(by.sets[set].begin(), by.sets[set].end(),
                                                        i) != by.sets[set].end();
      add(grouped ? by.keys[i]
                  : parse_expression(memory_,
                                     fmt::format("CASE WHEN false THEN {} END", print(by.keys[i]))),
          "k", i + 1);
    }
    if (!by.sets.empty()) {
      add(parse_expression(memory_, fmt::format("{}::int", set)), "k", by.keys.size() + 1);
    }
    for (std::size_t i = 0; i < by.state.totals.size(); ++i) add(by.state.totals[i].of, "t", i + 1);
    for (std::size_t i = 0; i < by.state.extremes.size(); ++i) {
      add(by.state.extremes[i].of, "e", i + 1);
    }
    add_leaf(out, 1);
    return out;
  }

  // Mechanism D.
  void rows_below(const grouping& by, const keyed_storage& storage, const std::string& nonlinear) {
    if (!by.sets.empty()) {
      throw not_incremental(construct::grouping_sets, "over outer joins or subqueries");
    }
    select_statement* below = group_branch(by, 0);
    out_.mechanism = "D";
    const key_plan plan = plan_keys(in_, below, bits_, logs_);
    const replaced_storage core =
        key_storage(below, plan, input_.parts.core, input_.parts.core_source, out_.core_source);
    out_.pieces = plan.pieces;
    texts columns = texts{};
    for (std::size_t i = 1; i <= by.keys.size(); ++i) columns.push_back(fmt::format("k{}", i));
    for (std::size_t i = 1; i <= by.state.totals.size(); ++i)
      columns.push_back(fmt::format("t{}", i));
    for (std::size_t i = 1; i <= by.state.extremes.size(); ++i)
      columns.push_back(fmt::format("e{}", i));
    columns.emplace_back("leaf");
    const std::string shown = fmt::format("{}", fmt::join(columns, ", "));
    const std::string changes = fmt::format(
        "SELECT {0}, 1::bigint AS w FROM core_added UNION ALL SELECT {0}, -1::bigint FROM "
        "core_gone",
        shown);
    const std::string anew = fmt::format("SELECT {} FROM fresh", shown);
    out_.source = storage_source(storage, print(below));
    apply_by(keys_item(plan) +
             replace_keys(core, "core_gone", "core_added", shown, core.source) + ",\n" +
             add_changes(storage, input_.parts.storage, changes, print(below)));
    fill_by(fmt::format("fresh AS MATERIALIZED (SELECT * FROM {} AS r),\n{},\n{}",
                        fresh_rows(core.source),
                        replace_all(core.storage, "fresh", "core_gone", "core_added"),
                        replace_all(input_.parts.storage,
                                    fmt::format("({})", storage_source(storage, anew)), "gone",
                                    "added")));
    out_.diff = fmt::format(
        "WITH {},\n{},\n{},\n/*watermark*/\nSELECT (SELECT count(*) FROM changed) + "
        "(SELECT count(*) FROM gone) + (SELECT count(*) FROM added)",
        differing_keys(core), replace_keys(core, "core_gone", "core_added", shown, "fresh"),
        add_changes(storage, input_.parts.storage, changes, anew));
    add_index(storage);
    add_index(core);
    out_.max_tables = 30;
    out_.parts.push_back({"the rows that are aggregated", "D",
                          fmt::format("they are stored as well, because of {}; those with the same "
                                      "{} as a change are made anew, and what goes and comes is "
                                      "the change of the groups",
                                      nonlinear, shown_keys(plan))});
    const auto paths = explained_paths(plan.paths);
    out_.parts.insert(out_.parts.end(), paths.begin(), paths.end());
  }

  void group_view(const grouping& by, const keyed_storage& storage) {
    const group_residue residue{in_, by.keys, by.sets, storage.keys, by.state};
    texts columns;
    for (std::size_t i = 0; i < top_->n_target_list; ++i) {
      const store::column_facts& output = input_.facts.output.at(i);
      const std::string value = residue.text(res_target(top_->target_list[i])->val);
      out_.stored[output.name] =
          fmt::format("({}::{})", std::string("(") + residue.stored(value) + ")", output.type);
      if (std::find(storage.keys.begin(), storage.keys.end(), output.name) != storage.keys.end()) {
        out_.stored[output.name] = quoted(output.name);
      }
      columns.push_back(fmt::format("({})::{} AS {}", value, output.type, quoted(output.name)));
    }
    const std::string where =
        top_->having_clause != nullptr ? residue.text(top_->having_clause) : std::string();
    out_.view = finish_group_view(residue, query_.tree, top_, columns,
                                  input_.parts.storage + " AS s", where);
    out_.parts.insert(out_.parts.begin(), {"the groups", out_.mechanism, kept_groups(by)});
    explain_residue(top_, "groups");
  }

  // Why groups are not made anew, if they might be.
  std::string kept_groups(const grouping& by) const {
    std::string out = "each has the state of its aggregates, which changes are added to";
    if (!by.state.extremes.empty()) out += "; least and greatest values that go are looked up anew";
    if (out_.mechanism != "D") return out;
    if (by.keys.empty()) return out + "; without GROUP BY, making it anew would be a full refresh";
    return out + (input_.coarse_groups
                      ? "; by the planner's estimate they are too large to be made anew"
                      : "; only their rows tell which of them a change touches");
  }

  // ---- K.

  std::string keys_item(const key_plan& plan) const {
    return fmt::format(
        "/*deltas*/keys AS MATERIALIZED (SELECT DISTINCT * FROM (/*section 1*/) AS q),\n",
        plan.columns.size());
  }

  // Adds hidden key columns to `query`; `source` becomes the query of its storage.
  replaced_storage key_storage(select_statement* query, const key_plan& plan, std::string storage,
                               std::string source_name, std::string& source) {
    replaced_storage out{.storage = std::move(storage),
                         .source = std::move(source_name),
                         .columns = {},
                         .keys = plan.columns,
                         .traits = {}};
    for (std::size_t i = 0; i < plan.columns.size(); ++i) {
      if (plan.columns[i].starts_with("__mv_k")) {
        append(memory_, query->n_target_list, query->target_list,
               make_target(memory_, copy(memory_, plan.expressions[i]), plan.columns[i]));
      }
    }
    const std::string rows = print(query);
    const std::vector<store::column_facts>& known = types_of(rows);
    for (std::size_t i = 0; i < plan.columns.size(); ++i) {
      const auto facts = std::find_if(known.begin(), known.end(),
                                      [&](const auto& one) { return one.name == plan.columns[i]; });
      if (facts == known.end())
        throw error(errc::server_error, "a key column was lost: " + plan.columns[i]);
      if (!facts->hashable) {
        const node* key = plan.expressions[i];
        const PgQuery__ColumnRef* column = key == nullptr ? nullptr : column_ref(key);
        const std::string name =
            column == nullptr ? facts->name : std::string(string_of(column->fields[1]));
        throw not_incremental(
            construct::type_without_hash,
            fmt::format("{} ({})", key == nullptr ? facts->name : print(key), facts->type), name);
      }
      const bool never =
          plan.expressions[i] != nullptr && never_null(in_, query, plan.expressions[i]);
      out.traits.push_back({.nullable = !never, .fixed = facts->fixed_size});
    }
    for (const store::column_facts& one : known) out.columns.push_back(quoted(one.name));
    source = rows;
    if (need_hash(out.traits)) {
      out.hash = "__mv_hash";
      texts keys;
      for (const std::string& key : plan.columns) keys.push_back("r." + quoted(key));
      source = fmt::format("SELECT r.*, {} AS __mv_hash FROM ({}) AS r", hash_of(keys), rows);
    }
    return out;
  }

  // `what` are rows or groups; `because` says why they are not updated from changes alone.
  void by_keys(const std::string& what, const std::string& because) {
    select_statement* rows = copy(memory_, top_);
    const residue_order order = order_of(in_, query_.tree, input_.facts);
    if (!is_set_operation(rows)) {
      for (std::size_t i = 0; i < rows->n_target_list; ++i) {
        res_target(rows->target_list[i])->name = memory_.text(input_.facts.output.at(i).name);
      }
      for (std::size_t i = 0; i < order.hidden.size(); ++i) {
        append(
            memory_, rows->n_target_list, rows->target_list,
            make_target(memory_, copy(memory_, order.hidden[i]), fmt::format("__mv_o{}", i + 1)));
      }
      // DISTINCT ON keeps the first row by this order.
      if (rows->n_distinct_clause > 0) {
        rows->n_sort_clause = query_.tree->n_sort_clause;
        rows->sort_clause = query_.tree->sort_clause;
      }
    }
    const key_plan plan = plan_keys(in_, rows, bits_, logs_);
    std::string source;
    const replaced_storage storage =
        key_storage(rows, plan, input_.parts.storage, input_.parts.source, source);
    out_.mechanism = "K";
    out_.source = std::move(source);
    out_.pieces = plan.pieces;
    out_.max_tables = 30;
    out_.unique_rows = true;
    out_.apply = fmt::format(
        "WITH {}{},\n/*watermark*/\nSELECT (SELECT count(*) FROM gone) + "
        "(SELECT count(*) FROM added), /*unexpected*/",
        keys_item(plan), replace_keys(storage, "gone", "added", "1", storage.source));
    fill_by(replace_all(storage.storage, fresh_rows(storage.source), "gone", "added"));
    const bool comparable = std::all_of(input_.facts.output.begin(), input_.facts.output.end(),
                                        [](const auto& one) { return one.hashable; });
    if (comparable) out_.diff = keyed_diff(storage);
    add_index(storage);
    texts columns;
    for (const store::column_facts& column : input_.facts.output) {
      columns.push_back("s." + quoted(column.name));
      out_.stored[column.name] = quoted(column.name);
    }
    out_.view = finish_view(in_, query_.tree, order, columns, input_.parts.storage + " AS s", "");
    explain_residue(nullptr, "rows");
    out_.parts.push_back({what, "K",
                          fmt::format("those with the same {} as a change are made anew, {}",
                                      shown_keys(plan), because)});
    const auto paths = explained_paths(plan.paths);
    out_.parts.insert(out_.parts.end(), paths.begin(), paths.end());
  }

  const compile_input& input_;
  arena memory_;
  resolved_query query_;
  query_context in_;
  std::map<std::int64_t, int> bits_;
  std::map<std::int64_t, int> logs_;
  select_statement* top_ = nullptr;
  std::vector<branch> branches_;
  std::size_t leaves_ = 0;
  bool is_set_ = false;
  std::string always_;  // Rows of the storage that never go: see grand_totals().
  compiled_view out_;
};

}  // namespace

compile_result compile(const compile_input& input) {
  try {
    check_faults(input.facts);
    return compiler(input).run();
  } catch (const unknown_types& unknown) {
    return needs_types{unknown.query};
  } catch (const not_incremental& no) {
    return no.why();
  }
}

}  // namespace matview::incremental
