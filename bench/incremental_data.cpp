#include "incremental_data.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace matview::bench {

namespace {

// Numbers that look like chance: g times an odd constant, modulo a prime.
constexpr std::string_view pgbench_sql = R"(
CREATE TABLE {0}.pgbench_branches (bid int PRIMARY KEY, bbalance int NOT NULL, filler char(88));
INSERT INTO {0}.pgbench_branches SELECT g, g * 10, '' FROM generate_series(1, 10) g;
CREATE TABLE {0}.pgbench_kiosks (kid int PRIMARY KEY, kbalance int NOT NULL);
INSERT INTO {0}.pgbench_kiosks SELECT g, g * 10 FROM generate_series(1, {1} / 100) g;
CREATE TABLE {0}.pgbench_accounts (aid int PRIMARY KEY, bid int NOT NULL, kid int NOT NULL,
  abalance int NOT NULL, filler char(84));
INSERT INTO {0}.pgbench_accounts
  SELECT g, 1 + (g - 1) * 10 / {1}, 1 + g * 7919 % ({1} / 100), g * 48271 % 1999993 - 1000000, ''
    FROM generate_series(1, {1}::bigint) g;
CREATE INDEX ON {0}.pgbench_accounts (kid);
CREATE SEQUENCE {0}.next_account START {2};
ANALYZE {0}.pgbench_branches, {0}.pgbench_kiosks, {0}.pgbench_accounts;
)";

constexpr std::string_view tpch_sql = R"(
CREATE TABLE {0}.region (r_regionkey int PRIMARY KEY, r_name text NOT NULL);
INSERT INTO {0}.region SELECT g, 'REGION ' || g FROM generate_series(0, 4) g;
CREATE TABLE {0}.nation (n_nationkey int PRIMARY KEY, n_name text NOT NULL,
  n_regionkey int NOT NULL);
INSERT INTO {0}.nation SELECT g, 'NATION ' || g, g % 5 FROM generate_series(0, 24) g;
CREATE TABLE {0}.supplier (s_suppkey int PRIMARY KEY, s_nationkey int NOT NULL);
INSERT INTO {0}.supplier SELECT g, g / 3 % 25 FROM generate_series(1, {1} / 600) g;
CREATE TABLE {0}.customer (c_custkey int PRIMARY KEY, c_name text NOT NULL,
  c_nationkey int NOT NULL, c_mktsegment text NOT NULL);
INSERT INTO {0}.customer SELECT g, 'Customer#' || g, g / 7 % 25,
    (ARRAY['AUTOMOBILE', 'BUILDING', 'FURNITURE', 'HOUSEHOLD', 'MACHINERY'])[1 + g * 13 % 5]
  FROM generate_series(1, {1} / 40) g;
CREATE TABLE {0}.orders (o_orderkey int PRIMARY KEY, o_custkey int NOT NULL,
  o_orderdate date NOT NULL, o_shippriority int NOT NULL, o_totalprice numeric(15,2) NOT NULL);
INSERT INTO {0}.orders SELECT g, 1 + g * 7919 % ({1} / 40), date '1992-01-01' + (g * 31 % 2400)::int,
    0, (g * 48271 % 49999991) / 100.0
  FROM generate_series(1, {1}::bigint / 4) g;
CREATE INDEX ON {0}.orders (o_custkey);
CREATE TABLE {0}.lineitem (l_orderkey int NOT NULL, l_linenumber int NOT NULL,
  l_suppkey int NOT NULL, l_quantity numeric(15,2) NOT NULL,
  l_extendedprice numeric(15,2) NOT NULL, l_discount numeric(15,2) NOT NULL,
  l_tax numeric(15,2) NOT NULL, l_returnflag "char" NOT NULL, l_linestatus "char" NOT NULL,
  l_shipdate date NOT NULL);
