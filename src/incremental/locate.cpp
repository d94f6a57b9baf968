#include "incremental/locate.hpp"

#include "text/utf8.hpp"
#include <matview/error.hpp>

#include "incremental/syntax.hpp"
#include <boost/json/parse.hpp>

#include <algorithm>
#include <cctype>
#include <set>
#include <string_view>

namespace matview::incremental {

namespace {

constexpr double coarse = 200;  // Rows of the largest table for each row of the result.

constexpr int nowhere = -1;

bool same_word(std::string_view left, std::string_view right) {
  return std::equal(left.begin(), left.end(), right.begin(), right.end(), [](char a, char b) {
    return std::tolower(static_cast<unsigned char>(a)) ==
           std::tolower(static_cast<unsigned char>(b));
  });
}

// The first byte of an expression or an item of FROM: the parser gives `a::int` the place of `::`.
int begin_of(const ProtobufCMessage* message) {
  int first = nowhere;
  walk(message, [&](ProtobufCMessage* below) {
    const ProtobufCFieldDescriptor* field =
        protobuf_c_message_descriptor_get_field_by_name(below->descriptor, "location");
    if (field == nullptr || field->type != PROTOBUF_C_TYPE_INT32) return true;
    const auto* bytes = reinterpret_cast<const char*>(below) + field->offset;
    const int place = *reinterpret_cast<const int*>(bytes);
    // Nothing begins a query but SELECT, WITH and VALUES, so 0 is a place that was not set.
    if (place > 0 && (first < 0 || place < first)) first = place;
    return true;
  });
  return first;
}

// The nearest of these words before `place`; `place` itself if there is none.
int word_before(const std::string& sql, int place, const std::vector<std::string_view>& words) {
  for (int at = place; at >= 0; --at) {
    for (const std::string_view word : words) {
      if (same_word(std::string_view(sql).substr(static_cast<std::size_t>(at), word.size()), word))
        return at;
    }
  }
  return place;
}

std::size_t character(int byte, const std::string& query) {
  return 1 + text::characters(std::string_view(query).substr(0, static_cast<std::size_t>(byte)));
}

// Where the parenthesis or EXISTS stands. The compiler has counted them in the server's text of the
// query: where that has another number of them nothing can be said.
std::optional<std::size_t> place_of_sub_link(const select_statement* tree, const refusal& why,
                                             const std::string& query) {
  std::size_t count = 0;
  int byte = -1;
  walk(&tree->base, [&](ProtobufCMessage* message) {
    const auto* sub = as<PgQuery__SubLink>(message, pg_query__sub_link__descriptor);
    if (sub != nullptr && ++count == why.sub_link) byte = sub->location;
    return true;
  });
  if (byte < 0 || count != why.sub_links) return std::nullopt;
  return character(byte, query);
}
// FOR UPDATE: the tree does not say where.
int locking_clause(const std::string& sql) {
  const PgQueryScanResult scanned = pg_query_scan(sql.c_str());
  int found = nowhere;
  PgQuery__ScanResult* tokens =
      scanned.error != nullptr
          ? nullptr
          : pg_query__scan_result__unpack(nullptr, scanned.pbuf.len,
                                          reinterpret_cast<const std::uint8_t*>(scanned.pbuf.data));
  for (std::size_t i = 1; tokens != nullptr && found < 0 && i < tokens->n_tokens; ++i) {
    const auto next = tokens->tokens[i]->token;
    const bool strength = next == PG_QUERY__TOKEN__UPDATE || next == PG_QUERY__TOKEN__SHARE ||
                          next == PG_QUERY__TOKEN__NO || next == PG_QUERY__TOKEN__KEY;
    if (strength && tokens->tokens[i - 1]->token == PG_QUERY__TOKEN__FOR) {
      found = tokens->tokens[i - 1]->start;
    }
  }
  if (tokens != nullptr) pg_query__scan_result__free_unpacked(tokens, nullptr);
  pg_query_free_scan_result(scanned);
  return found;
}

class searcher final {
 public:
  searcher(const refusal& why, const std::string& sql, const select_statement* whole)
      : why_(why), sql_(sql), whole_(whole) {
    walk(&whole->base, [this](ProtobufCMessage* message) {
      const auto* window = as<PgQuery__WindowDef>(message, pg_query__window_def__descriptor);
      if (window != nullptr && window->n_partition_clause > 0 && *window->name != '\0') {
        partitioned_.insert(window->name);
      }
      const auto* target = as<PgQuery__ResTarget>(message, pg_query__res_target__descriptor);
      if (target != nullptr && target->val != nullptr) shown_.insert(column_ref(target->val));
      return true;
    });
  }

