#pragma once

#include <CLI/App.hpp>

#include <string>
#include <vector>

namespace matview::cli {

/// The command or option of `where` (and the global ones) that an argument nobody knows was
/// probably meant to be; empty if nothing is close.
[[nodiscard]] std::string suggestion(const CLI::App& where,
                                     const std::vector<std::string>& arguments);

}  // namespace matview::cli
