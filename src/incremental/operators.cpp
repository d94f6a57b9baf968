#include "incremental/operators.hpp"

#include "incremental/properties.hpp"
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <map>
#include <string_view>
#include <utility>

namespace matview::incremental {

namespace {

// As it is written, without what it goes over.
std::string written(arena& memory, const relation& of) {
  if (is_join(of)) {
    return std::string(keyword_of(of)) +
           (of.condition == nullptr ? "" : " ON " + print(of.condition));
  }
  if (is_set_operation(of)) return fmt::format("{}{}", keyword_of(of), of.all ? " ALL" : "");
  if (of.kind == relation_kind::scan) {
    const store::table_facts& table = *of.table->table;
    return fmt::format("table {}.{}", table.schema, table.name) +
           (of.alias == table.name ? "" : fmt::format(" AS {}", of.alias));
  }
  if (of.kind == relation_kind::rename) return fmt::format("subquery AS {}", of.alias);
  if (of.kind == relation_kind::distinct) return "DISTINCT";
  if (of.kind == relation_kind::aggregate && of.expressions.empty())
    return "aggregates of all rows";
  if (of.kind == relation_kind::window) return "window functions";
  if (of.kind == relation_kind::distinct_on) {
    std::vector<std::string> by;
    for (const expression& one : of.expressions) by.push_back(print(one.tree));
    return fmt::format("DISTINCT ON ({})", fmt::join(by, ", "));
  }
  // HAVING is a filter on an aggregate.
  const relation nothing{};
  const relation groups{.kind = relation_kind::aggregate, .input = &nothing};
  relation alone = of;
  if (of.input != nullptr) {
    alone.input = of.input->kind == relation_kind::aggregate ? &groups : &nothing;
  }
  if (of.kind == relation_kind::project) alone.input = &nothing;
  std::string text = print(statement_of(memory, alone));
  for (const std::string_view head : {"SELECT FROM ", "SELECT "}) {
    if (of.kind != relation_kind::project && text.starts_with(head))
      return text.substr(head.size());
  }
  return text;
}

std::string written(const dependent_join& of) {
  switch (of.kind) {
    case dependent_kind::semi_join:
      return "semi-join";
    case dependent_kind::anti_join:
      return "anti-join";
    case dependent_kind::mark_join:
      return "mark join";
    default:
      return "scalar subquery";
  }
}

class explaining final {
 public:
  explaining(const query_context& in, const maintenance& how) : in_(in), how_(how) {
    for (const key_path& one : how.paths) {
      std::string& way = ways_[one.chain.front()];
      if (!way.empty()) way += ", and ";
      way += one.chain.size() == 1 ? "in its changed rows"
                                   : fmt::format("along {}", fmt::join(one.chain, " - "));
    }
  }

  std::vector<explained_operator> run(const relation& whole) && {
    from_top(whole, 0);
    return std::move(out_);
  }

 private:
  void add(int depth, const relation& of, std::string_view mechanism, std::string why) {
    out_.push_back({depth, written(in_.memory, of), std::string(mechanism), std::move(why)});
  }

  void from_top(const relation& it, int depth) {
    if (it.kind == relation_kind::limit || it.kind == relation_kind::sort) {
      add(depth, it, "residue", "from what is stored when the view is read");
      from_top(*it.input, depth + 1);
      subqueries_by_keys(it, depth + 1);  // Their values are stored for it.
    } else if (how_.by == stage::replaced_rows) {
      by_keys(it, depth);
    } else if (how_.by == stage::kept_groups) {
      over_groups(it, depth);
    } else {
      over_counters(it, depth);
    }
  }

  // Set operations and DISTINCT that counters decide, down to the rows that are counted.
  void over_counters(const relation& it, int depth) {
    if (is_linear(it)) {
      by_changes(it, depth);
      return;
    }
    add(depth, it, "residue", why_counted(it));
    over_counters(*it.input, depth + 1);
    if (it.right != nullptr) over_counters(*it.right, depth + 1);
  }

  static std::string why_counted(const relation& it) {
    switch (it.kind) {
      case relation_kind::set_union:
        return it.all ? "a row is there as often as its two counters say together"
                      : "a row is there if one of its two counters is above 0";
      case relation_kind::intersection:
        return it.all ? "a row is there as often as the smaller of its two counters says"
                      : "a row is there if both of its counters are above 0";
      case relation_kind::difference:
        return it.all ? "a row is there as often as its left counter is above its right one"
                      : "a row is there if its left counter is above 0 and its right one is 0";
      case relation_kind::distinct:
        return "a row is there once if its counter is above 0";
      default:  // A branch that stands in parentheses has its own ORDER BY.
        return "rows are counted without their order";
    }
  }