  int find() {
    if (why_.what == construct::locking) return locking_clause(sql_);
    // First what is it for certain, then what it may be.
    for (exact_ = true;; exact_ = false) {
      int byte = nowhere;
      walk(&whole_->base, [&](ProtobufCMessage* message) {
        if (byte < 0) byte = place_in(message);
        return byte < 0;
      });
      if (byte >= 0 || !exact_) return byte;
    }
  }

 private:
  // The byte at which this message is what is looked for.
  int place_in(ProtobufCMessage* message) const {
    switch (why_.what) {
      case construct::volatile_function:
      case construct::stable_function:
      case construct::clock:
      case construct::session:
        return called(message);
      case construct::no_group:
        return aggregate(message);
      case construct::text_to_time:
        return cast(message);
      case construct::recursive_cte: {
        const auto* with = as<PgQuery__WithClause>(message, pg_query__with_clause__descriptor);
        return with != nullptr && with->recursive != 0 ? with->location : nowhere;
      }
      case construct::window_without_partition:
        return window(message);
      case construct::limit_inside:
        return limit(message);
      case construct::system_column:
      case construct::virtual_column:
      case construct::whole_row:
      case construct::type_without_hash:
        return column(message);
      case construct::tablesample: {
        const auto* sample =
            as<PgQuery__RangeTableSample>(message, pg_query__range_table_sample__descriptor);
        return sample == nullptr ? nowhere : word_before(sql_, sample->location, {"tablesample"});
      }
      case construct::join_alias: {
        const auto* join = as<PgQuery__JoinExpr>(message, pg_query__join_expr__descriptor);
        return join != nullptr && (join->alias != nullptr || join->join_using_alias != nullptr)
                   ? begin_of(&join->base)
                   : nowhere;
      }
      case construct::table_function:
        return table_function(message);
      case construct::grouping_sets: {
        const auto* set = as<PgQuery__GroupingSet>(message, pg_query__grouping_set__descriptor);
        return set == nullptr ? nowhere : set->location;
      }
      case construct::null_in_subquery:
        return in_subquery(message);
      case construct::reserved_name: {
        const auto* target = as<PgQuery__ResTarget>(message, pg_query__res_target__descriptor);
        if (target == nullptr || why_.name != target->name) return nowhere;
        return static_cast<int>(sql_.find(why_.name, static_cast<std::size_t>(target->location)));
      }
      case construct::foreign_table:
      case construct::system_table:
      case construct::subscribed_table:
      case construct::only:
      case construct::temporary_table:
      case construct::materialized_view:
      case construct::row_security:
      case construct::no_path:
      case construct::unknown_syntax:
        return table(message);
      case construct::locking:
      case construct::values_only:
      case construct::no_key:
      case construct::mixed_types:
      case construct::too_large:
      case construct::hidden_operator:
      case construct::uncorrelated_subquery:
        return nowhere;
    }
    return nowhere;
  }

  // `name` without its schema.
  [[nodiscard]] std::string_view word() const {
    const std::string_view name = why_.name;
    const std::size_t dot = name.rfind('.');
    return dot == std::string_view::npos ? name : name.substr(dot + 1);
  }

