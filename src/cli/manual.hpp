#pragma once

#include <CLI/App.hpp>

#include <string>

namespace matview::cli {

/// matview(1) in troff's man macros, from the parser's own description. Pure.
[[nodiscard]] std::string manual_page(const CLI::App& app);

}  // namespace matview::cli