  // What the users' view computes from groups, down to these.
  void over_groups(const relation& it, int depth) {
    if (it.kind != relation_kind::aggregate) {
      add(depth, it, "residue", "from the stored groups when the view is read");
      over_groups(*it.input, depth + 1);
      return;
    }
    add(depth, it, how_.mechanism, how_.groups_because);
    if (how_.mechanism == "D") {
      by_keys(*it.input, depth + 1);
    } else {
      by_changes(*it.input, depth + 1);
    }
  }

  // Mechanism L. There is no subquery in an expression.
  void by_changes(const relation& it, int depth) {
    const bool shown = !is_nothing(it);
    if (shown) add(depth, it, "L", why_linear(it));
    for (const relation* one : {it.input, it.right}) {
      if (one != nullptr) by_changes(*one, depth + (shown ? 1 : 0));
    }
  }

  static std::string why_linear(const relation& it) {
    switch (it.kind) {
      case relation_kind::scan:
        return "its changed rows, each with a weight: 1 came, -1 went";
      case relation_kind::values:
        return "never changes";
      case relation_kind::function:
        return "computed for the changed rows that it is joined with";
      case relation_kind::inner_join:
        return "the changed rows of each side with the new state of the other, less those of both "
               "with each other; weights are multiplied";
      case relation_kind::set_union:
        return "the changes of both branches";
      case relation_kind::sort:
        return "changes have no order";
      case relation_kind::rename:
        return "its changes have their weight as one column more";
      default:
        return "of changed rows alone";
    }
  }

  // Mechanism K.
  void by_keys(const relation& it, int depth) {
    const bool shown = !is_nothing(it);
    if (shown) add(depth, it, "K", why_keyed(it));
    for (const relation* one : {it.input, it.right}) {
      if (one != nullptr) by_keys(*one, depth + (shown ? 1 : 0));
    }
    subqueries_by_keys(it, depth + (shown ? 1 : 0));
  }

  void subqueries_by_keys(const relation& beside, int depth) {
    for (const expression& one : beside.expressions) {
      for (const dependent_join& sub : one.subqueries) {
        out_.push_back({depth, written(sub), "K", why_dependent(sub)});
        by_keys(*sub.query, depth + 1);
      }
    }
  }

  std::string why_keyed(const relation& it) const {
    switch (it.kind) {
      case relation_kind::scan: {
        const auto way = ways_.find(std::string(it.alias));
        return way == ways_.end()
                   ? std::string()
                   : fmt::format("the touched {} are found {}", how_.key, way->second);
      }
      case relation_kind::left_join:
      case relation_kind::right_join:
      case relation_kind::full_join:
        return "not linear: what comes or goes on one side takes away or brings back a row of "
               "NULLs";
      case relation_kind::aggregate:
        return &it == how_.groups ? how_.groups_because
                                  : "not linear: a group is made of all its rows";
      case relation_kind::window:
        return "not linear: a value depends on all rows of its partition";
      case relation_kind::distinct:
      case relation_kind::distinct_on:
        return "not linear: which rows stay depends on all that are alike";
      case relation_kind::limit:
        return "not linear: which rows are within it depends on all of them";
      case relation_kind::set_union:
        return it.all ? "for the touched keys" : not_linear_set;
      case relation_kind::intersection:
      case relation_kind::difference:
        return not_linear_set;
      case relation_kind::values:
        return "never changes";
      default:
        return "for the touched keys";
    }
  }

  static constexpr const char* not_linear_set =
      "not linear: whether a row is there depends on those like it in both branches";

  static std::string why_dependent(const dependent_join& of) {
    switch (of.kind) {
      case dependent_kind::semi_join:
        return "not linear: a row stays as long as there is one match";
      case dependent_kind::anti_join:
        return "not linear: a row stays as long as there is no match";
      case dependent_kind::mark_join:
        return "not linear: a value of the row says whether there is a match";
      default:
        return "not linear: a value of the row is that of the subquery";
    }
  }

  // What nobody sees: a SELECT without FROM, a WINDOW that no function goes over.
  static bool is_nothing(const relation& it) {
    return it.kind == relation_kind::unit ||
           (it.kind == relation_kind::window && it.partitions.empty());
  }

  const query_context& in_;
  const maintenance& how_;
  std::map<std::string, std::string> ways_;  // By alias: how its keys are found.
  std::vector<explained_operator> out_;
};

}  // namespace

std::vector<explained_operator> explained_operators(const query_context& in, const relation& whole,
                                                    const maintenance& how) {
  return explaining(in, how).run(whole);
}

}  // namespace matview::incremental
