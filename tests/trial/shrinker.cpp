// Makes a failing case small. It knows nothing of SQL: it takes things away and looks whether the
// case still fails in the same way; what is no query any more does not.
#include "trial/sequential.hpp"

#include <algorithm>
#include <functional>

namespace matview::trial {

namespace {

using clock = std::chrono::steady_clock;

class shrinker final {
 public:
  shrinker(trial_case one, failure how, arena& in, clock::time_point until)
      : best_(std::move(one)), how_(std::move(how)), arena_(in), until_(until) {}

  trial_case run() {
    if (how_.kind != "not created") best_.steps.resize(how_.step + 1);
    drop_steps();
    shrink_queries();
    drop_rows();
    drop_statements();
    drop_steps();
    shrink_queries();
    drop_tables();
    return std::move(best_);
  }

 private:
  bool still_fails() {
    if (clock::now() > until_) return false;
    const case_result result = run_case(best_, arena_, nullptr);
    return result.valid && result.failed && result.failed->kind == how_.kind;
  }

  /// Halves, quarters, .. of a list that is part of best_.
  template <class T>
  void shrink_list(std::vector<T>& list) {
    for (std::size_t chunk = std::max<std::size_t>(list.size() / 2, 1); chunk > 0; chunk /= 2) {
      for (std::size_t at = 0; at < list.size();) {
        const std::vector<T> whole = list;
        const auto begin = list.begin() + static_cast<std::ptrdiff_t>(at);
        const auto end = begin + static_cast<std::ptrdiff_t>(std::min(chunk, list.size() - at));
        list.erase(begin, end);
        if (still_fails()) continue;
        list = whole;
        at += chunk;
      }
    }
  }

  void drop_steps() { shrink_list(best_.steps); }
  void drop_rows() { shrink_list(best_.tables.rows); }
  void drop_statements() {
    for (step& one : best_.steps) shrink_list(one.statements);
    std::erase_if(best_.steps, [](const step& one) {
      return one.statements.empty() && one.refresh_mode.empty();
    });
  }

  void shrink_query(query& of) {
    for (bool smaller = true; smaller;) {
      smaller = false;
      for (query& candidate : shrinks(of)) {
        std::swap(of, candidate);
        if (still_fails()) {
          smaller = true;
          break;
        }
        std::swap(of, candidate);
      }
    }
  }

  void shrink_queries() {
    shrink_list(best_.view.underneath);
    shrink_query(best_.view.body);
    for (definition& one : best_.view.underneath) shrink_query(one.body);
  }

  // A table goes with its partitions and rows, and out of the list of what a refresh locks.
  void drop_tables() {
    for (std::size_t i = best_.tables.tables.size(); i > 0; --i) {
      const schema whole = best_.tables;
      const std::string name = whole.tables[i - 1].name;
      const auto mentions = [&](const std::string& sql) {
        return sql.find(' ' + name + ' ') != std::string::npos ||
               sql.find(' ' + name + '_') != std::string::npos;
      };
      best_.tables.tables.erase(best_.tables.tables.begin() + static_cast<std::ptrdiff_t>(i - 1));
      std::erase_if(best_.tables.ddl, mentions);
      std::erase_if(best_.tables.rows, mentions);
      if (!still_fails()) best_.tables = whole;
    }
  }

  trial_case best_;
  failure how_;
  arena& arena_;
  clock::time_point until_;
};

}  // namespace

trial_case shrunk(trial_case one, const failure& how, arena& in, std::chrono::seconds at_most) {
  return shrinker(std::move(one), how, in, clock::now() + at_most).run();
}

}  // namespace matview::trial
