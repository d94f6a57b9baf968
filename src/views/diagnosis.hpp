#pragma once

#include "pg/connection.hpp"
#include "views/statements.hpp"
#include <matview/error.hpp>
#include <matview/identifier.hpp>

#include <chrono>

namespace matview::views {

// What the server's refusal means to the one who asked. A SQLSTATE alone does not say it: 0A000 is
// "not populated" as well as "that is a table", and its text is in the server's language. So, after
// the rollback, the catalog is asked what the view is like; only when something failed.

/// What was tried.
struct attempt {
  enum class kind { create, refresh, refresh_concurrently, drop };
  kind what;
  const identifier& view;
  const statement_settings& settings;
  std::chrono::steady_clock::time_point began;
};

/// `failed`, or an error that says more. Keeps quiet about what it cannot find out. Never throws
/// for a connection that is lost.
asio::awaitable<error> diagnose(pg::connection& on, attempt tried, error failed);

}  // namespace matview::views
