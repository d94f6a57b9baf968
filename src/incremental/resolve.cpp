#include "incremental/resolve.hpp"

#include <matview/error.hpp>

#include "incremental/refusal.hpp"
#include "incremental/reserved_names.hpp"
#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <set>
#include <utility>

namespace matview::incremental {

namespace {

// All that follows recurses, and the stack has an end.
void refuse_depth(const select_statement* query) {
  constexpr std::size_t most = 3'000;
  if (depth_of(query) > most) {
    throw not_incremental(construct::too_large, "an expression nested too deeply");
  }
}

// Until it is said where something stands, a subquery's location is its number in the query itself,
// and 0 in a view underneath.
std::size_t number_sub_links(select_statement* tree, bool of_itself) {
  int count = 0;
  walk(&tree->base, [&](ProtobufCMessage* message) {
    auto* sub = as<PgQuery__SubLink>(message, pg_query__sub_link__descriptor);
    if (sub != nullptr) sub->location = of_itself ? ++count : 0;
    return true;
  });
  return static_cast<std::size_t>(count);
}

// WITH queries that can be seen, by name.
using with_queries = std::map<std::string, const PgQuery__CommonTableExpr*>;

// Puts each WITH query and each plain view in the place of its name. pg_get_viewdef() has written
// every table with its schema, so that a name without one is a WITH query's.
class inliner final {
 public:
  inliner(arena& in, const store::query_facts& facts) : in_(in), facts_(facts) {}

  void run(select_statement* query, with_queries seen, int depth) {
    if (depth > 200) throw not_incremental(construct::too_large, "a query nested too deeply");
    if (query->with_clause != nullptr) {
      if (query->with_clause->recursive != 0) {
        for (std::size_t i = 0; i < query->with_clause->n_ctes; ++i) {
          if (mentions_itself(query->with_clause->ctes[i]->common_table_expr)) {
            throw not_incremental(construct::recursive_cte, "WITH RECURSIVE");
          }
        }
      }
      for (std::size_t i = 0; i < query->with_clause->n_ctes; ++i) {
        PgQuery__CommonTableExpr* cte = query->with_clause->ctes[i]->common_table_expr;
        run(select_of(cte->ctequery), seen, depth + 1);
        seen[cte->ctename] = cte;
      }
      query->with_clause = nullptr;
    }
    if (query->larg != nullptr) run(query->larg, seen, depth + 1);
    if (query->rarg != nullptr) run(query->rarg, seen, depth + 1);
    walk(&query->base, [&](ProtobufCMessage* message) {
      if (auto* inner = as<select_statement>(message, pg_query__select_stmt__descriptor)) {
        if (inner == query) return true;
        if (inner != query->larg && inner != query->rarg) run(inner, seen, depth + 1);
        return false;
      }
      if (auto* holder = as<node>(message, pg_query__node__descriptor)) {
        if (range_var(holder) != nullptr) put_in_place(*holder, seen, depth);
      }
      return true;
    });
  }

 private:
  static bool mentions_itself(const PgQuery__CommonTableExpr* cte) {
    bool found = false;
    walk(cte->ctequery, [&](ProtobufCMessage* message) {
      const auto* table = as<PgQuery__RangeVar>(message, pg_query__range_var__descriptor);
      found = found || (table != nullptr && std::string_view(table->schemaname).empty() &&
                        std::string_view(table->relname) == cte->ctename);
      return true;
    });
    return found;
  }

