#include "cli/terminal.hpp"

#include "cli/secrets.hpp"

#include <fmt/format.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <memory>

namespace matview::cli {

namespace {

void put(const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), stderr);
}

// Present and not empty: https://no-color.org
bool is_set(const char* variable) {
  const char* value = std::getenv(variable);
  return value != nullptr && *value != '\0';
}

bool is_dumb() {
  const char* term = std::getenv("TERM");
  return term != nullptr && std::string_view(term) == "dumb";
}

std::string indented(std::string_view text) {
  std::string out;
  for (const char c : text) {
    out += c;
    if (c == '\n') out += "  ";
  }
  return out;
}

}  // namespace

terminal::terminal(const global_options& options)
    : quiet_(options.quiet),
      verbose_(options.verbose),
      interactive_(isatty(STDERR_FILENO) == 1 && !options.quiet && !is_dumb()),
      color_(isatty(STDERR_FILENO) == 1 && !options.no_color && !is_dumb() && !is_set("NO_COLOR")) {
}

void terminal::fail(const error& failed) const {
  // These quote what was typed in the place of something else: a URL, perhaps.
  const bool quotes = failed.code() == errc::invalid_identifier ||
                      failed.code() == errc::unknown_database ||
                      failed.code() == errc::invalid_option;
  fail(quotes ? without_passwords(failed.what()) : failed.what(), failed.hint());
}

void terminal::fail(std::string_view message, std::string_view hint) const {
  progress({});
  put(fmt::format("matview: {}error:{} {}\n", color_ ? "\x1b[1;31m" : "", color_ ? "\x1b[0m" : "",
                  indented(message)));
  if (!hint.empty()) put(fmt::format("  hint: {}\n", indented(hint)));
}

void terminal::note(std::string_view line) const {
  if (quiet_) return;
  progress({});
  put(fmt::format("matview: {}\n", line));
}

void terminal::progress(std::string_view line) const {
  if (!interactive_ || (line.empty() && !progress_shown_)) return;
  progress_shown_ = !line.empty();
  put(fmt::format("\r\x1b[K{}", line));
  std::fflush(stderr);
}

log_sink terminal::log() const {
  const auto sink = std::make_shared<spdlog::sinks::stderr_color_sink_mt>(
      color_ ? spdlog::color_mode::automatic : spdlog::color_mode::never);
  const auto logger = std::make_shared<spdlog::logger>("matview", sink);
  logger->set_pattern("%n: %^%l:%$ %v");
  logger->set_level(verbose_ ? spdlog::level::debug
                             : (quiet_ ? spdlog::level::err : spdlog::level::info));
  // Shared: the sink is copied into every operation.
  return [logger](log_level level, std::string_view line) {
    switch (level) {
      case log_level::debug:
        logger->debug("{}", line);
        break;
      case log_level::info:
        logger->info("{}", line);
        break;
      case log_level::warning:
        logger->warn("{}", line);
        break;
    }
  };
}

log_sink terminal::bare_log() const {
  if (quiet_) return {};
  return [least = verbose_ ? log_level::debug : log_level::info](log_level level,
                                                                 std::string_view line) {
    if (level >= least) put(std::string(line) + '\n');
  };
}

}  // namespace matview::cli
