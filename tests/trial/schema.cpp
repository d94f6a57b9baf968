#include "trial/schema.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace matview::trial {

namespace {

constexpr int ids = 40;  // The keys are 0 to ids - 1: a writer meets rows that are there.

column plain_column(std::string name, dice& choose) {
  static const std::vector<std::pair<std::string, value_type>> types{
      {"a", value_type::integer}, {"b", value_type::integer},  {"c", value_type::text},
      {"n", value_type::numeric}, {"x", value_type::bigint},   {"f", value_type::boolean},
      {"d", value_type::date},    {"id", value_type::integer}, {"k", value_type::integer},
      {"m", value_type::whole},   {"g", value_type::array}};
  const auto found = std::ranges::find(types, name, [](const auto& entry) { return entry.first; });
  return {.name = std::move(name), .type = found->second, .not_null = choose.percent(30)};
}

// Every table has "a": whatever two tables are drawn, they can be joined.
std::vector<column> payload(dice& choose) {
  std::vector<column> result{plain_column("a", choose)};
  for (const char* name : {"b", "c", "n", "x", "f", "d"}) {
    if (choose.percent(50)) result.push_back(plain_column(name, choose));
  }
  if (choose.percent(35)) result.push_back(plain_column("m", choose));
  if (choose.percent(15)) result.push_back(plain_column("g", choose));
  return result;
}

column key_column(std::string name) {
  return {.name = std::move(name), .type = value_type::integer, .not_null = true};
}

table with_key(dice& choose) {
  table result{.columns = payload(choose), .key = {"id"}};
  result.columns.insert(result.columns.begin(), key_column("id"));
  return result;
}

table without_key(dice& choose) {
  return {.columns = payload(choose)};
}

table with_two_keys(dice& choose) {
  table result{.columns = payload(choose), .key = {"id", "a"}};
  result.columns.front().not_null = true;
  result.columns.insert(result.columns.begin(), key_column("id"));
  return result;
}

table partitioned(dice& choose) {
  table result{.columns = payload(choose), .kind = table_kind::partitioned};
  result.columns.insert(result.columns.begin(), key_column("k"));
  if (choose.percent(60)) {
    result.columns.insert(result.columns.begin(), key_column("id"));
    result.key = {"id", "k"};
  }
  return result;
}

table with_child(dice& choose) {
  table result = choose.percent(50) ? with_key(choose) : without_key(choose);
  result.kind = table_kind::parent;
  return result;
}

std::string definition(const table& of) {
  std::vector<std::string> parts;
  for (const column& one : of.columns) {
    parts.push_back(
        fmt::format("{} {}{}", one.name, type_name(one.type), one.not_null ? " NOT NULL" : ""));
  }
  parts.push_back(fmt::format("{} int", spare_column));
  if (!of.key.empty()) parts.push_back("PRIMARY KEY (" + joined(of.key, ", ") + ")");
  return fmt::format("CREATE TABLE {} ({}){}", of.name, joined(parts, ", "),
                     of.kind == table_kind::partitioned ? " PARTITION BY RANGE (k)" : "");
}

void add_definition(schema& to, table& of) {
  to.ddl.push_back(definition(of));
  if (of.kind == table_kind::partitioned) {
    of.leaves = {of.name + "_1", of.name + "_2"};
    to.ddl.push_back(fmt::format(
        "CREATE TABLE {0}_1 PARTITION OF {0} FOR VALUES FROM (MINVALUE) TO (4)", of.name));
    to.ddl.push_back(
        fmt::format("CREATE TABLE {0}_2 PARTITION OF {0} FOR VALUES FROM (4) TO (8)", of.name));
  }
  if (of.kind == table_kind::parent) {
    of.leaves = {of.name + "_child"};
    const std::string key = of.key.empty() ? "" : "PRIMARY KEY (" + joined(of.key, ", ") + ")";
    to.ddl.push_back(fmt::format("CREATE TABLE {0}_child ({1}) INHERITS ({0})", of.name, key));
  }
}

void add_rows(schema& to, const table& of, dice& choose) {
  const int rows = choose.between(8, 28);
  for (int i = 0; i < rows; ++i) {
    const bool child = of.kind == table_kind::parent && choose.percent(40);
    to.rows.push_back(fmt::format("INSERT INTO {} ({}) VALUES {}",
                                  child ? of.leaves.front() : of.name, column_list(of),
                                  random_row(of, choose, i)));
  }
}

table draw_table(std::size_t number, dice& choose) {
  // The first two are what most queries need; the rest is the zoo.
  const std::size_t kind = number == 0   ? 0
                           : number == 1 ? 1
                                         : choose.weighted({30, 15, 15, 25, 15});
  switch (kind) {
    case 0:
      return with_key(choose);
    case 1:
      return without_key(choose);
    case 2:
      return with_two_keys(choose);
    case 3:
      return partitioned(choose);
    default:
      return with_child(choose);
  }
}

}  // namespace