  void put_in_place(node& holder, const with_queries& seen, int depth) {
    // Ten queries of which each names the one before twice are a thousand.
    constexpr std::size_t most = 1'000;
    if (++places_ > most) {
      throw not_incremental(construct::too_large, "more than 1,000 tables, through WITH and views");
    }
    const PgQuery__RangeVar* table = holder.range_var;
    select_statement* query = nullptr;
    std::size_t n_names = 0;
    node** names = nullptr;
    if (std::string_view(table->schemaname).empty()) {
      const auto found = seen.find(table->relname);
      if (found == seen.end()) return;
      query = copy(in_, select_of(found->second->ctequery));
      n_names = found->second->n_aliascolnames;
      names = found->second->aliascolnames;
    } else {
      const auto found = facts_.tables.find({table->schemaname, table->relname});
      if (found == facts_.tables.end() || found->second.kind != 'v') return;
      try {
        query = parse_query(in_, found->second.query);
      } catch (const error&) {
        throw not_incremental(construct::unknown_syntax,
                              fmt::format("the view {}.{}", table->schemaname, table->relname),
                              table->relname);
      }
      refuse_depth(query);
      number_sub_links(query, false);
      run(query, {}, depth + 1);
    }
    auto* sub = in_.make<PgQuery__RangeSubselect>(pg_query__range_subselect__init);
    sub->subquery = wrap(in_, query);
    sub->alias =
        make_alias(in_, table->alias != nullptr ? table->alias->aliasname : table->relname);
    if (table->alias != nullptr && table->alias->n_colnames > 0) {
      n_names = table->alias->n_colnames;
      names = table->alias->colnames;
    }
    sub->alias->n_colnames = n_names;
    sub->alias->colnames = names;
    holder.node_case = PG_QUERY__NODE__NODE_RANGE_SUBSELECT;
    holder.range_subselect = sub;
  }

  arena& in_;
  const store::query_facts& facts_;
  std::size_t places_ = 0;  // Tables, views and WITH queries, each as often as it is read.
};

// What a name can mean at one level of the query.
struct visible_item {
  std::string alias;                     // As it was written.
  std::string unique;                    // As it is now.
  std::map<std::string, node*> columns;  // What each stands for.
};

struct scope {
  const scope* outer = nullptr;
  std::vector<visible_item> items = {};
  std::map<std::string, node*> merged = {};  // By JOIN ... USING.
  std::map<std::string, node*> beside = {};  // The same of what LATERAL sees on its left.
};

const std::set<std::string_view> system_columns{"ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"};

class resolver final {
 public:
  resolver(arena& in, const store::query_facts& facts, resolved_query& out)
      : in_(in), facts_(facts), out_(out) {}

  // The names of its columns.
  std::vector<std::string> query(select_statement* tree, const scope* outer) {
    if (tree->n_locking_clause > 0) throw not_incremental(construct::locking, "FOR UPDATE");
    if (tree->op != PG_QUERY__SET_OPERATION__SETOP_NONE) {
      std::vector<std::string> names = query(tree->larg, outer);
      query(tree->rarg, outer);
      return names;
    }
    scope here{.outer = outer};
    if (tree->n_values_lists > 0) return values(tree, here);
    for (std::size_t i = 0; i < tree->n_from_clause; ++i) from_item(tree->from_clause[i], here);
    name_targets(tree);
    order_by_output(tree);
    const auto in_clause = [&](std::size_t count, node** items) {
      for (std::size_t i = 0; i < count; ++i) expression(items[i], here);
    };
    in_clause(tree->n_distinct_clause, tree->distinct_clause);
    in_clause(tree->n_target_list, tree->target_list);
    if (tree->where_clause != nullptr) expression(tree->where_clause, here);
    in_clause(tree->n_group_clause, tree->group_clause);
    if (tree->having_clause != nullptr) expression(tree->having_clause, here);
    in_clause(tree->n_window_clause, tree->window_clause);
    in_clause(tree->n_sort_clause, tree->sort_clause);
    if (tree->limit_offset != nullptr) expression(tree->limit_offset, here);
    if (tree->limit_count != nullptr) expression(tree->limit_count, here);
    std::vector<std::string> names;
    for (std::size_t i = 0; i < tree->n_target_list; ++i) {
      names.emplace_back(res_target(tree->target_list[i])->name);
    }
    return names;
  }

