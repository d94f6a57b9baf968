#include "text/select_query.hpp"

#include "text/quote.hpp"
#include "text/utf8.hpp"

#include <boost/json/monotonic_resource.hpp>
#include <boost/json/parse.hpp>
#include <fmt/format.h>
#include <pg_query.h>
#include <pthread.h>

#include <algorithm>
#include <array>
#include <exception>
#include <new>
#include <optional>
#include <utility>
#include <vector>

namespace matview::text {

namespace json = boost::json;

namespace {

constexpr std::size_t longest_query = std::size_t{256} << 10U;

// Both libpg_query's tree writer and Boost.JSON's reader recurse without a guard, so that
// `1+1+1+...` of 100 kB would overflow the 8 MiB of a main thread, and callers may run on less. The
// work is done on a thread whose stack fits the deepest tree that a text of this size can make
// (tried in tests/unit/select_query_depth_test.cpp; pages are only taken when they are touched).
template <class Work>
void on_deep_stack(std::size_t text_size, Work work) {
  struct job {
    Work& work;
    std::exception_ptr failure;
  } task{work, nullptr};
  const auto run = [](void* opaque) -> void* {
    auto* mine = static_cast<job*>(opaque);
    try {
      mine->work();
    } catch (...) {
      mine->failure = std::current_exception();
    }
    return nullptr;
  };
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, (std::size_t{1} << 20U) + text_size * 4096);
  pthread_t thread{};
  const int failed = pthread_create(&thread, &attributes, run, &task);
  pthread_attr_destroy(&attributes);
  if (failed != 0) throw std::bad_alloc();
  pthread_join(thread, nullptr);
  if (task.failure) std::rethrow_exception(task.failure);
}

class parse_result final {
 public:
  explicit parse_result(const std::string& sql) : raw_(pg_query_parse(sql.c_str())) {}
  parse_result(const parse_result&) = delete;
  parse_result& operator=(const parse_result&) = delete;
  ~parse_result() { pg_query_free_parse_result(raw_); }

  [[nodiscard]] const PgQueryError* failure() const { return raw_.error; }
  [[nodiscard]] std::string_view tree() const { return raw_.parse_tree; }

