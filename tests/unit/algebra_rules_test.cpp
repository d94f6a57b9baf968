// The rules that are stated on the algebra, each by what it says of small queries.
#include "incremental/key_graph.hpp"
#include "incremental/linear_rows.hpp"
#include "incremental/properties.hpp"
#include "incremental/unique_rows.hpp"
#include "unit/algebra_fixture.hpp"
#include <gtest/gtest.h>

#include <map>
#include <string>
#include <utility>
#include <vector>

namespace matview::incremental {
namespace {

TEST(AlgebraRules, TellWhatKeepsAQueryFromBeingLinear) {
  const std::pair<const char*, const char*> cases[] = {
      {"SELECT id FROM orders WHERE amount > 1", ""},
      {"SELECT o.id FROM orders o, LATERAL generate_series(1, o.amount) AS g(n)", ""},
      {"SELECT n FROM (SELECT id AS n FROM orders UNION ALL SELECT id FROM customers) q", ""},
      {"SELECT o.id FROM orders o LEFT JOIN customers c ON c.id = o.customer_id", "LEFT JOIN"},
      {"SELECT id FROM orders LIMIT 3", "LIMIT"},
      {"SELECT DISTINCT id FROM orders", "DISTINCT"},
      {"SELECT id FROM orders UNION SELECT id FROM customers", "UNION"},
      {"SELECT customer_id FROM orders GROUP BY customer_id", "GROUP BY"},
      {"SELECT count(*) FROM orders", "an aggregate"},
      {"SELECT sum(id) OVER (PARTITION BY amount) FROM orders", "a window function"},
      {"SELECT n FROM (SELECT DISTINCT id AS n FROM orders) q", "DISTINCT in a subquery"},
      {"SELECT id FROM orders WHERE id IN (SELECT order_id FROM items)", "IN (SELECT ...)"},
      {"SELECT (SELECT max(id) FROM items) AS m FROM orders o WHERE EXISTS (SELECT FROM items i "
       "WHERE i.order_id = o.id)",
       "EXISTS"},
  };
  for (const auto& [sql, part] : cases) {
    const store::query_facts facts = shop(sql);
    EXPECT_EQ(nonlinear_part(derived(facts).whole()).value_or(""), part) << sql;
  }
}

TEST(AlgebraRules, FindTheTablesInTheOrderOfTheText) {
  const store::query_facts facts = shop(
      "SELECT (SELECT max(quantity) FROM items) AS m FROM orders o JOIN customers c ON "
      "c.id = o.customer_id WHERE EXISTS (SELECT FROM items WHERE order_id = o.id)");
  EXPECT_EQ(scans_in(derived(facts).whole()),
            (std::vector<std::string>{"items", "o", "c", "items_2"}));
}

TEST(AlgebraRules, KnowWhichColumnsAreNeverNull) {
  const auto first_is = [](const std::string& sql) {
    store::query_facts facts = shop(sql);
    for (auto& [name, one] : facts.tables) one.columns.front().not_null = true;
    const derived query(facts);
    const expression& target = parts_of(query.whole()).project->expressions.front();
    return never_null(query.in, query.whole(), res_target(target.tree)->val);
  };
  EXPECT_TRUE(first_is("SELECT o.id FROM orders o LEFT JOIN items i ON i.order_id = o.id"));
  EXPECT_FALSE(first_is("SELECT o.id FROM items i LEFT JOIN orders o ON i.order_id = o.id"));
  EXPECT_FALSE(first_is("SELECT o.id FROM orders o FULL JOIN customers c ON c.id = o.id"));
  EXPECT_TRUE(first_is("SELECT q.n FROM (SELECT id AS n, name FROM customers) q"));
  EXPECT_FALSE(first_is("SELECT q.n FROM (SELECT name AS n, id FROM customers) q"));
  EXPECT_FALSE(first_is("SELECT q.n FROM (SELECT id AS n FROM orders UNION ALL VALUES (1)) q"));
  EXPECT_FALSE(first_is("SELECT id + 1 AS n FROM orders"));
}

TEST(AlgebraRules, NameTheExpressionsThatDecideAboutARow) {
  const auto deciding = [](const std::string& sql) {
    const store::query_facts facts = shop(sql);
    const derived query(facts);
    std::vector<std::string> out;
    const auto found = deciding_expressions(query.in, query.whole());
    if (!found) return std::vector<std::string>{"none"};
    for (const node* one : *found) out.push_back(print(one));
    return out;
  };
  using texts = std::vector<std::string>;
  EXPECT_EQ(deciding("SELECT id FROM orders"), texts{"none"});
  EXPECT_EQ(deciding("SELECT customer_id, sum(amount) FROM orders GROUP BY customer_id, placed"),
            (texts{"orders.customer_id", "orders.placed"}));
  EXPECT_EQ(deciding("SELECT placed, sum(count(*)) OVER (PARTITION BY placed) FROM orders "
                     "GROUP BY customer_id, placed"),
            texts{"orders.placed"});
  EXPECT_EQ(deciding("SELECT DISTINCT ON (placed) placed, rank() OVER (PARTITION BY id) "
                     "FROM orders ORDER BY placed"),
            texts{});
}

// The pieces that mechanism L makes of a query, but the first, which only tells the types.
std::vector<std::string> changes_of(const std::string& sql) {
  store::query_facts facts = shop(sql);
  std::int64_t oid = 0;
  std::map<std::int64_t, int> bits;
  std::map<std::int64_t, int> logs;
  for (auto& [name, one] : facts.tables) {
    one.oid = ++oid;
    bits[oid] = static_cast<int>(oid) - 1;
    logs[oid] = static_cast<int>(oid);
  }
  const derived query(facts);
  std::vector<std::string> out;
  for (const piece& one : changed_rows(query.in, query.whole(), bits, logs, 4)) {
    if (one.mask != 0) out.push_back(one.sql);
  }
  return out;
}

TEST(AlgebraRules, MakeTheChangeOfAJoinByInclusionAndExclusion) {
  EXPECT_EQ(
      changes_of("SELECT o.id FROM orders o JOIN customers c ON c.id = o.customer_id"),
      (std::vector<std::string>{
          "SELECT o.id AS id, 1::bigint * o.__mv_w AS w FROM d_3 o JOIN public.customers c ON c.id "
          "= o.customer_id",
          "SELECT o.id AS id, 1::bigint * c.__mv_w AS w FROM public.orders o JOIN d_1 c ON c.id = "
          "o.customer_id",
          "SELECT o.id AS id, ((- 1::bigint) * o.__mv_w) * c.__mv_w AS w FROM d_3 o JOIN d_1 c ON "
          "c.id "
          "= o.customer_id"}));
}

TEST(AlgebraRules, MakeTheChangeOfASubqueryWithAWeightForEachRow) {
  EXPECT_EQ(changes_of("SELECT q.n FROM (SELECT id AS n FROM orders WHERE amount > 1) q"),
            (std::vector<std::string>{
                "SELECT q.n AS n, 1::bigint * q.__mv_w AS w FROM (SELECT orders.id AS n, "
                "orders.__mv_w AS __mv_w FROM d_3 orders WHERE orders.amount > 1) q"}));
}

// Of two branches only one can change in a piece: the change of the union is the sum of both.
TEST(AlgebraRules, MakeTheChangeOfAUnionBranchByBranch) {
  const std::vector<std::string> changes = changes_of(
      "SELECT q.n FROM (SELECT id AS n FROM orders UNION ALL SELECT order_id FROM items) q");
  ASSERT_EQ(changes.size(), 2U);
  EXPECT_NE(changes[0].find("UNION ALL SELECT orders.id AS n, orders.__mv_w AS __mv_w FROM d_3"),
            std::string::npos)
      << changes[0];
  EXPECT_NE(changes[1].find("UNION ALL SELECT items.order_id AS n, items.__mv_w AS __mv_w FROM "
                            "d_2"),
            std::string::npos)
      << changes[1];
}

TEST(AlgebraRules, ReplaceATableBelowAWindowThatNothingGoesOver) {
  EXPECT_EQ(changes_of("SELECT id FROM orders WINDOW w AS (PARTITION BY amount)"),
            std::vector<std::string>{
                "SELECT orders.id AS id, 1::bigint * orders.__mv_w AS w FROM d_3 orders WINDOW w "
                "AS (PARTITION BY orders.amount)"});
}

TEST(AlgebraRules, FindThePrimaryKeysThatTellRowsApart) {
  const auto identity = [](const std::string& sql) {
    const store::query_facts facts = shop(sql);
    const derived query(facts);
    return identifying_targets(query.in, query.whole()).value_or(std::vector<std::size_t>{99});
  };
  using places = std::vector<std::size_t>;
  EXPECT_EQ(identity("SELECT name, id FROM customers"), places{1});
  EXPECT_EQ(identity("SELECT o.id, c.id FROM orders o JOIN customers c ON c.id = o.customer_id"),
            places{0});
  EXPECT_EQ(identity("SELECT o.id, c.id FROM orders o, customers c"), (places{1, 0}));
  EXPECT_EQ(identity("SELECT o.id FROM orders o JOIN items i ON i.order_id = o.id"), places{99});
  EXPECT_EQ(identity("SELECT o.id FROM orders o LEFT JOIN customers c ON c.id = o.id"), places{99});
}

// From which vertices the root of a key is reached.
std::vector<std::string> reaching(const std::string& root, const std::string& sql) {
  const store::query_facts facts = shop(sql);
  const derived query(facts);
  std::vector<int> branches;
  branch_types types(query.in);
  const key_graph graph(query.in, query.whole(), branches, types);
  std::vector<std::string> out;
  for (const auto& [vertex, next] : graph.towards(root, {})) out.push_back(vertex);
  return out;
}

TEST(AlgebraRules, LeadAlongConditionsThatHoldWhereverTheVertexHasAPart) {
  using texts = std::vector<std::string>;
  const std::string on = " ON c.id = o.customer_id";
  EXPECT_EQ(reaching("o", "SELECT o.id FROM orders o JOIN customers c" + on), texts{"c"});
  EXPECT_EQ(reaching("o", "SELECT o.id FROM orders o LEFT JOIN customers c" + on), texts{"c"});
  EXPECT_EQ(reaching("c", "SELECT c.id FROM orders o LEFT JOIN customers c" + on), texts{});
  const std::string tie = " (SELECT 1 FROM items i WHERE i.order_id = o.id)";
  EXPECT_EQ(reaching("o", "SELECT o.id FROM orders o WHERE EXISTS" + tie), texts{"i"});
  EXPECT_EQ(reaching("i", "SELECT o.id FROM orders o WHERE EXISTS" + tie), texts{"o"});
  EXPECT_EQ(reaching("o", "SELECT o.id FROM orders o WHERE NOT EXISTS" + tie), texts{"i"});
  EXPECT_EQ(reaching("i", "SELECT o.id FROM orders o WHERE NOT EXISTS" + tie), texts{});
}

}  // namespace
}  // namespace matview::incremental
