#include <matview/cron.hpp>
#include <matview/error.hpp>

#include <array>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <string_view>

namespace {

using matview::cron;

// Two of the same text fire at the same instants, each later than the one before.
void check_fires(const cron& one, const cron& other) {
  cron::instant now = std::chrono::sys_days(std::chrono::year(2037) / 10 / 1);
  for (int i = 0; i < 20; ++i) {
    const auto next = one.next_after(now);
    if (!next || *next <= now || other.next_after(now) != next) std::abort();
    now = *next;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  constexpr std::array<const char*, 3> zones{"UTC", "America/New_York", "Australia/Lord_Howe"};
  try {
    const cron read = cron::parse(text, zones.at(size % zones.size()));
    const cron again = cron::parse(read.text(), read.time_zone());
    if (again.text() != read.text() || again.in_words() != read.in_words()) std::abort();
    check_fires(read, again);
    static_cast<void>(read.warnings(std::chrono::sys_days(std::chrono::year(2037) / 10 / 1)));
  } catch (const matview::error& refused) {
    if (refused.code() != matview::errc::invalid_cron || !refused.position()) std::abort();
  }
  return 0;
}