 private:
  std::vector<std::string> values(select_statement* tree, const scope& here) {
    std::size_t columns = 0;
    for (std::size_t i = 0; i < tree->n_values_lists; ++i) {
      expression(tree->values_lists[i], here);
      columns = tree->values_lists[i]->list->n_items;
    }
    std::vector<std::string> names;
    for (std::size_t i = 1; i <= columns; ++i) names.push_back(fmt::format("column{}", i));
    return names;
  }

  // Each target has a name from now on: it may be read from outside.
  void name_targets(select_statement* tree) {
    for (std::size_t i = 0; i < tree->n_target_list; ++i) {
      PgQuery__ResTarget* target = res_target(tree->target_list[i]);
      if (!std::string_view(target->name).empty()) continue;
      const PgQuery__ColumnRef* column = column_ref(target->val);
      std::string_view name;
      if (column != nullptr) name = string_of(column->fields[column->n_fields - 1]);
      if (const PgQuery__FuncCall* call = func_call(target->val); call != nullptr) {
        name = string_of(call->funcname[call->n_funcname - 1]);
      }
      target->name = name.empty() ? in_.text(fmt::format("column_{}", i + 1)) : in_.text(name);
    }
  }

  // A bare name in ORDER BY means a column of the output, if there is one.
  void order_by_output(select_statement* tree) {
    for (std::size_t i = 0; i < tree->n_sort_clause; ++i) {
      PgQuery__SortBy* sort = tree->sort_clause[i]->sort_by;
      const PgQuery__ColumnRef* column = column_ref(sort->node);
      if (column == nullptr || column->n_fields != 1) continue;
      for (std::size_t k = 0; k < tree->n_target_list; ++k) {
        const PgQuery__ResTarget* target = res_target(tree->target_list[k]);
        if (string_of(column->fields[0]) == target->name) sort->node = copy(in_, target->val);
      }
    }
  }

  std::string unique_alias(std::string_view wanted) {
    std::string alias(wanted);
    for (int n = 2; !aliases_.insert(alias).second; ++n) alias = fmt::format("{}_{}", wanted, n);
    return alias;
  }

  void add_item(scope& to, std::string written, std::string unique,
                const std::vector<std::string>& columns) {
    visible_item item{.alias = std::move(written), .unique = std::move(unique), .columns = {}};
    for (const std::string& name : columns) {
      item.columns[name] = make_column(in_, item.unique, name);
    }
    to.items.push_back(std::move(item));
  }

  static std::vector<std::string> renamed(std::vector<std::string> names,
                                          const PgQuery__Alias* alias) {
    for (std::size_t i = 0; alias != nullptr && i < alias->n_colnames && i < names.size(); ++i) {
      names[i] = string_of(alias->colnames[i]);
    }
    return names;
  }

  void from_item(node* item, scope& to) {
    if (PgQuery__RangeVar* table = range_var(item)) {
      table_item(table, to);
    } else if (PgQuery__RangeSubselect* sub = range_subselect(item)) {
      const scope* outer = sub->lateral != 0 ? &to : to.outer;
      std::vector<std::string> names = renamed(query(select_of(sub->subquery), outer), sub->alias);
      const std::string written = sub->alias != nullptr ? sub->alias->aliasname : "subquery";
      const std::string unique = unique_alias(written);
      // What is read from outside are the names inside, so that no list of names is needed.
      rename_output(select_of(sub->subquery), names);
      const bool is_values = select_of(sub->subquery)->n_values_lists > 0;
      sub->alias = make_alias(in_, unique);
      if (is_values) {
        std::vector<node*> list;
        list.reserve(names.size());
        for (const std::string& name : names) list.push_back(make_string(in_, name));
        sub->alias->n_colnames = list.size();
        sub->alias->colnames = in_.array(list);
      }
      add_item(to, written, unique, names);
    } else if (PgQuery__RangeFunction* function = range_function(item)) {
      function_item(function, to);
    } else if (PgQuery__JoinExpr* join = join_expr(item)) {
      join_item(join, to);
    } else if (item->node_case == PG_QUERY__NODE__NODE_RANGE_TABLE_SAMPLE) {
      throw not_incremental(construct::tablesample, "TABLESAMPLE");
    } else {
      throw not_incremental(construct::table_function, "an item of FROM");
    }
  }

