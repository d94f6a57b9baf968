#include "incremental/draft.hpp"

#include "incremental/captured.hpp"
#include "incremental/derive.hpp"
#include "incremental/explanation.hpp"
#include "incremental/linear_rows.hpp"
#include "incremental/notes.hpp"
#include "incremental/projection.hpp"
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <utility>

namespace matview::incremental {

namespace {

using texts = std::vector<std::string>;

constexpr std::size_t bits_of_a_mask = 30;

}  // namespace

draft::draft(const compile_input& from)
    : input(from),
      query(resolve(memory, from.facts)),
      in{memory, query, from.facts, from.types},
      whole(derive(in, query.tree)) {
  out.tables = captured(query);
  out.notes = notes_of(in, *whole);
  if (out.tables.size() > bits_of_a_mask) {
    throw not_incremental(construct::too_large,
                          fmt::format("a query of more than {} tables", bits_of_a_mask));
  }
  for (std::size_t i = 0; i < out.tables.size(); ++i) {
    const std::int64_t oid = out.tables[i].table->oid;
    bits[oid] = static_cast<int>(i);
    const auto log = input.parts.logs.find(oid);
    logs[oid] = log == input.parts.logs.end() ? static_cast<int>(i) + 1 : log->second;
  }
  const select_parts parts = parts_of(*whole);
  if (parts.limit != nullptr &&
      std::ranges::any_of(parts.limit->expressions,
                          [](const expression& one) { return !one.subqueries.empty(); })) {
    // The users' view would read its tables as they are, not as they were.
    throw not_incremental(construct::uncorrelated_subquery, "the subquery in LIMIT or OFFSET");
  }
  top = parts.limit != nullptr ? parts.limit->input : whole;
  if (parts.sort != nullptr) top = parts.sort->input;
}

const relation* draft::with_leaf(const relation& of, std::size_t leaf) const {
  return with_target(in, of, parse_expression(in.memory, fmt::format("{}::int", leaf)), "leaf");
}

// The pieces of section 1; the rows themselves.
std::string draft::read_changes(const std::vector<const relation*>& queries) {
  texts all;
  for (const relation* one : queries) all.push_back(print(statement_of(memory, *one)));
  out.max_tables = most_tables(in, queries);
  for (const relation* one : queries) {
    for (piece& of_one : changed_rows(in, *one, bits, logs, out.max_tables)) {
      out.pieces.push_back(std::move(of_one));
    }
  }
  const auto tables = explained_tables(in, out.tables, queries);
  out.parts.insert(out.parts.end(), tables.begin(), tables.end());
  fill_by(replace_all(input.parts.storage, fresh_rows(input.parts.source), "gone", "added"));
  return fmt::format("{}", fmt::join(all, " UNION ALL "));
}

void draft::maintain(const keyed_storage& storage, const std::vector<const relation*>& queries,
                     std::string_view always) {
  std::string rows = read_changes(queries);
  rows += always;
  out.source = storage_source(storage, rows);
  out.diff = keyed_diff(storage, input.parts);
  apply_by("/*deltas*/" + add_changes(storage, input.parts.storage, "/*section 1*/", rows));
  add_index(storage);
}

void draft::maintain(const identified_storage& storage,
                     const std::vector<const relation*>& queries) {
  const std::string rows = read_changes(queries);
  out.source = storage_source(storage, rows);
  out.diff = keyed_diff(storage, input.parts);
  apply_by("/*deltas*/" + add_changes(storage, input.parts.storage, "/*section 1*/"));
  add_index(storage);
}

void draft::apply_by(const std::string& items) {
  out.apply = fmt::format(
      "WITH {},\n/*watermark*/\nSELECT (SELECT count(*) FROM changed) + "
      "(SELECT count(*) FROM gone) + (SELECT count(*) FROM added), /*unexpected*/, "
      "(SELECT count(*) FROM refused)",
      items);
}

void draft::fill_by(const std::string& items) {
  out.full = fmt::format("WITH {},\n/*watermark*/\nSELECT (SELECT count(*) FROM added)", items);
}

void draft::add_index(const keyed_storage& storage) {
  if (!storage.one_row()) {
    add_index(input.parts.storage, "UNIQUE ", storage.hashed(), storage.keys);
  }
}
void draft::add_index(const identified_storage& storage) {
  texts columns;
  for (const std::size_t place : storage.identity) columns.push_back(storage.columns[place]);
  add_index(input.parts.storage, "UNIQUE ", storage.hashed(), columns);
}
void draft::add_index(const replaced_storage& storage) {
  add_index(storage.storage, "", !storage.hash.empty(), storage.keys);
}
// By its name it is told from those of the user: see matview.copy_indexes().
void draft::add_index(const std::string& on, std::string_view unique, bool hashed,
                      const texts& columns) {
  texts names;
  for (const std::string& one : columns) names.push_back(quoted(one));
  const std::string own = on.substr(on.find('.') + 1) + "_own";
  out.indexes.push_back(hashed ? fmt::format("CREATE INDEX {} ON {} (__mv_hash)", own, on)
                               : fmt::format("CREATE {}INDEX {} ON {} ({})", unique, own, on,
                                             fmt::join(names, ", ")));
}

void draft::explain_residue(const relation* grouped, const std::string& stored) {
  const auto left = explained_residue(in, *whole, grouped, stored);
  out.parts.insert(out.parts.begin(), left.begin(), left.end());
}

}  // namespace matview::incremental
