// The algebra without a server: what is derived from a query, that it is printed as it was, and
// what is told of it.
#include "trial/query_generator.hpp"

#include "incremental/compile.hpp"
#include "incremental/projection.hpp"
#include "incremental/refusal.hpp"
#include "unit/algebra_fixture.hpp"
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <fstream>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace matview::incremental {
namespace {

std::string outline(const relation& of);

std::string outline(const expression& of) {
  static constexpr std::string_view names[] = {"semi", "anti", "mark", "scalar"};
  std::string out;
  for (const dependent_join& one : of.subqueries) {
    out += fmt::format(" {}[{}]", names[static_cast<std::size_t>(one.kind)], outline(*one.query));
  }
  return out;
}

// `filter semi[project(scan items)](scan orders)`: operators, their subqueries, what they go over.
std::string outline(const relation& of) {
  static constexpr std::string_view names[] = {
      "unit",      "scan",        "changes",   "values",       "function",   "rename", "inner_join",
      "left_join", "right_join",  "full_join", "filter",       "aggregate",  "window", "project",
      "distinct",  "distinct_on", "union",     "intersection", "difference", "sort",   "limit"};
  std::string out(names[static_cast<std::size_t>(of.kind)]);
  if (!of.alias.empty()) out += fmt::format(" {}", of.alias);
  for (const expression& one : of.expressions) out += outline(one);
  if (of.input == nullptr) return out;
  out += "(" + outline(*of.input);
  return out + (of.right == nullptr ? ")" : ", " + outline(*of.right) + ")");
}

TEST(Algebra, HasAnOperatorForEachPartOfAQuery) {
  const std::pair<const char*, const char*> cases[] = {
      {"SELECT 1 AS one", "project(unit)"},
      {"VALUES (1), (2)", "values"},
      {"SELECT id FROM orders WHERE amount > 1 ORDER BY id LIMIT 3",
       "limit(sort(project(filter(scan orders))))"},
      {"SELECT o.id FROM orders o, customers c LEFT JOIN items i ON i.order_id = c.id",
       "project(inner_join(scan o, left_join(scan c, scan i)))"},
      {"SELECT a.id FROM orders a RIGHT JOIN orders b USING (id) FULL JOIN orders c USING (id)",
       "project(full_join(right_join(scan a, scan b), scan c))"},
      {"SELECT country, count(*) FROM customers WHERE id > 1 GROUP BY country HAVING count(*) > 1",
       "project(filter(aggregate(filter(scan customers))))"},
      {"SELECT sum(amount) FROM orders", "project(aggregate(scan orders))"},
      {"SELECT DISTINCT name FROM customers", "distinct(project(scan customers))"},
      {"SELECT DISTINCT ON (customer_id) id FROM orders ORDER BY customer_id, id",
       "sort(distinct_on(project(scan orders)))"},
      {"SELECT id, sum(amount) OVER (PARTITION BY customer_id) FROM orders",
       "project(window(scan orders))"},
      {"SELECT id FROM orders UNION ALL (SELECT id FROM customers EXCEPT VALUES (1))",
       "union(project(scan orders), difference(project(scan customers), values))"},
      {"SELECT q.n FROM (SELECT id AS n FROM orders) q, generate_series(1, 2) AS g(n)",
       "project(inner_join(rename q(project(scan orders)), function g))"},
  };
  for (const auto& [sql, shape] : cases) {
    const store::query_facts facts = shop(sql);
    EXPECT_EQ(outline(derived(facts).whole()), shape) << sql;
  }
}

TEST(Algebra, TellsWhatASubqueryDoesToTheRow) {
  const std::string inner = "(SELECT 1 FROM items i WHERE i.order_id = o.id)";
  const std::string some = "(SELECT order_id FROM items i)";
  const auto filter = [](const std::string& kind, const std::string& query) {
    return fmt::format("project(filter {}[{}](scan o))", kind, query);
  };
  const std::string correlated = "project(filter(scan i))";
  const std::string plain = "project(scan i)";
  const std::pair<std::string, std::string> cases[] = {
      {"EXISTS " + inner, filter("semi", correlated)},
      {"o.amount > 1 AND o.id IN " + some, filter("semi", plain)},
      {"NOT EXISTS " + inner, filter("anti", correlated)},
      {"o.id NOT IN " + some, filter("anti", plain)},
      {"o.amount > 1 OR EXISTS " + inner, filter("mark", correlated)},
      {"o.id > ALL " + some, filter("mark", plain)},
      {"o.amount > " + inner, filter("scalar", correlated)},
  };
  for (const auto& [where, shape] : cases) {
    const store::query_facts facts = shop("SELECT o.id FROM orders o WHERE " + where);
    EXPECT_EQ(outline(derived(facts).whole()), shape) << where;
  }
  // A row of the preserved side is there whatever ON says.
  const std::string on = "customers c ON EXISTS " + inner;
  const store::query_facts inner_join = shop("SELECT o.id FROM orders o JOIN " + on);
  EXPECT_EQ(outline(derived(inner_join).whole()),
            "project(inner_join semi[project(filter(scan i))](scan o, scan c))");
  const store::query_facts outer_join = shop("SELECT o.id FROM orders o LEFT JOIN " + on);
  EXPECT_EQ(outline(derived(outer_join).whole()),
            "project(left_join mark[project(filter(scan i))](scan o, scan c))");
}

TEST(Algebra, KnowsThePartitionsOfNamedWindows) {
  const store::query_facts facts = shop(
      "SELECT id, sum(amount) OVER (w ORDER BY id), count(*) OVER () FROM orders "
      "WINDOW v AS (PARTITION BY customer_id, placed), w AS (v)");
  const derived query(facts);
  const relation* window = parts_of(query.whole()).window;
  ASSERT_NE(window, nullptr);
  ASSERT_EQ(window->partitions.size(), 2U);
  ASSERT_EQ(window->partitions[0].size(), 2U);
  EXPECT_EQ(print(window->partitions[0][1]), "orders.placed");
  EXPECT_TRUE(window->partitions[1].empty());
}

// Whether it is a query that can be derived at all.
bool expect_printed_as_it_was(const store::query_facts& facts) {
  try {
    derived query(facts);
    EXPECT_EQ(print(statement_of(query.memory, query.whole())), print(query.query.tree));
    return true;
  } catch (const not_incremental&) {
    return false;
  }
}

TEST(Algebra, PrintsTheQueriesOfTheExplainTestAsTheyWere) {
  std::ifstream file(std::string(MATVIEW_TEST_DATA) + "/explain_shapes.txt");
  int printed = 0;
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with("=== ")) continue;
    const std::string name = line;
    std::getline(file, line);
    SCOPED_TRACE(name);
    printed += expect_printed_as_it_was(shop(line)) ? 1 : 0;
  }
  EXPECT_GE(printed, 24);
}

