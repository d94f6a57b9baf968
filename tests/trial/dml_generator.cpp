#include "trial/dml_generator.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>

namespace matview::trial {

namespace {

// Beyond this a table without a key grows no more: nothing else would hold its rows down.
constexpr int most_rows = 45;

bool is_key(const table& of, const column& one) {
  return of.has_key_of(one.name) || one.name == "k";
}

}  // namespace

std::string dml_generator::condition(const table& of) {
  const column& one = choose_.of(of.columns);
  if (one.name == "id") {
    const int low = choose_.between(0, 39);
    return fmt::format("id BETWEEN {} AND {}", low, low + choose_.between(0, 4));
  }
  if (!one.not_null && choose_.percent(15)) return one.name + " IS NULL";
  const std::string value = constant(one.type, choose_);
  if (one.type == value_type::boolean) return fmt::format("{} = {} AND a < 3", one.name, value);
  return fmt::format("{} = {}", one.name, value);
}

std::string dml_generator::assignments(const table& of) {
  std::vector<std::string> parts;
  for (const column& one : of.columns) {
    if (is_key(of, one) || !choose_.percent(45)) continue;
    const bool step = one.type == value_type::numeric && choose_.percent(40);
    parts.push_back(one.name + " = " + (step ? one.name + " + 0.25" : random_value(one, choose_)));
  }
  if (parts.empty()) {
    const column& last = of.columns.back();
    parts.push_back(last.name + " = " + random_value(last, choose_));
  }
  return joined(parts, ", ");
}

std::string dml_generator::insert(const table& into, const std::string& name) {
  std::vector<std::string> rows;
  std::set<int> used;
  for (int i = choose_.between(1, 3); i > 0; --i) {
    const int key = choose_.between(0, 39);
    // ON CONFLICT DO UPDATE must not meet a row twice.
    if (used.insert(key).second) rows.push_back(random_row(into, choose_, key));
  }
  if (into.key.empty()) {
    return fmt::format(
        "INSERT INTO {0} ({1}) SELECT * FROM (VALUES {2}) AS r ({1}) WHERE (SELECT "
        "count(*) FROM {0}) < {3}",
        name, column_list(into), joined(rows, ", "), most_rows);
  }
  return fmt::format("INSERT INTO {} ({}) VALUES {}", name, column_list(into), joined(rows, ", "));
}

std::string dml_generator::upsert(const table& into) {
  const std::string rows = fmt::format("INSERT INTO {} ({}) VALUES {}", into.name,
                                       column_list(into), random_row(into, choose_));
  std::vector<std::string> parts;
  for (const column& one : into.columns) {
    if (!is_key(into, one)) parts.push_back(fmt::format("{0} = excluded.{0}", one.name));
  }
  if (into.key.empty()) return insert(into, into.name);
  if (choose_.percent(20)) return insert(into, into.name) + " ON CONFLICT DO NOTHING";
  if (parts.empty()) return rows + " ON CONFLICT DO NOTHING";
  const std::string many = choose_.percent(60) ? insert(into, into.name) : rows;
  return fmt::format("{} ON CONFLICT ({}) DO UPDATE SET {}", many, joined(into.key, ", "),
                     joined(parts, ", "));
}

std::string dml_generator::insert_select(const table& into) {
  if (!into.key.empty()) return upsert(into);
  return fmt::format("INSERT INTO {0} ({1}) SELECT {1} FROM {0} WHERE {2} LIMIT {3}", into.name,
                     column_list(into), condition(into), choose_.between(1, 4));
}

// With rows that are there already a COPY fails: only tables without a key are copied into.
std::string dml_generator::copy(const table& into) {
  if (!into.key.empty()) return upsert(into);
  std::string sql =
      fmt::format("COPY {} ({}) FROM STDIN WITH (FORMAT csv)", into.name, column_list(into));
  for (int i = choose_.between(1, 5); i > 0; --i) {
    std::vector<std::string> values;
    for (const column& one : into.columns) {
      std::string value = random_value(one, choose_);
      if (value == "NULL") value.clear();
      value = value.substr(0, value.find("::"));
      if (value.starts_with("DATE ")) value = value.substr(5);
      std::ranges::replace(value, '\'', '"');
      values.push_back(std::move(value));
    }
    sql += "\n" + joined(values, ",");
  }
  return sql + "\n\\.";
}

std::string dml_generator::update(const table& of) {
  const bool leaf = !of.leaves.empty() && choose_.percent(20);
  return fmt::format("UPDATE {} SET {} WHERE {}", leaf ? choose_.of(of.leaves) : of.name,
                     assignments(of), condition(of));
}

std::string dml_generator::update_from(const table& of) {
  const table& other = choose_.of(tables_.tables);
  return fmt::format("UPDATE {} AS u SET {} FROM {} AS o WHERE u.a = o.a AND o.a = {}", of.name,
                     assignments(of), other.name, choose_.between(0, 7));
}

std::string dml_generator::key_update(const table& of) {
  if (of.find("k") != nullptr) {
    // Moves rows between partitions.
    return fmt::format("UPDATE {} SET k = (k + {}) % 8 WHERE {}", of.name, choose_.between(1, 7),
                       condition(of));
  }
  if (of.find("id") == nullptr) return update(of);
  const std::string name =
      of.kind == table_kind::parent && choose_.percent(60) ? "ONLY " + of.name : of.name;
  const int wanted = choose_.between(0, 39);
  return fmt::format(
      "UPDATE {0} SET id = {1} WHERE id = {2} AND NOT EXISTS (SELECT FROM {3} WHERE "
      "id = {1})",
      name, wanted, choose_.between(0, 39), of.name);
}

std::string dml_generator::remove(const table& from) {
  const bool leaf = !from.leaves.empty() && choose_.percent(20);
  return fmt::format("DELETE FROM {} WHERE {}", leaf ? choose_.of(from.leaves) : from.name,
                     condition(from));
}

std::string dml_generator::remove_some(const table& from) {
  // One of several equal rows: only here do duplicates part.
  if (from.kind != table_kind::plain) return remove(from);
  return fmt::format("DELETE FROM {0} WHERE ctid IN (SELECT ctid FROM {0} WHERE {1} LIMIT {2})",
                     from.name, condition(from), choose_.between(1, 2));
}

std::string dml_generator::move_rows(const table& from) {
  const std::string list = column_list(from);
  return fmt::format(
      "WITH gone AS (DELETE FROM {0} WHERE {2} RETURNING {1}) INSERT INTO {0} ({1}) "
      "SELECT {1} FROM gone LIMIT 2",
      from.name, list, condition(from));
}

std::string dml_generator::merge(const table& into) {
  if (options_.server_version < 150000 || into.key.empty() || into.kind == table_kind::parent) {
    return update(into);
  }
  const std::string row = random_row(into, choose_);
  std::vector<std::string> match;
  std::vector<std::string> values;
  for (const std::string& one : into.key) match.push_back(fmt::format("m.{0} = r.{0}", one));
  for (const column& one : into.columns) values.push_back("r." + one.name);
  // The row may move to another partition: statement triggers of 15 to 18 lose it.
  const bool moves = into.find("k") != nullptr && choose_.percent(60);
  return fmt::format(
      "MERGE INTO {} AS m USING (VALUES {}) AS r ({}) ON {} WHEN MATCHED AND m.a = {} THEN DELETE "
      "WHEN MATCHED THEN UPDATE SET {} WHEN NOT MATCHED THEN INSERT ({}) VALUES ({})",
      into.name, row, column_list(into), moves ? "m.id = r.id" : joined(match, " AND "),
      choose_.between(0, 7), moves ? "k = (m.k + 5) % 8" : assignments(into), column_list(into),
      joined(values, ", "));
}

std::string dml_generator::truncate(const table& of) {
  if (!of.leaves.empty() && choose_.percent(50)) return "TRUNCATE " + choose_.of(of.leaves);
  return "TRUNCATE " + of.name;
}

std::string dml_generator::statement() {
  const table& one = choose_.of(tables_.tables);
  switch (choose_.weighted({18, 8, 5, 5, 18, 4, 10, 9, 6, 4, 9, 4, options_.ddl ? 1 : 0})) {
    case 0:
      return upsert(one);
    case 1:
      return insert(one, one.name);
    case 2:
      return insert_select(one);
    case 3:
      return copy(one);
    case 4:
      return update(one);
    case 5:
      return update_from(one);
    case 6:
      return key_update(one);
    case 7:
      return remove(one);
    case 8:
      return remove_some(one);
    case 9:
      return move_rows(one);
    case 10:
      return merge(one);
    case 11:
      return one.leaves.empty() ? update(one) : insert(one, choose_.of(one.leaves));
    default:
      return truncate(one);
  }
}

transaction dml_generator::next() {
  if (auto back = definitions_.take_back()) return std::move(*back);
  if (options_.ddl && choose_.percent(3)) return definitions_.next();
  if (choose_.percent(15)) return {.statements = {statement()}};
  transaction result{
      .statements = {choose_.percent(20) ? "BEGIN ISOLATION LEVEL REPEATABLE READ" : "BEGIN"}};
  for (int i = choose_.between(1, 4); i > 0; --i) {
    const bool savepoint = choose_.percent(25);
    if (savepoint) result.statements.emplace_back("SAVEPOINT s");
    result.statements.push_back(statement());
    if (savepoint && choose_.percent(40)) result.statements.push_back(statement());
    if (savepoint) {
      result.statements.emplace_back(
          choose_.one_of({"ROLLBACK TO SAVEPOINT s", "RELEASE SAVEPOINT s"}));
    }
  }
  if (choose_.percent(8)) {
    result.statements.emplace_back("ROLLBACK");
  } else if (options_.two_phase && choose_.percent(7)) {
    result.prepared = fmt::format("{}_{}", options_.name, ++prepared_);
    result.statements.push_back("PREPARE TRANSACTION '" + result.prepared + "'");
  } else {
    result.statements.emplace_back("COMMIT");
  }
  return result;
}

}  // namespace matview::trial
