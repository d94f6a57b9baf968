#pragma once

#include "cli/output.hpp"
#include <matview/error.hpp>
#include <matview/report.hpp>

#include <string_view>

namespace matview::cli {

/// A table of what was done to views, empty.
[[nodiscard]] table report_table();

void add_report(table& to, const refresh_report& report);

/// A failure, which only programs are shown here.
void add_failure(table& to, std::string_view view, const error& failed);

}  // namespace matview::cli
