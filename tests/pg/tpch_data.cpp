#include "pg/tpch_data.hpp"

#include "pg/tpch_queries.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <numeric>
#include <utility>
#include <vector>

namespace matview::test {

namespace {

using trial::dice;
using values = std::vector<std::string>;  // Of a row, as SQL.

constexpr int suppliers = 10;
constexpr int parts = 40;
constexpr int customers = 30;
constexpr int all_orders = 150;

std::string text(std::string_view of) {
  return fmt::format("'{}'", of);
}
std::string number(int of) {
  return fmt::format("{}", of);
}
std::string money(dice& d, int low, int high) {
  const int whole = d.between(low, high);
  return fmt::format("{}.{:02}", whole, d.between(0, 99));
}
std::string word(dice& d, std::initializer_list<const char*> choices) {
  return text(d.one_of(choices));
}
// So that hardly two are the same: ORDER BY of question 2 goes by it last.
std::string name(dice& d, std::string_view of) {
  return text(fmt::format("{}#{:09}", of, d.between(0, 999'999'999)));
}

values region(dice& d) {
  return {number(d.between(0, 4)), word(d, {"AFRICA", "AMERICA", "ASIA", "EUROPE", "MIDDLE EAST"}),
          "''"};
}

struct nation_row {
  const char* name;
  int region;
};

constexpr std::array<nation_row, 25> nations{
    {{"ALGERIA", 0},      {"ARGENTINA", 1}, {"BRAZIL", 1}, {"CANADA", 1},
     {"EGYPT", 4},        {"ETHIOPIA", 0},  {"FRANCE", 3}, {"GERMANY", 3},
     {"INDIA", 2},        {"INDONESIA", 2}, {"IRAN", 4},   {"IRAQ", 4},
     {"JAPAN", 2},        {"JORDAN", 4},    {"KENYA", 0},  {"MOROCCO", 0},
     {"MOZAMBIQUE", 0},   {"PERU", 1},      {"CHINA", 2},  {"ROMANIA", 3},
     {"SAUDI ARABIA", 4}, {"VIETNAM", 2},   {"RUSSIA", 3}, {"UNITED KINGDOM", 3},
     {"UNITED STATES", 1}}};

values nation(dice& d) {
  const nation_row& one = nations.at(d.below(nations.size()));
  return {number(d.between(0, 24)), text(one.name), number(one.region), "''"};
}

// The nations that some question asks for; in India supplier and customer are to meet.
int nation_key(dice& d) {
  return d.one_of({2, 3, 6, 7, 8, 8, 20});
}

values supplier(dice& d) {
  return {number(d.between(1, suppliers + 2)),
          name(d, "Supplier"),
          name(d, "address"),
          number(nation_key(d)),
          name(d, "phone"),
          money(d, -900, 9000),
          word(d, {"fast", "careful", "Customer was told of Complaints"})};
}

values part(dice& d) {
  const std::size_t brand = d.below(4);
  const std::size_t container = d.percent(70) ? brand : d.below(4);
  constexpr std::array<const char*, 4> brands{"Brand#12", "Brand#23", "Brand#34", "Brand#45"};
  constexpr std::array<const char*, 4> containers{"SM CASE", "MED BOX", "LG PKG", "JUMBO JAR"};
  return {number(d.between(1, parts + 5)),
          word(d, {"forest green metal", "forest rose", "light green", "red"}),
          word(d, {"Manufacturer#1", "Manufacturer#2"}),
          text(brands.at(brand)),
          word(d, {"ECONOMY ANODIZED STEEL", "PROMO BURNISHED COPPER", "LARGE BRUSHED BRASS",
                   "MEDIUM POLISHED TIN"}),
          number(d.one_of({3, 9, 14, 15, 49})),
          text(containers.at(container)),
          money(d, 900, 2000),
          "''"};
}

values partsupp(dice& d) {
  return {number(d.between(1, parts)), number(d.between(1, suppliers)), number(d.between(1, 100)),
          money(d, 1, 20), "''"};
}

values customer(dice& d) {
  const int key = nation_key(d);
  return {number(d.between(1, customers + 10)),
          name(d, "Customer"),
          name(d, "address"),
          number(key),
          text(fmt::format("{}-555", d.one_of({13, 31, 23, 29, 30, 18, 17, 11}))),
          money(d, -900, 9000),
          word(d, {"BUILDING", "MACHINERY"}),
          "''"};
}

// A day in one of the spans that the questions ask for.
std::string day(dice& d) {
  static const std::vector<std::pair<const char*, int>> spans{
      {"1993-07-01", 183}, {"1994-01-01", 364}, {"1995-02-20", 50},
      {"1995-09-01", 29},  {"1996-01-01", 90},  {"1992-01-01", 2500}};
  const auto& [from, days] = d.of(spans);
  return fmt::format("date '{}' + {}", from, d.between(0, days));
}

values order(dice& d) {
  return {number(d.between(1, all_orders + 10)),
          number(d.between(1, customers - 5)),  // Some order nothing.
          word(d, {"F", "O", "P"}),
          money(d, 900, 90'000),
          day(d),
          word(d, {"1-URGENT", "2-HIGH", "3-MEDIUM", "4-NOT SPECIFIED", "5-LOW"}),
          "'clerk'",
          "0",
          word(d, {"quick", "special packages and requests"})};
}

values lineitem(dice& d) {
  const std::string ship = day(d);
  const auto [low, high] = d.one_of({std::pair(1, 10), std::pair(11, 30), std::pair(38, 50)});
  return {number(d.between(1, all_orders)),
          number(d.between(1, parts)),
          number(d.between(1, suppliers)),
          number(d.between(1, 20)),
          number(d.between(low, high)),
          money(d, 900, 90'000),
          fmt::format("0.0{}", d.between(0, 9)),
          fmt::format("0.0{}", d.between(0, 8)),
          word(d, {"R", "A", "N"}),
          word(d, {"O", "F"}),
          ship,
          fmt::format("{} + {}", ship, d.between(-10, 30)),
          fmt::format("{} + {}", ship, d.between(1, 30)),
          word(d, {"DELIVER IN PERSON", "NONE"}),
          word(d, {"AIR", "AIR REG", "MAIL", "SHIP"}),
          "''"};
}

struct table {
  const char* name;
  std::vector<const char*> columns;
  std::vector<std::size_t> key;  // Of columns.
  values (*make)(dice&);
  int at_once;  // Rows that one statement touches, at most.
};

const std::vector<table>& tables() {
  static const std::vector<table> all{
      {"region", {"r_regionkey", "r_name", "r_comment"}, {0}, region, 1},
      {"nation", {"n_nationkey", "n_name", "n_regionkey", "n_comment"}, {0}, nation, 2},
      {"supplier",
       {"s_suppkey", "s_name", "s_address", "s_nationkey", "s_phone", "s_acctbal", "s_comment"},
       {0},
       supplier,
       2},
      {"part",
       {"p_partkey", "p_name", "p_mfgr", "p_brand", "p_type", "p_size", "p_container",
        "p_retailprice", "p_comment"},
       {0},
       part,
       6},
      {"partsupp",
       {"ps_partkey", "ps_suppkey", "ps_availqty", "ps_supplycost", "ps_comment"},
       {0, 1},
       partsupp,
       10},
      {"customer",
       {"c_custkey", "c_name", "c_address", "c_nationkey", "c_phone", "c_acctbal", "c_mktsegment",
        "c_comment"},
       {0},
       customer,
       5},
      {"orders",
       {"o_orderkey", "o_custkey", "o_orderstatus", "o_totalprice", "o_orderdate",
        "o_orderpriority", "o_clerk", "o_shippriority", "o_comment"},
       {0},
       order,
       20},
      {"lineitem",
       {"l_orderkey", "l_partkey", "l_suppkey", "l_linenumber", "l_quantity", "l_extendedprice",
        "l_discount", "l_tax", "l_returnflag", "l_linestatus", "l_shipdate", "l_commitdate",
        "l_receiptdate", "l_shipinstruct", "l_shipmode", "l_comment"},
       {0, 3},
       lineitem,
       40},
  };
  return all;
}

std::string insertion(const table& into, const std::vector<values>& rows) {
  std::vector<std::string> lists;
  for (const values& row : rows) lists.push_back(fmt::format("({})", fmt::join(row, ", ")));
  return fmt::format("INSERT INTO {} VALUES {} ON CONFLICT DO NOTHING", into.name,
                     fmt::join(lists, ", "));
}

// `count` rows with the keys that `key_of` gives them.
template <class Key>
void fill(test_database& db, dice& d, const table& into, int count, const Key& key_of) {
  std::vector<values> rows;
  for (int i = 0; i < count; ++i) {
    values row = into.make(d);
    const std::vector<int> key = key_of(i);
    for (std::size_t k = 0; k < key.size(); ++k) row.at(into.key.at(k)) = number(key.at(k));
    rows.push_back(std::move(row));
  }
  db.execute(insertion(into, rows));
}

std::string key_columns(const table& of) {
  std::vector<const char*> names;
  for (const std::size_t one : of.key) names.push_back(of.columns.at(one));
  return fmt::format("{}", fmt::join(names, ", "));
}

// WHERE for some rows that stand together by their key; wherever that is, if there are any.
std::string some_rows(dice& d, const table& of, int count) {
  return fmt::format(
      "ctid = ANY (ARRAY(SELECT ctid FROM {0} ORDER BY {1} "
      "OFFSET (SELECT count(*) FROM {0}) * {2} / 1000 LIMIT {3}))",
      of.name, key_columns(of), d.between(0, 999), count);
}

std::string update_of_values(dice& d, const table& of) {
  const values fresh = of.make(d);
  std::vector<std::string> set;
  for (std::size_t i = 0; i < fresh.size(); ++i) {
    const bool key = std::find(of.key.begin(), of.key.end(), i) != of.key.end();
    if (!key && d.percent(35)) set.push_back(fmt::format("{} = {}", of.columns.at(i), fresh[i]));
  }
  const std::size_t last = fresh.size() - 2;  // Behind it are comments.
  if (set.empty()) set.push_back(fmt::format("{} = {}", of.columns.at(last), fresh.at(last)));
  return fmt::format("UPDATE {} SET {} WHERE {}", of.name, fmt::join(set, ", "),
                     some_rows(d, of, d.between(1, of.at_once)));
}

std::string update_of_key(dice& d, const table& of) {
  const values fresh = of.make(d);
  values key;
  for (const std::size_t one : of.key) key.push_back(fresh.at(one));
  const std::string columns = key_columns(of);
  return fmt::format(
      "UPDATE {0} SET ({1}) = ROW({2}) WHERE {3} "
      "AND NOT EXISTS (SELECT FROM {0} AS o WHERE ({1}) = ({2}))",
      of.name, columns, fmt::join(key, ", "), some_rows(d, of, 1));
}

void change(test_database& db, dice& d, const table& of) {
  switch (d.weighted({4, 4, 2, 2})) {
    case 0: {
      std::vector<values> rows;
      for (int i = d.between(1, of.at_once); i > 0; --i) rows.push_back(of.make(d));
      return db.execute(insertion(of, rows));
    }
    case 1:
      return db.execute(update_of_values(d, of));
    case 2:
      return db.execute(update_of_key(d, of));
    default:
      return db.execute(fmt::format("DELETE FROM {} WHERE {}", of.name,
                                    some_rows(d, of, d.between(1, (of.at_once + 1) / 2))));
  }
}

}  // namespace

void make_tpch(test_database& db) {
  constexpr std::uint64_t always = 4;  // One with which each question has an answer.
  dice d(always);
  db.execute(tpch_tables());
  const auto numbered = [](int i) { return std::vector<int>{i + 1}; };
  std::vector<values> regions;
  for (const char* one : {"AFRICA", "AMERICA", "ASIA", "EUROPE", "MIDDLE EAST"}) {
    regions.push_back({number(static_cast<int>(regions.size())), text(one), "''"});
  }
  db.execute(insertion(tables().at(0), regions));
  std::vector<values> all_nations;
  for (const nation_row& one : nations) {
    all_nations.push_back(
        {number(static_cast<int>(all_nations.size())), text(one.name), number(one.region), "''"});
  }
  db.execute(insertion(tables().at(1), all_nations));
  fill(db, d, tables().at(2), suppliers, numbered);
  fill(db, d, tables().at(3), parts, numbered);
  // Two suppliers for each part.
  fill(db, d, tables().at(4), 2 * parts, [](int i) {
    return std::vector<int>{i / 2 + 1, (i / 2 + i % 2 * 3) % suppliers + 1};
  });
  fill(db, d, tables().at(5), customers, numbered);
  fill(db, d, tables().at(6), all_orders, numbered);
  // The first six orders are large: question 18 asks for such.
  fill(db, d, tables().at(7), 500, [](int i) {
    return i < 84 ? std::vector<int>{i / 14 + 1, i % 14 + 1}
                  : std::vector<int>{(i - 84) % 144 + 7, (i - 84) / 144 + 1};
  });
  // ANALYZE once and for all: which mechanism a view gets depends on what it finds.
  for (const table& one : tables()) {
    db.execute(
        fmt::format("ALTER TABLE {0} SET (autovacuum_enabled = off); ANALYZE {0}", one.name));
  }
}

void change_tpch(test_database& db, dice& dice, std::size_t count) {
  std::vector<std::size_t> left(tables().size());
  std::iota(left.begin(), left.end(), std::size_t{0});
  while (left.size() > tables().size() - count) {
    const std::size_t place = dice.below(left.size());
    const table& one = tables().at(left.at(place));
    left.erase(left.begin() + static_cast<long>(place));
    for (int i = dice.between(1, 4); i > 0; --i) change(db, dice, one);
  }
}

}  // namespace matview::test
