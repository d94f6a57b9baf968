#pragma once

#include <string>
#include <string_view>

namespace matview::cli {

/// Overwrites the passwords in the arguments of this process, so that `ps` does not show them any
/// more: `postgresql://user:XXXX@host`, `password=XXXX`. To be called first of all, after the
/// arguments have been copied.
void hide_passwords(int argc, char** argv) noexcept;

/// Where the passwords of a connection string are: `text` with each of their characters as `x`.
[[nodiscard]] std::string without_passwords(std::string_view text);

}  // namespace matview::cli