 private:
  PgQueryParseResult raw_;
};

constexpr std::string_view wanted = "write one SELECT, VALUES, TABLE or WITH ... SELECT query";

[[noreturn]] void refuse(std::string_view sql, const std::string& why, std::size_t position,
                         std::string_view hint = wanted) {
  throw error(errc::invalid_select, with_caret(why, sql, position),
              {.hint = std::string(hint), .position = position});
}

// The tree counts in bytes, people and carets in characters.
std::size_t position_of(std::string_view sql, std::int64_t byte) {
  const auto end = sql.begin() + static_cast<long>(std::clamp<std::int64_t>(
                                     byte, 0, static_cast<std::int64_t>(sql.size())));
  return 1 + characters({sql.begin(), end});
}

std::int64_t integer_at(const json::object& object, std::string_view key) {
  const json::value* found = object.if_contains(key);
  return found != nullptr && found->is_int64() ? found->as_int64() : 0;
}

// What may stand nowhere in the tree, by the node's name in it.
struct forbidden {
  std::string_view node;
  std::string_view why;
  std::string_view hint;
};

constexpr std::array<forbidden, 6> forbidden_nodes{{
    {"InsertStmt", "a view's query must not change data, and this one has an INSERT in WITH",
     wanted},
    {"UpdateStmt", "a view's query must not change data, and this one has an UPDATE in WITH",
     wanted},
    {"DeleteStmt", "a view's query must not change data, and this one has a DELETE in WITH",
     wanted},
    {"MergeStmt", "a view's query must not change data, and this one has a MERGE in WITH", wanted},
    {"intoClause", "SELECT INTO creates a table, it is not a query", "leave the INTO out"},
    {"ParamRef", "a view's query cannot have placeholders", "write the value itself in its place"},
}};

struct finding {
  const forbidden* what;
  std::int64_t byte;
};

// The first location below a node: most nodes have their own, a DML statement its relation's.
std::int64_t location_of(const json::value& node) {
  const json::object* object = node.if_object();
  if (object == nullptr) return 0;
  if (object->contains("location")) return integer_at(*object, "location");
  for (const auto key : {"relation", "rel"}) {
    if (const json::value* child = object->if_contains(key)) return location_of(*child);
  }
  return 0;
}

// Walks the tree with a stack of its own: its depth is the query's, which a stranger chooses.
std::optional<finding> find_forbidden(const json::value& tree) {
  std::optional<finding> first;
  std::vector<const json::value*> open{&tree};
  while (!open.empty()) {
    const json::value* node = open.back();
    open.pop_back();
    if (const json::array* items = node->if_array()) {
      for (const json::value& item : *items) open.push_back(&item);
    } else if (const json::object* object = node->if_object()) {
      for (const auto& [key, child] : *object) {
        open.push_back(&child);
        const std::string_view name(key.data(), key.size());
        const auto match = std::find_if(forbidden_nodes.begin(), forbidden_nodes.end(),
                                        [name](const forbidden& f) { return f.node == name; });
        if (match == forbidden_nodes.end()) continue;
        const std::int64_t byte = location_of(child);
        if (!first || byte < first->byte) first = finding{&*match, byte};
      }
    }
  }
  return first;
}

// `SelectStmt` -> `SELECT`, `CreateTableAsStmt` -> `CREATE TABLE AS`.
std::string statement_name(std::string_view node) {
  if (node.ends_with("Stmt")) node.remove_suffix(4);
  std::string out;
  for (const char c : node) {
    const bool capital = c >= 'A' && c <= 'Z';
    if (capital && !out.empty()) out += ' ';
    out += c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  }
  return out;
}

// Where the first statement's text ends: at its semicolon, or with the text.
std::size_t end_of(const json::object& statement, std::size_t size) {
  const std::int64_t length = integer_at(statement, "stmt_len");
  if (length == 0) return size;
  return static_cast<std::size_t>(integer_at(statement, "stmt_location") + length);
}

// Comments in this style nest. `at` is where one begins.
std::size_t end_of_comment(std::string_view sql, std::size_t at) {
  std::size_t depth = 0;
  while (at < sql.size()) {
    const std::string_view two = sql.substr(at, 2);
    if (two == "/*") {
      ++depth;
      at += 2;
    } else if (two == "*/") {
      at += 2;
      if (--depth == 0) return at;
    } else {
      ++at;
    }
  }
  return sql.size();
}

// Past the blanks and comments that the parser counts to the next statement.
std::size_t first_token(std::string_view sql, std::size_t from) {
  std::size_t at = from;
  while (at < sql.size()) {
    if (std::string_view(" \t\r\n\f\v;").find(sql[at]) != std::string_view::npos) {
      ++at;
    } else if (sql.substr(at, 2) == "--") {
      at = std::min(sql.find('\n', at), sql.size());
    } else if (sql.substr(at, 2) == "/*") {
      at = end_of_comment(sql, at);
    } else {
      break;
    }
  }
  return at;
}

// Where the query ends that `text` consists of.
std::size_t checked_end(const std::string& text) {
  const parse_result parsed(text);
  if (const PgQueryError* failure = parsed.failure()) {
    refuse(text, fmt::format("the query cannot be parsed: {}", failure->message),
           static_cast<std::size_t>(std::max(failure->cursorpos, 1)));
  }

  json::monotonic_resource memory;  // also spares a recursive destruction of a deep tree
  json::parse_options options;
  options.max_depth = text.size() * 16 + 64;
  options.allow_invalid_utf8 = true;
  json::error_code unreadable;
  const json::value tree = json::parse(parsed.tree(), unreadable, &memory, options);
  if (unreadable) refuse(text, "the query cannot be parsed: " + unreadable.message(), 1);
  const json::array& statements = tree.as_object().at("stmts").as_array();

  if (statements.empty()) refuse(text, "the query is empty", 1);
  const json::object& statement = statements[0].as_object();
  // Put behind CREATE ... AS, a semicolon in front of the query would end that statement.
  if (const std::int64_t begin = integer_at(statement, "stmt_location"); begin > 0) {
    refuse(text, "a semicolon stands before the query", position_of(text, begin - 1));
  }
  const std::size_t end = end_of(statement, text.size());
  if (statements.size() > 1) {
    refuse(text, "only one query can define a view, and here a second statement begins",
           position_of(text, static_cast<std::int64_t>(first_token(text, end))));
  }
  const json::object& node = statement.at("stmt").as_object();
  const std::string_view kind(node.begin()->key().data(), node.begin()->key().size());
  if (kind != "SelectStmt") {
    refuse(text, fmt::format("a view is defined by a query, and this is {}", statement_name(kind)),
           position_of(text, static_cast<std::int64_t>(first_token(text, 0))));
  }
  if (const std::optional<finding> found = find_forbidden(statement.at("stmt"))) {
    refuse(text, std::string(found->what->why), position_of(text, found->byte), found->what->hint);
  }
  return end;
}

}  // namespace

select_query::select_query(std::string text) : text_(std::move(text)) {}

select_query select_query::parse(std::string_view sql) {
  // The parser takes a C string: what stands behind a NUL would reach the server unchecked.
  if (const std::size_t nul = sql.find('\0'); nul != std::string_view::npos) {
    refuse(sql.substr(0, nul), "a query cannot hold a NUL byte",
           position_of(sql, static_cast<std::int64_t>(nul)));
  }
  if (sql.size() > longest_query) {
    throw error(errc::invalid_select,
                fmt::format("a query of {} bytes is too long; at most {} bytes are accepted",
                            sql.size(), longest_query),
                {.hint = "keep large constant data in a table and select from it"});
  }
  if (const std::size_t wrong = invalid_utf8(sql); wrong != std::string_view::npos) {
    const std::string_view readable = sql.substr(0, wrong);
    throw error(errc::invalid_select,
                fmt::format("the query is not UTF-8: byte 0x{:02x} in line {}",
                            static_cast<unsigned char>(sql[wrong]),
                            1 + std::count(readable.begin(), readable.end(), '\n')),
                {.hint = "save the text as UTF-8", .position = 1 + characters(readable)});
  }
  const std::string text(sql);
  std::size_t end = 0;
  on_deep_stack(text.size(), [&] { end = checked_end(text); });
  return select_query(text.substr(0, end));
}

std::string with_caret(std::string_view message, std::string_view sql, std::size_t position) {
  if (sql.empty()) return std::string(message);
  return fmt::format("{}\n{}", message, caret_lines(sql, position));
}

}  // namespace matview::text
