#include "incremental/algebra.hpp"

#include <utility>
#include <vector>

namespace matview::incremental {

std::string_view keyword_of(const relation& of) {
  switch (of.kind) {
    case relation_kind::left_join:
      return "LEFT JOIN";
    case relation_kind::right_join:
      return "RIGHT JOIN";
    case relation_kind::full_join:
      return "FULL JOIN";
    case relation_kind::set_union:
      return "UNION";
    case relation_kind::intersection:
      return "INTERSECT";
    case relation_kind::difference:
      return "EXCEPT";
    default:
      return of.condition == nullptr ? "CROSS JOIN" : "INNER JOIN";
  }
}

bool is_join(const relation& of) {
  return of.kind == relation_kind::inner_join || of.kind == relation_kind::left_join ||
         of.kind == relation_kind::right_join || of.kind == relation_kind::full_join;
}

bool is_set_operation(const relation& of) {
  return of.kind == relation_kind::set_union || of.kind == relation_kind::intersection ||
         of.kind == relation_kind::difference;
}

bool preserves_left(const relation& join) {
  return join.kind == relation_kind::left_join || join.kind == relation_kind::full_join;
}

bool preserves_right(const relation& join) {
  return join.kind == relation_kind::right_join || join.kind == relation_kind::full_join;
}

select_parts parts_of(const relation& query) {
  select_parts out;
  const relation* at = &query;
  const auto take = [&at](relation_kind kind, const relation*& part) {
    if (at->kind != kind) return;
    part = at;
    at = at->input;
  };
  take(relation_kind::limit, out.limit);
  take(relation_kind::sort, out.sort);
  take(relation_kind::distinct, out.distinct);
  take(relation_kind::distinct_on, out.distinct);
  take(relation_kind::project, out.project);
  take(relation_kind::window, out.window);
  take(relation_kind::filter, out.where);
  take(relation_kind::aggregate, out.aggregate);
  if (out.aggregate != nullptr) {
    std::swap(out.where, out.having);
    take(relation_kind::filter, out.where);
  }
  out.from = at;
  return out;
}

namespace {

class printing final {
 public:
  explicit printing(arena& in) : in_(in) {}

  select_statement* query(const relation& of) const {
    auto* out = in_.make<select_statement>(pg_query__select_stmt__init);
    out->op = PG_QUERY__SET_OPERATION__SETOP_NONE;
    out->limit_option = PG_QUERY__LIMIT_OPTION__LIMIT_OPTION_DEFAULT;
    const select_parts parts = parts_of(of);
    if (parts.limit != nullptr) {
      out->limit_count = parts.limit->bounds->limit_count;
      out->limit_offset = parts.limit->bounds->limit_offset;
      out->limit_option = parts.limit->bounds->limit_option;
    }
    list(parts.sort, out->n_sort_clause, out->sort_clause);
    distinct(parts.distinct, *out);
    list(parts.project, out->n_target_list, out->target_list);
    list(parts.window, out->n_window_clause, out->window_clause);
    if (parts.having != nullptr) out->having_clause = parts.having->condition;
    list(parts.aggregate, out->n_group_clause, out->group_clause);
    out->group_distinct = parts.aggregate != nullptr && parts.aggregate->sets_once ? 1 : 0;
    if (parts.where != nullptr) out->where_clause = parts.where->condition;
    bottom(*parts.from, *out);
    return out;
  }

 private:
  void bottom(const relation& of, select_statement& to) const {
    if (is_set_operation(of)) {
      to.op = of.kind == relation_kind::set_union      ? PG_QUERY__SET_OPERATION__SETOP_UNION
              : of.kind == relation_kind::intersection ? PG_QUERY__SET_OPERATION__SETOP_INTERSECT
                                                       : PG_QUERY__SET_OPERATION__SETOP_EXCEPT;
      to.all = of.all ? 1 : 0;
      to.larg = query(*of.input);
      to.rarg = query(*of.right);
    } else if (of.kind == relation_kind::values) {
      list(&of, to.n_values_lists, to.values_lists);
    } else if (of.kind != relation_kind::unit) {
      std::vector<node*> items;
      add_items(of, items);
      to.n_from_clause = items.size();
      to.from_clause = in_.array(items);
    }
  }

  void list(const relation* of, std::size_t& count, node**& items) const {
    if (of == nullptr) return;
    std::vector<node*> all;
    for (const expression& one : of->expressions) all.push_back(one.tree);
    count = all.size();
    items = in_.array(all);
  }

  void distinct(const relation* of, select_statement& to) const {
    list(of, to.n_distinct_clause, to.distinct_clause);
    if (of == nullptr || of->kind == relation_kind::distinct_on) return;
    to.n_distinct_clause = 1;
    to.distinct_clause = in_.array({in_.make<node>(pg_query__node__init)});
  }

  void add_items(const relation& of, std::vector<node*>& items) const {
    if (of.in_a_list) {
      add_items(*of.input, items);
      items.push_back(item(*of.right));
    } else {
      items.push_back(item(of));
    }
  }

  node* item(const relation& of) const {
    auto* out = in_.make<node>(pg_query__node__init);
    if (is_join(of)) {
      out->node_case = PG_QUERY__NODE__NODE_JOIN_EXPR;
      out->join_expr = join(of);
      return out;
    }
    *out = *of.item;
    if (of.kind == relation_kind::rename) {
      out->range_subselect = in_.make<PgQuery__RangeSubselect>(pg_query__range_subselect__init);
      *out->range_subselect = *of.item->range_subselect;
      out->range_subselect->subquery = wrap(in_, query(*of.input));
    } else if (of.kind == relation_kind::changes) {
      out->range_var = in_.make<PgQuery__RangeVar>(pg_query__range_var__init);
      *out->range_var = *of.item->range_var;
      out->range_var->relname = in_.text(of.changes_name);
      out->range_var->schemaname = in_.text("");
    }
    return out;
  }

  PgQuery__JoinExpr* join(const relation& of) const {
    auto* out = in_.make<PgQuery__JoinExpr>(pg_query__join_expr__init);
    out->jointype = of.kind == relation_kind::left_join    ? PG_QUERY__JOIN_TYPE__JOIN_LEFT
                    : of.kind == relation_kind::right_join ? PG_QUERY__JOIN_TYPE__JOIN_RIGHT
                    : of.kind == relation_kind::full_join  ? PG_QUERY__JOIN_TYPE__JOIN_FULL
                                                           : PG_QUERY__JOIN_TYPE__JOIN_INNER;
    out->larg = item(*of.input);
    out->rarg = item(*of.right);
    out->quals = of.condition;
    return out;
  }

  arena& in_;
};

}  // namespace

select_statement* statement_of(arena& in, const relation& query) {
  return printing(in).query(query);
}

}  // namespace matview::incremental
