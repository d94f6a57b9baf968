#include "pg/conninfo.hpp"

#include <matview/error.hpp>

#include <fmt/format.h>
#include <libpq-fe.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <memory>
#include <optional>

namespace matview::pg {

namespace {

struct free_options {
  void operator()(PQconninfoOption* options) const noexcept { PQconninfoFree(options); }
};
using conninfo_options = std::unique_ptr<PQconninfoOption, free_options>;

conninfo_options parse(const std::string& conninfo) {
  char* why = nullptr;
  conninfo_options options(PQconninfoParse(conninfo.c_str(), &why));
  PQfreemem(why);  // It quotes the string, and so the password.
  return options;
}

std::string_view value_of(const PQconninfoOption* options, std::string_view keyword) {
  for (const PQconninfoOption* o = options; o != nullptr && o->keyword != nullptr; ++o) {
    if (keyword == o->keyword && o->val != nullptr) return o->val;
  }
  return {};
}

// libpq refuses a port that is no number only while it connects, and quotes it, which may be a part
// of a password.
bool has_readable_port(const PQconninfoOption* options) {
  return value_of(options, "port").find_first_not_of("0123456789,") == std::string_view::npos;
}

// `sqlite` of `sqlite:///x`; nothing for `host=a port=1` and for a bare name.
std::optional<std::string_view> scheme_of(std::string_view url) {
  const std::size_t colon = url.find_first_of(":= '");
  if (colon == std::string_view::npos || colon == 0 || url[colon] != ':') return std::nullopt;
  return url.substr(0, colon);
}

// Whether a password in a URI holds an unescaped `@` or `/`. libpq would take the rest of it for
// the host, port or database, and repeat that in its messages.
bool splits_password(std::string_view url) {
  const std::size_t start = url.find("://");
  if (start == std::string_view::npos) return false;
  url.remove_prefix(start + 3);
  url = url.substr(0, url.find('?'));
  const std::size_t at = url.find('@');
  return at != std::string_view::npos &&
         (url.find('/') < at || url.find('@', at + 1) != std::string_view::npos);
}

}  // namespace

target parse_target(std::string_view url) {
  const std::optional<std::string_view> scheme = scheme_of(url);
  if (scheme == "embedded") return embedded_target{std::string(url.substr(scheme->size() + 1))};
  if (scheme && *scheme != "postgresql" && *scheme != "postgres") {
    throw error(errc::unsupported_backend,
                fmt::format("\"{}:\" is not supported: matview is PostgreSQL-only", *scheme),
                {.hint = scheme->starts_with("postgres")
                             ? "write postgresql://..., without a driver's name"
                             : "write postgresql://USER@HOST/DATABASE or embedded:PATH"});
  }
  std::string conninfo(url);
  const conninfo_options options = parse(conninfo);
  if (!options || !has_readable_port(options.get()) || (scheme && splits_password(url))) {
    throw error(errc::invalid_option, "the connection string cannot be read",
                {.hint = "write postgresql://USER:PASSWORD@HOST:PORT/DATABASE, with %40 for @, %3A "
                         "for :, %2F for / and %25 for % in a password, or host=... dbname=... "
                         "user=..."});
  }
  return libpq_target{std::move(conninfo)};
}

std::string describe(const target& where) {
  if (const auto* embedded = std::get_if<embedded_target>(&where)) {
    return embedded->path.empty() ? "the private server"
                                  : "the private server in " + embedded->path.string();
  }
  const conninfo_options given = parse(std::get<libpq_target>(where).conninfo);
  const conninfo_options defaults(PQconndefaults());
  std::string out;
  for (const char* keyword : {"service", "host", "hostaddr", "port", "dbname", "user"}) {
    std::string_view value = value_of(given.get(), keyword);
    if (value.empty()) value = value_of(defaults.get(), keyword);
    if (!value.empty()) out += fmt::format("{}{}={}", out.empty() ? "" : " ", keyword, value);
  }
  return out.empty() ? "the default server" : out;
}

bool needs_name_lookup(const std::string& conninfo) {
  const conninfo_options given = parse(conninfo);
  if (!value_of(given.get(), "hostaddr").empty()) return false;
  std::string_view host = value_of(given.get(), "host");
  const char* environment = std::getenv("PGHOST");
  if (host.empty() && environment != nullptr) host = environment;
  if (host.empty()) return !value_of(given.get(), "service").empty();
  while (!host.empty()) {
    const std::string_view one = host.substr(0, host.find(','));
    host.remove_prefix(std::min(one.size() + 1, host.size()));
    const bool numeric = one.find_first_not_of("0123456789.") == std::string_view::npos ||
                         one.find(':') != std::string_view::npos;
    if (!numeric && !one.starts_with('/') && !one.starts_with('@')) return true;
  }
  return false;
}

std::string quote_name(std::string_view name) {
  std::string out = "\"";
  for (const char c : name) {
    if (c == '"') out += '"';
    out += c;
  }
  return out + '"';
}

}  // namespace matview::pg
