#pragma once

#include "trial/connection.hpp"

#include <chrono>
#include <functional>
#include <string>

namespace matview::trial {

/// What came of asking for an incremental view.
struct creation {
  bool incremental = false;
  std::string reason = {};  ///< Why not.
};

/// What is under trial: views are created by `create` and refreshed by SELECT matview.refresh(..),
/// which `prepare` or the first `create` puts into the database.
struct runtime {
  /// Once for each new database; may be empty.
  std::function<void(const std::string& url)> prepare = {};
  /// Whatever it throws is a failure of the trial. A view that is refused need not exist.
  std::function<creation(const std::string& url, const std::string& name, const std::string& sql)>
      create = {};
  /// Refreshes outside of a transaction a view for which matview.refresh() has answered that it has
  /// to be compiled anew. May be empty: that answer never comes.
  /// @throws sql_error
  std::function<void(connection& on, const std::string& view)> recompile = {};
  /// How the view is refreshed, for reports; may be empty.
  std::function<std::string(connection& on, const std::string& view)> program = {};
  /// A negative control: breaks functions or programs on purpose once the views are there, as
  /// `UPDATE matview.incremental SET program = replace(..)` does. The trial has to notice.
  /// It is called for each case in a database of many: breaking twice must be the same as once.
  std::function<void(connection& on)> mutation = {};
  /// How long a failure may be made smaller. None where it is enough to know that there is one.
  std::chrono::seconds shrinking{60};
};

/// How a view is refreshed, or why that cannot be said; empty where the runtime does not know.
[[nodiscard]] std::string program_text(const runtime& of, const std::string& url,
                                       const std::string& view);

/// The library. The one place of the trial that knows how it is called.
[[nodiscard]] runtime library_runtime();

/// Computes each view anew at each refresh, in a few lines of SQL: with it, and with it broken, the
/// trial itself is tested. `UPDATE matview.incremental SET right_text = .., wrong_text = ..` works
/// as a mutation of the statement that fills a view.
[[nodiscard]] runtime recomputing_runtime();

}  // namespace matview::trial
