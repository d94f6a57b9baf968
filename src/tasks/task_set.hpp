#pragma once

#include "views/refresh_task.hpp"
#include <matview/tasks.hpp>

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace matview::tasks {

/// `refresh`: the view is named by the job's arguments.
struct refresh_by_arguments {};
/// `sql`: the statement is in the job's arguments.
struct sql_by_arguments {};

/// How a task is run.
using handler = std::variant<refresh_by_arguments, sql_by_arguments, views::refresh_task,
                             plain_task, argument_task, coroutine_task>;

/// The tasks that a worker knows, by name.
class task_set final {
 public:
  /// With `refresh` and `sql`, which every worker knows.
  task_set() : handlers_{{"refresh", refresh_by_arguments{}}, {"sql", sql_by_arguments{}}} {}

  /// A later one of the same name takes its place.
  void add(std::string name, handler how) {
    handlers_.insert_or_assign(std::move(name), std::move(how));
  }

  /// @throws std::out_of_range for a name that is not in names().
  [[nodiscard]] const handler& at(const std::string& name) const { return handlers_.at(name); }

  [[nodiscard]] bool contains(const std::string& name) const { return handlers_.contains(name); }

  [[nodiscard]] std::vector<std::string> names() const {
    std::vector<std::string> out;
    out.reserve(handlers_.size());
    for (const auto& [name, how] : handlers_) out.push_back(name);
    return out;
  }

 private:
  std::map<std::string, handler> handlers_;
};

}  // namespace matview::tasks
