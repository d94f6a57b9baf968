#include "text/utf8.hpp"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <string>

namespace matview::text {
namespace {

constexpr auto none = std::string_view::npos;

TEST(InvalidUtf8, IsTheFirstByteThatBelongsToNoCharacter) {
  EXPECT_EQ(invalid_utf8(""), none);
  EXPECT_EQ(invalid_utf8("plain"), none);
  EXPECT_EQ(invalid_utf8("Z\xC3\xBCrich \xE2\x82\xAC \xF0\x9F\x98\x80"), none);
  EXPECT_EQ(invalid_utf8("Z\xFCrich"), 1U);
  EXPECT_EQ(invalid_utf8("ab\xC3"), 2U) << "cut within a character";
  EXPECT_EQ(invalid_utf8("a\xC0\xAF"), 1U) << "longer than it need be";
  EXPECT_EQ(invalid_utf8("a\xED\xA0\x80"), 1U) << "half of a surrogate pair";
  EXPECT_EQ(invalid_utf8("a\xF4\x90\x80\x80"), 1U) << "past U+10FFFF";
}

RC_GTEST_PROP(InvalidUtf8, StandsBehindReadableText, (const std::string& text)) {
  const std::size_t wrong = invalid_utf8(text);
  const std::string_view readable = std::string_view(text).substr(0, wrong);
  RC_ASSERT(invalid_utf8(readable) == none);
  RC_ASSERT(wrong == none || wrong < text.size());
}

TEST(Characters, AreCountedNotBytes) {
  EXPECT_EQ(characters(""), 0U);
  EXPECT_EQ(characters("Z\xC3\xBCrich"), 6U);
}

}  // namespace
}  // namespace matview::text