INSERT INTO {0}.lineitem SELECT 1 + (g - 1) / 4, 1 + (g - 1) % 4, 1 + g * 7919 % ({1} / 600),
    1 + g * 31 % 50, (g * 48271 % 9999991) / 100.0, (g * 17 % 11) / 100.0, (g * 19 % 9) / 100.0,
    (ARRAY['A', 'N', 'R'])[1 + g * 23 % 3]::"char", (ARRAY['F', 'O'])[1 + g * 29 % 2]::"char",
    date '1992-01-01' + (g * 37 % 2500)::int
  FROM generate_series(1, {1}::bigint) g;
ALTER TABLE {0}.lineitem ADD PRIMARY KEY (l_orderkey, l_linenumber);
CREATE SEQUENCE {0}.next_order START {2};
CREATE SEQUENCE {0}.next_line START 5;
ANALYZE {0}.region, {0}.nation, {0}.supplier, {0}.customer, {0}.orders, {0}.lineitem;
)";

constexpr std::string_view flights_sql = R"(
CREATE TABLE {0}.flights (id int PRIMARY KEY, date timestamp NOT NULL, delay int NOT NULL,
  distance int NOT NULL, origin text NOT NULL, destination text NOT NULL);
INSERT INTO {0}.flights SELECT g, timestamp '2001-01-01' + g * 97 % 525600 * interval '1 minute',
    g * 48271 % 20011 / 10 - 60, 100 + g * 31 % 2500, 'A' || g * 7919 % 225, 'A' || (g * 7919 % 225 * 7 + g / 225 % 20) % 225
  FROM generate_series(1, {1}::bigint) g;
CREATE INDEX ON {0}.flights (origin, destination);
CREATE SEQUENCE {0}.next_flight START {2};
ANALYZE {0}.flights;
)";

// One statement a message: each of them is a transaction, as a writer's would be.
struct changes {
  std::string_view table;
  std::string_view key;
  std::string_view update;
  std::string_view insert;
};

changes changes_of(data_set set) {
  switch (set) {
    case data_set::pgbench:
      return {"pgbench_accounts", "aid", "abalance = t.abalance + 17",
              "SELECT nextval('{0}.next_account'), 1 + g % 10, "
              "1 + g * 7919 % (SELECT count(*) FROM {0}.pgbench_kiosks), "
              "floor(random() * 1999993)::int - 1000000, '' FROM generate_series(1, {1}) g"};
    case data_set::lineitem:
      return {
          "lineitem", "l_orderkey, l_linenumber",
          "l_quantity = t.l_quantity % 50 + 1, l_extendedprice = t.l_extendedprice + 1",
          "SELECT o.o_orderkey, nextval('{0}.next_line'), 1 + floor(random() * (SELECT count(*) "
          "FROM {0}.supplier))::int, 7, 99.90, 0.05, 0.02, 'N', 'O', date '1996-05-05' "
          "FROM (SELECT 1 + floor(random() * (SELECT count(*) FROM {0}.orders))::int AS k "
          "FROM generate_series(1, {1})) p JOIN {0}.orders o ON o.o_orderkey = p.k"};
    case data_set::orders:
      return {"orders", "o_orderkey", "o_totalprice = t.o_totalprice + 1",
              "SELECT nextval('{0}.next_order'), 1 + floor(random() * (SELECT count(*) FROM "
              "{0}.customer))::int, date '1996-05-05', 0, (random() * 490000)::numeric(15,2) "
              "FROM generate_series(1, {1}) g"};
    case data_set::flights:
      break;
  }
  return {
      "flights", "id", "delay = t.delay + 3",
      "SELECT nextval('{0}.next_flight'), timestamp '2001-06-01' + g % 1000 * interval '1 hour', "
      "g % 1900 - 60, 500, 'A' || o, 'A' || (o * 7 + d) % 225 FROM (SELECT g, floor(random() * "
      "225)::int AS o, floor(random() * 20)::int AS d FROM generate_series(1, {1}) g) x"};
}

}  // namespace

