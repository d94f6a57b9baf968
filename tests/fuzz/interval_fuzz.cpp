#include "support/statement_shape.hpp"
#include <matview/error.hpp>
#include <matview/interval.hpp>

#include <cstdint>
#include <cstdlib>
#include <string_view>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    const auto read = matview::interval::parse({reinterpret_cast<const char*>(data), size});
    const auto again = matview::interval::parse(read.text());
    if (read.to_duration().count() < 0 || again != read || again.text() != read.text() ||
        !matview::test::keeps_shape(read)) {
      std::abort();
    }
  } catch (const matview::error& refused) {
    if (refused.code() != matview::errc::invalid_interval) std::abort();
  }
  return 0;
}
