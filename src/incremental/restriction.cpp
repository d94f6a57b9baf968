#include "incremental/restriction.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

namespace matview::incremental {

namespace {

std::string column(std::size_t index) {
  return fmt::format("k{}", index + 1);
}

std::string one_among(const std::string& expression, bool nullable, const std::string& key,
                      std::string_view set) {
  if (!nullable) return fmt::format("{} = ANY (ARRAY(SELECT {} FROM {}))", expression, key, set);
  return fmt::format(
      "({0} = ANY (ARRAY(SELECT {1} FROM {2} WHERE {1} IS NOT NULL)) OR ({0} IS NULL AND "
      "(SELECT coalesce(bool_or({1} IS NULL), false) FROM {2})))",
      expression, key, set);
}

std::vector<std::string> columns_of(std::string_view alias, std::size_t count) {
  std::vector<std::string> out;
  for (std::size_t i = 0; i < count; ++i) out.push_back(fmt::format("{}.{}", alias, column(i)));
  return out;
}

}  // namespace

bool need_hash(const std::vector<key_traits>& keys) {
  return std::any_of(keys.begin(), keys.end(),
                     [](const key_traits& one) { return one.nullable || !one.fixed; });
}

std::string hash_of(const std::vector<std::string>& expressions) {
  return fmt::format("hash_record_extended(ROW({}), 0::bigint)", fmt::join(expressions, ", "));
}

std::string among(const std::vector<std::string>& expressions, const std::vector<key_traits>& keys,
                  std::string_view set) {
  if (keys[0].array) return all_among(expressions, keys, set);
  // The others would be a search through an array for each row that the first one finds.
  std::string first = one_among(expressions[0], keys[0].nullable, column(0), set);
  if (expressions.size() == 1) return first;
  return first + " AND " + all_among(expressions, keys, set);
}

std::string all_among(const std::vector<std::string>& expressions,
                      const std::vector<key_traits>& keys, std::string_view set) {
  const bool nullable =
      std::any_of(keys.begin(), keys.end(), [](const key_traits& one) { return one.nullable; });
  if (!nullable) {
    // IS TRUE keeps it from being joined: a lookup in a hash, whatever the estimates say.
    return fmt::format("(({}) IN (SELECT {} FROM {})) IS TRUE", fmt::join(expressions, ", "),
                       fmt::join(columns_of(set, expressions.size()), ", "), set);
  }
  return fmt::format("EXISTS (SELECT FROM {} AS among WHERE {})", set,
                     agree(columns_of("among", expressions.size()), expressions,
                           hash_of(columns_of("among", expressions.size())), hash_of(expressions)));
}

std::string among_by_hash(std::string_view hash, const std::vector<std::string>& expressions,
                          std::string_view set) {
  const std::vector<std::string> theirs = columns_of("among", expressions.size());
  return fmt::format(
      "{0} = ANY (ARRAY(SELECT {1} FROM {2} AS among)) AND EXISTS (SELECT FROM {2} AS among WHERE "
      "{3})",
      hash, hash_of(theirs), set, agree(theirs, expressions, hash_of(theirs), hash));
}

std::string agree(const std::vector<std::string>& left, const std::vector<std::string>& right,
                  std::string_view left_hash, std::string_view right_hash) {
  if (left.empty()) return "true";
  std::string out;
  if (!left_hash.empty()) out = fmt::format("{} = {}", left_hash, right_hash);
  for (std::size_t i = 0; i < left.size(); ++i) {
    if (!out.empty()) out += " AND ";
    out += fmt::format("{} {} {}", left[i], left_hash.empty() ? "=" : "IS NOT DISTINCT FROM",
                       right[i]);
  }
  return out;
}

}  // namespace matview::incremental
