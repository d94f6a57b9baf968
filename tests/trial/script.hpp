#pragma once

#include "trial/check.hpp"
#include "trial/query_generator.hpp"

#include <string>
#include <vector>

// The parts of a script for psql that shows a failure. The CREATE of views under trial is a
// comment.
namespace matview::trial {

/// With its semicolon; psql wants the data of a COPY in the lines after it.
[[nodiscard]] std::string statement_text(const std::string& sql);

/// Tables, rows and views.
[[nodiscard]] std::string setup_text(const schema& tables,
                                     const std::vector<view_under_trial>& views);

[[nodiscard]] std::string failure_text(const failure& how);

}  // namespace matview::trial
