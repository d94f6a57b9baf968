#include "tasks/events.hpp"

#include "text/rfc3339.hpp"

#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <fmt/format.h>

#include <chrono>
#include <string>

namespace matview::tasks {

namespace json = boost::json;

namespace {

std::string_view name_of(log_level level) {
  switch (level) {
    case log_level::debug:
      return "debug";
    case log_level::info:
      return "info";
    case log_level::warning:
      return "warning";
  }
  return "info";
}

// One word stands bare, as people write it; all else is quoted, so that a line stays a line.
std::string shown(const json::value& value) {
  if (const double* number = value.if_double()) return fmt::format("{:.6f}", *number);
  const json::string* text = value.if_string();
  const bool bare = text != nullptr && !text->empty() &&
                    text->find_first_of(" \"\\\t\n\r=") == json::string::npos;
  return bare ? std::string(*text) : json::serialize(value);
}

}  // namespace

void event_log::operator()(log_level level, std::string_view event,
                           const json::object& fields) const {
  if (!sink_) return;
  if (json_) {
    const auto now = std::chrono::system_clock::now();
    json::object line{{"time", text::to_rfc3339(std::chrono::floor<std::chrono::seconds>(now))},
                      {"level", name_of(level)},
                      {"event", event}};
    for (const auto& [key, value] : fields) line.insert_or_assign(key, value);
    sink_(level, json::serialize(line));
    return;
  }
  std::string line(event);
  for (const auto& [key, value] : fields) {
    line += ' ';
    line.append(key.data(), key.size());
    line += '=';
    line += shown(value);
  }
  sink_(level, line);
}

log_sink event_log::sink() const {
  if (!sink_ || !json_) return sink_;
  return [log = *this](log_level level, std::string_view text) {
    log(level, "message", {{"text", text}});
  };
}

}  // namespace matview::tasks
