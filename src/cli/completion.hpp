#pragma once

#include <CLI/App.hpp>

#include <string>
#include <string_view>

namespace matview::cli {

/// The completion script for `bash`, `zsh` or `fish`, from the parser's own description. Pure.
[[nodiscard]] std::string completion(const CLI::App& app, std::string_view shell);

}  // namespace matview::cli
