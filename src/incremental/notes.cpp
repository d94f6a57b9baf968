#include "incremental/notes.hpp"

#include "incremental/projection.hpp"

#include <array>
#include <string_view>

namespace matview::incremental {

namespace {

bool is_float(std::string_view type) {
  return type == "real" || type == "double precision";
}

// Those whose result depends on the order in which floating point values are added.
bool adds_up(const PgQuery__FuncCall* call) {
  static constexpr std::array names{"sum",         "avg",       "stddev",     "stddev_pop",
                                    "stddev_samp", "variance",  "var_pop",    "var_samp",
                                    "corr",        "covar_pop", "covar_samp", "regr_slope"};
  const std::string_view name = string_of(call->funcname[call->n_funcname - 1]);
  for (const std::string_view one : names) {
    if (one == name) return true;
  }
  return false;
}

bool reads_float(const query_context& in, const PgQuery__FuncCall* call) {
  bool found = false;
  walk(&call->base, [&](ProtobufCMessage* message) {
    auto* holder = as<node>(message, pg_query__node__descriptor);
    if (holder == nullptr || column_ref(holder) == nullptr) return !found;
    const store::column_facts* column = table_column(in, holder);
    found = found || (column != nullptr && is_float(column->type));
    return false;
  });
  return found;
}

// A column of a subquery has no facts, but that of the result has.
bool yields_float(const query_context& in, const relation& whole, const PgQuery__FuncCall* call) {
  const relation* project = parts_of(whole).project;
  if (project == nullptr) return false;
  const std::vector<node*> shown = shown_by(*project);
  for (std::size_t i = 0; i < shown.size() && i < in.facts.output.size(); ++i) {
    if (func_call(shown[i]) == call && is_float(in.facts.output[i].type)) return true;
  }
  return false;
}

}  // namespace

std::vector<std::string> notes_of(const query_context& in, const relation& whole) {
  bool adds_floats = false;
  walk(&in.query.tree->base, [&](ProtobufCMessage* message) {
    const auto* call = as<PgQuery__FuncCall>(message, pg_query__func_call__descriptor);
    adds_floats = adds_floats || (call != nullptr && adds_up(call) &&
                                  (reads_float(in, call) || yields_float(in, whole, call)));
    return !adds_floats;
  });
  std::vector<std::string> out;
  if (adds_floats) {
    out.emplace_back(
        "sums of floating point are added up anew in each group that a change touches, so that "
        "errors do not build up; their last digits depend on the order in which the server adds, "
        "and verify may find such a difference");
  }
  return out;
}

}  // namespace matview::incremental
