#include "incremental_views.hpp"

namespace matview::bench {

// Goals are the design's figures for the same view with one statement a refresh, and never below
// the least of any view, which is the goal where the design has no figure.
const std::vector<bench_query>& bench_queries() {
  static const std::vector<bench_query> all{
      {.name = "agg10",
       .of = data_set::pgbench,
       .sql = "SELECT b.bid, count(*) AS n, sum(a.abalance) AS total, avg(a.abalance) AS mean, "
              "min(a.abalance) AS least, max(a.abalance) AS most FROM {0}.pgbench_accounts a "
              "JOIN {0}.pgbench_branches b ON b.bid = a.bid GROUP BY b.bid",
       .key = "bid",
       .goals = {{0.01, 45.4}, {0.1, 38.7}, {1, 7.5}, {5, never_slower}, {10, never_slower}}},
      {.name = "agg10k",
       .of = data_set::pgbench,
       .sql = "SELECT k.kid, count(*) AS n, sum(a.abalance) AS total, avg(a.abalance) AS mean, "
              "min(a.abalance) AS least, max(a.abalance) AS most FROM {0}.pgbench_accounts a "
              "JOIN {0}.pgbench_kiosks k ON k.kid = a.kid GROUP BY k.kid",
       .key = "kid",
       .goals = {{0.01, 77.6}, {0.1, 26.4}, {1, 4.0}, {5, never_slower}, {10, never_slower}}},
      {.name = "join",
       .of = data_set::pgbench,
       .sql = "SELECT a.aid, a.bid, a.abalance, b.bbalance FROM {0}.pgbench_accounts a "
              "JOIN {0}.pgbench_branches b ON b.bid = a.bid",
       .key = "aid",
       .goals = {{0.01, 247}, {0.1, 63.5}, {1, 8.5}, {5, never_slower}, {10, never_slower}},
       .concurrently_goal = 600,
       .rebuild_goal = true},
      {.name = "q1",
       .of = data_set::lineitem,
       .sql = "SELECT l_returnflag, l_linestatus, sum(l_quantity) AS sum_qty, "
              "sum(l_extendedprice) AS sum_base_price, "
              "sum(l_extendedprice * (1 - l_discount)) AS sum_disc_price, "
              "sum(l_extendedprice * (1 - l_discount) * (1 + l_tax)) AS sum_charge, "
              "avg(l_quantity) AS avg_qty, avg(l_extendedprice) AS avg_price, "
              "avg(l_discount) AS avg_disc, count(*) AS n FROM {0}.lineitem "
              "WHERE l_shipdate <= date '1998-09-02' GROUP BY l_returnflag, l_linestatus",
       .key = "l_returnflag, l_linestatus",
       .goals = {{0.01, 278.5}, {0.1, 93.4}, {1, 13.0}, {5, never_slower}, {10, never_slower}}},
      {.name = "q3",
       .of = data_set::lineitem,
       .sql = "SELECT l.l_orderkey, o.o_orderdate, o.o_shippriority, "
              "sum(l.l_extendedprice * (1 - l.l_discount)) AS revenue FROM {0}.customer c "
              "JOIN {0}.orders o ON o.o_custkey = c.c_custkey "
              "JOIN {0}.lineitem l ON l.l_orderkey = o.o_orderkey "
              "WHERE c.c_mktsegment = 'BUILDING' "
              "GROUP BY l.l_orderkey, o.o_orderdate, o.o_shippriority",
       .key = "l_orderkey, o_orderdate, o_shippriority",
       .goals = {{0.01, 143.9}, {0.1, 27.6}, {1, 6.5}, {5, never_slower}, {10, never_slower}}},
      {.name = "q5",
       .of = data_set::lineitem,
       .sql = "SELECT n.n_name, sum(l.l_extendedprice * (1 - l.l_discount)) AS revenue, "
              "count(*) AS n FROM {0}.customer c JOIN {0}.orders o ON o.o_custkey = c.c_custkey "
              "JOIN {0}.lineitem l ON l.l_orderkey = o.o_orderkey "
              "JOIN {0}.supplier s ON s.s_suppkey = l.l_suppkey "
              "AND s.s_nationkey = c.c_nationkey JOIN {0}.nation n "
              "ON n.n_nationkey = s.s_nationkey JOIN {0}.region r "
              "ON r.r_regionkey = n.n_regionkey GROUP BY n.n_name",
       .key = "n_name",
       .goals = {{0.01, 123.5}, {0.1, 30.8}, {1, 6.1}, {5, never_slower}, {10, never_slower}}},
      {.name = "left",
       .of = data_set::orders,
       .sql = "SELECT c.c_custkey, c.c_name, count(o.o_orderkey) AS n, "
              "sum(o.o_totalprice) AS total FROM {0}.customer c LEFT JOIN {0}.orders o "
              "ON o.o_custkey = c.c_custkey GROUP BY c.c_custkey, c.c_name",
       .key = "c_custkey",
       .goals = {{0.01, 95.7}, {0.1, 26.0}, {1, 4.5}, {5, never_slower}, {10, never_slower}}},
      {.name = "top3",
       .of = data_set::orders,
       .sql = "SELECT o_custkey, o_orderkey, o_totalprice, place FROM (SELECT o_custkey, "
              "o_orderkey, o_totalprice, row_number() OVER (PARTITION BY o_custkey "
              "ORDER BY o_totalprice DESC, o_orderkey) AS place FROM {0}.orders) ranked "
              "WHERE place <= 3",
       .key = "o_custkey, place",
       .goals = {{0.01, 125}, {0.1, 26.0}, {1, 4.0}, {5, never_slower}, {10, never_slower}}},
      {.name = "flights",
       .of = data_set::flights,
       .sql = "SELECT origin, destination, count(*) AS n, sum(delay) AS delays, "
              "avg(delay) AS mean, max(delay) AS worst, sum(distance) AS far "
              "FROM {0}.flights GROUP BY origin, destination",
       .key = "origin, destination",
       .goals = {{0.01, 45}, {0.1, 26}, {1, 4}, {5, never_slower}, {10, never_slower}}},
  };
  return all;
}

}  // namespace matview::bench
