#include "incremental/linear_rows.hpp"

#include "incremental/derive.hpp"
#include "incremental/projection.hpp"
#include "incremental/properties.hpp"
#include "incremental/refusal.hpp"
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <bit>
#include <optional>
#include <set>

namespace matview::incremental {

namespace {

constexpr const char* weight_column = "__mv_w";

// The rows of a relation with their change in place of some tables.
struct changed_relation {
  const relation* rows;
  std::vector<std::string> weights;  // The weight of a row is their product.
};

// Nothing where a relation yields no row, because two branches of a UNION ALL are to have changed
// at once.
using change = std::optional<changed_relation>;

// The rules of mechanism L: what becomes of each operator when the tables of some occurrences are
// replaced by their changes.
class delta final {
 public:
  delta(const query_context& in, const std::map<std::int64_t, int>& logs,
        std::set<std::string> changed)
      : in_(in), logs_(logs), changed_(std::move(changed)) {}

  [[nodiscard]] change of(const relation& it) const {
    switch (it.kind) {
      case relation_kind::scan:
        return of_scan(it);
      case relation_kind::inner_join:
        return of_join(it);
      case relation_kind::rename:
        return of_subquery(it);
      case relation_kind::project:
      case relation_kind::filter:
      case relation_kind::window:  // A WINDOW that no function goes over.
        return above(it, of(*it.input));
      case relation_kind::sort:  // Changes come in no order.
        return of(*it.input);
      default:
        return changed_relation{&it, {}};
    }
  }

 private:
  // The operator on the change of its input.
  [[nodiscard]] change above(const relation& it, change input) const {
    if (!input) return std::nullopt;
    relation out = it;
    out.input = input->rows;
    return changed_relation{in_.memory.keep(out), std::move(input->weights)};
  }

  [[nodiscard]] change of_scan(const relation& it) const {
    if (!changed_.contains(std::string(it.alias))) return changed_relation{&it, {}};
    relation out = it;
    out.kind = relation_kind::changes;
    out.changes_name = in_.memory.text(fmt::format("d_{}", logs_.at(it.table->table->oid)));
    return changed_relation{in_.memory.keep(out), {weight_of(it)}};
  }

  [[nodiscard]] change of_join(const relation& it) const {
    change right = of(*it.right);
    change out = right ? above(it, of(*it.input)) : std::nullopt;
    if (!out) return std::nullopt;
    relation both = *out->rows;
    both.right = right->rows;
    out->weights.insert(out->weights.end(), right->weights.begin(), right->weights.end());
    return changed_relation{in_.memory.keep(both), std::move(out->weights)};
  }

  // Its rows have a column for their weight.
  [[nodiscard]] change of_subquery(const relation& it) const {
    const relation& query = *it.input;
    if (!touched(query)) return changed_relation{&it, {}};
    const relation* branch = changed_branch(query);
    change inside = branch == nullptr ? std::nullopt : of(*branch);
    if (!inside) return std::nullopt;
    const relation* rows = with_target(
        in_, *inside->rows,
        parse_expression(in_.memory, fmt::format("{}", fmt::join(inside->weights, " * "))),
        weight_column);
    if (is_set_operation(*parts_of(query).from)) rows = with_types_of(query, *rows);
    relation out = it;
    out.input = rows;
    return changed_relation{in_.memory.keep(out), {weight_of(it)}};
  }

  // Of a UNION ALL the branch that changes; its columns have the names of the first one. Nothing
  // if both are to change.
  [[nodiscard]] const relation* changed_branch(const relation& query) const {
    const relation* out = &query;
    for (const relation* both = parts_of(query).from; is_set_operation(*both);
         both = parts_of(*out).from) {
      if (touched(*both->input) && touched(*both->right)) return nullptr;
      out = touched(*both->input) ? both->input : both->right;
    }
    return with_names(in_, *parts_of(*out).project, column_names(query));
  }

  // One branch may have other types than all together, and x / 2 another value then.
  [[nodiscard]] const relation* with_types_of(const relation& whole, const relation& rows) const {
    const std::string none =
        fmt::format("SELECT none.*, 0::bigint AS {} FROM ({}) AS none WHERE false", weight_column,
                    print(statement_of(in_.memory, whole)));
    return in_.memory.keep(relation{.kind = relation_kind::set_union,
                                    .input = derive(in_, parse_query(in_.memory, none)),
                                    .right = &rows,
                                    .all = true});
  }

