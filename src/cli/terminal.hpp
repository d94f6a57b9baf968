#pragma once

#include "cli/options.hpp"
#include <matview/error.hpp>
#include <matview/log.hpp>

#include <cstddef>
#include <string>
#include <string_view>

namespace matview::cli {

/// What goes to stderr: errors with their hints, notes, log lines and progress. Knows whether a
/// person is watching. One for a process, used from one thread at a time.
class terminal final {
 public:
  explicit terminal(const global_options& options);

  /// `matview: error: ...` with the hint below; the lines after the first are indented.
  void fail(const error& failed) const;
  void fail(std::string_view message, std::string_view hint = {}) const;

  /// One line that is not a result and not an error; nothing with --quiet.
  void note(std::string_view line) const;

  /// Whether progress is shown: stderr is a terminal, and not --quiet.
  [[nodiscard]] bool interactive() const noexcept { return interactive_; }

  /// Replaces the progress; an empty text clears it. Of several lines each is cut to the width of
  /// the terminal, since one that runs over could not be taken back, and so is their number.
  void progress(std::string_view lines) const;

  /// For the library: its warnings and notices, and with --verbose every statement.
  [[nodiscard]] log_sink log() const;

  /// The same for lines that programs read: as they are, without a level or a colour.
  [[nodiscard]] log_sink bare_log() const;

 private:
  bool quiet_;
  bool verbose_;
  bool interactive_;
  bool color_;
  mutable std::size_t progress_lines_ = 0;  // Shown now.
};

}  // namespace matview::cli
