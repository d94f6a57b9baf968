#pragma once

#include "trial/check.hpp"
#include "trial/runtime.hpp"

#include <cstddef>
#include <string>

namespace matview::trial {

/// One thing that a session does.
struct action {
  enum class kind {
    statement,
    refresh,
    recompile,  ///< Outside of a transaction, after a refresh that asked for it.
    compare     ///< With the reference: each row is a fault.
  };
  kind what = kind::statement;
  std::string sql = {};
  std::string view = {};
  std::string mode = {};
};

/// @param inside an open transaction, whose tables are locked already.
[[nodiscard]] action refresh_action(const std::string& view, const std::string& mode, bool inside);
[[nodiscard]] action recompile_action(const std::string& view);
[[nodiscard]] action compare_action(const std::string& view);

class journal;

/// A session of a trial, and what the parts of a check have to know of each other. One thread at a
/// time.
class actor final {
 public:
  /// @param on must outlive the actor, and so must `under_trial` and `notes`, where each action is
  ///     noted as one of `session`; it may be null.
  actor(connection& on, const runtime& under_trial, journal* notes = nullptr,
        std::size_t session = 0)
      : on_(on), runtime_(under_trial), notes_(notes), session_(session) {}

  /// @throws sql_error
  void perform(const action& next);
  void execute(const std::string& sql) { perform({.sql = sql}); }
  /// ROLLBACK if there is something to roll back; throws nothing.
  void roll_back() noexcept;

  /// Refreshes and compares inside one snapshot; then COMMIT, or ROLLBACK. A view that has to be
  /// compiled anew is, outside of the snapshot, and then it is done again.
  /// @throws sql_error; nothing is left open.
  check_result check(const std::string& view, const std::string& mode, bool roll_back);
  /// As a user does it, in a transaction of its own.
  void refresh_plainly(const std::string& view);

  /// Of the last refresh, and of the comparison after it.
  [[nodiscard]] const check_result& seen() const noexcept { return seen_; }
  /// What has thrown last.
  [[nodiscard]] const action& failed() const noexcept { return failed_; }
  /// The number of the note of the last comparison, or of the last action that failed.
  [[nodiscard]] std::size_t note() const noexcept { return note_; }
  [[nodiscard]] connection& on() const noexcept { return on_; }

 private:
  void take(const action& next);
  check_result check_once(const std::string& view, const std::string& mode, bool roll_back);
  void refresh(const action& how);
  void compare(const action& how);

  connection& on_;
  const runtime& runtime_;
  journal* notes_;
  std::size_t session_;
  std::size_t note_ = 0;
  action failed_;
  std::string layout_before_;
  check_result seen_;
};

}  // namespace matview::trial
