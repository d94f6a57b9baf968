#include "trial/schedule.hpp"

#include "trial/script.hpp"

#include <map>

namespace matview::trial {

namespace {

/// Gives the steps of each transaction a number.
class unit_counter final {
 public:
  std::size_t of(std::size_t session, const std::string& sql) {
    const auto open = open_.find(session);
    if (open == open_.end()) {
      if (sql.starts_with("BEGIN")) open_[session] = count_;
      return count_++;
    }
    const std::size_t unit = open->second;
    if (sql == "COMMIT" || sql == "ROLLBACK" || sql.starts_with("PREPARE TRANSACTION")) {
      open_.erase(open);
    }
    return unit;
  }

 private:
  std::map<std::size_t, std::size_t> open_;
  std::size_t count_ = 0;
};

}  // namespace

std::size_t journal::open_session(std::string name) {
  const std::scoped_lock lock(mutex_);
  sessions_.push_back(std::move(name));
  return sessions_.size() - 1;
}

std::size_t journal::sent(std::size_t session, const action& what) {
  const std::scoped_lock lock(mutex_);
  if (!notes_.empty()) notes_.back().step.overlaps = notes_.back().how == state::under_way;
  notes_.push_back({.step = {.session = session, .what = what}});
  return notes_.size() - 1;
}

void journal::done(std::size_t number, bool by_conflict) {
  const std::scoped_lock lock(mutex_);
  notes_.at(number).how = by_conflict ? state::in_conflict : state::done;
  notes_[number].sent_meanwhile = notes_.size();
}

std::vector<std::string> journal::sessions() const {
  const std::scoped_lock lock(mutex_);
  return sessions_;
}

std::vector<schedule_step> journal::steps_until(std::size_t last) const {
  const std::scoped_lock lock(mutex_);
  std::vector<schedule_step> result;
  unit_counter units;
  for (std::size_t i = 0; i < notes_.at(last).sent_meanwhile; ++i) {
    if (notes_[i].how == state::in_conflict && i != last) continue;
    result.push_back(notes_[i].step);
    result.back().unit = units.of(notes_[i].step.session, notes_[i].step.what.sql);
  }
  return result;
}

std::optional<std::string> fault_of(const action& what, const sql_error& refused) {
  const bool follows_another = refused.sqlstate() == "25P02";
  if (refused.is_conflict() || follows_another) return std::nullopt;
  if (what.what == action::kind::statement) {
    return is_disturbance(refused) ? std::optional("a writer was disturbed") : std::nullopt;
  }
  if (is_refused_mode(what.mode, refused)) return std::nullopt;
  return "the refresh failed: " + refused.sqlstate();
}

std::string steps_text(const schedule& of, const std::vector<bool>& waited) {
  std::string text;
  for (std::size_t i = 0; i < of.steps.size(); ++i) {
    const schedule_step& step = of.steps[i];
    const bool waits = i < waited.size() && waited[i];
    text += of.sessions[step.session] + ": " +
            (waits           ? "/* waits */ "
             : step.overlaps ? "/* not awaited */ "
                             : "") +
            statement_text(step.what.sql);
  }
  return text;
}

}  // namespace matview::trial
