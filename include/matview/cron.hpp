#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace matview {

/// A cron expression in a time zone: at which instants something is to be done.
///
/// Five fields between blanks: minute (0-59), hour (0-23), day of month (1-31), month (1-12) and
/// day of week (0-7, where 0 and 7 are Sunday). Each is `*`, or a list of values and ranges, with
/// steps:
/// `*` `/15`, `10-30/5`, `5/10` (from 5 to the end). Months and days of the week may be names of
/// three letters in any case. `L` is the last day of the month; alone in the day of week, `5L` or
/// `FRIL` is its last Friday, and `MON#2` its second Monday. Instead of all five: @yearly,
/// @annually,
/// @monthly, @weekly, @daily, @midnight or @hourly. Anything else is an error.
///
/// Where both days are given, Vixie's cron sets the rule: a day matches if either field does,
/// unless one of them begins with `*`, when both have to.
///
/// Summer time: a schedule whose minute and hour do not begin with `*` runs once for each local
/// time it names: moved to the first instant after a gap (several in one gap give one run; a gap
/// over 3 hours is skipped), on the first pass of an overlap. Any other schedule follows elapsed
/// time.
///
/// An immutable value, cheap to copy; may be read from any thread.
class cron final {
 public:
  using instant = std::chrono::sys_time<std::chrono::microseconds>;

  /// Reads all of `expression`; blanks (spaces, tabs) around it are trimmed. `time_zone` is a name
  /// of the IANA database, whose files are read from $TZDIR or the system's zoneinfo folder.
  /// @throws error with errc::invalid_cron for anything outside the rules above, and for what never
  ///         happens (February 30). It has a hint, and for a fault in the expression the position,
  ///         which the message shows with a caret.
  [[nodiscard]] static cron parse(std::string_view expression, std::string_view time_zone = "UTC");

  /// The expression as it was written, with one space between its fields. parse() reads it as the
  /// same schedule.
  [[nodiscard]] const std::string& text() const noexcept;

  /// The name of the time zone.
  [[nodiscard]] const std::string& time_zone() const noexcept;

  /// The first run strictly later than `after`; of an instant before the year 1, the first run from
  /// there. Nothing if there is none before the end of the year 9999.
  [[nodiscard]] std::optional<instant> next_after(instant after) const;

  /// What it means, in English: `at 03:30 on Mondays, UTC`.
  [[nodiscard]] std::string in_words() const;

  /// What may surprise the author, each in a sentence, or nothing: how the two days combine, and a
  /// run that summer time moves, skips or could double within a year of `from`.
  [[nodiscard]] std::vector<std::string> warnings(
      instant from =
          std::chrono::floor<std::chrono::microseconds>(std::chrono::system_clock::now())) const;

 private:
  struct schedule;
  explicit cron(std::shared_ptr<const schedule> what);

  std::shared_ptr<const schedule> schedule_;  // Shared by all copies.
};

}  // namespace matview
