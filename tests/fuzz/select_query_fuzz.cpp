#include "support/statement_shape.hpp"
#include "text/select_query.hpp"
#include <matview/error.hpp>

#include <cstdint>
#include <cstdlib>
#include <string_view>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view sql(reinterpret_cast<const char*>(data), size);
  try {
    const auto query = matview::text::select_query::parse(sql);
    if (!sql.starts_with(query.text()) || !matview::test::keeps_shape(query)) std::abort();
  } catch (const matview::error& refused) {
    if (refused.code() != matview::errc::invalid_select || !refused.position()) std::abort();
  }
  return 0;
}
