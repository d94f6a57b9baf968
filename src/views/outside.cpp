#include "views/outside.hpp"

#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>

namespace matview::views {

namespace json = boost::json;

namespace {

std::optional<json::object> parsed(std::string_view text) {
  json::error_code failed;
  json::value value = json::parse(json::string_view(text.data(), text.size()), failed);
  if (failed || !value.is_object()) return std::nullopt;
  return std::move(value.as_object());
}

}  // namespace

std::optional<outside_change> seen_outside(std::string_view then, std::string_view now) {
  const auto before = parsed(then);
  const auto after = parsed(now);
  if (!before || !after) return std::nullopt;
  const auto differs = [&](std::string_view key) {
    const auto* a = before->if_contains(key);
    const auto* b = after->if_contains(key);
    return a == nullptr || b == nullptr || *a != *b;
  };
  if (!differs("xmin")) return std::nullopt;  // Each refresh writes the row anew.
  if (differs("file")) {
    if (differs("writes")) {
      return outside_change{true, refresh_mode::full, "its data is in a new file, written anew"};
    }
    // Nothing was written, or it is not counted yet.
    return outside_change{true, refresh_mode::full,
                          "its data is in a new file; VACUUM FULL or CLUSTER would look the same"};
  }
  if (differs("writes")) {
    return outside_change{true, refresh_mode::concurrently, "rows of it were changed in place"};
  }
  if (differs("shape") || !differs("scans")) {
    return outside_change{false, refresh_mode::none,
                          "its owner, rights or options were changed, or set to what they were"};
  }
  return outside_change{true, refresh_mode::concurrently,
                        "its row of pg_class was written, as by a concurrent refresh that found no "
                        "difference"};
}

}  // namespace matview::views