  void rename_output(select_statement* tree, const std::vector<std::string>& names) {
    while (tree->op != PG_QUERY__SET_OPERATION__SETOP_NONE) tree = tree->larg;
    for (std::size_t i = 0; i < tree->n_target_list && i < names.size(); ++i) {
      res_target(tree->target_list[i])->name = in_.text(names[i]);
    }
  }

  void table_item(PgQuery__RangeVar* table, scope& to) {
    if (table->inh == 0) throw not_incremental(construct::only, "ONLY", table->relname);
    const std::string written = table->alias != nullptr ? table->alias->aliasname : table->relname;
    std::string schema = table->schemaname;
    if (schema.empty()) schema = implicit_schema(table->relname);
    const auto found = facts_.tables.find({schema, table->relname});
    // PostgreSQL notes no dependency on its own catalogs.
    if (found == facts_.tables.end() || schema == "pg_catalog" || schema == "information_schema") {
      throw not_incremental(construct::system_table,
                            fmt::format("the table {}.{}", schema, table->relname), table->relname,
                            written);
    }
    const store::table_facts& facts = found->second;
    check(facts, written);
    std::vector<std::string> names;
    names.reserve(facts.columns.size());
    for (const store::column_facts& column : facts.columns) names.push_back(column.name);
    const std::vector<std::string> shown = renamed(names, table->alias);
    scan occurrence{.alias = unique_alias(written), .table = &facts};
    // Columns are read by their own names, so that the table can be replaced by its changes.
    table->alias = make_alias(in_, occurrence.alias);
    visible_item item{.alias = written, .unique = occurrence.alias, .columns = {}};
    for (std::size_t i = 0; i < names.size(); ++i) {
      if (facts.columns[i].virtual_column) continue;
      item.columns[shown[i]] = make_column(in_, occurrence.alias, names[i]);
    }
    to.items.push_back(std::move(item));
    out_.scans.push_back(std::move(occurrence));
  }

  // The two that are looked into whatever the search_path is.
  std::string implicit_schema(std::string_view name) const {
    for (const auto& [known, table] : facts_.tables) {
      if (known.second == name && table.persistence == 't') return known.first;
    }
    return "pg_catalog";
  }

  static void check(const store::table_facts& table, const std::string& alias) {
    const std::string shown = fmt::format("the {} {}.{}",
                                          table.kind == 'f'   ? "foreign table"
                                          : table.kind == 'm' ? "materialized view"
                                          : table.kind == 'S' ? "sequence"
                                                              : "table",
                                          table.schema, table.name);
    const auto refuse = [&](construct what, const std::string& more = {}) {
      throw not_incremental(what, shown + more, table.name, alias);
    };
    // Its own change is what a refresh of the view would be.
    if (table.schema == "matview" && !table.storage && table.kind != 'v') {
      refuse(construct::system_table);
    }
    if (table.kind == 'S') refuse(construct::system_table);
    if (table.kind == 'f') refuse(construct::foreign_table);
    if (!table.foreign_below.empty()) {
      refuse(construct::foreign_table,
             ", to which the foreign " + table.foreign_below + " belongs");
    }
    if (table.kind == 'm') refuse(construct::materialized_view);
    if (table.persistence == 't') refuse(construct::temporary_table);
    if (table.row_security) refuse(construct::row_security);
    if (table.subscribed && !table.owned) refuse(construct::subscribed_table);
  }