  static std::string_view last(const PgQuery__FuncCall* call) {
    return string_of(call->funcname[call->n_funcname - 1]);
  }

  int called(ProtobufCMessage* message) const {
    if (const auto* call = as<PgQuery__FuncCall>(message, pg_query__func_call__descriptor)) {
      return last(call) == word() ? call->location : nowhere;
    }
    const auto* value =
        as<PgQuery__SQLValueFunction>(message, pg_query__sqlvalue_function__descriptor);
    if (value == nullptr) return nowhere;
    const std::string_view written =
        std::string_view(sql_).substr(static_cast<std::size_t>(value->location), why_.name.size());
    return same_word(written, why_.name) ? value->location : nowhere;
  }

  int aggregate(ProtobufCMessage* message) const {
    if (why_.name.empty()) {  // What stands beside the aggregates.
      const auto* sub = as<PgQuery__SubLink>(message, pg_query__sub_link__descriptor);
      if (sub != nullptr) return sub->location;
      const auto* call = as<PgQuery__FuncCall>(message, pg_query__func_call__descriptor);
      return call != nullptr && call->over != nullptr ? call->location : nowhere;
    }
    const auto* call = as<PgQuery__FuncCall>(message, pg_query__func_call__descriptor);
    if (call == nullptr || last(call) != word()) return nowhere;
    const PgQuery__ColumnRef* of = call->n_args > 0 ? column_ref(call->args[0]) : nullptr;
    const bool same_column = of != nullptr && string_of(of->fields[of->n_fields - 1]) == why_.alias;
    return why_.alias.empty() || same_column ? call->location : nowhere;
  }

  int cast(ProtobufCMessage* message) const {
    const std::string_view type = std::string_view(why_.name).substr(0, why_.name.find(' '));
    const bool zone = why_.name.find("with time zone") != std::string::npos;
    if (const auto* call = as<PgQuery__FuncCall>(message, pg_query__func_call__descriptor)) {
      return last(call) == type ? call->location : nowhere;  // date(text) is a cast, too.
    }
    const auto* cast = as<PgQuery__TypeCast>(message, pg_query__type_cast__descriptor);
    if (cast == nullptr || cast->type_name->n_names == 0) return nowhere;
    // A constant has been computed when the view was made.
    if (cast->arg->node_case == PG_QUERY__NODE__NODE_A_CONST) return nowhere;
    const std::string_view to = string_of(cast->type_name->names[cast->type_name->n_names - 1]);
    return to == std::string(type) + (zone ? "tz" : "") ? begin_of(message) : nowhere;
  }

  int window(ProtobufCMessage* message) const {
    const auto* call = as<PgQuery__FuncCall>(message, pg_query__func_call__descriptor);
    if (call == nullptr || call->over == nullptr || call->over->n_partition_clause > 0) {
      return nowhere;
    }
    const bool named =
        partitioned_.contains(call->over->name) || partitioned_.contains(call->over->refname);
    return named ? nowhere : call->location;
  }

  int limit(ProtobufCMessage* message) const {
    const auto* select = as<select_statement>(message, pg_query__select_stmt__descriptor);
    if (select == nullptr || select == whole_) return nowhere;
    const node* by = select->limit_count != nullptr ? select->limit_count : select->limit_offset;
    if (by == nullptr) return nowhere;
    const int place = begin_of(&by->base);
    return place < 0 ? nowhere : word_before(sql_, place, {"limit", "fetch", "offset"});
  }

