#include "cli/terminal.hpp"

#include "cli/secrets.hpp"

#include <fmt/format.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
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

struct terminal_size {
  std::size_t rows;
  std::size_t columns;
};

terminal_size size_of_terminal() {
  winsize told{};
  if (ioctl(STDERR_FILENO, TIOCGWINSZ, &told) != 0 || told.ws_row < 2 || told.ws_col < 2) {
    return {24, 80};
  }
  return {told.ws_row, told.ws_col};
}

std::string_view first_characters(std::string_view text, std::size_t most) {
  std::size_t characters = 0;
  for (std::size_t at = 0; at < text.size(); ++at) {
    const bool begins = (static_cast<unsigned char>(text[at]) & 0xC0U) != 0x80U;
    if (begins && characters++ == most) return text.substr(0, at);
  }
  return text;
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

void terminal::progress(std::string_view lines) const {
  if (!interactive_ || (lines.empty() && progress_lines_ == 0)) return;
  std::string out = "\r\x1b[K";
  for (std::size_t above = 1; above < progress_lines_; ++above) out += "\x1b[1A\x1b[K";
  progress_lines_ = lines.empty() ? 0 : 1;
  if (lines.find('\n') == std::string_view::npos) {
    out += lines;
  } else {
    const auto [rows, columns] = size_of_terminal();
    progress_lines_ = 0;
    while (!lines.empty() && progress_lines_ + 1 < rows) {
      const std::size_t end = std::min(lines.find('\n'), lines.size());
      if (progress_lines_ > 0) out += "\n";
      out += first_characters(lines.substr(0, end), columns - 1);
      ++progress_lines_;
      lines.remove_prefix(std::min(end + 1, lines.size()));
    }
  }
  put(out);
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
