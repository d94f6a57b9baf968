#include "incremental/kept_groups.hpp"

#include "incremental/affected_keys.hpp"
#include "incremental/aggregates.hpp"
#include "incremental/captured.hpp"
#include "incremental/explanation.hpp"
#include "incremental/grouping.hpp"
#include "incremental/projection.hpp"
#include "incremental/properties.hpp"
#include "incremental/replaced_rows.hpp"
#include "incremental/residue.hpp"
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace matview::incremental {

namespace {

using texts = std::vector<std::string>;

struct grouping {
  std::vector<node*> keys;
  std::vector<std::vector<std::size_t>> sets;  // Of keys; empty without grouping sets.
  aggregate_state state;
  std::vector<node*> calls;
  std::vector<node*> outputs;     // What is made of them, HAVING and ORDER BY included.
  std::string why_not;            // Why the state cannot be updated.
  const node* culprit = nullptr;  // The aggregate that it is said of.
  texts types;                    // Of keys, totals and extremes.
};

class kept_groups final {
 public:
  explicit kept_groups(draft& to)
      : draft_(to), parts_(parts_of(*to.top)), shown_(shown_by(*parts_.project)) {}
  kept_groups(const kept_groups&) = delete;
  kept_groups& operator=(const kept_groups&) = delete;

  void run() {
    grouping by = read_groups();
    keyed_storage storage;
    if (by.why_not.empty()) storage = storage_of(by);
    if (!by.why_not.empty()) {
      if (!by.sets.empty()) throw not_incremental(construct::grouping_sets, by.why_not);
      if (by.keys.empty()) throw no_group(by);
      replace_by_keys(draft_, "the groups", "because " + by.why_not);
      return;
    }
    const std::optional<std::string> nonlinear = nonlinear_core(*draft_.top);
    const bool by_keys = !by.keys.empty() && by.sets.empty();
    if (by_keys && goes_by_reader(by) &&
        try_groups_by_keys(
            "because what is made of their values goes by settings, and would by those of "
            "who reads")) {
      return;
    }
    if (by_keys && nonlinear && !draft_.input.coarse_groups &&
        try_groups_by_keys(
            fmt::format("because of {}; by the planner's estimate they are small, so "
                        "that their rows need not be stored",
                        *nonlinear))) {
      return;
    }
    if (!nonlinear) {
      draft_.out.mechanism = "L";
      std::vector<const relation*> queries;
      for (std::size_t set = 0; set < std::max<std::size_t>(1, by.sets.size()); ++set) {
        queries.push_back(group_branch(by, set));
      }
      draft_.maintain(storage, queries, grand_totals(by));
    } else {
      rows_below(by, storage, *nonlinear);
    }
    draft_.out.unique_rows = true;
    group_view(by, storage);
  }

 private:
  grouping read_groups() {
    grouping out;
    if (has_grouping_sets(*draft_.top)) {
      out.sets = grouping_sets(*draft_.top, out.keys);
    } else {
      out.keys = group_expressions(draft_.in, *draft_.top);
    }
    const auto read = [&](node* expression) {
      for (node* call : aggregates_in(draft_.in, expression)) {
        out.calls.push_back(call);
        if (const auto why = add_to_state(draft_.in, call, out.state)) {
          out.why_not = *why;
          out.culprit = call;
        }
      }
      if (has_sub_link(expression)) out.why_not = "a subquery stands beside the aggregates";
      if (!out.sets.empty() && !ungrouped_columns(draft_.in, expression, out.keys).empty()) {
        out.why_not = "a column stands beside them that only a primary key in GROUP BY allows";
      }
      out.outputs.push_back(expression);
    };
    for (node* value : shown_) read(value);
    if (parts_.having != nullptr) read(parts_.having->condition);
    if (const relation* sort = parts_of(*draft_.whole).sort) {
      for (const expression& item : sort->expressions) read(item.tree->sort_by->node);
    }
    if (has_windows(*draft_.top)) out.why_not = "a window function goes over the groups";
    return out;
  }

  // The storage of groups; fills in why_not if a type forbids it.
  keyed_storage storage_of(grouping& by) {
    keyed_storage out;
    std::vector<node*> probed;
    const auto add = [&](node* value) {
      probed.push_back(make_target(draft_.memory, value, fmt::format("c{}", probed.size() + 1)));
    };
    for (node* key : by.keys) add(key);
    for (const auto& one : by.state.totals) add(one.of);
    for (const auto& one : by.state.extremes) add(one.of);
    if (probed.empty()) add(parse_expression(draft_.memory, "1"));
    const relation* probe = projected(draft_.in, rows(), probed);
    const std::vector<store::column_facts>& known =
        types_of(draft_.in, print(statement_of(draft_.memory, *probe)));
    by.types.clear();
    for (const store::column_facts& one : known) by.types.push_back(one.type);
    for (std::size_t i = 0; i < by.keys.size(); ++i) {
      if (!known[i].hashable) by.why_not = "a column of GROUP BY has a type without hash";
      const std::string name = output_name(by.keys[i]);
      out.keys.push_back(name.empty() ? fmt::format("__mv_g{}", i + 1) : name);
      out.traits.push_back(
          {.nullable = !by.sets.empty() || !never_null(draft_.in, *draft_.top, by.keys[i]),
           .fixed = known[i].fixed_size,
           .array = is_array(known[i].type)});
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
      out.unbounded.push_back(known[first + i].type.starts_with("numeric") &&
                              !out.sums.back().empty());
      out.never_null.push_back(!out.sums.back().empty() && is_never_null(by.state.totals[i].of));
    }
    for (std::size_t i = 0; i < by.state.extremes.size(); ++i) {
      if (!known[first + by.state.totals.size() + i].hashable) {
        by.why_not = "min or max of a type without hash";
      }
      out.extremes.push_back(by.state.extremes[i].least);
    }
    return out;
  }

  // Whether a number is never NULL: none of PostgreSQL's own operators by these names makes NULL of
  // what is not.
  bool is_never_null(const node* number) const {
    if (column_ref(number) != nullptr) return never_null(draft_.in, *draft_.top, number);
    if (number->node_case == PG_QUERY__NODE__NODE_A_CONST) return number->a_const->isnull == 0;
    if (number->node_case == PG_QUERY__NODE__NODE_TYPE_CAST) {
      const node* constant = number->type_cast->arg;
      return constant->node_case == PG_QUERY__NODE__NODE_A_CONST && is_never_null(constant);
    }
    static const std::set<std::string_view> known{"+", "-", "*", "/"};
    const PgQuery__AExpr* both = operation(number);
    return known.contains(operator_of(number)) && both->lexpr != nullptr &&
           is_never_null(both->lexpr) && is_never_null(both->rexpr);
  }

  const node* call_on(const grouping& by, const node* argument) const {
    const auto found = std::ranges::find_if(
        by.calls, [&](const node* call) { return same(argument_of(draft_.in, call), argument); });
    return found == by.calls.end() ? nullptr : *found;
  }

  std::string sum_type(grouping& by, const aggregate_state::total& of, const std::string& type) {
    if (of.number_only) return {};
    const bool small = type == "integer" || type == "smallint";
    const bool exact = type == "bigint" || type == "numeric" || type.starts_with("numeric(");
    if (!small && !exact) {
      by.why_not = fmt::format("sums of {} are not exact, so that they cannot be updated", type);
      by.culprit = call_on(by, of.of);
    }
    for (const node* call : averaged(by.calls)) {
      if (type == "numeric" && same(argument_of(draft_.in, call), of.of)) {
        by.why_not = "the digits of avg() of a numeric without scale depend on all its values";
      }
    }
    if (type == "numeric" && depends_on_digits(by, of.of)) {
      by.why_not =
          "the digits of what is made of a sum of a numeric without one scale depend on all its "
          "values";
      by.culprit = call_on(by, of.of);
    }
    return small ? "bigint" : "numeric";
  }

  // Whether an output may be another one if its sum has more digits than the rows have.
  bool depends_on_digits(const grouping& by, const node* argument) const {
    scale_use use = scale_use::none;
    for (node* output : by.outputs) use = std::max(use, scale_used(draft_.in, output, argument));
    if (use == scale_use::none) return false;
    // A sum of nothing but zeros has fewer digits; the quotient of it is 0 then, whatever they are.
    return !scale_of(draft_.in, *draft_.top, argument, use == scale_use::quotient);
  }

  std::string output_name(const node* expression) const {
    for (std::size_t i = 0; i < shown_.size(); ++i) {
      if (same(shown_[i], expression)) return draft_.input.facts.output.at(i).name;
    }
    return {};
  }

  not_incremental no_group(const grouping& by) const {
    if (by.culprit == nullptr) return {construct::no_group, by.why_not};
    const PgQuery__FuncCall* call = func_call(by.culprit);
    const PgQuery__ColumnRef* of = call->n_args > 0 ? column_ref(call->args[0]) : nullptr;
    return {construct::no_group, by.why_not,
            std::string(string_of(call->funcname[call->n_funcname - 1])),
            of == nullptr ? std::string() : std::string(string_of(of->fields[of->n_fields - 1]))};
  }

  // Whether an output is computed, when the view is read, from a value that is spelled and reckoned
  // with by settings.
  bool goes_by_reader(const grouping& by) const {
    if (!draft_.input.facts.uses_settings) return false;
    const auto by_settings = [](const std::string& type) {
      static const std::vector<std::string_view> all{
          "timestamp", "time", "date", "interval", "real", "double precision", "money", "bytea"};
      return std::ranges::any_of(all, [&](std::string_view one) { return type.starts_with(one); });
    };
    std::vector<const node*> values;  // Of these types: keys, and what is aggregated.
    for (std::size_t i = 0; i < by.keys.size(); ++i) {
      if (by_settings(by.types[i])) values.push_back(by.keys[i]);
    }
    for (const node* call : by.calls) {
      const node* argument = argument_of(draft_.in, call);
      std::size_t place = by.keys.size();  // In the types, the totals' and then the extremes'.
      const auto of_such = [&](const auto& one) {
        return by_settings(by.types.at(place++)) && same(argument, one.of);
      };
      const auto total = std::ranges::count_if(by.state.totals, of_such);
      const auto extreme = std::ranges::count_if(by.state.extremes, of_such);
      if (total + extreme > 0) values.push_back(call);
    }
    return std::ranges::any_of(by.outputs, [&](node* output) {
      if (std::ranges::any_of(by.keys, [&](const node* key) { return same(key, output); }))
        return false;
      return std::ranges::any_of(values, [&](const node* value) {
        return !same(value, output) && contains(output, value);
      });
    });
  }

  static bool contains(const node* expression, const node* part) {
    bool found = false;
    walk(expression, [&](ProtobufCMessage* message) {
      const auto* at = as<node>(message, pg_query__node__descriptor);
      found = found || (at != nullptr && same(at, part));
      return !found;
    });
    return found;
  }

  bool try_groups_by_keys(const std::string& because) {
    try {
      replace_by_keys(draft_, "the groups", because);
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

  // What is grouped.
  [[nodiscard]] const relation& rows() const { return *parts_.aggregate->input; }

  // The rows below GROUP BY; of grouping sets those for one set.
  const relation* group_branch(const grouping& by, std::size_t set) const {
    std::vector<node*> targets;
    const auto add = [&](node* value, std::string_view name, std::size_t number) {
      targets.push_back(make_target(draft_.memory, value, fmt::format("{}{}", name, number)));
    };
    for (std::size_t i = 0; i < by.keys.size(); ++i) {
      const bool grouped = by.sets.empty() || std::find(by.sets[set].begin(), by.sets[set].end(),
                                                        i) != by.sets[set].end();
      add(grouped ? by.keys[i]
                  : parse_expression(draft_.memory,
                                     fmt::format("CASE WHEN false THEN {} END", print(by.keys[i]))),
          "k", i + 1);
    }
    if (!by.sets.empty()) {
      add(parse_expression(draft_.memory, fmt::format("{}::int", set)), "k", by.keys.size() + 1);
    }
    for (std::size_t i = 0; i < by.state.totals.size(); ++i) add(by.state.totals[i].of, "t", i + 1);
    for (std::size_t i = 0; i < by.state.extremes.size(); ++i) {
      add(by.state.extremes[i].of, "e", i + 1);
    }
    return draft_.with_leaf(*projected(draft_.in, rows(), targets), 1);
  }

  // Mechanism D.
  void rows_below(const grouping& by, const keyed_storage& storage, const std::string& nonlinear) {
    if (!by.sets.empty()) {
      throw not_incremental(construct::grouping_sets, "over outer joins or subqueries");
    }
    const relation* below = group_branch(by, 0);
    draft_.out.mechanism = "D";
    const key_plan plan = plan_keys(draft_.in, *below, draft_.bits, draft_.logs);
    const relation* keyed = with_keys(draft_, *below, plan);
    const std::string text = print(statement_of(draft_.memory, *keyed));
    const replaced_storage core =
        key_storage(draft_, *keyed, plan, draft_.input.parts.core, draft_.input.parts.core_source,
                    draft_.out.core_source);
    draft_.out.pieces = plan.pieces;
    add_captured(draft_.query, plan.read, draft_.out.tables);
    texts columns;
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
    draft_.out.source = storage_source(storage, text);
    draft_.apply_by(touched_keys(core) +
                    replace_keys(core, "core_gone", "core_added", shown, core.source) + ",\n" +
                    add_changes(storage, draft_.input.parts.storage, changes, text));
    draft_.fill_by(fmt::format(
        "fresh AS MATERIALIZED (SELECT * FROM {} AS r),\n{},\n{}", fresh_rows(core.source),
        replace_all(core.storage, "fresh", "core_gone", "core_added"),
        replace_all(draft_.input.parts.storage, fmt::format("({})", storage_source(storage, anew)),
                    "gone", "added")));
    // Of what refuse_total() refuses there is no other way than all anew.
    const bool wild = std::ranges::find(storage.unbounded, true) != storage.unbounded.end();
    if (!wild) {
      draft_.out.diff = fmt::format(
          "WITH {},\n{},\n{},\n/*watermark*/\nSELECT (SELECT count(*) FROM changed) + "
          "(SELECT count(*) FROM gone) + (SELECT count(*) FROM added)",
          differing_keys(core), replace_keys(core, "core_gone", "core_added", shown, "fresh"),
          add_changes(storage, draft_.input.parts.storage, changes, anew));
    }
    draft_.add_index(storage);
    draft_.add_index(core);
    draft_.out.max_tables = 30;
    draft_.out.parts.push_back(
        {"the rows that are aggregated", "D",
         fmt::format("they are stored as well, because of {}; those with the same "
                     "{} as a change are made anew, and what goes and comes is "
                     "the change of the groups",
                     nonlinear, shown_keys(plan))});
    draft_.how.key = shown_keys(plan);
    draft_.how.paths = plan.paths;
    const auto paths = explained_paths(plan.paths);
    draft_.out.parts.insert(draft_.out.parts.end(), paths.begin(), paths.end());
  }

  void group_view(const grouping& by, const keyed_storage& storage) {
    const group_residue residue{draft_.in, by.keys, by.sets, storage.keys, by.state};
    texts columns;
    for (std::size_t i = 0; i < shown_.size(); ++i) {
      const store::column_facts& output = draft_.input.facts.output.at(i);
      const std::string value = residue.text(shown_[i]);
      draft_.out.stored[output.name] =
          fmt::format("(({})::{})", residue.stored(shown_[i]), output.type);
      if (std::find(storage.keys.begin(), storage.keys.end(), output.name) != storage.keys.end()) {
        draft_.out.stored[output.name] = quoted(output.name);
      }
      columns.push_back(fmt::format("({})::{} AS {}", value, output.type, quoted(output.name)));
    }
    const std::string where =
        parts_.having != nullptr ? residue.text(parts_.having->condition) : std::string();
    draft_.out.view = finish_group_view(residue, *draft_.whole, columns,
                                        draft_.input.parts.storage + " AS s", where);
    draft_.how.by = stage::kept_groups;
    draft_.how.groups = parts_.aggregate;
    draft_.how.groups_because = why_kept(by);
    draft_.out.parts.insert(draft_.out.parts.begin(),
                            {"the groups", draft_.out.mechanism, draft_.how.groups_because});
    draft_.explain_residue(draft_.top, "groups");
  }

  // Why groups are not made anew, if they might be.
  std::string why_kept(const grouping& by) const {
    std::string out = "each has the state of its aggregates, which changes are added to";
    if (!by.state.extremes.empty()) out += "; least and greatest values that go are looked up anew";
    if (draft_.out.mechanism != "D") return out;
    if (by.keys.empty()) return out + "; without GROUP BY, making it anew would be a full refresh";
    return out + (draft_.input.coarse_groups
                      ? "; by the planner's estimate they are too large to be made anew"
                      : "; only their rows tell which of them a change touches");
  }

  draft& draft_;
  const select_parts parts_;
  const std::vector<node*> shown_;
};

}  // namespace

void keep_groups(draft& to) {
  kept_groups(to).run();
}

}  // namespace matview::incremental
