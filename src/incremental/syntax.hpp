#pragma once

#include <pg_query.h>
#include <pg_query/pg_query.pb-c.h>

#include <cstddef>
#include <functional>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace matview::incremental {

// PostgreSQL's own parse tree, as libpg_query gives it: read, copied, changed and printed back. The
// tree is plain C structures; here is what is needed beyond reading their fields.

using node = PgQuery__Node;
using select_statement = PgQuery__SelectStmt;

/// Where nodes live: all of them as long as this object, so that trees may share parts. Not
/// thread-safe.
class arena final {
 public:
  arena() = default;
  arena(const arena&) = delete;
  arena& operator=(const arena&) = delete;

  [[nodiscard]] void* allocate(std::size_t size);
  [[nodiscard]] char* text(std::string_view value);

  /// An array of nodes as the structures hold it.
  [[nodiscard]] node** array(const std::vector<node*>& items);

  /// A value, or an array of values, that needs no destructor.
  template <class T>
  [[nodiscard]] const T* keep(const T& value) {
    return keep(std::vector<T>{value}).data();
  }
  template <class T>
  [[nodiscard]] std::span<const T> keep(const std::vector<T>& values) {
    static_assert(std::is_trivially_destructible_v<T>);
    T* out = static_cast<T*>(allocate(sizeof(T) * values.size()));
    std::uninitialized_copy(values.begin(), values.end(), out);
    return {out, values.size()};
  }

  template <class T>
  [[nodiscard]] T* make(void (*init)(T*)) {
    T* made = static_cast<T*>(allocate(sizeof(T)));
    init(made);
    return made;
  }

 private:
  std::vector<std::unique_ptr<std::byte[]>> blocks_;
  std::size_t used_ = 0;
  std::size_t size_ = 0;
};

/// The one query in `sql`.
/// @throws error with errc::invalid_select if this parser does not know the syntax: it is that of
///         PostgreSQL 15, and a newer server may print what it does not know.
[[nodiscard]] select_statement* parse_query(arena& in, const std::string& sql);

/// One expression.
[[nodiscard]] node* parse_expression(arena& in, const std::string& sql);

[[nodiscard]] select_statement* copy(arena& in, const select_statement* tree);
[[nodiscard]] node* copy(arena& in, const node* tree);

/// As SQL on one line.
[[nodiscard]] std::string print(const select_statement* query);
[[nodiscard]] std::string print(const node* expression);

/// `"a"`, as SQL takes any name.
[[nodiscard]] std::string quoted(std::string_view name);

/// How many messages stand in each other, at most: two for each operator of `a + b + c`. It does
/// not recurse, as walk() and all else does.
[[nodiscard]] std::size_t depth_of(const select_statement* query);

/// Calls `visit` for each message below `tree`, itself included, parents first; it goes on into a
/// message for which `visit` returns true.
void walk(const ProtobufCMessage* tree, const std::function<bool(ProtobufCMessage*)>& visit);
void walk(const node* tree, const std::function<bool(ProtobufCMessage*)>& visit);

/// The message if it is of this type, else nothing.
template <class T>
[[nodiscard]] T* as(ProtobufCMessage* message, const ProtobufCMessageDescriptor& type) {
  return message != nullptr && message->descriptor == &type ? reinterpret_cast<T*>(message)
                                                            : nullptr;
}

/// What the node holds, if it is of this kind.
[[nodiscard]] PgQuery__ColumnRef* column_ref(const node* of);
[[nodiscard]] PgQuery__FuncCall* func_call(const node* of);
[[nodiscard]] PgQuery__SubLink* sub_link(const node* of);
[[nodiscard]] PgQuery__AExpr* operation(const node* of);
[[nodiscard]] PgQuery__JoinExpr* join_expr(const node* of);
[[nodiscard]] PgQuery__RangeVar* range_var(const node* of);
[[nodiscard]] PgQuery__RangeSubselect* range_subselect(const node* of);
[[nodiscard]] PgQuery__RangeFunction* range_function(const node* of);
[[nodiscard]] PgQuery__ResTarget* res_target(const node* of);
[[nodiscard]] PgQuery__BoolExpr* bool_expr(const node* of);
[[nodiscard]] select_statement* select_of(const node* of);
[[nodiscard]] std::string_view string_of(const node* of);

/// `+` for `a + b` and `+ a`; nothing for what is no operator, or one that is named with its
/// schema.
[[nodiscard]] std::string_view operator_of(const node* of);

[[nodiscard]] node* wrap(arena& in, select_statement* query);
[[nodiscard]] node* make_string(arena& in, std::string_view value);
[[nodiscard]] node* make_column(arena& in, std::string_view alias, std::string_view column);
[[nodiscard]] node* make_target(arena& in, node* value, std::string_view name);
[[nodiscard]] node* make_equal(arena& in, node* left, node* right);
[[nodiscard]] node* make_coalesce(arena& in, node* left, node* right);
[[nodiscard]] node* make_and(arena& in, const std::vector<node*>& conditions);
[[nodiscard]] PgQuery__Alias* make_alias(arena& in, std::string_view name);

/// The conditions that are joined by AND, however nested; none for nothing.
[[nodiscard]] std::vector<node*> conjuncts(node* condition);

/// Whether it is `left = right`.
[[nodiscard]] bool is_equality(const node* condition);

/// The aliases that the columns in an expression belong to. Names are qualified (resolve()).
[[nodiscard]] std::set<std::string> aliases_in(const node* expression);

/// The aliases that are given in it, in its subqueries too.
[[nodiscard]] std::set<std::string> aliases_made_in(const node* below);

/// Whether the expression has a subquery in it.
[[nodiscard]] bool has_sub_link(const node* expression);

/// Whether two expressions are the same, wherever they stand in the text.
[[nodiscard]] bool same(const node* left, const node* right);

/// Replaces, in an expression, each node for which `with` returns another one; it does not look
/// into what it has put there.
void replace(node*& expression, const std::function<node*(node*)>& with);

/// Makes print() write what it does not by itself: the parentheses in `(ARRAY[a, b])[1]` and
/// `(coalesce(x, y)).f`. It does write those around an indirection, also if that one does nothing.
/// Wherever an expression is put in the place of another one, this has to follow.
void keep_parentheses(arena& in, const ProtobufCMessage* below);

}  // namespace matview::incremental
