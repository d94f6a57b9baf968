#include "text/function_body.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <utility>
#include <vector>

namespace matview::text {

namespace {

enum class token_kind {
  word,    // An identifier or keyword: `text` is folded.
  quoted,  // A quoted identifier: `text` is what it stands for.
  other,   // A constant or a sign: `text` is the sign, or empty.
};

struct token {
  token_kind kind;
  std::string text;
};

bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
         static_cast<unsigned char>(c) >= 0x80;
}

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

// Cuts a body into tokens by PostgreSQL's lexical rules; comments and the contents of strings
// vanish.
class lexer final {
 public:
  explicit lexer(std::string_view text) : text_(text) {}

  std::vector<token> tokens() {
    while (at_ < text_.size()) next();
    return std::move(out_);
  }

 private:
  [[nodiscard]] bool sees(std::string_view what) const {
    return text_.substr(at_, what.size()) == what;
  }

  void next() {
    const char c = text_[at_];
    if (sees("--")) {
      at_ = std::min(text_.find('\n', at_), text_.size());
    } else if (sees("/*")) {
      skip_comment();
    } else if (c == '\'') {
      skip_string(false);
    } else if (c == '"') {
      quoted_name();
    } else if (c == '$' && dollar_tag() > 0) {
      skip_dollar_string();
    } else if (is_letter(c)) {
      word();
    } else if (is_digit(c)) {
      while (at_ < text_.size() && (is_digit(text_[at_]) || is_letter(text_[at_]))) ++at_;
      add(token_kind::other, "");
    } else if (sees("::")) {
      at_ += 2;
      add(token_kind::other, "::");
    } else {
      ++at_;
      if (c != ' ' && c != '\t' && c != '\n' && c != '\r' && c != '\f' && c != '\v') {
        add(token_kind::other, std::string(1, c));
      }
    }
  }

  void add(token_kind kind, std::string text) { out_.push_back({kind, std::move(text)}); }

  void skip_comment() {
    std::size_t depth = 0;
    do {
      if (sees("/*")) {
        ++depth;
        at_ += 2;
      } else if (sees("*/")) {
        --depth;
        at_ += 2;
      } else {
        ++at_;
      }
    } while (depth > 0 && at_ < text_.size());
  }

  void skip_string(bool backslashes) {
    ++at_;
    while (at_ < text_.size()) {
      if ((backslashes && text_[at_] == '\\') || sees("''")) {
        at_ += 2;
      } else if (text_[at_++] == '\'') {
        break;
      }
    }
    at_ = std::min(at_, text_.size());
    add(token_kind::other, "");
  }

  void quoted_name() {
    std::string name;
    ++at_;
    while (at_ < text_.size()) {
      if (sees("\"\"")) {
        name += '"';
        at_ += 2;
      } else if (text_[at_] == '"') {
        ++at_;
        break;
      } else {
        name += text_[at_++];
      }
    }
    add(token_kind::quoted, std::move(name));
  }

  // The size of `$tag$` here, or 0 (`$1`).
  [[nodiscard]] std::size_t dollar_tag() const {
    std::size_t end = at_ + 1;
    if (end < text_.size() && is_digit(text_[end])) return 0;
    while (end < text_.size() && (is_letter(text_[end]) || is_digit(text_[end]))) ++end;
    return end < text_.size() && text_[end] == '$' ? end + 1 - at_ : 0;
  }

  void skip_dollar_string() {
    const std::string_view tag = text_.substr(at_, dollar_tag());
    const std::size_t end = text_.find(tag, at_ + tag.size());
    at_ = end == std::string_view::npos ? text_.size() : end + tag.size();
    add(token_kind::other, "");
  }

  void word() {
    std::string name;
    while (at_ < text_.size() &&
           (is_letter(text_[at_]) || is_digit(text_[at_]) || text_[at_] == '$')) {
      name += lower(text_[at_++]);
    }
    if (name == "e" && at_ < text_.size() && text_[at_] == '\'') {
      skip_string(true);
    } else {
      add(token_kind::word, std::move(name));
    }
  }

  std::string_view text_;
  std::size_t at_ = 0;
  std::vector<token> out_;
};

template <std::size_t Size>
bool is_one_of(std::string_view word, const std::array<std::string_view, Size>& words) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

constexpr std::array<std::string_view, 5> clock_words{
    "current_date", "current_time", "current_timestamp", "localtime", "localtimestamp"};

// Words that may stand before a parenthesis or behind FROM and are nobody's function or relation.
constexpr std::array<std::string_view, 41> keywords{
    "select", "from",   "where",     "values", "and",         "or",   "not",    "in",     "any",
    "all",    "some",   "exists",    "case",   "when",        "then", "else",   "if",     "elsif",
    "while",  "return", "returns",   "using",  "on",          "over", "filter", "within", "group",
    "by",     "with",   "as",        "into",   "lateral",     "only", "array",  "row",    "unnest",
    "union",  "except", "intersect", "begin",  "materialized"};

// Calls whose arguments have a FROM of their own: `extract(year from x)`.
constexpr std::array<std::string_view, 5> from_calls{"extract", "substring", "trim", "overlay",
                                                     "position"};

// Goes through the tokens of one body.
class reader final {
 public:
  explicit reader(std::string_view body) : tokens_(lexer(body).tokens()) {}

  body_names read() {
    find_local_names();
    for (std::size_t at = 0; at < tokens_.size(); ++at) read_at(at);
    for (const std::string& local : local_) out_.relations.erase(local);
    for (const std::string& local : out_.temporary) out_.relations.erase(local);
    return std::move(out_);
  }