  void function_item(PgQuery__RangeFunction* function, scope& to) {
    if (function->n_coldeflist > 0 || function->is_rowsfrom != 0) {
      throw not_incremental(construct::table_function, "ROWS FROM or a column list");
    }
    for (std::size_t i = 0; i < function->n_functions; ++i) {
      expression(function->functions[i], to);
    }
    const std::string written = function->alias != nullptr ? function->alias->aliasname : "";
    std::vector<std::string> names;
    for (std::size_t i = 0; function->alias != nullptr && i < function->alias->n_colnames; ++i) {
      names.emplace_back(string_of(function->alias->colnames[i]));
    }
    if (names.empty()) throw not_incremental(construct::table_function, "a function in FROM");
    const std::string unique = unique_alias(written);
    function->alias->aliasname = in_.text(unique);
    add_item(to, written, unique, names);
  }

  node* merged_column(const scope& side, const std::string& name) {
    const auto merged = side.merged.find(name);
    if (merged != side.merged.end()) return copy(in_, merged->second);
    for (const visible_item& item : side.items) {
      const auto found = item.columns.find(name);
      if (found != item.columns.end()) return copy(in_, found->second);
    }
    refuse_column("", name);
  }

  // The type of a table's column; of what a subquery yields it is not known here.
  std::string type_of(const node* expression) const {
    const PgQuery__ColumnRef* column = column_ref(expression);
    if (column == nullptr) return {};
    const scan* from = out_.scan_of(std::string(string_of(column->fields[0])));
    if (from == nullptr) return {};
    const auto found = std::ranges::find(from->table->columns, string_of(column->fields[1]),
                                         &store::column_facts::name);
    return found == from->table->columns.end() ? std::string() : found->type;
  }

  // What a column of JOIN ... USING is. It has the type that both have in common: of two tables and
  // an inner join PostgreSQL writes the one that has it by its own name.
  node* merged_of(PgQuery__JoinType type, node* a, node* b) const {
    if (type == PG_QUERY__JOIN_TYPE__JOIN_FULL) {
      return make_coalesce(in_, copy(in_, a), copy(in_, b));
    }
    const bool right = type == PG_QUERY__JOIN_TYPE__JOIN_RIGHT;
    const std::string known = type_of(a);
    if (type == PG_QUERY__JOIN_TYPE__JOIN_INNER || (!known.empty() && known == type_of(b))) {
      return copy(in_, right ? b : a);
    }
    return parse_expression(in_, fmt::format("CASE WHEN {} THEN {} ELSE {} END",
                                             right ? "true" : "false", print(b), print(a)));
  }

  void join_item(PgQuery__JoinExpr* join, scope& to) {
    if (join->alias != nullptr || join->join_using_alias != nullptr) {
      throw not_incremental(construct::join_alias, "the alias of a join");
    }
    // LATERAL sees what stands before it on this level: the scope grows as the items come.
    const std::size_t before = to.items.size();
    from_item(join->larg, to);
    const std::size_t middle = to.items.size();
    std::map<std::string, node*> left_merged = std::exchange(to.merged, {});
    const std::map<std::string, node*> before_beside = to.beside;
    for (const auto& [name, column] : left_merged) to.beside[name] = column;
    from_item(join->rarg, to);
    to.beside = before_beside;
    scope left{.outer = to.outer};
    left.items.assign(to.items.begin() + static_cast<long>(before),
                      to.items.begin() + static_cast<long>(middle));
    left.merged = left_merged;
    scope right{.outer = to.outer};
    right.items.assign(to.items.begin() + static_cast<long>(middle), to.items.end());
    right.merged = to.merged;
    to.merged.insert(left_merged.begin(), left_merged.end());
    std::vector<node*> equal;
    for (std::size_t i = 0; i < join->n_using_clause; ++i) {
      const std::string name(string_of(join->using_clause[i]));
      node* a = merged_column(left, name);
      node* b = merged_column(right, name);
      equal.push_back(make_equal(in_, a, b));
      to.merged[name] = merged_of(join->jointype, a, b);
    }
    join->n_using_clause = 0;
    if (!equal.empty())
      join->quals = make_and(in_, equal);
    else if (join->quals != nullptr)
      expression(join->quals, to);
  }

