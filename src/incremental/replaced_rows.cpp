#include "incremental/replaced_rows.hpp"

#include <matview/error.hpp>

#include "incremental/captured.hpp"
#include "incremental/explanation.hpp"
#include "incremental/projection.hpp"
#include "incremental/properties.hpp"
#include "incremental/residue.hpp"
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <utility>

namespace matview::incremental {

namespace {

using texts = std::vector<std::string>;

}  // namespace

const relation* with_keys(const draft& to, const relation& rows, const key_plan& plan) {
  const relation* out = &rows;
  for (std::size_t i = 0; i < plan.columns.size(); ++i) {
    if (plan.columns[i].starts_with("__mv_k")) {
      out = with_target(to.in, *out, plan.expressions[i], plan.columns[i]);
    }
  }
  return out;
}

replaced_storage key_storage(draft& to, const relation& rows, const key_plan& plan,
                             std::string storage, std::string source_name, std::string& source) {
  replaced_storage out{.storage = std::move(storage),
                       .source = std::move(source_name),
                       .columns = {},
                       .keys = plan.columns,
                       .traits = {}};
  const std::string text = print(statement_of(to.memory, rows));
  const std::vector<store::column_facts>& known = types_of(to.in, text);
  for (std::size_t i = 0; i < plan.columns.size(); ++i) {
    const auto facts = std::find_if(known.begin(), known.end(),
                                    [&](const auto& one) { return one.name == plan.columns[i]; });
    if (facts == known.end())
      throw error(errc::server_error, "a key column was lost: " + plan.columns[i]);
    if (!facts->hashable) {
      const node* key = plan.expressions[i];
      const PgQuery__ColumnRef* column = key == nullptr ? nullptr : column_ref(key);
      const std::string name =
          column == nullptr ? facts->name : std::string(string_of(column->fields[1]));
      throw not_incremental(
          construct::type_without_hash,
          fmt::format("{} ({})", key == nullptr ? facts->name : print(key), facts->type), name);
    }
    const bool never =
        plan.expressions[i] != nullptr && never_null(to.in, rows, plan.expressions[i]);
    out.traits.push_back(
        {.nullable = !never, .fixed = facts->fixed_size, .array = is_array(facts->type)});
    out.types.push_back(facts->type);
  }
  for (const store::column_facts& one : known) out.columns.push_back(quoted(one.name));
  source = text;
  if (need_hash(out.traits)) {
    out.hash = "__mv_hash";
    texts keys;
    for (const std::string& key : plan.columns) keys.push_back("r." + quoted(key));
    source = fmt::format("SELECT r.*, {} AS __mv_hash FROM ({}) AS r", hash_of(keys), text);
  }
  return out;
}

namespace {

// The rows of the query with what ORDER BY goes by.
const relation* rows_with(const draft& to, const residue_order& order) {
  const select_parts whole = parts_of(*to.whole);
  if (is_set_operation(*whole.from)) return to.top;
  std::vector<std::string> names;
  for (const store::column_facts& one : to.input.facts.output) names.push_back(one.name);
  const relation* out = with_names(to.in, *to.top, names);
  for (std::size_t i = 0; i < order.hidden.size(); ++i) {
    out = with_target(to.in, *out, order.hidden[i], fmt::format("__mv_o{}", i + 1));
  }
  if (whole.distinct == nullptr || whole.sort == nullptr) return out;
  // DISTINCT ON keeps the first row by this order.
  relation sorted = *whole.sort;
  sorted.input = out;
  return to.in.memory.keep(sorted);
}

}  // namespace

void replace_by_keys(draft& to, const std::string& what, const std::string& because) {
  const residue_order order = order_of(to.in, *to.whole);
  const relation* rows = rows_with(to, order);
  const key_plan plan = plan_keys(to.in, *rows, to.bits, to.logs);
  std::string source;
  const replaced_storage storage = key_storage(
      to, *with_keys(to, *rows, plan), plan, to.input.parts.storage, to.input.parts.source, source);
  to.out.mechanism = "K";
  to.how = {.by = stage::replaced_rows, .key = shown_keys(plan), .paths = plan.paths};
  if (groups(*to.top)) {
    to.how.groups = parts_of(*to.top).aggregate;
    to.how.groups_because = "the touched ones are made anew, " + because;
  }
  to.out.source = std::move(source);
  to.out.pieces = plan.pieces;
  add_captured(to.query, plan.read, to.out.tables);
  to.out.max_tables = 30;
  to.out.unique_rows = true;
  to.out.apply = fmt::format(
      "WITH {}{},\n/*watermark*/\nSELECT (SELECT count(*) FROM gone) + "
      "(SELECT count(*) FROM added), /*unexpected*/",
      touched_keys(storage), replace_keys(storage, "gone", "added", "1", storage.source));
  to.fill_by(replace_all(storage.storage, fresh_rows(storage.source), "gone", "added"));
  const bool comparable = std::all_of(to.input.facts.output.begin(), to.input.facts.output.end(),
                                      [](const auto& one) { return one.hashable; });
  if (comparable) to.out.diff = keyed_diff(storage);
  to.add_index(storage);
  texts columns;
  for (const store::column_facts& column : to.input.facts.output) {
    columns.push_back("s." + quoted(column.name));
    to.out.stored[column.name] = quoted(column.name);
  }
  to.out.view = finish_view(to.in, *to.whole, order, columns, to.input.parts.storage + " AS s", "");
  to.explain_residue(nullptr, "rows");
  to.out.parts.push_back({what, "K",
                          fmt::format("those with the same {} as a change are made anew, {}",
                                      shown_keys(plan), because)});
  const auto paths = explained_paths(plan.paths);
  to.out.parts.insert(to.out.parts.end(), paths.begin(), paths.end());
}

}  // namespace matview::incremental
