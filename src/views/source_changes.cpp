#include "views/source_changes.hpp"

#include <fmt/format.h>

#include <map>

namespace matview::views {

source_verdict compare_sources(std::string_view then, const store::view_sources& now) {
  const auto unknown = [](std::string why) {
    return source_verdict{.known = false, .reason = std::move(why)};
  };
  if (!now.unknown.empty()) {
    return unknown("whether it has changed cannot be known: " + now.unknown);
  }
  if (then.empty()) return unknown("nothing is remembered of its tables yet");
  const store::view_sources before = store::sources_from(then);
  if (!before.unknown.empty()) return unknown(before.unknown);
  if (before.view != now.view) return unknown("the view was made anew");
  if (before.ground != now.ground) {
    return unknown(
        "the server's counters were reset, or its settings, the query or a function were changed");
  }
  std::map<std::string_view, std::string_view> marks;
  for (const store::source_mark& one : before.tables) marks.emplace(one.name, one.mark);
  for (const store::source_mark& one : now.tables) {
    const auto found = marks.find(one.name);
    if (found == marks.end()) {
      return {.reason = fmt::format("{} was added to what it reads", one.name)};
    }
    if (found->second != one.mark) return {.reason = fmt::format("{} has changed", one.name)};
    marks.erase(found);
  }
  if (!marks.empty()) {
    return {.reason = fmt::format("{} is gone from what it reads", marks.begin()->first)};
  }
  return {.unchanged = true,
          .reason = now.tables.empty()
                        ? std::string("it reads no table")
                        : fmt::format("none of its {} table{} has changed", now.tables.size(),
                                      now.tables.size() == 1 ? "" : "s")};
}

}  // namespace matview::views