const column* table::find(std::string_view wanted) const {
  const auto found = std::ranges::find(columns, wanted, &column::name);
  return found == columns.end() ? nullptr : &*found;
}

bool table::has_key_of(std::string_view column) const {
  return std::ranges::find(key, column) != key.end();
}

schema make_schema(dice& choose) {
  schema result;
  const auto count = static_cast<std::size_t>(choose.between(3, 5));
  for (std::size_t i = 0; i < count; ++i) {
    table one = draw_table(i, choose);
    one.name = fmt::format("base{}", i);
    add_definition(result, one);
    add_rows(result, one, choose);
    result.tables.push_back(std::move(one));
  }
  return result;
}

std::string attach_partition(const table& of, std::string_view partition) {
  return fmt::format("ALTER TABLE {} ATTACH PARTITION {} FOR VALUES FROM (8) TO (12)", of.name,
                     partition);
}

std::string constant(value_type type, dice& choose) {
  switch (type) {
    case value_type::integer:
      return std::to_string(choose.between(0, 7));
    case value_type::bigint:
      return fmt::format("{}::bigint", choose.between(-5, 5));
    case value_type::whole:
      return fmt::format("{}::numeric", choose.between(0, 7));
    case value_type::numeric:
    case value_type::wide:
      return fmt::format("{}.{}", choose.between(-3, 3), choose.one_of({"00", "25", "50"}));
    case value_type::text:
      return fmt::format("'{}'::text", choose.one_of({"p", "q", "pq", "", "\xc3\xa9"}));
    case value_type::boolean:
      return choose.one_of({"true", "false"});
    case value_type::date:
      return fmt::format("DATE '2024-01-0{}'", choose.between(1, 6));
    case value_type::array:
      break;
  }
  return fmt::format("'{}'::int[]", choose.one_of({"{}", "{1}", "{1,2}", "{2,NULL}"}));
}

std::string random_value(const column& of, dice& choose) {
  if (!of.not_null && choose.percent(15)) return "NULL";
  if (of.name == "id") return std::to_string(choose.between(0, ids - 1));
  return constant(of.type, choose);
}

std::string type_name(value_type type) {
  switch (type) {
    case value_type::integer:
      return "int";
    case value_type::bigint:
      return "bigint";
    case value_type::numeric:
      return "numeric(10,2)";
    case value_type::whole:
    case value_type::wide:
      return "numeric";
    case value_type::text:
      return "text";
    case value_type::boolean:
      return "bool";
    case value_type::date:
      return "date";
    case value_type::array:
      break;
  }
  return "int[]";
}

value_type wider(value_type one, value_type other) {
  using enum value_type;
  if (one == whole || other == whole) return whole;
  return one == bigint || other == bigint ? bigint : integer;
}

std::string joined(const std::vector<std::string>& parts, std::string_view between) {
  return fmt::format("{}", fmt::join(parts, between));
}

std::string column_list(const table& of) {
  std::vector<std::string> names;
  for (const column& one : of.columns) names.push_back(one.name);
  return joined(names, ", ");
}

std::string random_row(const table& of, dice& choose) {
  return random_row(of, choose, choose.between(0, ids - 1));
}

std::string random_row(const table& of, dice& choose, int key) {
  std::vector<std::string> values;
  for (const column& one : of.columns) {
    values.push_back(one.name == "id" ? std::to_string(key % ids) : random_value(one, choose));
  }
  return "(" + joined(values, ", ") + ")";
}

}  // namespace matview::trial
