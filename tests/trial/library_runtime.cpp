#include "trial/runtime.hpp"

namespace matview::trial {

// To be completed when the library has it:
//   configure({{"default", url}});
//   const auto report = create_matview(name, sql, {.kind = view_kind::automatic});
//   return {.incremental = .., .reason = ..};
// and `program` from what `matview explain` shows. Until then everything is refused, and the trials
// of the library are skipped because they saw no incremental view.
runtime library_runtime() {
  runtime result;
  result.create = [](const std::string&, const std::string&, const std::string&) -> creation {
    return {.incremental = false, .reason = "the library has no incremental views yet"};
  };
  return result;
}

}  // namespace matview::trial
