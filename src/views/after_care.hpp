#pragma once

#include "pg/connection.hpp"
#include <matview/options.hpp>
#include <matview/report.hpp>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace matview::views {

// What a view needs after its refresh: ANALYZE when its number of rows has moved, so that the
// planner does not go by old statistics, and VACUUM after a plain refresh, which has written new
// pages that are not marked all-visible, so that each index-only scan looks into the table.
//
// What is done is decided by a pure function, with a sentence for each thing done and not done; the
// shell asks the catalog once, runs one statement at most, and looks whether the server did it.

/// What the decision goes by. Rows that are not known are nothing.
struct care_facts {
  refresh_mode mode = refresh_mode::full;
  std::optional<std::int64_t> rows_before = {};
  std::optional<std::int64_t> rows_after = {};
  std::int64_t pages = 0;
  bool any_index = false;
  bool analyzed = false;    ///< Ever.
  bool permitted = true;    ///< The role owns it or the database, or has MAINTAIN.
  bool own_session = true;  ///< No transaction is open on the connection.
};

/// One thing, done or left.
struct care_step {
  bool wanted = false;
  std::string why = {};  ///< A sentence's end: `the number of rows moved from 10 to 20`.
};

struct care_plan {
  care_step analyze;
  care_step vacuum;
};

/// Decides. Pure.
[[nodiscard]] care_plan plan_care(const care_facts& facts, const care_options& options);

/// What was done about one thing. Plain data.
struct care_act {
  std::string what = {};                  ///< `ANALYZE` or `VACUUM`.
  bool done = false;                      ///< By the server, as far as it has told.
  std::string why = {};                   ///< Why, or why not.
  std::chrono::microseconds duration{0};  ///< Both together, where both were done.
};

/// What was done about a view.
struct care_report {
  std::vector<care_act> acts = {};

  /// `VACUUM: done (...); ANALYZE: not done (...)`, for matview.refresh.care and for people.
  [[nodiscard]] std::string text() const;
};

/// Cares for the view that was just refreshed, `quoted` being its name as SQL takes it.
///
/// To be called after the refresh's commit. Inside a caller's transaction nothing is done, as
/// VACUUM cannot run there and the rows are not committed yet: the report says so. A lock that
/// somebody holds is not waited for: it is skipped, and the report says so (on a caller's own
/// connection, whose notices are the caller's, that cannot be told).
///
/// @throws error when the connection is lost or the operation is cancelled, which undoes nothing of
///         the refresh. Whatever else the server refuses is reported, not thrown: a view that was
///         refreshed well stays a success.
asio::awaitable<care_report> care_for(pg::connection& on, std::string quoted, refresh_mode mode,
                                      std::optional<std::int64_t> rows_before,
                                      std::optional<std::int64_t> rows_after, care_options options);

}  // namespace matview::views
