#include "incremental/compile.hpp"

#include "incremental/captured.hpp"
#include "incremental/counted_rows.hpp"
#include "incremental/draft.hpp"
#include "incremental/explanation.hpp"
#include "incremental/kept_groups.hpp"
#include "incremental/properties.hpp"
#include "incremental/replaced_rows.hpp"
#include "incremental/resolve.hpp"

#include <utility>

namespace matview::incremental {

namespace {

compiled_view compiled(const compile_input& input) {
  draft of(input);
  if (groups(*of.top)) {
    keep_groups(of);
  } else if (!count_rows(of)) {
    replace_by_keys(of, "the rows", "because of " + not_counted_because(*of.top));
  }
  of.out.parts = without_repetition(of.out.parts);
  of.how.mechanism = of.out.mechanism;
  of.out.operators = explained_operators(of.in, *of.whole, of.how);
  return std::move(of.out);
}

}  // namespace

std::optional<refusal> early_refusal(const store::query_facts& facts) {
  try {
    check_faults(facts);
    arena memory;
    static_cast<void>(captured(resolve(memory, facts)));
    return std::nullopt;
  } catch (const not_incremental& no) {
    return no.why();
  }
}

compile_result compile(const compile_input& input) {
  try {
    check_faults(input.facts);
    return compiled(input);
  } catch (const unknown_types& unknown) {
    return needs_types{unknown.query};
  } catch (const not_incremental& no) {
    return no.why();
  }
}

}  // namespace matview::incremental
