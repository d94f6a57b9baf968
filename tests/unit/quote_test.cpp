#include "text/quote.hpp"

#include "support/hostile_text.hpp"

#include <boost/json.hpp>
#include <gtest/gtest.h>
#include <pg_query.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

namespace matview::text {
namespace {

TEST(Shown, EscapesWhatATerminalWouldAct) {
  const std::vector<std::pair<std::string, std::string>> table{
      {"", R"("")"},
      {"plain text", R"("plain text")"},
      {"a\nb\tc", R"("a\nb\tc")"},
      {"a\"b\\c", R"("a\"b\\c")"},
      {std::string("\0", 1), R"("\x00")"},
      {"\x1B[2J\x7F", R"("\x1b[2J\x7f")"},
      {"\xC3\xA9", R"("\xc3\xa9")"},
  };
  for (const auto& [text, expected] : table) EXPECT_EQ(shown(text), expected);
}

TEST(Shown, CutsLongTexts) {
  EXPECT_EQ(shown("abcdef", 6), R"("abcdef")");
  EXPECT_EQ(shown("abcdef", 5), R"("abcde...")");
}

TEST(SqlLiteral, DoublesQuotesAndBackslashes) {
  EXPECT_EQ(sql_literal(""), "''");
  EXPECT_EQ(sql_literal("it's"), "'it''s'");
  EXPECT_EQ(sql_literal("a\\b"), "E'a\\\\b'");
  EXPECT_EQ(sql_literal("\\'; DROP TABLE t; --"), "E'\\\\''; DROP TABLE t; --'");
}

// What the parser makes of a literal, as JSON text; empty when it is not one constant.
std::string read_back(const std::string& literal) {
  const PgQueryParseResult parsed = pg_query_parse(("SELECT " + literal).c_str());
  std::string result;
  if (parsed.error == nullptr) {
    boost::json::parse_options options;
    options.allow_invalid_utf8 = true;
    const auto tree = boost::json::parse(parsed.parse_tree, {}, options);
    const auto& statements = tree.at("stmts").as_array();
    const auto& targets = statements.at(0).at("stmt").at("SelectStmt").at("targetList").as_array();
    if (statements.size() == 1 && targets.size() == 1) {
      const auto& value = targets.at(0).at("ResTarget").at("val").at("A_Const").at("sval");
      result = value.as_object().empty() ? "" : value.at("sval").as_string().c_str();
    }
  }
  pg_query_free_parse_result(parsed);
  return result;
}

RC_GTEST_PROP(SqlLiteralProperty, IsReadBackAsTheText, ()) {
  std::string text = *test::hostile_text({"word", "\\", "'", "\\'", "''"});
  // A literal holds neither NUL nor broken UTF-8; libpg_query's JSON has no escapes for the rest.
  std::erase_if(text, [](char c) { return static_cast<unsigned char>(c) < ' ' || c > '~'; });
  RC_ASSERT(read_back(sql_literal(text)) == text);
}

TEST(CaretLines, PointAtTheCharacter) {
  EXPECT_EQ(caret_lines("SELECT * FORM t", 10),
            "line 1: SELECT * FORM t\n"
            "                 ^");
}

TEST(CaretLines, ShowTheLineOfTheFault) {
  const std::string sql = "SELECT *\nFORM t\nWHERE x";
  EXPECT_EQ(caret_lines(sql, 10), "line 2: FORM t\n        ^");
  EXPECT_EQ(caret_lines(sql, 8), "line 1: SELECT *\n               ^");
  EXPECT_EQ(caret_lines(sql, 17), "line 3: WHERE x\n        ^");
}

TEST(CaretLines, CountCharactersNotBytes) {
  EXPECT_EQ(caret_lines("SELECT '\xC3\xA9\xC3\xA9' FORM", 13),
            "line 1: SELECT '\xC3\xA9\xC3\xA9' FORM\n"
            "                    ^");
}

TEST(CaretLines, HoldNothingThatATerminalWouldAct) {
  EXPECT_EQ(caret_lines("\x1B[2JFORM\a", 5), "line 1:  [2JFORM \n            ^");
}

TEST(CaretLines, StandStillUnderTabs) {
  EXPECT_EQ(caret_lines("\t\tFORM\r\nx", 3), "line 1:   FORM \n          ^");
}

TEST(CaretLines, AreDefinedForEveryPosition) {
  EXPECT_EQ(caret_lines("abc", 0), "line 1: abc\n        ^");
  EXPECT_EQ(caret_lines("abc", 4), "line 1: abc\n           ^");
  EXPECT_EQ(caret_lines("abc", 1000), "line 1: abc\n           ^");
  EXPECT_EQ(caret_lines("", 1), "line 1: \n        ^");
}

TEST(CaretLines, CutLongLinesAroundTheFault) {
  const std::string sql = std::string(500, 'a') + "!" + std::string(500, 'b');
  const std::string lines = caret_lines(sql, 501);
  const std::size_t line_break = lines.find('\n');
  ASSERT_NE(line_break, std::string::npos);
  EXPECT_LT(line_break, 130U);
  const std::string line = lines.substr(0, line_break);
  EXPECT_EQ(line.find("line 1: ..."), 0U);
  EXPECT_TRUE(line.ends_with("..."));
  const std::string caret = lines.substr(line_break + 1);
  ASSERT_EQ(caret.find('^'), caret.size() - 1);
  EXPECT_EQ(line.at(caret.size() - 1), '!');
}

RC_GTEST_PROP(CaretLinesProperty, AreTwoShortLinesForAnyText, ()) {
  const std::string text = *test::hostile_text({"SELECT", "\n", std::string(200, 'x')});
  const auto position = *rc::gen::inRange<std::size_t>(0, text.size() + 3);
  const std::string lines = caret_lines(text, position);
  RC_ASSERT(std::count(lines.begin(), lines.end(), '\n') == 1);
  RC_ASSERT(lines.back() == '^');
  RC_ASSERT(lines.size() < 1000U);
}

}  // namespace
}  // namespace matview::text
