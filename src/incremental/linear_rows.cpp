#include "incremental/linear_rows.hpp"

#include "incremental/derive.hpp"
#include "incremental/properties.hpp"
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <bit>
#include <optional>
#include <set>

namespace matview::incremental {

namespace {

constexpr const char* weight_column = "__mv_w";

// The query with the changed rows in place of some tables; it changes a copy.
class substitution final {
 public:
  substitution(const query_context& in, const std::map<std::int64_t, int>& logs,
               std::set<std::string> changed)
      : in_(in), logs_(logs), changed_(std::move(changed)) {}

  // The weights of the rows that `query` now yields. Nothing if it yields none, because two
  // branches of a UNION ALL are to have changed at once.
  std::optional<std::vector<std::string>> in_query(select_statement* query) {
    std::vector<std::string> weights;
    for (std::size_t i = 0; i < query->n_from_clause; ++i) {
      if (!in_item(query->from_clause[i], weights)) return std::nullopt;
    }
    return weights;
  }

 private:
  bool in_item(node* item, std::vector<std::string>& weights) {
    if (PgQuery__RangeVar* table = range_var(item)) {
      if (!changed_.contains(table->alias->aliasname)) return true;
      const scan* occurrence = in_.query.scan_of(table->alias->aliasname);
      weights.push_back(quoted(occurrence->alias) + "." + weight_column);
      table->relname = in_.memory.text(fmt::format("d_{}", logs_.at(occurrence->table->oid)));
      table->schemaname = in_.memory.text("");
      return true;
    }
    if (const PgQuery__JoinExpr* join = join_expr(item)) {
      return in_item(join->larg, weights) && in_item(join->rarg, weights);
    }
    PgQuery__RangeSubselect* sub = range_subselect(item);
    return sub == nullptr || in_sub(sub, weights);
  }

  bool in_sub(PgQuery__RangeSubselect* sub, std::vector<std::string>& weights) {
    select_statement* inner = select_of(sub->subquery);
    if (!touched(inner)) return true;
    const std::string whole = is_set_operation(inner) ? print(inner) : std::string();
    // Of a UNION ALL the branch that changes; its columns have the names of the first one.
    std::vector<std::string> names;
    for (const select_statement* first = inner;; first = first->larg) {
      if (is_set_operation(first)) continue;
      for (std::size_t i = 0; i < first->n_target_list; ++i) {
        names.emplace_back(res_target(first->target_list[i])->name);
      }
      break;
    }
    while (is_set_operation(inner)) {
      if (touched(inner->larg) && touched(inner->rarg)) return false;
      inner = touched(inner->larg) ? inner->larg : inner->rarg;
    }
    for (std::size_t i = 0; i < inner->n_target_list && i < names.size(); ++i) {
      res_target(inner->target_list[i])->name = in_.memory.text(names[i]);
    }
    const auto inside = in_query(inner);
    if (!inside) return false;
    append(in_.memory, inner->n_target_list, inner->target_list,
           make_target(in_.memory,
                       parse_expression(in_.memory, fmt::format("{}", fmt::join(*inside, " * "))),
                       weight_column));
    inner->n_sort_clause = 0;
    if (!whole.empty()) {
      // One branch may have other types than all together, and x / 2 another value then.
      inner =
          parse_query(in_.memory, fmt::format("SELECT none.*, 0::bigint AS {} FROM ({}) AS none "
                                              "WHERE false UNION ALL {}",
                                              weight_column, whole, print(inner)));
    }
    sub->subquery = wrap(in_.memory, inner);
    weights.push_back(quoted(sub->alias->aliasname) + "." + weight_column);
    return true;
  }

  [[nodiscard]] bool touched(const select_statement* query) const {
    const std::vector<std::string> scans = scans_in(*derive(in_, query));
    return std::any_of(scans.begin(), scans.end(),
                       [this](const std::string& one) { return changed_.contains(one); });
  }

  const query_context& in_;
  const std::map<std::int64_t, int>& logs_;
  std::set<std::string> changed_;
};

std::uint64_t mask_of(const query_context& in, const std::vector<std::string>& scans,
                      std::uint64_t subset, const std::map<std::int64_t, int>& bits) {
  std::uint64_t mask = 0;
  for (std::size_t i = 0; i < scans.size(); ++i) {
    if ((subset >> i & 1U) == 0) continue;
    mask |= std::uint64_t{1} << bits.at(in.query.scan_of(scans[i])->table->oid);
  }
  return mask;
}

}  // namespace

std::vector<piece> changed_rows(const query_context& in, const select_statement* query, int section,
                                const std::map<std::int64_t, int>& bits,
                                const std::map<std::int64_t, int>& logs, int most) {
  std::vector<piece> out;
  const std::vector<std::string> scans = scans_in(*derive(in, query));
  const auto with_weight = [&](select_statement* tree, const std::string& weight) {
    append(in.memory, tree->n_target_list, tree->target_list,
           make_target(in.memory, parse_expression(in.memory, weight), "w"));
    return print(tree);
  };
  // Gives the columns their types when nothing else does.
  out.push_back({section, 0,
                 fmt::format("SELECT * FROM ({}) AS none WHERE false",
                             with_weight(copy(in.memory, query), "0::bigint"))});
  for (std::uint64_t subset = 1; subset < std::uint64_t{1} << scans.size(); ++subset) {
    const std::uint64_t mask = mask_of(in, scans, subset, bits);
    if (std::popcount(mask) > most) continue;
    std::set<std::string> changed;
    for (std::size_t i = 0; i < scans.size(); ++i) {
      if ((subset >> i & 1U) != 0) changed.insert(scans[i]);
    }
    select_statement* tree = copy(in.memory, query);
    const auto weights = substitution(in, logs, changed).in_query(tree);
    if (!weights) continue;
    const bool minus = changed.size() % 2 == 0;
    out.push_back({section, mask,
                   with_weight(tree, fmt::format("{}1::bigint * {}", minus ? "-" : "",
                                                 fmt::join(*weights, " * ")))});
  }
  return out;
}

int most_tables(const query_context& in, const std::vector<const select_statement*>& queries) {
  constexpr std::uint64_t most_pieces = 600;
  for (int most = 4; most > 1; --most) {
    std::uint64_t pieces = 0;
    for (const select_statement* query : queries) {
      const std::vector<std::string> scans = scans_in(*derive(in, query));
      std::map<std::int64_t, int> bits;
      for (const std::string& one : scans) {
        bits.emplace(in.query.scan_of(one)->table->oid, static_cast<int>(bits.size()));
      }
      if (scans.size() > 16) return 1;
      for (std::uint64_t subset = 1; subset < std::uint64_t{1} << scans.size(); ++subset) {
        if (std::popcount(mask_of(in, scans, subset, bits)) <= most) ++pieces;
      }
    }
    if (pieces <= most_pieces) return most;
  }
  return 1;
}

}  // namespace matview::incremental
