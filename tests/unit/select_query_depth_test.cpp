// Seconds of work, so under a label of its own (slow).

#include "support/refusal.hpp"
#include "text/select_query.hpp"

#include <gtest/gtest.h>
#include <pthread.h>

#include <string>
#include <string_view>
#include <vector>

namespace matview::text {
namespace {

using test::refusal;

// Runs `work` where a recursion over the tree would not fit.
template <class Work>
void on_small_stack(Work work) {
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, std::size_t{256} << 10U);
  pthread_t thread{};
  const auto run = [](void* opaque) -> void* {
    (*static_cast<Work*>(opaque))();
    return nullptr;
  };
  ASSERT_EQ(pthread_create(&thread, &attributes, run, &work), 0);
  pthread_attr_destroy(&attributes);
  pthread_join(thread, nullptr);
}

std::string repeated(std::string_view text, std::size_t bytes) {
  std::string result;
  while (result.size() + text.size() <= bytes) result += text;
  return result;
}

TEST(SelectQueryDepth, TakesDeepExpressionsOnASmallStack) {
  const std::string sql = "SELECT 1" + repeated("+1", 120'000);
  on_small_stack([&] {
    const auto thrown = refusal([&] { return select_query::parse(sql); });
    EXPECT_FALSE(thrown) << thrown->what();
  });
}

// The deepest trees of each kind of nesting that fit the longest text: each is accepted or refused
// by the parser's own limit, and none overflows.
TEST(SelectQueryDepth, SurvivesEveryKindOfDepth) {
  const std::size_t bytes = 256'000;
  const auto wrapped = [](std::string_view open, std::string_view middle, std::string_view close,
                          std::size_t size) {
    const std::size_t times = size / (open.size() + close.size());
    return repeated(open, times * open.size()) + std::string(middle) +
           repeated(close, times * close.size());
  };
  const std::vector<std::string> table{
      "SELECT 1" + repeated("+1", bytes),
      "SELECT 1" + repeated("||1", bytes),
      "SELECT " + repeated("NOT ", bytes) + "true",
      "SELECT " + repeated("- ", bytes) + "1",
      "SELECT 1" + repeated("::a", bytes),
      "SELECT 1" + repeated(" ISNULL", bytes),
      "SELECT a" + repeated("[1]", bytes),
      "SELECT (a)" + repeated(".b", bytes),
      "SELECT true" + repeated(" AND true", bytes),
      "SELECT true" + repeated(" AND true OR true", bytes),
      "SELECT 1" + repeated(" UNION SELECT 1", bytes),
      "SELECT * FROM t" + repeated(" NATURAL JOIN t", bytes),
      "SELECT 1" + repeated(" COLLATE c", bytes),
      "SELECT 1" + repeated(",1", bytes),
      "SELECT " + wrapped("(", "1", ")", bytes),
      "SELECT " + wrapped("(SELECT ", "1", ")", bytes),
      "SELECT " + wrapped("f(", "1", ")", bytes),
      "SELECT " + wrapped("CASE WHEN ", "true", " THEN 1 END", bytes),
      "SELECT " + wrapped("ARRAY[", "1", "]", bytes),
      wrapped("(", "SELECT 1", ")", bytes),
      wrapped("SELECT * FROM (", "SELECT 1", ") a", bytes),
      wrapped("WITH x AS (", "SELECT 1", ") SELECT 1", bytes),
  };
  on_small_stack([&] {
    for (const std::string& sql : table) {
      const auto thrown = refusal([&] { return select_query::parse(sql); });
      if (thrown) {
        EXPECT_EQ(thrown->code(), errc::invalid_select) << thrown->what();
      }
    }
  });
}

}  // namespace
}  // namespace matview::text
