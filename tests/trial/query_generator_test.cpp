// The generator of the trial, on a plain server: what it makes is valid SQL whose result is a
// function of the tables, and not dull.
#include "trial/query_generator.hpp"

#include "support/server.hpp"
#include "trial/connection.hpp"
#include "trial/dml_generator.hpp"
#include "trial/seed.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>

namespace matview::trial {
namespace {

void create(connection& on, const schema& tables) {
  for (const std::string& sql : tables.ddl) on.execute(sql);
  for (const std::string& sql : tables.rows) {
    try {
      on.execute(sql);
    } catch (const sql_error& refused) {
      ASSERT_EQ(refused.sqlstate(), "23505") << refused.what();
    }
  }
}

void create(connection& on, const view_under_trial& view) {
  for (const definition& one : view.underneath) {
    on.execute(fmt::format("CREATE {}VIEW {} AS {}", one.materialized ? "MATERIALIZED " : "",
                           one.name, to_sql(one.body)));
  }
  on.execute(fmt::format("CREATE VIEW {} AS {}", view.name, to_sql(view.body)));
}

rows sorted_rows(connection& on, const std::string& view) {
  rows all = on.query("SELECT * FROM " + view);
  std::ranges::sort(all);
  return all;
}

constexpr const char* other_plans =
    "SET enable_hashjoin = off; SET enable_hashagg = off; SET enable_indexscan = off; "
    "SET enable_bitmapscan = off; SET enable_material = off; SET enable_incremental_sort = off";

class QueryGenerator : public testing::Test {
 protected:
  QueryGenerator() : choose_(seed()) {}

  dice choose_;
  std::map<std::string, int> features_;
  int queries_ = 0;
  int filled_ = 0;
};

TEST_F(QueryGenerator, MakesQueriesThatRunAndAreDetermined) {
  for (int round = 0; round < 15; ++round) {
    const test::test_database db;
    connection on(db.url());
    const schema tables = make_schema(choose_);
    create(on, tables);
    on.execute("ANALYZE");
    query_generator generator(tables, choose_);
    for (int i = 0; i < 20; ++i) {
      const view_under_trial view = generator.next(fmt::format("v{}", i));
      SCOPED_TRACE(to_sql(view.body));
      try {
        create(on, view);
        const rows first = sorted_rows(on, view.name);
        on.execute(other_plans);
        EXPECT_EQ(sorted_rows(on, view.name), first) << view.shape();
        on.execute("RESET ALL");
        ++queries_;
        filled_ += first.empty() ? 0 : 1;
      } catch (const sql_error& refused) {
        ADD_FAILURE() << refused.sqlstate() << ' ' << refused.what();
      }
      for (const std::string& one : view.features) ++features_[one];
    }
  }
  EXPECT_GT(filled_ * 100, queries_ * 60) << "too many views are empty";
  fmt::print("{} queries, {} with rows\n", queries_, filled_);
  for (const auto& [name, count] : features_) fmt::print("  {:4} {}\n", count, name);
}

// What a shrinker gets: most of what it tries must be a query.
TEST_F(QueryGenerator, ShrinksToQueriesThatMostlyRun) {
  const test::test_database db;
  connection on(db.url());
  const schema tables = make_schema(choose_);
  create(on, tables);
  query_generator generator(tables, choose_);
  int tried = 0;
  int valid = 0;
  for (int i = 0; i < 30; ++i) {
    const view_under_trial view = generator.next("v");
    if (!view.underneath.empty()) continue;
    for (const query& smaller : shrinks(view.body)) {
      ++tried;
      try {
        on.execute("EXPLAIN " + to_sql(smaller));
        ++valid;
      } catch (const sql_error& refused) {
        EXPECT_EQ(std::string(refused.what()).find("syntax error"), std::string::npos)
            << refused.what();
      }
    }
  }
  EXPECT_GT(valid * 100, tried * 40) << valid << " of " << tried;
}

TEST_F(QueryGenerator, MakesTransactionsThatMostlyCommit) {
  const test::test_database db;
  connection on(db.url());
  const schema tables = make_schema(choose_);
  create(on, tables);
  dml_generator writer(tables, choose_, {.server_version = on.server_version()});
  int failed = 0;
  constexpr int transactions = 1000;
  for (int i = 0; i < transactions; ++i) {
    try {
      for (const std::string& sql : writer.next().statements) on.execute(sql);
    } catch (const sql_error& refused) {
      const std::string kind = refused.sqlstate().substr(0, 2);
      EXPECT_TRUE(kind == "23" || kind == "42" || refused.sqlstate() == "21000") << refused.what();
      EXPECT_NE(refused.sqlstate(), "42601") << refused.what();
      on.roll_back();
      ++failed;
    }
  }
  EXPECT_LT(failed * 100, transactions * 30);
  for (const table& one : tables.tables) {
    const std::string rows = on.query_one("SELECT count(*) FROM " + one.name);
    EXPECT_LT(std::stoi(rows), 600) << one.name;
  }
}

}  // namespace
}  // namespace matview::trial
