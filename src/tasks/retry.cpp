#include "tasks/retry.hpp"

#include <algorithm>
#include <array>
#include <string_view>

namespace matview::tasks {

namespace {

// Whole classes and single SQLSTATEs, as in PostgreSQL's appendix A.
constexpr std::array permanent_states{
    std::string_view("0A"),     // feature not supported
    std::string_view("21"),     // cardinality violation: a duplicate key for CONCURRENTLY
    std::string_view("22"),     // data exception
    std::string_view("23505"),  // unique violation
    std::string_view("25001"),  // a statement that cannot run in a transaction
    std::string_view("2BP01"),  // dependent objects still exist
    std::string_view("3D"),     // invalid catalog name
    std::string_view("3F"),     // invalid schema name
    std::string_view("42"),     // syntax error, missing right, missing object
    std::string_view("55000"),  // object not in prerequisite state
    std::string_view("P0001"),  // raised by somebody's own function
};

}  // namespace

bool is_permanent(const error& failed) noexcept {
  switch (failed.code()) {
    case errc::invalid_identifier:
    case errc::invalid_interval:
    case errc::invalid_cron:
    case errc::invalid_select:
    case errc::invalid_option:
    case errc::unknown_database:
    case errc::unsupported_backend:
    case errc::view_not_found:
    case errc::not_populated:
    case errc::needs_unique_index:
    case errc::permission_denied:
      return true;
    default:
      break;
  }
  const std::string_view state = failed.sqlstate();
  return std::any_of(permanent_states.begin(), permanent_states.end(),
                     [state](std::string_view one) { return state.starts_with(one); });
}

}  // namespace matview::tasks
