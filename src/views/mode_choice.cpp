#include "views/mode_choice.hpp"

#include <fmt/format.h>

namespace matview::views {

namespace {

using seconds = std::chrono::duration<double>;

// Readers that wait for no longer than this do not notice.
constexpr seconds unnoticed(0.1);
// What a full refresh writes in a second at least, when nothing is known of the view's query: a
// guess that errs towards sparing the readers.
constexpr double bytes_per_second = 20e6;

std::string shown(seconds time) {
  return time < seconds(1) ? fmt::format("{:.0f} ms", time.count() * 1'000)
                           : fmt::format("{:.1f} s", time.count());
}

}  // namespace

chosen_mode choose_mode(const mode_facts& facts) {
  if (!facts.populated) {
    return {refresh_mode::full, "it holds no data yet, which CONCURRENTLY needs"};
  }
  if (!facts.unique_index) {
    return {refresh_mode::full, "it has no unique index that CONCURRENTLY could use"};
  }
  const bool known = facts.usual_full.has_value();
  const seconds expected =
      facts.usual_full.value_or(seconds(static_cast<double>(facts.bytes) / bytes_per_second));
  // The size says how long the writing takes, not how long the query does: a small view may be a
  // long one to compute, so that only a time that was seen counts.
  if (known && expected <= unnoticed) {
    return {refresh_mode::full,
            fmt::format("a full refresh usually takes {}, which readers hardly notice",
                        shown(expected))};
  }
  if (facts.readers == 0 && facts.scans == 0) {
    return {refresh_mode::full, "nobody has read it since the server's statistics began"};
  }
  std::string wait = fmt::format("{} {}", known ? "usually" : "at least", shown(expected));
  if (!known && expected <= unnoticed) wait = "for a time that is not known yet";
  if (facts.readers > 0) {
    return {refresh_mode::concurrently,
            fmt::format("{} session{} read{} it now and would wait, {}", facts.readers,
                        facts.readers == 1 ? "" : "s", facts.readers == 1 ? "s" : "", wait)};
  }
  return {refresh_mode::concurrently, fmt::format("it is read, and readers would wait, {}", wait)};
}

}  // namespace matview::views
