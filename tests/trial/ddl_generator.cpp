#include "trial/ddl_generator.hpp"

#include <fmt/format.h>

#include <utility>

namespace matview::trial {

namespace {

transaction change(std::string kind, std::vector<std::string> statements) {
  statements.insert(statements.begin(), "BEGIN");
  statements.emplace_back("COMMIT");
  return {.statements = std::move(statements), .ddl = std::move(kind)};
}

transaction attach(const table& to, const std::string& leaf) {
  std::vector<std::string> values;
  for (const column& one : to.columns) values.push_back(one.name == "k" ? "9" : one.name);
  return change("ATTACH PARTITION",
                {fmt::format("CREATE TABLE {} (LIKE {} INCLUDING ALL)", leaf, to.name),
                 fmt::format("INSERT INTO {} SELECT * FROM {} WHERE false", leaf, to.name),
                 fmt::format("INSERT INTO {} ({}) SELECT {} FROM {} WHERE k = 3", leaf,
                             column_list(to), joined(values, ", "), to.name),
                 attach_partition(to, leaf)});
}

}  // namespace

transaction ddl_generator::next() {
  const table& one = choose_.of(tables_.tables);
  if (one.kind == table_kind::partitioned && choose_.percent(50)) return attach_or_detach(one);
  switch (choose_.weighted({10, 10, 6, 20, 16, 8, 8, 10, 16})) {
    case 0:
      return add_column(one);
    case 1:
      return drop_spare(one);
    case 2:
      return alter_type(one);
    case 3:
      return rename_column(one);
    case 4:
      return rename_table(one);
    case 5:
      return add_check(one);
    case 6:
      return make_key_anew(one);
    case 7:
      return create_index(one);
    default:
      return change_not_null(one);
  }
}

std::optional<transaction> ddl_generator::take_back() {
  if (later_.empty() || !choose_.percent(50)) return std::nullopt;
  transaction result = std::move(later_.front());
  later_.pop_front();
  return result;
}

void ddl_generator::later(std::string kind, std::vector<std::string> statements) {
  const transaction back = change(std::move(kind), std::move(statements));
  later_.insert(later_.end(), 3, back);
}

std::string ddl_generator::unique(const char* what) {
  return fmt::format("{}_{}_{}", what, name_, ++count_);
}

transaction ddl_generator::attach_or_detach(const table& of) {
  const std::string leaf = of.name + "_3";
  if (choose_.percent(65)) return attach(of, leaf);
  return change(
      "DETACH PARTITION",
      {fmt::format("ALTER TABLE {} DETACH PARTITION {}", of.name, leaf), "DROP TABLE " + leaf});
}

transaction ddl_generator::add_column(const table& of) {
  const std::string column = unique("unused");
  later("DROP COLUMN", {fmt::format("ALTER TABLE {} DROP COLUMN {}", of.name, column)});
  return change("ADD COLUMN",
                {fmt::format("ALTER TABLE {} ADD COLUMN {} int DEFAULT 7", of.name, column)});
}

transaction ddl_generator::drop_spare(const table& of) {
  later("ADD COLUMN", {fmt::format("ALTER TABLE {} ADD COLUMN {} int", of.name, spare_column)});
  return change("DROP COLUMN",
                {fmt::format("ALTER TABLE {} DROP COLUMN {}", of.name, spare_column)});
}

transaction ddl_generator::alter_type(const table& of) {
  const std::string alter =
      fmt::format("ALTER TABLE {} ALTER COLUMN {} TYPE ", of.name, spare_column);
  later("ALTER TYPE", {alter + "int"});
  return change("ALTER TYPE", {alter + "bigint"});
}

transaction ddl_generator::rename_column(const table& of) {
  const column& one = choose_.of(of.columns);
  const std::string other = one.name + "_renamed";
  const std::string back =
      fmt::format("ALTER TABLE {} RENAME COLUMN {} TO {}", of.name, other, one.name);
  std::vector<std::string> statements{
      fmt::format("ALTER TABLE {} RENAME COLUMN {} TO {}", of.name, one.name, other)};
  if (choose_.percent(50)) {
    statements.push_back(
        fmt::format("DELETE FROM {} WHERE {} = {}", of.name, other, constant(one.type, choose_)));
  }
  if (choose_.percent(25)) {
    statements.push_back(back);
  } else {
    later("RENAME COLUMN, back", {back});
  }
  return change("RENAME COLUMN", std::move(statements));
}

transaction ddl_generator::rename_table(const table& of) {
  const std::string other = of.name + "_renamed";
  const std::string back = fmt::format("ALTER TABLE {} RENAME TO {}", other, of.name);
  std::vector<std::string> statements{fmt::format("ALTER TABLE {} RENAME TO {}", of.name, other)};
  if (choose_.percent(50)) {
    statements.push_back(fmt::format("DELETE FROM {} WHERE a = {}", other, choose_.between(0, 7)));
  }
  if (choose_.percent(40)) {
    statements.push_back(back);
  } else {
    later("RENAME TABLE, back", {back});
  }
  return change("RENAME TABLE", std::move(statements));
}

transaction ddl_generator::add_check(const table& of) {
  const std::string name = unique("small");
  later("DROP CONSTRAINT", {fmt::format("ALTER TABLE {} DROP CONSTRAINT {}", of.name, name)});
  return change("ADD CONSTRAINT",
                {fmt::format("ALTER TABLE {} ADD CONSTRAINT {} CHECK (a < 1000)", of.name, name)});
}

// In one transaction: with rows that came in between it could not be made again.
transaction ddl_generator::make_key_anew(const table& of) {
  if (of.key.empty()) return add_check(of);
  return change(
      "PRIMARY KEY made anew",
      {fmt::format("ALTER TABLE {0} DROP CONSTRAINT {0}_pkey", of.name),
       fmt::format("ALTER TABLE {} ADD PRIMARY KEY ({})", of.name, joined(of.key, ", "))});
}

transaction ddl_generator::create_index(const table& of) {
  const std::string name = unique("by");
  later("DROP INDEX", {"DROP INDEX " + name});
  return change("CREATE INDEX", {fmt::format("CREATE INDEX {} ON {} ({})", name, of.name,
                                             choose_.of(of.columns).name)});
}

transaction ddl_generator::change_not_null(const table& of) {
  const column& one = choose_.of(of.columns);
  if (of.has_key_of(one.name) || one.name == "k") return create_index(of);
  const std::string alter = fmt::format("ALTER TABLE {} ALTER COLUMN {} ", of.name, one.name);
  const std::string no_nulls = fmt::format("UPDATE {0} SET {1} = {2} WHERE {1} IS NULL", of.name,
                                           one.name, constant(one.type, choose_));
  const auto forbid = [&] { return std::vector<std::string>{no_nulls, alter + "SET NOT NULL"}; };
  if (!one.not_null) {
    later("DROP NOT NULL", {alter + "DROP NOT NULL"});
    return change("SET NOT NULL", forbid());
  }
  later("SET NOT NULL", forbid());
  return change("DROP NOT NULL", {alter + "DROP NOT NULL",
                                  fmt::format("UPDATE {0} SET {1} = NULL WHERE {1} = {2}", of.name,
                                              one.name, constant(one.type, choose_))});
}

}  // namespace matview::trial
