// The questions of TPC-H as incremental views: which can be ones, and that they stay right. A run
// is repeated with MATVIEW_TRIAL_SEED, which it prints.
#include "pg/tpch_data.hpp"
#include "pg/tpch_queries.hpp"
#include "pg/views_fixture.hpp"
#include "trial/seed.hpp"
#include <matview/incremental.hpp>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cstddef>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace matview::test {

namespace {

// How each is maintained while the tables are small; the others are refused.
const std::map<int, std::string> mechanisms{{1, "L"},  {2, "K"},  {3, "L"},  {4, "K"},  {5, "L"},
                                            {6, "L"},  {7, "L"},  {8, "L"},  {9, "L"},  {10, "L"},
                                            {12, "L"}, {13, "D"}, {14, "L"}, {16, "K"}, {17, "D"},
                                            {18, "K"}, {19, "L"}, {20, "K"}, {21, "D"}};

// What the refused ones compare with: a value from all rows of a subquery.
const std::map<int, std::string> uncorrelated{
    {11, "(SELECT sum(ps_supplycost"}, {15, "(SELECT max(total_revenue)"}, {22, "(SELECT avg("}};

std::string view_of(int question) {
  return fmt::format("q{}", question);
}

const std::string& sql_of(int question) {
  return tpch_questions().at(static_cast<std::size_t>(question) - 1).sql;
}

class Tpch : public views_test {
 protected:
  Tpch() : dice(trial::seed()) { make_tpch(db); }

  void create_all() {
    for (const auto& [question, mechanism] : mechanisms) {
      const refresh_report made =
          create_matview(view_of(question), sql_of(question), {.kind = view_kind::incremental});
      EXPECT_TRUE(made.incremental) << question;
    }
  }

  // Rows that only one of both has, with the place at which it has them, on one snapshot.
  std::string difference(const std::string& view, const std::string& sql) {
    const rows found = db.query(fmt::format(
        "WITH wanted AS (SELECT row_number() OVER () AS place, q.* FROM ({1}) AS q), "
        "shown AS (SELECT row_number() OVER () AS place, v.* FROM {0} AS v) "
        "SELECT 'missing', m::text FROM (TABLE wanted EXCEPT ALL TABLE shown) AS m UNION ALL "
        "SELECT 'unexpected', m::text FROM (TABLE shown EXCEPT ALL TABLE wanted) AS m LIMIT 10",
        view, sql));
    std::string text;
    for (const auto& row : found) text += fmt::format("{}\n", fmt::join(row, " "));
    return text;
  }

  std::string contents(int question) {
    return db.query_one(
        fmt::format("SELECT md5(string_agg(v::text, ';')) FROM {} AS v", view_of(question)));
  }

  // Writes, refreshes and compares; how many refreshes did what.
  std::map<refresh_mode, int> rounds(int count) {
    std::map<refresh_mode, int> done;
    std::set<int> changed;
    for (int round = 0; round < count; ++round) {
      change_tpch(db, dice, static_cast<std::size_t>(round) % 8 + 1);
      for (const auto& [question, mechanism] : mechanisms) {
        const std::string before = contents(question);
        const refresh_report report = refresh_matview(view_of(question));
        ++done[report.mode];
        // No change of so few rows is too large, but for L changes of many tables at once are.
        const bool many_tables = mechanism == "L" && contains(report.reason, "tables have changed");
        EXPECT_TRUE(report.mode == refresh_mode::incremental || report.mode == refresh_mode::none ||
                    many_tables)
            << question << ": " << to_string(report.mode) << ", " << report.reason;
        EXPECT_EQ(difference(view_of(question), sql_of(question)), "")
            << question << " in round " << round << ": " << to_string(report.mode);
        if (contents(question) != before) changed.insert(question);
      }
    }
    // Else nothing would have been compared.
    EXPECT_GE(changed.size(), 15U) << fmt::format("{}", fmt::join(changed, ", "));
    return done;
  }

