#include "cli/command.hpp"
#include "cli/output.hpp"
#include <matview/jobs.hpp>

#include <boost/json/array.hpp>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <string>
#include <vector>

namespace matview::cli {

namespace {

std::string state_of(const tasks::worker_info& worker) {
  if (!worker.alive) return "lost";
  return worker.stopping_at ? "stopping" : "alive";
}

void add_worker_row(table& to, const tasks::worker_info& worker) {
  const std::string id = fmt::format("{}", worker.id);
  const std::string pid = fmt::format("{}", worker.pid);
  const std::string queues =
      worker.queues.empty() ? "all" : fmt::format("{}", fmt::join(worker.queues, ","));
  const std::string running = fmt::format("{}/{}", worker.running, worker.concurrency);
  const std::string state = state_of(worker);
  to.add({id, worker.host, pid, state, queues, running, short_rfc3339(worker.started_at),
          short_rfc3339(worker.heartbeat_at)},
         {{"id", worker.id},
          {"host", worker.host},
          {"pid", worker.pid},
          {"version", worker.version},
          {"state", state},
          {"queues", boost::json::array(worker.queues.begin(), worker.queues.end())},
          {"concurrency", worker.concurrency},
          {"running", worker.running},
          {"started_at", time_value(worker.started_at)},
          {"heartbeat_at", time_value(worker.heartbeat_at)},
          {"stopping_at", time_value(worker.stopping_at)}},
         {id, worker.host, pid, state, queues, running, rfc3339(worker.started_at),
          rfc3339(worker.heartbeat_at)});
}

exit_code workers(const context& with) {
  const std::vector<tasks::worker_info> found = tasks::list_workers(with.options.database);
  table result({{"ID", true},
                {"HOST"},
                {"PID", true},
                {"STATE"},
                {"QUEUES"},
                {"RUNNING"},
                {"SINCE"},
                {"HEARTBEAT"}});
  for (const tasks::worker_info& worker : found) add_worker_row(result, worker);
  write_result(result.text(with.options.format));
  if (found.empty()) with.screen.note("no workers; matview worker is one");
  return exit_code::done;
}

}  // namespace

command add_workers(CLI::App& app) {
  return {app.add_subcommand("workers", "List the workers of the database"), workers};
}

}  // namespace matview::cli