  void expression(node*& tree, const scope& here) {
    replace(tree, [&](node* at) -> node* {
      if (const PgQuery__ColumnRef* column = column_ref(at)) return meant(column, here);
      if (PgQuery__SubLink* sub = sub_link(at)) {
        node* whole = at;
        if (sub->testexpr != nullptr) expression(sub->testexpr, here);
        if (sub->sub_link_type == PG_QUERY__SUB_LINK_TYPE__EXISTS_SUBLINK) {
          drop_columns(select_of(sub->subselect));
        }
        query(select_of(sub->subselect), &here);
        // A copy of the node, so that replace() does not go into it again.
        node* again = in_.make<node>(pg_query__node__init);
        *again = *whole;
        return again;
      }
      return at;
    });
  }

  // What EXISTS (SELECT * ...) selects nobody reads, and need not be captured.
  static void drop_columns(select_statement* tree) {
    if (tree->op != PG_QUERY__SET_OPERATION__SETOP_NONE || tree->n_values_lists > 0 ||
        tree->n_distinct_clause > 0 || tree->n_group_clause > 0 || tree->n_sort_clause > 0 ||
        tree->having_clause != nullptr) {
      return;
    }
    const auto is_column = [](const node* target) {
      return column_ref(res_target(target)->val) != nullptr;
    };
    node** last =
        std::remove_if(tree->target_list, tree->target_list + tree->n_target_list, is_column);
    tree->n_target_list = static_cast<std::size_t>(last - tree->target_list);
  }

  node* meant(const PgQuery__ColumnRef* column, const scope& here) {
    const node* last = column->fields[column->n_fields - 1];
    if (last->node_case == PG_QUERY__NODE__NODE_A_STAR || column->n_fields > 2) {
      const std::string alias(string_of(column->fields[0]));
      throw not_incremental(construct::whole_row, alias + ".*", alias);
    }
    const std::string name(string_of(last));
    for (const scope* level = &here; level != nullptr; level = level->outer) {
      if (column->n_fields == 1) {
        const auto merged = level->merged.find(name);
        if (merged != level->merged.end()) return copy(in_, merged->second);
        const auto beside = level->beside.find(name);
        if (beside != level->beside.end()) return copy(in_, beside->second);
      }
      for (const visible_item& item : level->items) {
        if (column->n_fields == 2 && string_of(column->fields[0]) != item.alias) continue;
        const auto found = item.columns.find(name);
        if (found != item.columns.end()) return copy(in_, found->second);
        if (column->n_fields == 2) refuse_column(item.alias, name);
      }
    }
    refuse_column("", name);
  }

  [[noreturn]] static void refuse_column(const std::string& alias, const std::string& name) {
    const std::string shown = alias.empty() ? name : alias + "." + name;
    if (system_columns.contains(name))
      throw not_incremental(construct::system_column, shown, name, alias);
    throw not_incremental(construct::virtual_column, shown, name, alias);
  }

  arena& in_;
  const store::query_facts& facts_;
  resolved_query& out_;
  std::set<std::string> aliases_;
};

}  // namespace

const scan* resolved_query::scan_of(const std::string& alias) const {
  const auto found =
      std::find_if(scans.begin(), scans.end(), [&](const scan& one) { return one.alias == alias; });
  return found == scans.end() ? nullptr : &*found;
}

resolved_query resolve(arena& in, const store::query_facts& facts) {
  resolved_query out;
  out.casts_keep_null = facts.casts_keep_null;
  refuse_marks(facts);
  try {
    out.tree = parse_query(in, facts.query);
  } catch (const std::exception& failed) {
    throw not_incremental(construct::unknown_syntax, failed.what());
  }
  refuse_depth(out.tree);
  out.sub_links = number_sub_links(out.tree, true);
  inliner(in, facts).run(out.tree, {}, 0);
  refuse_depth(out.tree);
  refuse_own_names(facts, out.tree);
  resolver(in, facts, out).query(out.tree, nullptr);
  keep_parentheses(in, &out.tree->base);
  return out;
}

}  // namespace matview::incremental
