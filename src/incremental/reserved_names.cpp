#include "incremental/reserved_names.hpp"

#include "incremental/refusal.hpp"

#include <regex>
#include <string>
#include <string_view>

namespace matview::incremental {

namespace {

void refuse_marks_in(const std::string& text, const std::string& name) {
  static const std::regex mark("/\\*(deltas|unexpected|watermark|source|section [0-9]+)\\*/");
  std::smatch found;
  if (std::regex_search(text, found, mark)) {
    throw not_incremental(construct::reserved_name, found.str(), name);
  }
}

void refuse_own_name(std::string_view name) {
  if (!name.starts_with("__mv")) return;
  throw not_incremental(construct::reserved_name, std::string(name), std::string(name));
}

}  // namespace

void refuse_marks(const store::query_facts& facts) {
  refuse_marks_in(facts.query, "");
  for (const auto& [name, table] : facts.tables) {
    refuse_marks_in(table.query, "");
    for (const store::column_facts& column : table.columns) {
      refuse_marks_in(column.name, column.name);
    }
  }
}

void refuse_own_names(const store::query_facts& facts, const select_statement* query) {
  for (const store::column_facts& column : facts.output) refuse_own_name(column.name);
  for (const auto& [name, table] : facts.tables) {
    for (const store::column_facts& column : table.columns) {
      // A storage has names of its own that begin so, but not those of a log.
      if (column.name == "__mv_w" || column.name == "__mv_xid") refuse_own_name(column.name);
    }
  }
  walk(&query->base, [&](ProtobufCMessage* message) {
    if (const auto* target = as<PgQuery__ResTarget>(message, pg_query__res_target__descriptor)) {
      refuse_own_name(target->name);
    }
    if (const auto* alias = as<PgQuery__Alias>(message, pg_query__alias__descriptor)) {
      for (std::size_t i = 0; i < alias->n_colnames; ++i) {
        refuse_own_name(string_of(alias->colnames[i]));
      }
    }
    return true;
  });
}

}  // namespace matview::incremental
