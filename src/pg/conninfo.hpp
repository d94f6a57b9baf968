#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <variant>

namespace matview::pg {

/// A private server in this folder; empty stands for the default one.
struct embedded_target {
  std::filesystem::path path;
};

/// A server that libpq connects to.
struct libpq_target {
  std::string conninfo;  ///< URI or key=value, readable for libpq; empty is its environment.
};

using target = std::variant<libpq_target, embedded_target>;

/// Reads the connection string that an alias stands for. Connects to nothing.
/// @throws error with errc::unsupported_backend for another kind of URL, errc::invalid_option for
///         what libpq cannot read. Neither repeats the string: it may hold a password.
[[nodiscard]] target parse_target(std::string_view url);

/// Who is connected to, for people: `host=db.example dbname=sales user=ann`, never a password.
[[nodiscard]] std::string describe(const target& where);

/// Whether connecting must look a host name up, which libpq does blocking.
[[nodiscard]] bool needs_name_lookup(const std::string& conninfo);

/// `name` quoted for SQL, whatever is in it.
[[nodiscard]] std::string quote_name(std::string_view name);

}  // namespace matview::pg
