#pragma once

#include "trial/actor.hpp"
#include "trial/arena.hpp"
#include "trial/query_generator.hpp"

#include <chrono>
#include <cstddef>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace matview::trial {

/// What one of several sessions does, in the order of sending.
struct schedule_step {
  std::size_t session = 0;  ///< An index of schedule::sessions.
  action what = {};
  std::size_t unit = 0;   ///< The transaction it belongs to; steps of one have one number.
  bool overlaps = false;  ///< The next step was sent before this one was done.
};

/// What several sessions do at once, so that it can be repeated with less.
struct schedule {
  schema tables = {};
  std::vector<view_under_trial> views = {};
  std::vector<std::string> sessions = {};  ///< Their names.
  std::vector<schedule_step> steps = {};
};

/// Takes notes of what sessions do while they do it. Any thread.
class journal final {
 public:
  /// @return the number of the session
  std::size_t open_session(std::string name);

  /// @return the number of the note
  std::size_t sent(std::size_t session, const action& what);
  /// @param by_conflict it was refused because another session was in the way
  void done(std::size_t note, bool by_conflict = false);

  [[nodiscard]] std::vector<std::string> sessions() const;
  /// The steps that were sent until `last`, one of the notes, was done. What met a conflict before
  /// it is left out: it had no effect, and would not meet the same again.
  [[nodiscard]] std::vector<schedule_step> steps_until(std::size_t last) const;

 private:
  enum class state { under_way, done, in_conflict };
  struct note {
    schedule_step step = {};
    state how = state::under_way;
    std::size_t sent_meanwhile = 0;  // The number of all notes when it was done.
  };

  mutable std::mutex mutex_;
  std::vector<std::string> sessions_;
  std::vector<note> notes_;
};

struct replay_result {
  std::optional<failure> failed = {};
  std::size_t sent = 0;           ///< That many steps, until it failed.
  std::vector<bool> waited = {};  ///< Of each step: for a lock.
};

/// Does the steps again in a new schema of the arena, each session on a connection of its own, in
/// the manner of PostgreSQL's isolationtester: a step that waits for a lock is left alone, and the
/// later steps of its session stay behind it. What fails goes on as in psql.
replay_result replay(const schedule& what, arena& in);

/// The kind of failure that a refusal is a sign of; nothing where it is part of the game.
[[nodiscard]] std::optional<std::string> fault_of(const action& what, const sql_error& refused);

/// What to print of a failure that has been recorded: if it comes again, a short schedule that
/// shows it; else the last steps that concern its view.
/// @param at_most for shrinking, once it has come again
[[nodiscard]] std::string shrunk_schedule(schedule recorded, const failure& how, arena& in,
                                          std::chrono::seconds at_most);

/// A line for each step, with the name of its session before it.
[[nodiscard]] std::string steps_text(const schedule& of, const std::vector<bool>& waited = {});

}  // namespace matview::trial
