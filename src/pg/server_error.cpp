#include "pg/server_error.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>

namespace matview::pg {

namespace {

struct meaning {
  std::string_view sqlstate;
  errc code;
  std::string_view hint;
};

// Those that mean the same for every statement; what depends on the statement is told apart by
// views/diagnosis.
constexpr std::array<meaning, 14> meanings{{
    {"42501", errc::permission_denied, ""},
    {"42P07", errc::view_exists, ""},
    {"2BP01", errc::dependents_exist, ""},
    {"55P03", errc::lock_timeout, ""},
    {"57014", errc::cancelled, ""},
    {"25006", errc::server_error,
     "this server or session is read-only (a standby?); connect to the primary"},
    {"53100", errc::server_error,
     "the server's disk is full; free space there (a refresh needs room for a second copy of the "
     "view)"},
    {"53200", errc::server_error, "the server is out of memory; lower work_mem or try again later"},
    {"53300", errc::connection_failed,
     "the server has no connection left; lower pool_size or raise max_connections"},
    {"40P01", errc::server_error, "two transactions waited for each other; try again"},
    {"40001", errc::server_error, "a concurrent transaction got in between; try again"},
    {"57P01", errc::connection_lost, "an administrator ended the session; try again"},
    {"57P02", errc::connection_lost, "the server crashed and is restarting; try again"},
    {"57P03", errc::connection_failed, "the server is starting up or shutting down; try again"},
}};

const meaning* find(std::string_view sqlstate) noexcept {
  const auto found = std::find_if(meanings.begin(), meanings.end(),
                                  [=](const meaning& m) { return m.sqlstate == sqlstate; });
  return found == meanings.end() ? nullptr : &*found;
}

std::string_view field(const PGresult* failed, int which) {
  const char* text = PQresultErrorField(failed, which);
  return text == nullptr ? std::string_view{} : std::string_view(text);
}

std::optional<std::size_t> number(std::string_view digits) {
  std::size_t value = 0;
  const auto parsed = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  return parsed.ec == std::errc{} && value > 0 ? std::optional(value) : std::nullopt;
}

}  // namespace

errc code_of(std::string_view sqlstate) noexcept {
  const meaning* known = find(sqlstate);
  return known == nullptr ? errc::server_error : known->code;
}

std::string_view hint_for(std::string_view sqlstate) noexcept {
  const meaning* known = find(sqlstate);
  return known == nullptr ? std::string_view{} : known->hint;
}

error error_of(const PGresult* failed, bool connection_usable) {
  const std::string_view sqlstate = field(failed, PG_DIAG_SQLSTATE);
  const std::string_view primary = field(failed, PG_DIAG_MESSAGE_PRIMARY);
  const std::string_view detail = field(failed, PG_DIAG_MESSAGE_DETAIL);
  const std::string_view hint = field(failed, PG_DIAG_MESSAGE_HINT);
  // libpq's own failures (a broken protocol, no memory) have no fields, only a text.
  std::string message(primary.empty() ? one_line(PQresultErrorMessage(failed)) : primary);
  if (!detail.empty()) message += fmt::format(" ({})", detail);
  return {code_of(sqlstate),
          message,
          {.sqlstate = std::string(sqlstate),
           .hint = std::string(hint.empty() ? hint_for(sqlstate) : hint),
           .position = number(field(failed, PG_DIAG_STATEMENT_POSITION)),
           .connection_usable = connection_usable}};
}

std::string one_line(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const bool blank = c == '\n' || c == '\r' || c == '\t' || c == ' ';
    if (!blank) {
      out += c;
    } else if (!out.empty() && out.back() != ' ') {
      out += ' ';
    }
  }
  while (!out.empty() && out.back() == ' ') out.pop_back();
  return out;
}

}  // namespace matview::pg
