#pragma once

#include <matview/log.hpp>

#include <boost/json/object.hpp>

#include <chrono>
#include <string_view>
#include <utility>

namespace matview::tasks {

/// What happens in a worker, as log lines: text for people (`job done id=7 task=refresh
/// seconds=0.2`) or one JSON object each, with the keys `time`, `level`, `event` and the fields.
class event_log final {
 public:
  event_log(log_sink sink, bool json) : sink_(std::move(sink)), json_(json) {}

  void operator()(log_level level, std::string_view event, const boost::json::object& fields) const;

  /// For what the library logs by itself, statements and the server's notices: these lines, or the
  /// event `message` with the line as its `text`.
  [[nodiscard]] log_sink sink() const;
  [[nodiscard]] explicit operator bool() const noexcept { return static_cast<bool>(sink_); }

 private:
  log_sink sink_;
  bool json_;
};

/// A length of time as a field.
[[nodiscard]] inline double seconds_of(std::chrono::steady_clock::duration value) {
  return std::chrono::duration<double>(value).count();
}

}  // namespace matview::tasks
