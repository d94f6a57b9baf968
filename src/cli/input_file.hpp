#pragma once

#include <string>
#include <string_view>

namespace matview::cli {

/// All of a file, or of standard input for `-`, without a byte order mark.
/// @param holds  what it is to hold, for the hint: `one SELECT`.
/// @throws error with errc::invalid_option that says why it cannot be read.
[[nodiscard]] std::string read_file(const std::string& name, std::string_view holds);

}  // namespace matview::cli