  trial::dice dice;
};

TEST_F(Tpch, NineteenOfTheTwentyTwoQuestionsCanBeIncremental) {
  std::set<int> refused;
  for (const tpch_question& one : tpch_questions()) {
    EXPECT_NE(db.query_one(fmt::format("SELECT count(*) FROM ({}) AS q", one.sql)), "0")
        << one.number;
    const matview_explanation told = explain_query(one.sql);
    if (told.mechanism.empty()) {
      refused.insert(one.number);
      ASSERT_EQ(told.obstacles.size(), 1U);
      EXPECT_EQ(told.obstacles.front().construct, "uncorrelated_subquery") << one.number;
      EXPECT_EQ(told.obstacles.front().position, one.sql.find(uncorrelated.at(one.number)) + 1)
          << one.number;
      continue;
    }
    EXPECT_EQ(told.mechanism, mechanisms.at(one.number)) << one.number;
  }
  EXPECT_EQ(refused, (std::set<int>{11, 15, 22}));
}

TEST_F(Tpch, AnswersStayRightWhateverIsWritten) {
  create_all();
  std::map<refresh_mode, int> done = rounds(16);
  EXPECT_GT(done[refresh_mode::incremental], 8 * done[refresh_mode::full]);
}

// As of tables that the planner takes for large when the views are made: then groups of rows that
// are no mere join are summed up from changes as well.
TEST_F(Tpch, AnswersStayRightInLargeGroups) {
  db.execute(
      "UPDATE pg_class SET reltuples = reltuples * 10000 "
      "WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'");
  create_all();
  for (const auto& [question, mechanism] : mechanisms) {
    EXPECT_EQ(explain_matview(view_of(question)).mechanism, question == 4 ? "D" : mechanism)
        << question;
  }
  db.execute("ANALYZE");
  std::map<refresh_mode, int> done = rounds(16);
  EXPECT_GT(done[refresh_mode::incremental], 8 * done[refresh_mode::full]);
}

struct made_of {
  int question;
  std::vector<std::pair<const char*, const char*>> views;  // Incremental ones, by name.
  const char* over_them;
};

// What the refusal advises, as docs/incremental.md shows it.
const std::vector<made_of> taken_apart{
    {11,
     {{"part_values",
       "SELECT ps_partkey, sum(ps_supplycost * ps_availqty) AS value "
       "FROM partsupp, supplier, nation WHERE ps_suppkey = s_suppkey "
       "AND s_nationkey = n_nationkey AND n_name = 'GERMANY' GROUP BY ps_partkey"},
      {"least_value",
       "SELECT sum(ps_supplycost * ps_availqty) * 0.0001 AS value "
       "FROM partsupp, supplier, nation WHERE ps_suppkey = s_suppkey "
       "AND s_nationkey = n_nationkey AND n_name = 'GERMANY'"}},
     "SELECT p.* FROM part_values AS p, least_value AS l WHERE p.value > l.value "
     "ORDER BY p.value DESC, ps_partkey"},
    {15,
     {{"revenue",
       "SELECT l_suppkey AS supplier_no, sum(l_extendedprice * (1 - l_discount)) AS total_revenue "
       "FROM lineitem WHERE l_shipdate >= date '1996-01-01' "
       "AND l_shipdate < date '1996-01-01' + interval '3' month GROUP BY l_suppkey"},
      {"supplier_revenue",
       "SELECT s_suppkey, s_name, s_address, s_phone, total_revenue "
       "FROM supplier, revenue WHERE s_suppkey = supplier_no"}},
     "SELECT * FROM supplier_revenue "
     "WHERE total_revenue = (SELECT max(total_revenue) FROM revenue) ORDER BY s_suppkey"},
    {22,
     {{"without_orders",
       "SELECT c_custkey, substring(c_phone FROM 1 FOR 2) AS cntrycode, c_acctbal FROM customer "
       "WHERE substring(c_phone FROM 1 FOR 2) IN ('13', '31', '23', '29', '30', '18', '17') "
       "AND NOT EXISTS (SELECT * FROM orders WHERE o_custkey = c_custkey)"},
      {"average",
       "SELECT avg(c_acctbal) AS acctbal FROM customer WHERE c_acctbal > 0.00 "
       "AND substring(c_phone FROM 1 FOR 2) IN ('13', '31', '23', '29', '30', '18', '17')"}},
     "SELECT cntrycode, count(*) AS numcust, sum(c_acctbal) AS totacctbal "
     "FROM without_orders, average WHERE c_acctbal > acctbal "
     "GROUP BY cntrycode ORDER BY cntrycode"},
};

TEST_F(Tpch, TheOtherThreeAreTwoViewsEachAndAPlainOneOverThem) {
  for (const made_of& one : taken_apart) {
    for (const auto& [name, sql] : one.views) {
      EXPECT_TRUE(create_matview(name, sql, {.kind = view_kind::incremental}).incremental) << name;
    }
    db.execute(fmt::format("CREATE VIEW {} AS {}", view_of(one.question), one.over_them));
  }
  for (int round = 0; round < 10; ++round) {
    change_tpch(db, dice, static_cast<std::size_t>(dice.between(1, 8)));
    for (const refresh_report& done : refresh_together({})) {
      EXPECT_TRUE(done.mode == refresh_mode::incremental || done.mode == refresh_mode::none)
          << done.view << ": " << done.reason;
    }
    for (const made_of& one : taken_apart) {
      EXPECT_EQ(difference(view_of(one.question), sql_of(one.question)), "") << one.question;
    }
  }
}

}  // namespace

}  // namespace matview::test
