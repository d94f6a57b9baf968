#include <matview/error.hpp>

#include <array>
#include <utility>

namespace matview {

std::string_view to_string(errc code) noexcept {
  switch (code) {
    case errc::invalid_identifier:
      return "invalid_identifier";
    case errc::invalid_interval:
      return "invalid_interval";
    case errc::invalid_cron:
      return "invalid_cron";
    case errc::invalid_select:
      return "invalid_select";
    case errc::invalid_option:
      return "invalid_option";
    case errc::unknown_database:
      return "unknown_database";
    case errc::unsupported_backend:
      return "unsupported_backend";
    case errc::connection_failed:
      return "connection_failed";
    case errc::connection_lost:
      return "connection_lost";
    case errc::in_doubt:
      return "in_doubt";
    case errc::view_not_found:
      return "view_not_found";
    case errc::view_exists:
      return "view_exists";
    case errc::not_populated:
      return "not_populated";
    case errc::needs_unique_index:
      return "needs_unique_index";
    case errc::permission_denied:
      return "permission_denied";
    case errc::dependents_exist:
      return "dependents_exist";
    case errc::already_refreshing:
      return "already_refreshing";
    case errc::lock_timeout:
      return "lock_timeout";
    case errc::statement_timeout:
      return "statement_timeout";
    case errc::cancelled:
      return "cancelled";
    case errc::server_error:
      return "server_error";
  }
  return "server_error";
}

error::error(errc code, const std::string& message) : std::runtime_error(message), code_(code) {}

error::error(errc code, const std::string& message, details more)
    : std::runtime_error(message), code_(code), more_(std::move(more)) {}

bool error::may_retry() const noexcept {
  switch (code_) {
    case errc::connection_failed:
    case errc::connection_lost:
    case errc::already_refreshing:
    case errc::lock_timeout:
    case errc::statement_timeout:
    case errc::cancelled:
      return true;
    case errc::server_error: {
      // Classes whose cause passes by itself: serialization and deadlock, a server that ran out of
      // something, an operator's intervention, a lost connection.
      const std::string_view state_class = std::string_view(more_.sqlstate).substr(0, 2);
      return state_class == "40" || state_class == "53" || state_class == "57" ||
             state_class == "08";
    }
    default:
      return false;
  }
}

}  // namespace matview
