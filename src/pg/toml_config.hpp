#pragma once

#include <matview/databases.hpp>

#include <filesystem>
#include <map>
#include <string>

namespace matview::pg {

/// What a configuration file says:
///
///     [databases]
///     default = "postgresql://app@db.example/app"
///
///     [databases.reports]
///     url = "postgresql://app@db.example/reports"
///     pool_size = 4
///
/// @throws error with errc::invalid_option, naming file, line and column.
[[nodiscard]] std::map<std::string, database_settings> read_config(
    const std::filesystem::path& toml_file);

}  // namespace matview::pg