 private:
  [[nodiscard]] bool is(std::size_t at, std::string_view word) const {
    return at < tokens_.size() && tokens_[at].kind != token_kind::quoted &&
           tokens_[at].text == word;
  }
  // The token before `at` by `back`.
  [[nodiscard]] bool was(std::size_t at, std::size_t back, std::string_view word) const {
    return at >= back && is(at - back, word);
  }
  [[nodiscard]] bool is_name(std::size_t at) const {
    return at < tokens_.size() &&
           (tokens_[at].kind == token_kind::quoted ||
            (tokens_[at].kind == token_kind::word && !is_one_of(tokens_[at].text, keywords)));
  }
  // A name of one part: no dot on either side.
  [[nodiscard]] bool is_bare(std::size_t at) const {
    return is_name(at) && !is(at + 1, ".") && !was(at, 1, ".");
  }

  // `x AS (`, `x AS MATERIALIZED (`, `x (a, b) AS (`: a query in WITH.
  void find_local_names() {
    for (std::size_t at = 1; at < tokens_.size(); ++at) {
      if (!is(at, "as")) continue;
      std::size_t open = at + 1;
      while (is(open, "not") || is(open, "materialized")) ++open;
      if (!is(open, "(")) continue;
      std::size_t name = at - 1;
      if (is(name, ")")) {
        while (name > 0 && !is(name, "(")) --name;
        if (name == 0) continue;
        --name;
      }
      if (is_name(name)) local_.insert(tokens_[name].text);
    }
  }

  void read_at(std::size_t at) {
    const token& here = tokens_[at];
    if (here.kind == token_kind::word) {
      if (here.text == "from" && !was(at, 1, "distinct") && !in_from_call(at)) {
        read_from_list(at + 1);
      } else if (here.text == "join" || (here.text == "into" && was(at, 1, "insert")) ||
                 (here.text == "into" && was(at, 1, "merge")) ||
                 (here.text == "update" && !was(at, 1, "for") && !was(at, 1, "key") &&
                  !was(at, 1, "do"))) {
        read_relation(at + 1);
      } else if (here.text == "execute" && !was(at, 1, "grant")) {
        out_.dynamic = true;
      } else if (is_one_of(here.text, clock_words)) {
        add_clock_word(here.text);
      } else if (here.text == "table" || here.text == "view" || here.text == "sequence") {
        read_temporary(at);
      }
    } else if (here.text == "::" && here.kind == token_kind::other && is_bare(at + 1)) {
      out_.types.insert(tokens_[at + 1].text);
    }
    if (is(at, "%")) read_copied_type(at);
    if (is_name(at) && is(at + 1, ".") && !was(at, 1, ".") && is_name(at + 2) && is(at + 3, "(")) {
      out_.calls.emplace(here.text, tokens_[at + 2].text);
    }
    if (is_bare(at) && is(at + 1, "(") && !was(at, 1, "into") && !local_.contains(here.text)) {
      out_.functions.insert(here.text);
    }
  }

  // Whether the innermost parenthesis that is open at `at` is that of an `extract(` and its kind.
  [[nodiscard]] bool in_from_call(std::size_t at) const {
    std::size_t closed = 0;
    while (at-- > 0) {
      if (is(at, ")")) {
        ++closed;
      } else if (is(at, "(")) {
        if (closed == 0) return at > 0 && is_one_of(tokens_[at - 1].text, from_calls);
        --closed;
      } else if (is(at, ";")) {
        break;
      }
    }
    return false;
  }

  // Returns where what follows the relation begins.
  std::size_t read_relation(std::size_t at) {
    while (is(at, "only") || is(at, "lateral")) ++at;
    if (!is_name(at)) return at;
    if (is(at + 1, ".")) {
      while (is(at + 1, ".")) at += 2;
      return at + 1;
    }
    // Behind INTO a list of columns may follow; elsewhere a parenthesis means a function.
    const bool called = is(at + 1, "(") && !was(at, 1, "into");
    if (!called) out_.relations.insert(tokens_[at].text);
    return at + 1;
  }

  // `a, b AS x, c y`: as long as each is a name with an alias at most.
  void read_from_list(std::size_t at) {
    while (true) {
      at = read_relation(at);
      if (is(at, "as")) ++at;
      if (is_name(at) && !is(at + 1, "(") && is(at + 1, ",")) ++at;
      if (!is(at, ",")) return;
      ++at;
    }
  }

  void add_clock_word(std::string word) {
    for (char& c : word) c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
    out_.clock_words.insert(std::move(word));
  }

  // `CREATE [LOCAL | GLOBAL] TEMP TABLE [IF NOT EXISTS] x`, `CREATE TABLE pg_temp.x`
  void read_temporary(std::size_t at) {
    std::size_t name = at + 1;
    while (is(name, "if") || is(name, "not") || is(name, "exists")) ++name;
    bool temporary = was(at, 1, "temp") || was(at, 1, "temporary");
    if (is(name + 1, ".")) {
      temporary = temporary || (is(name, "pg_temp") && was(at, 1, "create"));
      name += 2;
    }
    if (temporary && is_name(name)) out_.temporary.insert(tokens_[name].text);
  }

  // `t%ROWTYPE`, `t.column%TYPE`; the percent sign is also an operator.
  void read_copied_type(std::size_t at) {
    if (is(at + 1, "rowtype") && at >= 1 && is_bare(at - 1)) {
      out_.relations.insert(tokens_[at - 1].text);
    } else if (is(at + 1, "type") && at >= 3 && was(at, 2, ".") && is_name(at - 3) &&
               !was(at, 4, ".")) {
      out_.relations.insert(tokens_[at - 3].text);
    }
  }

  std::vector<token> tokens_;
  std::set<std::string> local_;
  body_names out_;
};

}  // namespace

body_names names_in_body(std::string_view body) {
  return reader(body).read();
}

}  // namespace matview::text
