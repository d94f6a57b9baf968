#include "trial/query.hpp"

#include <fmt/format.h>

#include <cctype>
#include <stdexcept>

namespace matview::trial {

namespace {

template <class T>
std::string all_of(const std::vector<T>& parts, std::string_view between) {
  std::vector<std::string> texts;
  texts.reserve(parts.size());
  for (const T& one : parts) texts.push_back(to_sql(one));
  return joined(texts, between);
}

std::string join_to_sql(const from_item& of) {
  const from_item& right = of.sides[1];
  const std::string inner = to_sql(right);
  std::string result = fmt::format("{} {} {}", to_sql(of.sides[0]), of.join,
                                   right.join.empty() ? inner : "(" + inner + ")");
  if (!of.using_column.empty()) return result + " USING (" + of.using_column + ")";
  if (of.join == "CROSS JOIN") return result;
  return result + " ON " + (of.on.empty() ? "true" : all_of(of.on, " AND "));
}

std::string keys_to_sql(const query& of) {
  std::string keys = all_of(of.keys, ", ");
  switch (of.group) {
    case grouping::rollup:
      return "ROLLUP (" + keys + ")";
    case grouping::cube:
      return "CUBE (" + keys + ")";
    case grouping::sets:
      return fmt::format("GROUPING SETS (({}), ({}), ())", keys, to_sql(of.keys.front()));
    default:
      return keys;
  }
}

std::string order_of(const query& of) {
  std::vector<std::string> names = output_names(of);
  if (of.descending) names.back() += " DESC NULLS LAST";
  const std::size_t first = std::min(names.size(), of.distinct_on);
  std::vector<std::string> more;
  for (const expr& one : of.order) more.push_back(to_sql(one));
  names.insert(names.begin() + static_cast<std::ptrdiff_t>(first), more.begin(), more.end());
  return " ORDER BY " + joined(names, ", ");
}

std::string select_to_sql(const query& of) {
  std::string sql = "SELECT ";
  if (of.distinct) sql += "DISTINCT ";
  if (of.distinct_on > 0) {
    std::vector<std::string> names = output_names(of);
    names.resize(std::min(names.size(), of.distinct_on));
    sql += "DISTINCT ON (" + joined(names, ", ") + ") ";
  }
  std::vector<std::string> targets;
  for (const target& one : of.targets) targets.push_back(to_sql(one.value) + " AS " + one.name);
  sql += joined(targets, ", ");
  if (!of.from.empty()) sql += " FROM " + all_of(of.from, ", ");
  if (!of.where.empty()) sql += " WHERE " + all_of(of.where, " AND ");
  if (of.group != grouping::none && !of.keys.empty()) sql += " GROUP BY " + keys_to_sql(of);
  if (!of.having.empty()) sql += " HAVING " + all_of(of.having, " AND ");
  return sql;
}

std::string with_to_sql(const query& of) {
  if (of.with.empty()) return "";
  std::vector<std::string> parts;
  for (const named_query& one : of.with) {
    parts.push_back(fmt::format("{} AS ({})", one.name, to_sql(one.body)));
  }
  return "WITH " + joined(parts, ", ") + " ";
}

}  // namespace

query_list::query_list() noexcept = default;
query_list::query_list(const query_list& other)
    : list_(other.list_ ? std::make_unique<std::vector<query>>(*other.list_) : nullptr) {}
query_list::query_list(query_list&& other) noexcept = default;
query_list& query_list::operator=(query_list&& other) noexcept = default;
query_list::~query_list() = default;

query_list& query_list::operator=(const query_list& other) {
  if (this != &other) *this = query_list(other);
  return *this;
}

void query_list::push_back(query one) {
  if (!list_) list_ = std::make_unique<std::vector<query>>();
  list_->push_back(std::move(one));
}

bool query_list::empty() const noexcept {
  return !list_ || list_->empty();
}

query& query_list::front() {
  return list_->front();
}

const query& query_list::at(std::size_t index) const {
  if (!list_) throw std::out_of_range("no subquery");
  return list_->at(index);
}

query* query_list::begin() noexcept {
  return list_ ? list_->data() : nullptr;
}

query* query_list::end() noexcept {
  return list_ ? list_->data() + list_->size() : nullptr;
}

std::string to_sql(const expr& of) {
  std::string sql;
  for (std::size_t i = 0; i < of.form.size(); ++i) {
    const char c = of.form[i];
    const bool hole = (c == '$' || c == '@') && i + 1 < of.form.size() &&
                      std::isdigit(static_cast<unsigned char>(of.form[i + 1])) != 0;
    if (!hole) {
      sql += c;
      continue;
    }
    const auto number = static_cast<std::size_t>(of.form[++i] - '0');
    sql += c == '$' ? to_sql(of.parts.at(number)) : to_sql(of.queries.at(number));
  }
  return sql;
}

std::string to_sql(const from_item& of) {
  if (!of.join.empty()) return join_to_sql(of);
  std::string sql = of.lateral ? "LATERAL " : "";
  if (!of.name.empty()) {
    sql += of.name;
  } else if (!of.subquery.empty()) {
    sql += "(" + to_sql(of.subquery.at(0)) + ")";
  } else {
    sql += to_sql(of.function.at(0));
  }
  sql += " AS " + of.alias;
  if (!of.columns.empty()) sql += " (" + of.columns + ")";
  return sql;
}

std::string to_sql(const query& of) {
  std::string sql = with_to_sql(of);
  if (of.set_operation.empty()) {
    sql += select_to_sql(of);
  } else {
    sql += fmt::format("({}) {} ({})", to_sql(of.branches.at(0)), of.set_operation,
                       to_sql(of.branches.at(1)));
  }
  if (of.limit >= 0 || of.distinct_on > 0) sql += order_of(of);
  if (of.limit >= 0) sql += fmt::format(" LIMIT {}", of.limit);
  if (of.offset > 0) sql += fmt::format(" OFFSET {}", of.offset);
  return sql;
}

std::vector<std::string> output_names(const query& of) {
  if (!of.set_operation.empty()) return output_names(of.branches.at(0));
  std::vector<std::string> names;
  for (const target& one : of.targets) names.push_back(one.name);
  return names;
}

}  // namespace matview::trial
