// A worker as a process of its own, to be killed: on the database of $MATVIEW_URL, with the tasks
// that every worker knows. usage: chaos_worker CONCURRENCY HEARTBEAT LEASE [LOG-FILE]

#include "tasks/run_workers.hpp"
#include <matview/error.hpp>

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <string_view>

int main(int count, char** arguments) {
  using namespace matview;
  if (count < 4) return 2;
  std::FILE* log = count > 4 ? std::fopen(arguments[4], "ae") : nullptr;
  try {
    tasks::worker_options options{
        .concurrency = static_cast<std::size_t>(std::atoi(arguments[1])),
        .heartbeat = interval::parse(arguments[2]),
        .lease = interval::parse(arguments[3]),
        .grace = interval::parse("5 seconds"),
        .pause = interval::parse("100 milliseconds"),
        .longest_pause = interval::parse("1 second"),
    };
    if (log != nullptr) {
      options.log = [log](log_level, std::string_view line) {
        std::fprintf(log, "%.*s\n", static_cast<int>(line.size()), line.data());
        std::fflush(log);
      };
    }
    tasks::run_workers(tasks::task_set(), options);
    return 0;
  } catch (const error& failed) {
    std::fprintf(stderr, "%s\nhint: %s\n", failed.what(), failed.hint().c_str());
    return 1;
  } catch (const std::exception& failed) {
    std::fprintf(stderr, "%s\n", failed.what());
    return 1;
  }
}
