#include "support/hostile_text.hpp"
#include "support/refusal.hpp"
#include "support/statement_shape.hpp"
#include <matview/error.hpp>
#include <matview/identifier.hpp>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <regex>
#include <string>
#include <string_view>
#include <vector>

namespace matview {
namespace {

using test::refusal;

const std::string longest(63, 'x');

TEST(Identifier, KeepsPartsAndCase) {
  const identifier name = identifier::parse("Sales.Daily_2");
  EXPECT_EQ(name.schema(), "Sales");
  EXPECT_EQ(name.name(), "Daily_2");
  EXPECT_EQ(name.text(), "Sales.Daily_2");
  EXPECT_EQ(name.quoted(), "\"Sales\".\"Daily_2\"");
}

TEST(Identifier, WithoutSchemaHasOnePart) {
  const identifier name = identifier::parse("daily");
  EXPECT_EQ(name.schema(), "");
  EXPECT_EQ(name.text(), "daily");
  EXPECT_EQ(name.quoted(), "\"daily\"");
}

TEST(Identifier, AcceptsWhatTheAllowlistHolds) {
  for (const std::string& text :
       std::vector<std::string>{"v", "V", "_", "__", "_1", "a0123456789", "select", "table",
                                "Order.User", longest, longest + "." + longest}) {
    EXPECT_EQ(refusal([&] { return identifier::parse(text); }), std::nullopt) << text;
  }
}

struct refused {
  const char* why;
  std::string text;
  std::optional<std::size_t> position;
  std::string_view says;
};

TEST(Identifier, RefusesEverythingElse) {
  const std::vector<refused> table{
      {"empty", "", 1, "it is empty"},
      {"trailing newline, which a careless regex accepts", "v\n", 2, R"(character 2 ("\n"))"},
      {"leading newline", "\nv", 1, "character 1"},
      {"newline within", "a\nb", 2, "character 2"},
      {"newline before the dot", "s\n.v", 2, "character 2"},
      {"trailing blank", "v ", 2, "character 2"},
      {"leading blank", " v", 1, "character 1"},
      {"blank around the dot", "s .v", 2, "character 2"},
      {"double quote", "a\"b", 2, R"(character 2 ("\""))"},
      {"quoted already", "\"v\"", 1, "character 1"},
      {"single quote", "a'b", 2, "character 2"},
      {"statement", "v; DROP TABLE t", 2, "character 2"},
      {"comment", "v--", 2, "character 2"},
      {"NUL", std::string("v\0", 2), 2, "\\x00"},
      {"text after a NUL", std::string("v\0; DROP", 8), 2, "\\x00"},
      {"begins with a digit", "1v", 1, "begins with a digit"},
      {"second part begins with a digit", "s.1v", 3, "begins with a digit"},
      {"minus", "a-b", 2, "character 2"},
      {"dollar, which PostgreSQL would allow", "a$", 2, "character 2"},
      {"letter outside ASCII", "caf\xC3\xA9", 4, "character 4"},
      {"full-width letter", "\xEF\xBD\x96", 1, "character 1"},
      {"broken UTF-8", "\xFF", 1, "\\xff"},
      {"three parts", "db.s.v", 5, "more than two parts"},
      {"only a dot", ".", 1, "the part beside the dot is empty"},
      {"no schema before the dot", ".v", 1, "the part beside the dot is empty"},
      {"no view after the dot", "s.", 3, "the part beside the dot is empty"},
      {"two dots", "s..v", 3, "more than two parts"},
      {"one byte too long", longest + "x", std::nullopt, "it has 64 characters"},
      {"80 bytes, which PostgreSQL would cut", std::string(80, 'v'), std::nullopt,
       "it has 80 characters"},
      {"long schema", longest + "x.v", std::nullopt, "it has 64 characters"},
      {"long view", "s." + longest + "x", std::nullopt, "it has 64 characters"},
  };
  for (const refused& row : table) {
    SCOPED_TRACE(row.why);
    const auto thrown = refusal([&] { return identifier::parse(row.text); });
    ASSERT_TRUE(thrown);
    EXPECT_EQ(thrown->code(), errc::invalid_identifier);
    EXPECT_EQ(thrown->position(), row.position);
    EXPECT_NE(std::string_view(thrown->what()).find(row.says), std::string_view::npos)
        << thrown->what();
    EXPECT_NE(thrown->hint().find("SCHEMA.VIEW"), std::string::npos);
  }
}

// What is refused may be long, and is shown on somebody's terminal.
TEST(Identifier, ShowsRefusedTextEscapedAndCut) {
  const auto thrown =
      refusal([] { return identifier::parse("\x1B[2J" + std::string(1'000'000, 'v')); });
  ASSERT_TRUE(thrown);
  const std::string_view message = thrown->what();
  EXPECT_LT(message.size(), 200U);
  EXPECT_EQ(message.find('\x1B'), std::string_view::npos);
}

TEST(Identifier, ComparesByParts) {
  EXPECT_EQ(identifier::parse("s.v"), identifier::parse("s.v"));
  EXPECT_NE(identifier::parse("s.v"), identifier::parse("S.v"));
  EXPECT_NE(identifier::parse("v"), identifier::parse("public.v"));
  EXPECT_LT(identifier::parse("a.z"), identifier::parse("b.a"));
}

bool accepted(const std::string& text) {
  return !refusal([&] { return identifier::parse(text); });
}

bool allowed(const std::string& text) {
  static const std::regex allowlist(
      R"(([A-Za-z_][A-Za-z0-9_]{0,62}\.)?[A-Za-z_][A-Za-z0-9_]{0,62})");
  return std::regex_match(text, allowlist);
}

rc::Gen<std::string> good_name() {
  const auto part = rc::gen::resize(
      70, rc::gen::container<std::string>(rc::gen::elementOf(std::string("abzABZ_019"))));
  return rc::gen::apply(
      [](const std::string& a, const std::string& b, bool two) { return two ? a + '.' + b : a; },
      part, part, rc::gen::arbitrary<bool>());
}

void keeps_promise(const std::string& text) {
  RC_TAG(accepted(text) ? "accepted" : "refused");
  RC_ASSERT(accepted(text) == allowed(text));
  if (accepted(text)) {
    const identifier name = identifier::parse(text);
    RC_ASSERT(name.text() == text);
    RC_ASSERT(test::keeps_shape(name));
  }
}

RC_GTEST_PROP(IdentifierProperty, AcceptedNameNamesOneRelation, ()) {
  keeps_promise(*good_name());
}

RC_GTEST_PROP(IdentifierProperty, HostileTextNeverChangesTheStatement, ()) {
  keeps_promise(*test::hostile_text({"v", "sales", "_", "1", "."}));
}

RC_GTEST_PROP(IdentifierProperty, TamperedNameNeverChangesTheStatement, ()) {
  keeps_promise(*test::tampered(good_name()));
}

}  // namespace
}  // namespace matview
