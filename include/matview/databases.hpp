#pragma once

#include <matview/interval.hpp>

#include <cstddef>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace matview {

/// One database as an alias names it. Plain data; see docs/configuration.md for the file form.
struct database_settings {
  /// A libpq URI (`postgresql://...`), a libpq key=value string, or `embedded:PATH`, a private
  /// server that this library starts by itself. Empty: libpq's own environment (PGHOST, ...).
  std::string url = {};

  /// How many connections may be open at once. A call beyond that waits for one to be returned.
  /// Raise it to keep more refreshes in flight; each costs a server backend.
  std::size_t pool_size = 16;

  /// How long to wait for a connection to be established.
  interval connect_timeout = interval::parse("10 seconds");

  /// How long to wait for a free connection of the pool.
  interval acquire_timeout = interval::parse("30 seconds");

  /// Schemas in which unqualified names are looked up, in order. The role's own setting is never
  /// relied on. An `options=-c search_path=...` in the url takes precedence.
  std::vector<std::string> search_path = {"public"};
};

/// Replaces the registry of databases: alias to connection string.
///
/// Nothing is connected yet, but each string is checked. Operations that are under way keep the
/// database they started with. Safe to call from any thread.
/// @throws error with errc::unsupported_backend for something that is not PostgreSQL,
///         errc::invalid_option for a string libpq cannot read. The registry is then unchanged.
void configure(std::map<std::string, std::string> databases);

/// The same with every setting in the caller's hand.
void configure_databases(std::map<std::string, database_settings> databases);

/// Replaces the registry by what the file says.
/// @throws error with errc::invalid_option, naming file, line and column, when the file cannot be
///         read or says something that makes no sense; otherwise as configure().
void load_config(const std::filesystem::path& toml);

/// The configured aliases, sorted; `default` is always among them. Without configuration it is
/// $MATVIEW_URL, else libpq's own environment.
[[nodiscard]] std::vector<std::string> database_aliases();

}  // namespace matview