// What a trial's view is to the compiler.
store::query_facts facts_of(const trial::schema& tables, const trial::view_under_trial& view) {
  store::query_facts out;
  out.aggregates = aggregate_names;
  for (const trial::table& one : tables.tables) {
    std::vector<std::string> columns;
    for (const trial::column& column : one.columns) columns.push_back(column.name);
    add(out, table(one.name, columns, one.key));
  }
  for (const trial::definition& one : view.underneath) {
    store::table_facts below = table(one.name, trial::output_names(one.body), {});
    if (!one.materialized) below.kind = 'v';
    below.query = with_schemas(out, trial::to_sql(one.body));
    add(out, std::move(below));
  }
  out.query = with_schemas(out, trial::to_sql(view.body));
  return out;
}

constexpr int trial_queries = 400;

// How many of the trial's queries `check` is true for.
template <class Check>
int count_trial_queries(const Check& check) {
  trial::dice choose(1);
  constexpr int schemas = 10;
  int out = 0;
  for (int round = 0; round < schemas; ++round) {
    const trial::schema tables = trial::make_schema(choose);
    trial::query_generator generator(tables, choose);
    for (int i = 0; i < trial_queries / schemas; ++i) {
      const trial::view_under_trial view = generator.next(fmt::format("v{}", i));
      const store::query_facts facts = facts_of(tables, view);
      SCOPED_TRACE(facts.query);
      out += check(facts) ? 1 : 0;
    }
  }
  return out;
}

TEST(Algebra, PrintsTheQueriesOfTheTrialAsTheyWere) {
  EXPECT_GT(count_trial_queries(expect_printed_as_it_was), trial_queries * 9 / 10);
}

std::vector<store::column_facts> integer_columns(const std::vector<std::string>& names) {
  std::vector<store::column_facts> out;
  for (const std::string& one : names) {
    out.push_back({.name = one, .type = "integer", .hashable = true});
  }
  return out;
}

// The answer of a server for which everything is an integer.
std::vector<store::column_facts> types_of(const std::string& query) {
  arena memory;
  std::vector<std::string> names;
  const select_statement* tree = parse_query(memory, query);
  while (tree->larg != nullptr) tree = tree->larg;
  for (std::size_t i = 0; i < tree->n_target_list; ++i) {
    const PgQuery__ResTarget* target = res_target(tree->target_list[i]);
    const PgQuery__ColumnRef* column = column_ref(target->val);
    const bool named = std::string_view(target->name).empty() && column != nullptr;
    names.emplace_back(named ? string_of(column->fields[column->n_fields - 1]) : target->name);
  }
  return integer_columns(names);
}

compile_result compile_here(store::query_facts& facts) {
  const derived query(facts);
  facts.output = integer_columns(column_names(query.whole()));
  compile_input input{.facts = facts, .parts = {}};
  compile_result out = compile(input);
  while (const auto* wanted = std::get_if<needs_types>(&out)) {
    input.types[wanted->query] = types_of(wanted->query);
    out = compile(input);
  }
  return out;
}

// Whether it can be compiled.
bool expect_each_operator_told(store::query_facts facts) {
  try {
    const compile_result result = compile_here(facts);
    const auto* view = std::get_if<compiled_view>(&result);
    if (view == nullptr) return false;
    std::size_t tables = 0;
    int deepest = -1;
    for (const explained_operator& one : view->operators) {
      EXPECT_LE(one.depth, deepest + 1) << one.what;
      deepest = one.depth;
      EXPECT_FALSE(one.what.empty());
      EXPECT_FALSE(one.why.empty()) << one.what;
      if (!one.what.starts_with("table ")) continue;
      ++tables;
      EXPECT_EQ(one.mechanism, view->mechanism == "L" ? "L" : "K") << one.what;
    }
    EXPECT_EQ(tables, derived(facts).query.scans.size());
    return true;
  } catch (const not_incremental&) {
    return false;
  }
}

TEST(Explain, TellsOfEachOperatorWithItsMechanism) {
  EXPECT_GT(count_trial_queries(expect_each_operator_told), trial_queries / 3);
}

}  // namespace
}  // namespace matview::incremental
