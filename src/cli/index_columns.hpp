#pragma once

#include <matview/options.hpp>

#include <CLI/App.hpp>
#include <CLI/Validators.hpp>

#include <string>

namespace matview::cli {

/// `day, airport` as an index on these columns. Pure.
[[nodiscard]] index_definition index_of(const std::string& columns, bool unique);

/// For an option that takes such a list: says the option where it is wrong.
[[nodiscard]] CLI::Validator columns();

}  // namespace matview::cli
