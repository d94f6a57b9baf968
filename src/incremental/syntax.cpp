#include "incremental/syntax.hpp"

#include <matview/error.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

namespace matview::incremental {

namespace {

constexpr std::size_t block_size = std::size_t{64} << 10U;

void* allocate_in(void* data, std::size_t size) {
  return static_cast<arena*>(data)->allocate(size);
}
void free_nothing(void* /*data*/, void* /*memory*/) {}

ProtobufCAllocator allocator_of(arena& in) {
  return {.alloc = allocate_in, .free = free_nothing, .allocator_data = &in};
}

struct parsed {
  explicit parsed(const std::string& sql) : raw(pg_query_parse_protobuf(sql.c_str())) {}
  parsed(const parsed&) = delete;
  parsed& operator=(const parsed&) = delete;
  ~parsed() { pg_query_free_protobuf_parse_result(raw); }
  PgQueryProtobufParseResult raw;
};

std::vector<std::uint8_t> packed(const ProtobufCMessage* message) {
  std::vector<std::uint8_t> out(protobuf_c_message_get_packed_size(message));
  protobuf_c_message_pack(message, out.data());
  return out;
}

ProtobufCMessage* unpacked(arena& in, const ProtobufCMessageDescriptor& type,
                           const std::vector<std::uint8_t>& bytes) {
  ProtobufCAllocator allocator = allocator_of(in);
  ProtobufCMessage* out = protobuf_c_message_unpack(&type, &allocator, bytes.size(), bytes.data());
  if (out == nullptr) throw error(errc::server_error, "a parse tree could not be copied");
  return out;
}

// One child of a message.
using slot = std::function<void(ProtobufCMessage**)>;

void children(ProtobufCMessage* message, const slot& visit) {
  const ProtobufCMessageDescriptor* type = message->descriptor;
  auto* bytes = reinterpret_cast<char*>(message);
  for (unsigned i = 0; i < type->n_fields; ++i) {
    const ProtobufCFieldDescriptor& field = type->fields[i];
    if (field.type != PROTOBUF_C_TYPE_MESSAGE) continue;
    char* place = bytes + field.offset;
    if (field.label == PROTOBUF_C_LABEL_REPEATED) {
      const std::size_t count = *reinterpret_cast<std::size_t*>(bytes + field.quantifier_offset);
      auto** items = *reinterpret_cast<ProtobufCMessage***>(place);
      for (std::size_t k = 0; k < count; ++k) visit(&items[k]);
      continue;
    }
    const bool one_of = (field.flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0;
    if (one_of && *reinterpret_cast<unsigned*>(bytes + field.quantifier_offset) != field.id) {
      continue;
    }
    auto** item = reinterpret_cast<ProtobufCMessage**>(place);
    if (*item != nullptr) visit(item);
  }
}

}  // namespace

void* arena::allocate(std::size_t size) {
  constexpr std::size_t alignment = alignof(std::max_align_t);
  const std::size_t rounded = (size + alignment - 1) / alignment * alignment;
  if (blocks_.empty() || used_ + rounded > size_) {
    size_ = std::max(block_size, rounded);
    used_ = 0;
    blocks_.push_back(std::make_unique<std::byte[]>(size_));
  }
  void* out = blocks_.back().get() + used_;
  used_ += rounded;
  return out;
}

char* arena::text(std::string_view value) {
  char* out = static_cast<char*>(allocate(value.size() + 1));
  std::memcpy(out, value.data(), value.size());
  out[value.size()] = '\0';
  return out;
}

node** arena::array(const std::vector<node*>& items) {
  auto** out = static_cast<node**>(allocate(sizeof(node*) * (items.size() + 1)));
  std::copy(items.begin(), items.end(), out);
  return out;
}

select_statement* parse_query(arena& in, const std::string& sql) {
  const parsed tree(sql);
  if (tree.raw.error != nullptr) {
    throw error(errc::invalid_select,
                fmt::format("the query cannot be parsed: {}", tree.raw.error->message),
                {.position = static_cast<std::size_t>(std::max(tree.raw.error->cursorpos, 1))});
  }
  ProtobufCAllocator allocator = allocator_of(in);
  PgQuery__ParseResult* read = pg_query__parse_result__unpack(
      &allocator, tree.raw.parse_tree.len,
      reinterpret_cast<const std::uint8_t*>(tree.raw.parse_tree.data));
  if (read == nullptr || read->n_stmts != 1 || select_of(read->stmts[0]->stmt) == nullptr) {
    throw error(errc::invalid_select, "this is not one query");
  }
  return select_of(read->stmts[0]->stmt);
}

node* parse_expression(arena& in, const std::string& sql) {
  const select_statement* query = parse_query(in, "SELECT " + sql);
  return res_target(query->target_list[0])->val;
}

select_statement* copy(arena& in, const select_statement* tree) {
  return reinterpret_cast<select_statement*>(
      unpacked(in, pg_query__select_stmt__descriptor, packed(&tree->base)));
}

node* copy(arena& in, const node* tree) {
  return reinterpret_cast<node*>(unpacked(in, pg_query__node__descriptor, packed(&tree->base)));
}

namespace {

// Whether the node is printed without parentheses although what stands beside it may bind tighter.
bool is_loose(const node* expression) {
  if (expression == nullptr) return false;
  switch (expression->node_case) {
    case PG_QUERY__NODE__NODE_BOOL_EXPR:
    case PG_QUERY__NODE__NODE_NULL_TEST:
    case PG_QUERY__NODE__NODE_BOOLEAN_TEST:
    case PG_QUERY__NODE__NODE_A_EXPR:
      return true;
    default:
      return false;
  }
}

// `(x)`: a row of one item without the word ROW is just that to the parser.
void enclose(arena& in, node*& expression) {
  if (!is_loose(expression)) return;
  node* out = in.make<node>(pg_query__node__init);
  out->node_case = PG_QUERY__NODE__NODE_ROW_EXPR;
  out->row_expr = in.make<PgQuery__RowExpr>(pg_query__row_expr__init);
  out->row_expr->row_format = PG_QUERY__COERCION_FORM__COERCE_IMPLICIT_CAST;
  out->row_expr->n_args = 1;
  out->row_expr->args = in.array({expression});
  expression = out;
}

// libpg_query's deparser forgets parentheses: `(a AND b)::text` comes back as `a AND b::text`.
void enclose_operands(arena& in, select_statement* query) {
  walk(&query->base, [&](ProtobufCMessage* message) {
    if (auto* cast = as<PgQuery__TypeCast>(message, pg_query__type_cast__descriptor)) {
      enclose(in, cast->arg);
    } else if (auto* both = as<PgQuery__AExpr>(message, pg_query__a__expr__descriptor)) {
      enclose(in, both->lexpr);
      enclose(in, both->rexpr);
    } else if (auto* null = as<PgQuery__NullTest>(message, pg_query__null_test__descriptor)) {
      enclose(in, null->arg);
    } else if (auto* truth =
                   as<PgQuery__BooleanTest>(message, pg_query__boolean_test__descriptor)) {
      enclose(in, truth->arg);
    } else if (auto* collate =
                   as<PgQuery__CollateClause>(message, pg_query__collate_clause__descriptor)) {
      enclose(in, collate->arg);
    } else if (auto* some = as<PgQuery__BoolExpr>(message, pg_query__bool_expr__descriptor)) {
      for (std::size_t i = 0; i < some->n_args; ++i) {
        if (bool_expr(some->args[i]) != nullptr) enclose(in, some->args[i]);
      }
    }
    return true;
  });
}

}  // namespace

std::string print(const select_statement* query) {
  arena memory;
  select_statement* enclosed = copy(memory, query);
  enclose_operands(memory, enclosed);
  PgQuery__Node statement = PG_QUERY__NODE__INIT;
  statement.node_case = PG_QUERY__NODE__NODE_SELECT_STMT;
  statement.select_stmt = enclosed;
  PgQuery__RawStmt raw = PG_QUERY__RAW_STMT__INIT;
  raw.stmt = &statement;
  PgQuery__RawStmt* statements[] = {&raw};
  PgQuery__ParseResult whole = PG_QUERY__PARSE_RESULT__INIT;
  whole.version = PG_VERSION_NUM;
  whole.n_stmts = 1;
  whole.stmts = statements;
  std::vector<std::uint8_t> bytes = packed(&whole.base);
  PgQueryDeparseResult printed = pg_query_deparse_protobuf(
      {.len = bytes.size(), .data = reinterpret_cast<char*>(bytes.data())});
  if (printed.error != nullptr) {
    const std::string why = printed.error->message;
    pg_query_free_deparse_result(printed);
    throw error(errc::server_error, "a query could not be printed: " + why);
  }
  std::string out = printed.query;
  pg_query_free_deparse_result(printed);
  return out;
}

std::string print(const node* expression) {
  PgQuery__ResTarget target = PG_QUERY__RES_TARGET__INIT;
  target.val = const_cast<node*>(expression);  // NOLINT: it is only read
  PgQuery__Node item = PG_QUERY__NODE__INIT;
  item.node_case = PG_QUERY__NODE__NODE_RES_TARGET;
  item.res_target = &target;
  PgQuery__Node* items[] = {&item};
  PgQuery__SelectStmt query = PG_QUERY__SELECT_STMT__INIT;
  query.n_target_list = 1;
  query.target_list = items;
  query.limit_option = PG_QUERY__LIMIT_OPTION__LIMIT_OPTION_DEFAULT;
  query.op = PG_QUERY__SET_OPERATION__SETOP_NONE;
  return print(&query).substr(std::strlen("SELECT "));
}

std::string quoted(std::string_view name) {
  std::string out = "\"";
  for (const char c : name) {
    if (c == '"') out += c;
    out += c;
  }
  return out + '"';
}

void walk(const ProtobufCMessage* tree, const std::function<bool(ProtobufCMessage*)>& visit) {
  auto* mutable_tree = const_cast<ProtobufCMessage*>(tree);  // NOLINT: visitors may change it
  if (!visit(mutable_tree)) return;
  children(mutable_tree, [&](ProtobufCMessage** child) { walk(*child, visit); });
}

std::size_t depth_of(const select_statement* query) {
  std::size_t deepest = 0;
  std::vector<std::pair<ProtobufCMessage*, std::size_t>> left;
  left.emplace_back(const_cast<ProtobufCMessage*>(&query->base), 0);  // NOLINT: only read
  while (!left.empty()) {
    const auto [message, depth] = left.back();
    left.pop_back();
    deepest = std::max(deepest, depth);
    children(message,
             [&, next = depth + 1](ProtobufCMessage** child) { left.emplace_back(*child, next); });
  }
  return deepest;
}

void walk(const node* tree, const std::function<bool(ProtobufCMessage*)>& visit) {
  if (tree != nullptr) walk(&tree->base, visit);
}

#define MATVIEW_NODE(function, type, member, kind)                                               \
  PgQuery__##type* function(const node* of) {                                                    \
    return of != nullptr && of->node_case == PG_QUERY__NODE__NODE_##kind ? of->member : nullptr; \
  }
MATVIEW_NODE(column_ref, ColumnRef, column_ref, COLUMN_REF)
MATVIEW_NODE(func_call, FuncCall, func_call, FUNC_CALL)
MATVIEW_NODE(sub_link, SubLink, sub_link, SUB_LINK)
MATVIEW_NODE(operation, AExpr, a_expr, A_EXPR)
MATVIEW_NODE(join_expr, JoinExpr, join_expr, JOIN_EXPR)
MATVIEW_NODE(range_var, RangeVar, range_var, RANGE_VAR)
MATVIEW_NODE(range_subselect, RangeSubselect, range_subselect, RANGE_SUBSELECT)
MATVIEW_NODE(range_function, RangeFunction, range_function, RANGE_FUNCTION)
MATVIEW_NODE(res_target, ResTarget, res_target, RES_TARGET)
MATVIEW_NODE(bool_expr, BoolExpr, bool_expr, BOOL_EXPR)
MATVIEW_NODE(select_of, SelectStmt, select_stmt, SELECT_STMT)
#undef MATVIEW_NODE

std::string_view string_of(const node* of) {
  return of != nullptr && of->node_case == PG_QUERY__NODE__NODE_STRING ? of->string->sval : "";
}

std::string_view operator_of(const node* of) {
  const PgQuery__AExpr* both = operation(of);
  const bool plain =
      both != nullptr && both->kind == PG_QUERY__A__EXPR__KIND__AEXPR_OP && both->n_name == 1;
  return plain ? string_of(both->name[0]) : "";
}

namespace {

node* empty_node(arena& in, PgQuery__Node__NodeCase kind) {
  node* out = in.make<node>(pg_query__node__init);
  out->node_case = kind;
  return out;
}

}  // namespace

node* wrap(arena& in, select_statement* query) {
  node* out = empty_node(in, PG_QUERY__NODE__NODE_SELECT_STMT);
  out->select_stmt = query;
  return out;
}

node* make_string(arena& in, std::string_view value) {
  node* out = empty_node(in, PG_QUERY__NODE__NODE_STRING);
  out->string = in.make<PgQuery__String>(pg_query__string__init);
  out->string->sval = in.text(value);
  return out;
}

node* make_column(arena& in, std::string_view alias, std::string_view column) {
  node* out = empty_node(in, PG_QUERY__NODE__NODE_COLUMN_REF);
  out->column_ref = in.make<PgQuery__ColumnRef>(pg_query__column_ref__init);
  out->column_ref->n_fields = 2;
  out->column_ref->fields = in.array({make_string(in, alias), make_string(in, column)});
  return out;
}

node* make_target(arena& in, node* value, std::string_view name) {
  node* out = empty_node(in, PG_QUERY__NODE__NODE_RES_TARGET);
  out->res_target = in.make<PgQuery__ResTarget>(pg_query__res_target__init);
  out->res_target->val = value;
  out->res_target->name = in.text(name);
  return out;
}

node* make_equal(arena& in, node* left, node* right) {
  node* out = empty_node(in, PG_QUERY__NODE__NODE_A_EXPR);
  out->a_expr = in.make<PgQuery__AExpr>(pg_query__a__expr__init);
  out->a_expr->kind = PG_QUERY__A__EXPR__KIND__AEXPR_OP;
  out->a_expr->n_name = 1;
  out->a_expr->name = in.array({make_string(in, "=")});
  out->a_expr->lexpr = left;
  out->a_expr->rexpr = right;
  return out;
}

node* make_coalesce(arena& in, node* left, node* right) {
  node* out = empty_node(in, PG_QUERY__NODE__NODE_COALESCE_EXPR);
  out->coalesce_expr = in.make<PgQuery__CoalesceExpr>(pg_query__coalesce_expr__init);
  out->coalesce_expr->n_args = 2;
  out->coalesce_expr->args = in.array({left, right});
  return out;
}

node* make_and(arena& in, const std::vector<node*>& conditions) {
  if (conditions.empty()) return nullptr;
  if (conditions.size() == 1) return conditions.front();
  node* out = empty_node(in, PG_QUERY__NODE__NODE_BOOL_EXPR);
  out->bool_expr = in.make<PgQuery__BoolExpr>(pg_query__bool_expr__init);
  out->bool_expr->boolop = PG_QUERY__BOOL_EXPR_TYPE__AND_EXPR;
  out->bool_expr->n_args = conditions.size();
  out->bool_expr->args = in.array(conditions);
  return out;
}

PgQuery__Alias* make_alias(arena& in, std::string_view name) {
  auto* out = in.make<PgQuery__Alias>(pg_query__alias__init);
  out->aliasname = in.text(name);
  return out;
}

std::vector<node*> conjuncts(node* condition) {
  if (condition == nullptr) return {};
  const PgQuery__BoolExpr* both = bool_expr(condition);
  if (both == nullptr || both->boolop != PG_QUERY__BOOL_EXPR_TYPE__AND_EXPR) return {condition};
  std::vector<node*> out;
  for (std::size_t i = 0; i < both->n_args; ++i) {
    const std::vector<node*> inner = conjuncts(both->args[i]);
    out.insert(out.end(), inner.begin(), inner.end());
  }
  return out;
}

bool is_equality(const node* condition) {
  const PgQuery__AExpr* both = operation(condition);
  return both != nullptr && both->kind == PG_QUERY__A__EXPR__KIND__AEXPR_OP && both->n_name == 1 &&
         both->lexpr != nullptr && string_of(both->name[0]) == "=";
}

std::set<std::string> aliases_in(const node* expression) {
  std::set<std::string> out;
  walk(expression, [&](ProtobufCMessage* message) {
    if (const auto* column = as<PgQuery__ColumnRef>(message, pg_query__column_ref__descriptor)) {
      out.emplace(string_of(column->fields[0]));
    }
    return true;
  });
  return out;
}

std::set<std::string> aliases_made_in(const node* below) {
  std::set<std::string> out;
  walk(below, [&](ProtobufCMessage* message) {
    if (const auto* alias = as<PgQuery__Alias>(message, pg_query__alias__descriptor)) {
      out.emplace(alias->aliasname);
    }
    return true;
  });
  return out;
}

bool has_sub_link(const node* expression) {
  bool found = false;
  walk(expression, [&](ProtobufCMessage* message) {
    found = found || message->descriptor == &pg_query__sub_link__descriptor;
    return !found;
  });
  return found;
}

namespace {

bool same_messages(const ProtobufCMessage* left, const ProtobufCMessage* right);

std::size_t size_of(ProtobufCType type) {
  switch (type) {
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_MESSAGE:
      return sizeof(void*);
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_DOUBLE:
      return sizeof(std::int64_t);
    default:
      return sizeof(std::int32_t);
  }
}

bool same_values(ProtobufCType type, const char* left, const char* right) {
  if (type == PROTOBUF_C_TYPE_MESSAGE) {
    const auto* a = *reinterpret_cast<const ProtobufCMessage* const*>(left);
    const auto* b = *reinterpret_cast<const ProtobufCMessage* const*>(right);
    return a == b || (a != nullptr && b != nullptr && same_messages(a, b));
  }
  if (type == PROTOBUF_C_TYPE_STRING) {
    const char* a = *reinterpret_cast<const char* const*>(left);
    const char* b = *reinterpret_cast<const char* const*>(right);
    return std::string_view(a == nullptr ? "" : a) == std::string_view(b == nullptr ? "" : b);
  }
  return std::memcmp(left, right, size_of(type)) == 0;
}

bool same_fields(const ProtobufCFieldDescriptor& field, const char* left, const char* right) {
  const auto quantity = [&field](const char* of) { return of + field.quantifier_offset; };
  const char* a = left + field.offset;
  const char* b = right + field.offset;
  if (field.label == PROTOBUF_C_LABEL_REPEATED) {
    const std::size_t count = *reinterpret_cast<const std::size_t*>(quantity(left));
    if (count != *reinterpret_cast<const std::size_t*>(quantity(right))) return false;
    const std::size_t size = size_of(field.type);
    const char* first = *reinterpret_cast<const char* const*>(a);
    const char* second = *reinterpret_cast<const char* const*>(b);
    for (std::size_t i = 0; i < count; ++i) {
      if (!same_values(field.type, first + i * size, second + i * size)) return false;
    }
    return true;
  }
  if ((field.flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0) {
    const unsigned held = *reinterpret_cast<const unsigned*>(quantity(left));
    if (held != *reinterpret_cast<const unsigned*>(quantity(right))) return false;
    if (held != field.id) return true;
  }
  return same_values(field.type, a, b);
}

// Where a node stands in the text is no part of what it says.
bool same_messages(const ProtobufCMessage* left, const ProtobufCMessage* right) {
  if (left->descriptor != right->descriptor) return false;
  const auto* a = reinterpret_cast<const char*>(left);
  const auto* b = reinterpret_cast<const char*>(right);
  return std::all_of(
      left->descriptor->fields, left->descriptor->fields + left->descriptor->n_fields,
      [&](const ProtobufCFieldDescriptor& field) {
        return std::string_view(field.name) == "location" || same_fields(field, a, b);
      });
}

void replace_below(ProtobufCMessage* message, const std::function<node*(node*)>& with) {
  children(message, [&](ProtobufCMessage** child) {
    if ((*child)->descriptor == &pg_query__node__descriptor) {
      auto* inner = reinterpret_cast<node*>(*child);
      replace(inner, with);
      *child = &inner->base;
    } else {
      replace_below(*child, with);
    }
  });
}

}  // namespace

bool same(const node* left, const node* right) {
  return same_messages(&left->base, &right->base);
}

void replace(node*& expression, const std::function<node*(node*)>& with) {
  node* other = with(expression);
  if (other != expression) {
    expression = other;
    return;
  }
  replace_below(&expression->base, with);
}

void keep_parentheses(arena& in, const ProtobufCMessage* below) {
  walk(below, [&in](ProtobufCMessage* message) {
    // It writes `x AT TIME ZONE z` and the like without any, around x and z, too.
    auto* call = as<PgQuery__FuncCall>(message, pg_query__func_call__descriptor);
    if (call != nullptr && call->funcformat == PG_QUERY__COERCION_FORM__COERCE_SQL_SYNTAX) {
      static const std::set<std::string_view> loose{"timezone", "xmlexists", "is_normalized"};
      if (loose.contains(string_of(call->funcname[call->n_funcname - 1]))) {
        call->funcformat = PG_QUERY__COERCION_FORM__COERCE_EXPLICIT_CALL;
      }
    }
    auto* of = as<PgQuery__AIndirection>(message, pg_query__a__indirection__descriptor);
    if (of == nullptr || of->n_indirection == 0) return true;
    switch (of->arg->node_case) {
      case PG_QUERY__NODE__NODE_COLUMN_REF:
      case PG_QUERY__NODE__NODE_FUNC_CALL:
      case PG_QUERY__NODE__NODE_A_EXPR:
      case PG_QUERY__NODE__NODE_TYPE_CAST:
      case PG_QUERY__NODE__NODE_ROW_EXPR:
      case PG_QUERY__NODE__NODE_A_INDIRECTION:
        return true;
      default:
        break;
    }
    auto* around = in.make<node>(pg_query__node__init);
    around->node_case = PG_QUERY__NODE__NODE_A_INDIRECTION;
    around->a_indirection = in.make<PgQuery__AIndirection>(pg_query__a__indirection__init);
    around->a_indirection->arg = of->arg;
    of->arg = around;
    return true;
  });
}

}  // namespace matview::incremental
