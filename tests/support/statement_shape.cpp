#include "support/statement_shape.hpp"

#include <boost/json.hpp>
#include <pg_query.h>

#include <memory>
#include <string>

namespace matview::test {

namespace json = boost::json;

namespace {

// Positions differ wherever a text stands in a larger one.
void drop_positions(json::value& tree) {
  if (json::object* object = tree.if_object()) {
    for (const auto key : {"location", "stmt_location", "stmt_len"}) object->erase(key);
    for (auto& member : *object) drop_positions(member.value());
  } else if (json::array* array = tree.if_array()) {
    for (json::value& item : *array) drop_positions(item);
  }
}

// The statements of `sql`; none when it does not parse.
json::array statements(const std::string& sql) {
  PgQueryParseResult parsed = pg_query_parse(sql.c_str());
  const std::unique_ptr<PgQueryParseResult, void (*)(PgQueryParseResult*)> guard(
      &parsed, [](PgQueryParseResult* result) { pg_query_free_parse_result(*result); });
  if (parsed.error != nullptr) return {};
  json::parse_options options;
  options.max_depth = sql.size() * 16 + 64;
  options.allow_invalid_utf8 = true;
  json::value tree = json::parse(parsed.parse_tree, {}, options);
  drop_positions(tree);
  return tree.at("stmts").as_array();
}

json::value only_statement(const std::string& sql) {
  json::array all = statements(sql);
  return all.size() == 1 ? all[0].at("stmt") : json::value();
}

}  // namespace

bool keeps_shape(const identifier& name) {
  json::value expected = only_statement("SELECT * FROM s.v");
  json::object& relation =
      expected.at("SelectStmt").at("fromClause").at(0).at("RangeVar").as_object();
  relation["relname"] = name.name();
  if (name.schema().empty()) {
    relation.erase("schemaname");
  } else {
    relation["schemaname"] = name.schema();
  }
  return only_statement("SELECT * FROM " + name.quoted()) == expected;
}

bool keeps_shape(const interval& length) {
  json::value expected = only_statement("SELECT interval 'x'");
  expected.at("SelectStmt")
      .at("targetList")
      .at(0)
      .at("ResTarget")
      .at("val")
      .at("TypeCast")
      .at("arg")
      .at("A_Const")
      .at("sval")
      .at("sval") = length.text();
  return only_statement("SELECT interval '" + length.text() + "'") == expected;
}

bool keeps_shape(const text::select_query& query) {
  json::value expected = only_statement("CREATE MATERIALIZED VIEW v AS SELECT 1 WITH NO DATA");
  expected.at("CreateTableAsStmt").at("query") = only_statement(query.text());
  return only_statement("CREATE MATERIALIZED VIEW v AS " + query.text() + "\nWITH NO DATA") ==
         expected;
}

}  // namespace matview::test
