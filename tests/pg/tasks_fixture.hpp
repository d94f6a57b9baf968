#pragma once

#include "views_fixture.hpp"
#include <matview/jobs.hpp>
#include <matview/schedules.hpp>
#include <matview/tasks.hpp>

#include <boost/json.hpp>

#include <chrono>
#include <functional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

namespace matview::test {

/// A database of its own with the `matview` schema, and workers on it.
class tasks_test : public views_test {
 protected:
  /// Runs `queue` on a thread until `enough`, or for at most half a minute.
  void run_until(tasks::task_queue& queue, const std::function<bool()>& enough) {
    std::exception_ptr failure;
    std::thread worker([&] {
      try {
        queue.run();
      } catch (...) {
        failure = std::current_exception();
      }
    });
    EXPECT_TRUE(eventually(enough, std::chrono::seconds(30)));
    queue.stop();
    worker.join();
    if (failure) std::rethrow_exception(failure);
  }

  /// The arguments of a job of task `sql`.
  static std::string sql(std::string_view statement) {
    return boost::json::serialize(boost::json::object{{"sql", statement}});
  }
  int number(const std::string& from) { return std::stoi(count(from)); }
  std::string state_of(std::int64_t job) { return tasks::find_job(job).state; }
};

}  // namespace matview::test