  int column(ProtobufCMessage* message) const {
    const auto* ref = as<PgQuery__ColumnRef>(message, pg_query__column_ref__descriptor);
    if (ref == nullptr) return nowhere;
    const node* last = ref->fields[ref->n_fields - 1];
    const bool star = last->node_case == PG_QUERY__NODE__NODE_A_STAR;
    if (why_.what == construct::whole_row) {
      // As a target `r.*` is the names of its columns.
      if (star && shown_.contains(ref)) return nowhere;
      return string_of(ref->fields[0]) == why_.name && (star || ref->n_fields == 1) ? ref->location
                                                                                    : nowhere;
    }
    if (star) return exact_ ? nowhere : ref->location;
    if (string_of(last) != why_.name) return nowhere;
    const bool other = ref->n_fields > 1 && !why_.alias.empty() &&
                       string_of(ref->fields[ref->n_fields - 2]) != why_.alias;
    return other && exact_ ? nowhere : ref->location;
  }

  int table_function(ProtobufCMessage* message) const {
    if (const auto* item =
            as<PgQuery__RangeTableFunc>(message, pg_query__range_table_func__descriptor)) {
      return item->location;
    }
    const auto* item = as<PgQuery__RangeFunction>(message, pg_query__range_function__descriptor);
    if (item == nullptr) return nowhere;
    if (item->is_rowsfrom != 0) return word_before(sql_, begin_of(&item->base), {"rows"});
    return item->n_coldeflist > 0 ? begin_of(&item->base) : nowhere;
  }

  int in_subquery(ProtobufCMessage* message) const {
    const auto* sub = as<PgQuery__SubLink>(message, pg_query__sub_link__descriptor);
    if (sub == nullptr || sub->testexpr == nullptr) return nowhere;
    bool reads = false;
    walk(sub->subselect, [&](ProtobufCMessage* below) {
      reads = reads || table(below) >= 0;
      return !reads;
    });
    return reads ? begin_of(message) : nowhere;
  }

  int table(ProtobufCMessage* message) const {
    const auto* item = as<PgQuery__RangeVar>(message, pg_query__range_var__descriptor);
    if (item == nullptr || why_.name != item->relname) return nowhere;
    if (why_.what == construct::only) return item->inh == 0 ? item->location : nowhere;
    const std::string_view alias = item->alias != nullptr ? item->alias->aliasname : item->relname;
    return !exact_ || why_.alias.empty() || alias == why_.alias ? item->location : nowhere;
  }

  const refusal& why_;
  const std::string& sql_;
  const select_statement* whole_;
  std::set<std::string> partitioned_;          // Names of windows.
  std::set<const PgQuery__ColumnRef*> shown_;  // Columns that are targets themselves.
  bool exact_ = true;
};

}  // namespace

std::optional<std::size_t> locate(const refusal& why, const std::string& query) {
  arena memory;
  int byte = nowhere;
  try {
    const select_statement* tree = parse_query(memory, query);
    if (why.what == construct::uncorrelated_subquery) return place_of_sub_link(tree, why, query);
    byte = searcher(why, query, tree).find();
  } catch (const error&) {
    return std::nullopt;
  }
  if (byte < 0 || static_cast<std::size_t>(byte) > query.size()) return std::nullopt;
  return character(byte, query);
}

bool has_coarse_groups(const std::string& plan, const store::query_facts& facts) {
  namespace json = boost::json;
  json::error_code unreadable;
  const json::value tree = json::parse(plan, unreadable);
  if (unreadable) return false;
  // Groups are made whatever LIMIT leaves of them.
  const json::object* top = &tree.as_array().at(0).as_object().at("Plan").as_object();
  while (top->at("Node Type") == "Limit") {
    const json::array& below = top->at("Plans").as_array();
    const auto* input = std::find_if(below.begin(), below.end(), [](const json::value& one) {
      return one.as_object().at("Parent Relationship") == "Outer";
    });
    if (input == below.end()) return false;
    top = &input->as_object();
  }
  const double groups = top->at("Plan Rows").to_number<double>();
  double rows = 0;
  for (const auto& [name, table] : facts.tables) rows = std::max(rows, table.rows);
  return rows > coarse * std::max(groups, 1.0);
}

}  // namespace matview::incremental
