#include "support/statement_shape.hpp"
#include <matview/error.hpp>
#include <matview/identifier.hpp>

#include <cstdint>
#include <cstdlib>
#include <string_view>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  try {
    const matview::identifier name = matview::identifier::parse(text);
    if (name.text() != text || !matview::test::keeps_shape(name)) std::abort();
  } catch (const matview::error& refused) {
    if (refused.code() != matview::errc::invalid_identifier) std::abort();
  }
  return 0;
}
