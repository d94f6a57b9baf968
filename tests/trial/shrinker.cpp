// Makes a failing case of one session small.
#include "trial/reducer.hpp"
#include "trial/sequential.hpp"

namespace matview::trial {

namespace {

using clock = std::chrono::steady_clock;

class shrinker final {
 public:
  shrinker(trial_case one, failure how, arena& in, clock::time_point until)
      : best_(std::move(one)), how_(std::move(how)), arena_(in), until_(until) {}

  trial_case run() {
    if (how_.kind != "not created") best_.steps.resize(how_.step + 1);
    less_.shrink(best_.steps);
    less_.shrink(best_.view);
    less_.shrink(best_.tables.rows);
    drop_statements();
    less_.shrink(best_.steps);
    less_.shrink(best_.view);
    less_.drop_tables(best_.tables);
    return std::move(best_);
  }

 private:
  bool still_fails() {
    if (clock::now() > until_) return false;
    const case_result result = run_case(best_, arena_, nullptr);
    return result.valid && result.failed && result.failed->kind == how_.kind;
  }

  void drop_statements() {
    for (step& one : best_.steps) less_.shrink(one.statements);
    std::erase_if(best_.steps, [](const step& one) {
      return one.statements.empty() && one.refresh_mode.empty();
    });
  }

  trial_case best_;
  failure how_;
  arena& arena_;
  clock::time_point until_;
  reducer less_{[this] { return still_fails(); }};
};

}  // namespace

trial_case shrunk(trial_case one, const failure& how, arena& in, std::chrono::seconds at_most) {
  return shrinker(std::move(one), how, in, clock::now() + at_most).run();
}

}  // namespace matview::trial
