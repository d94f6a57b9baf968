#include "trial/actor.hpp"

#include "trial/schedule.hpp"

#include <fmt/format.h>

namespace matview::trial {

namespace {

constexpr const char* asks_to_recompile = "recompile";

// Also for a handful of rows.
constexpr const char* parallel_plans =
    "SET LOCAL min_parallel_table_scan_size = 0; SET LOCAL min_parallel_index_scan_size = 0; "
    "SET LOCAL parallel_setup_cost = 0; SET LOCAL parallel_tuple_cost = 0";

class roll_back_at_the_end final {
 public:
  explicit roll_back_at_the_end(actor& of) : of_(of) {}
  roll_back_at_the_end(const roll_back_at_the_end&) = delete;
  roll_back_at_the_end& operator=(const roll_back_at_the_end&) = delete;
  ~roll_back_at_the_end() { of_.roll_back(); }

 private:
  actor& of_;
};

}  // namespace

action refresh_action(const std::string& view, const std::string& mode, bool inside) {
  return {.what = action::kind::refresh,
          .sql = fmt::format("SELECT mode, reason FROM matview.refresh('{}', '{}', {}, true)", view,
                             mode, inside),
          .view = view,
          .mode = mode};
}

action recompile_action(const std::string& view) {
  return {.what = action::kind::recompile,
          .sql = "\\! matview refresh " + view,
          .view = view,
          .mode = "auto"};
}

action compare_action(const std::string& view) {
  return {.what = action::kind::compare, .sql = comparison_sql(view), .view = view};
}

void actor::perform(const action& next) {
  const std::size_t note = notes_ == nullptr ? 0 : notes_->sent(session_, next);
  try {
    take(next);
  } catch (const sql_error& refused) {
    if (notes_ != nullptr) notes_->done(note, refused.is_conflict());
    note_ = note;
    failed_ = next;
    throw;
  }
  if (notes_ != nullptr) notes_->done(note);
  if (next.what == action::kind::compare) note_ = note;
}

void actor::take(const action& next) {
  switch (next.what) {
    case action::kind::statement:
      return on_.execute(next.sql);
    case action::kind::refresh:
      return refresh(next);
    case action::kind::recompile:
      runtime_.recompile(on_, next.view);
      seen_ = {.mode = "compiled anew"};
      return;
    case action::kind::compare:
      return compare(next);
  }
}

void actor::refresh(const action& how) {
  layout_before_ = layout(on_);
  seen_ = {};
  const rows answer = on_.query(how.sql);
  if (answer.empty() || answer[0].size() < 2) return;
  seen_.mode = answer[0][0];
  seen_.reason = answer[0][1] == "NULL" ? "" : answer[0][1];
}

void actor::compare(const action& how) {
  seen_.difference.clear();
  if (seen_.mode == asks_to_recompile) return;
  for (const auto& row : on_.query(how.sql)) seen_.difference += "  " + joined(row, " | ") + "\n";
  seen_.unclear = layout(on_) != layout_before_;
}

void actor::roll_back() noexcept {
  try {
    if (on_.in_transaction()) execute("ROLLBACK");
  } catch (const std::exception&) {
    // The connection is lost, and the transaction with it.
  }
}

check_result actor::check(const std::string& view, const std::string& mode, bool roll_back) {
  constexpr int attempts = 3;  // A table may be changed again meanwhile.
  check_result result = check_once(view, mode, roll_back);
  for (int i = 1; i < attempts && result.mode == asks_to_recompile; ++i) {
    perform(recompile_action(view));
    result = check_once(view, mode, roll_back);
    result.compiled_anew = true;
  }
  return result;
}

check_result actor::check_once(const std::string& view, const std::string& mode, bool roll_back) {
  const roll_back_at_the_end guard(*this);
  execute("BEGIN ISOLATION LEVEL REPEATABLE READ");
  // Before the snapshot, which it does not take: a TRUNCATE is then over, or waits.
  execute(lock_sql(view));
  if (mode == "diff" || mode == "swap") execute(parallel_plans);
  perform(refresh_action(view, mode, true));
  perform(compare_action(view));
  check_result result = seen_;
  execute(roll_back ? "ROLLBACK" : "COMMIT");
  return result;
}

void actor::refresh_plainly(const std::string& view) {
  perform(refresh_action(view, "auto", false));
  if (seen_.mode == asks_to_recompile) perform(recompile_action(view));
}

}  // namespace matview::trial