long data_sizes::rows(data_set of) const {
  switch (of) {
    case data_set::pgbench:
      return accounts;
    case data_set::lineitem:
      return lineitems;
    case data_set::orders:
      return lineitems / 4;
    case data_set::flights:
      break;
  }
  return flights;
}

std::string_view name_of(data_set set) {
  switch (set) {
    case data_set::pgbench:
      return "pgbench";
    case data_set::lineitem:
      return "lineitem";
    case data_set::orders:
      return "orders";
    case data_set::flights:
      break;
  }
  return "flights";
}

void make_tables(PGconn* on, const std::string& schema, data_set set, const data_sizes& sizes) {
  const std::string_view sql = set == data_set::pgbench   ? pgbench_sql
                               : set == data_set::flights ? flights_sql
                                                          : tpch_sql;
  const long rows = set == data_set::orders ? sizes.lineitems : sizes.rows(set);
  execute(on, fmt::format(fmt::runtime(sql), schema, rows, 2 * rows));
  for (const std::string& table : changed_tables(schema, set)) execute(on, "VACUUM " + table);
}

void change_rows(PGconn* on, const std::string& schema, data_set set, long rows) {
  const changes what = changes_of(set);
  const std::string table = fmt::format("{}.{}", schema, what.table);
  const long updated = std::max(1L, rows / 2);
  const long deleted = rows / 4;
  // Enough of them, wherever they are in the file; then as many as are wanted.
  execute(on, fmt::format(
                  "DROP TABLE IF EXISTS pg_temp.picked; CREATE TEMP TABLE picked AS SELECT p.*, "
                  "row_number() OVER () AS place FROM (SELECT {0} FROM {1} "
                  "WHERE random() < 1.5 * {2} / (SELECT greatest(reltuples, 1) FROM pg_class "
                  "WHERE oid = '{1}'::regclass) ORDER BY random() LIMIT {2}) p; ANALYZE picked",
                  what.key, table, std::max(20L, updated + deleted)));
  execute(on, fmt::format("UPDATE {0} t SET {1} FROM picked p WHERE ({2}) = ({3}) AND place <= {4}",
                          table, what.update,
                          set == data_set::lineitem ? "t.l_orderkey, t.l_linenumber"
                                                    : fmt::format("t.{}", what.key),
                          set == data_set::lineitem ? "p.l_orderkey, p.l_linenumber"
                                                    : fmt::format("p.{}", what.key),
                          updated));
  if (deleted > 0) {
    execute(on, fmt::format("DELETE FROM {0} t USING picked p WHERE ({1}) = ({2}) AND place > {3} "
                            "AND place <= {4}",
                            table,
                            set == data_set::lineitem ? "t.l_orderkey, t.l_linenumber"
                                                      : fmt::format("t.{}", what.key),
                            set == data_set::lineitem ? "p.l_orderkey, p.l_linenumber"
                                                      : fmt::format("p.{}", what.key),
                            updated, updated + deleted));
    execute(on, fmt::format("INSERT INTO {} ", table) +
                    fmt::format(fmt::runtime(what.insert), schema, deleted));
  }
  if (set == data_set::lineitem && rows >= 40) {
    execute(on, fmt::format(
                    "UPDATE {0}.orders o SET o_orderdate = o.o_orderdate + 1 FROM (SELECT "
                    "DISTINCT l_orderkey AS k FROM (SELECT l_orderkey FROM picked LIMIT {1}) x) p "
                    "WHERE o.o_orderkey = p.k",
                    schema, rows / 40));
  }
}

std::vector<std::string> changed_tables(const std::string& schema, data_set set) {
  std::vector<std::string> out{fmt::format("{}.{}", schema, changes_of(set).table)};
  if (set == data_set::lineitem) out.push_back(schema + ".orders");
  return out;
}

}  // namespace matview::bench
