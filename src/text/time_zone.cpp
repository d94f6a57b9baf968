#include "text/time_zone.hpp"

#include "text/edit_distance.hpp"
#include "text/quote.hpp"
#include <matview/error.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <utility>

namespace matview::text {

namespace chrono = std::chrono;
namespace fs = std::filesystem;

namespace {

constexpr std::size_t largest_file = 1'000'000;  // The largest of the database has 4 kB.

// UTC offsets lie between these (RFC 8536, 3.2), so the clock of a zone never shows a time again
// after this long, and what happened longer ago does not matter.
constexpr chrono::seconds least_offset = -(chrono::hours(25) - chrono::seconds(1));
constexpr chrono::seconds most_offset = chrono::hours(26) - chrono::seconds(1);
constexpr chrono::days memory{3};

constexpr chrono::sys_seconds first_asked = chrono::sys_days(chrono::year(-9'000) / 1 / 1);
constexpr chrono::sys_seconds last_asked = chrono::sys_days(chrono::year(19'000) / 1 / 1);

[[noreturn]] void refuse(std::string_view name, std::string_view why, std::string hint) {
  throw error(errc::invalid_cron, fmt::format("time zone {}: {}", shown(name), why),
              {.hint = std::move(hint)});
}

[[noreturn]] void refuse_content(std::string_view name, std::string_view why) {
  refuse(name, why, "reinstall the system's time zones (package tzdata)");
}

}  // namespace

// A cursor over the content of a TZif file of version 2 or later. The block of 32-bit times that
// comes first, for programs of the last century, is passed over.
class tzif_reader final {
 public:
  tzif_reader(std::string_view name, std::string_view content) : name_(name), rest_(content) {}

  time_zone read() {
    const header old = read_header();
    take(old.content_size(4));
    const header now = read_header();
    time_zone zone;
    zone.name_ = name_;
    read_content(now, zone);
    if (now.leap_seconds > 0) damaged("it counts leap seconds");
    read_rule(zone);
    return zone;
  }

 private:
  struct header {
    std::size_t ut_flags, standard_flags, leap_seconds, times, types, letters;

    [[nodiscard]] std::size_t content_size(std::size_t time_size) const {
      return times * (time_size + 1) + types * 6 + letters + leap_seconds * (time_size + 4) +
             standard_flags + ut_flags;
    }
  };

  [[noreturn]] void damaged(std::string_view why) const {
    refuse_content(name_, fmt::format("its file cannot be used: {}", why));
  }

  std::string_view take(std::size_t size) {
    if (size > rest_.size()) damaged("it ends too early");
    const std::string_view taken = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return taken;
  }

  // Big-endian, two's complement.
  std::int64_t number(std::size_t size) {
    const std::string_view bytes = take(size);
    std::uint64_t value = (static_cast<unsigned char>(bytes.front()) & 0x80U) != 0 ? ~0ULL : 0ULL;
    for (const char byte : bytes) value = value << 8U | static_cast<unsigned char>(byte);
    return static_cast<std::int64_t>(value);
  }

  std::size_t count() {
    const std::int64_t value = number(4);
    if (value < 0 || static_cast<std::size_t>(value) > largest_file) damaged("it ends too early");
    return static_cast<std::size_t>(value);
  }

  header read_header() {
    if (take(4) != "TZif") damaged("it is not a TZif file");
    if (take(1).front() < '2') damaged("it is of version 1, which ends in 2037");
    take(15);
    header read{};
    for (std::size_t* field : {&read.ut_flags, &read.standard_flags, &read.leap_seconds,
                               &read.times, &read.types, &read.letters}) {
      *field = count();
    }
    return read;
  }

  void read_content(const header& sizes, time_zone& zone) {
    if (sizes.types == 0) damaged("it says no offset");
    for (std::size_t i = 0; i < sizes.times; ++i) {
      // Some files begin at the Big Bang.
      const chrono::sys_seconds at{chrono::seconds(number(8))};
      if (i > 0 && at <= zone.changes_.back().at) damaged("its times do not ascend");
      zone.changes_.push_back({std::clamp(at, earliest_instant, latest_instant), 0});
    }
    for (time_zone::change& change : zone.changes_) {
      change.clock = static_cast<std::uint8_t>(take(1).front());
      if (change.clock >= sizes.types) damaged("it names an offset that is not there");
    }
    std::vector<std::size_t> letters_at;
    for (std::size_t i = 0; i < sizes.types; ++i) {
      const chrono::seconds offset(number(4));
      if (offset < least_offset || offset > most_offset) damaged("an offset is beyond a day");
      take(1);  // Whether it is summer time: nobody asks.
      letters_at.push_back(static_cast<unsigned char>(take(1).front()));
      zone.clocks_.push_back({offset, {}});
    }
    const std::string_view letters = take(sizes.letters);
    for (std::size_t i = 0; i < sizes.types; ++i) {
      const std::string_view from = letters.substr(std::min(letters_at[i], letters.size()));
      zone.clocks_[i].abbreviation = from.substr(0, from.find('\0'));
    }
    take(sizes.leap_seconds * 12 + sizes.standard_flags + sizes.ut_flags);
  }

  void read_rule(time_zone& zone) {
    if (take(1) != "\n") damaged("the rule at its end is missing");
    const std::string_view rule = rest_.substr(0, rest_.find('\n'));
    if (rule.size() == rest_.size()) damaged("it ends too early");
    if (rule.empty()) return;  // The last offset of the table holds for ever.
    zone.after_changes_ = posix_time_zone::parse(rule);
    if (!zone.after_changes_) damaged(fmt::format("{} is not a rule", shown(rule)));
  }

  std::string_view name_;
  std::string_view rest_;
};

namespace {

fs::path zone_folder() {
  const char* chosen = std::getenv("TZDIR");
  return chosen != nullptr && *chosen != '\0' ? chosen : "/usr/share/zoneinfo";
}

// No dot is allowed, and no slash at the front, so that a name never leaves the folder.
bool is_zone_name(std::string_view name) {
  const auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '+' || c == '/';
  };
  // Not zones of the database: the same zones in other folders, and settings of this machine.
  const bool other = name.starts_with("posix/") || name.starts_with("right/") ||
                     name == "localtime" || name == "posixrules";
  return !name.empty() && name.size() <= 80 && !other && name.front() != '/' &&
         std::all_of(name.begin(), name.end(), allowed);
}

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  return out;
}

bool is_tzif(const fs::path& file) {
  std::string magic(4, '\0');
  return std::ifstream(file, std::ios::binary).read(magic.data(), 4) && magic == "TZif";
}

std::vector<std::string> zone_names(const fs::path& folder) {
  std::vector<std::string> names;
  std::error_code none;  // A folder that cannot be read has no names to propose.
  for (fs::recursive_directory_iterator at(folder, none), end; at != end; at.increment(none)) {
    const std::string name = at->path().lexically_relative(folder).generic_string();
    if (is_zone_name(name) && at->is_regular_file(none) && is_tzif(at->path())) {
      names.push_back(name);
    }
  }
  std::sort(names.begin(), names.end());
  return names;
}

// `Berlin` and `berlin` are near to Europe/Berlin, and so is Europe/Berln.
std::string nearest_name(const fs::path& folder, std::string_view wrong) {
  const std::string word = lower(wrong.substr(0, 80));
  std::size_t best = word.size() <= 4 ? 2 : 3;  // One less is the most that may differ.
  std::string nearest;
  for (std::string& name : zone_names(folder)) {
    const std::string whole = lower(name);
    const std::size_t distance = std::min(edit_distance(word, whole),
                                          edit_distance(word, whole.substr(whole.rfind('/') + 1)));
    // Of UTC and Etc/UTC, the short one.
    const bool shorter = !nearest.empty() && distance == best && name.size() < nearest.size();
    if (distance >= best && !shorter) continue;
    best = distance;
    nearest = std::move(name);
  }
  return nearest;
}

[[noreturn]] void refuse_name(const fs::path& folder, std::string_view name) {
  constexpr std::string_view rule =
      "a time zone is a name of the IANA database, such as UTC or Europe/Berlin";
  std::error_code none;
  if (!fs::is_directory(folder, none)) {
    refuse(name, fmt::format("there is no folder {}", folder.string()),
           "install the system's time zones (package tzdata)");
  }
  const std::string nearest = nearest_name(folder, name);
  refuse(name, "there is no such time zone",
         nearest.empty() ? std::string(rule)
                         : fmt::format("did you mean {}? Otherwise: {}", nearest, rule));
}

}  // namespace

time_zone time_zone::from_tzif(std::string_view name, std::string_view content) {
  return tzif_reader(name, content).read();
}

time_zone time_zone::load(std::string_view name) {
  const fs::path folder = zone_folder();
  if (!is_zone_name(name)) refuse_name(folder, name);
  const fs::path file = folder / name;
  std::error_code none;
  const std::uintmax_t size = fs::is_regular_file(file, none) ? fs::file_size(file, none) : 0;
  if (size == 0 || size > largest_file) refuse_name(folder, name);
  std::ifstream stream(file, std::ios::binary);
  const std::string content{std::istreambuf_iterator<char>(stream), {}};
  if (!stream) refuse_content(name, fmt::format("{} cannot be read", file.string()));
  return from_tzif(name, content);
}

zone_period time_zone::at(chrono::sys_seconds instant) const {
  const chrono::sys_seconds asked = std::clamp(instant, first_asked, last_asked);
  const auto after = std::upper_bound(changes_.begin(), changes_.end(), asked,
                                      [](auto t, const change& c) { return t < c.at; });
  if (after == changes_.end() && after_changes_) {
    zone_period period = after_changes_->at(asked);
    if (!changes_.empty()) period.begin = std::max(period.begin, changes_.back().at);
    return period;
  }
  const bool before_all = after == changes_.begin();
  const clock& shows = clocks_[before_all ? 0 : std::prev(after)->clock];
  return {before_all ? earliest_instant : std::prev(after)->at,
          after == changes_.end() ? latest_instant : after->at, shows.offset, shows.abbreviation};
}

namespace {

chrono::local_seconds shown_at(chrono::sys_seconds instant, chrono::seconds offset) {
  return chrono::local_seconds(instant.time_since_epoch() + offset);
}

}  // namespace

chrono::local_seconds time_zone::local(chrono::sys_seconds instant) const {
  return shown_at(instant, at(instant).offset);
}

chrono::local_seconds time_zone::unreached(chrono::sys_seconds instant) const {
  zone_period period = at(instant - memory);
  chrono::local_seconds reached = chrono::local_seconds::min();
  for (; period.end <= instant; period = at(period.end)) {
    reached = std::max(reached, shown_at(period.end, period.offset));
  }
  return std::max(reached, shown_at(instant, period.offset) + chrono::seconds(1));
}

time_zone::arrival time_zone::arrives(chrono::local_seconds time) const {
  zone_period period = at(chrono::sys_seconds(time.time_since_epoch()) - memory);
  chrono::local_seconds reached = chrono::local_seconds::min();
  for (; shown_at(period.end, period.offset) <= time; period = at(period.end)) {
    reached = std::max(reached, shown_at(period.end, period.offset));
  }
  const chrono::local_seconds begin = shown_at(period.begin, period.offset);
  if (begin > time) return {period.begin, begin - reached, begin};
  return {chrono::sys_seconds(time.time_since_epoch() - period.offset), {}, time};
}

}  // namespace matview::text