  [[nodiscard]] static std::string weight_of(const relation& item) {
    return quoted(item.alias) + "." + weight_column;
  }

  [[nodiscard]] bool touched(const relation& query) const {
    return std::ranges::any_of(scans_in(query),
                               [this](const std::string& one) { return changed_.contains(one); });
  }

  const query_context& in_;
  const std::map<std::int64_t, int>& logs_;
  std::set<std::string> changed_;
};

// Occurrences that change together, as bits of their places.
struct changed_set {
  std::uint64_t places = 0;
  std::uint64_t tables = 0;  // By the program's bits.
};

// All sets of occurrences of at most `most` tables, in the order of their places.
// @throws not_incremental if there are too many.
std::vector<changed_set> changed_sets(const query_context& in,
                                      const std::vector<std::string>& scans,
                                      const std::map<std::int64_t, int>& bits, int most) {
  constexpr std::size_t most_occurrences = 7;
  if (scans.size() > 60) {
    throw not_incremental(construct::too_large, fmt::format("{} tables in one FROM", scans.size()));
  }
  std::map<int, std::vector<std::size_t>> places;  // By table.
  for (std::size_t i = 0; i < scans.size(); ++i) {
    places[bits.at(in.query.scan_of(scans[i])->table->oid)].push_back(i);
  }
  std::vector<changed_set> out{{}};
  for (const auto& [bit, own] : places) {
    if (own.size() > most_occurrences) {
      const store::table_facts& table = *in.query.scan_of(scans[own.front()])->table;
      throw not_incremental(
          construct::too_large,
          fmt::format("{}.{}, {} times in one FROM", table.schema, table.name, own.size()));
    }
    const std::vector<changed_set> without = out;
    for (const changed_set& one : without) {
      if (std::popcount(one.tables) == most) continue;
      for (std::uint64_t subset = 1; subset < std::uint64_t{1} << own.size(); ++subset) {
        changed_set more{one.places, one.tables | std::uint64_t{1} << bit};
        for (std::size_t i = 0; i < own.size(); ++i) more.places |= (subset >> i & 1U) << own[i];
        out.push_back(more);
      }
    }
  }
  out.erase(out.begin());  // That of none.
  std::ranges::sort(out, {}, &changed_set::places);
  return out;
}

}  // namespace

std::vector<piece> changed_rows(const query_context& in, const relation& query,
                                const std::map<std::int64_t, int>& bits,
                                const std::map<std::int64_t, int>& logs, int most) {
  std::vector<piece> out;
  const std::vector<std::string> scans = scans_in(query);
  const auto with_weight = [&](const relation& rows, const std::string& weight) {
    return print(
        statement_of(in.memory, *with_target(in, rows, parse_expression(in.memory, weight), "w")));
  };
  // Gives the columns their types when nothing else does.
  out.push_back(
      {1, 0,
       fmt::format("SELECT * FROM ({}) AS none WHERE false", with_weight(query, "0::bigint"))});
  for (const changed_set& one : changed_sets(in, scans, bits, most)) {
    std::set<std::string> changed;
    for (std::size_t i = 0; i < scans.size(); ++i) {
      if ((one.places >> i & 1U) != 0) changed.insert(scans[i]);
    }
    const bool minus = changed.size() % 2 == 0;
    const change rows = delta(in, logs, std::move(changed)).of(query);
    if (!rows) continue;
    out.push_back({1, one.tables,
                   with_weight(*rows->rows, fmt::format("{}1::bigint * {}", minus ? "-" : "",
                                                        fmt::join(rows->weights, " * ")))});
  }
  return out;
}

int most_tables(const query_context& in, const std::vector<const relation*>& queries) {
  constexpr std::size_t most_pieces = 600;
  for (int most = 4; most > 1; --most) {
    std::size_t pieces = 0;
    for (const relation* query : queries) {
      const std::vector<std::string> scans = scans_in(*query);
      std::map<std::int64_t, int> bits;
      for (const std::string& one : scans) {
        bits.emplace(in.query.scan_of(one)->table->oid, static_cast<int>(bits.size()));
      }
      if (scans.size() > 16) return 1;
      pieces += changed_sets(in, scans, bits, most).size();
    }
    if (pieces <= most_pieces) return most;
  }
  return 1;
}

}  // namespace matview::incremental
