#pragma once

#include <CLI/App.hpp>

#include <string>
#include <string_view>
#include <vector>

namespace matview::cli {

/// How many letters must be changed, added or left out to make one word the other. Pure.
[[nodiscard]] std::size_t edit_distance(std::string_view a, std::string_view b);

/// The command or option of `where` (and the global ones) that an argument nobody knows was
/// probably meant to be; empty if nothing is close.
[[nodiscard]] std::string suggestion(const CLI::App& where,
                                     const std::vector<std::string>& arguments);

}  // namespace matview::cli
