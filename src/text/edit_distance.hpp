#pragma once

#include <cstddef>
#include <string_view>

namespace matview::text {

/// How many letters must be changed, added or left out to make one word the other. Pure.
[[nodiscard]] std::size_t edit_distance(std::string_view a, std::string_view b);

}  // namespace matview::text
