#include "tasks_beside.hpp"

#include "bare_libpq.hpp"
#include "pg/server_programs.hpp"

#include <boost/json/parse.hpp>
#include <boost/json/value_to.hpp>
#include <fmt/format.h>

#include <exception>
#include <stdexcept>

namespace matview::bench {

namespace {

const std::filesystem::path repository = MATVIEW_BENCH_REPOSITORY;

std::string peers_program() {
  return repository / "tools" / "bench-peers";
}

}  // namespace

peers::peers() {
  try {
    versions_ = output_of({peers_program(), "--install"});
    versions_.erase(versions_.find_last_not_of('\n') + 1);
  } catch (const std::exception& fault) {
    fmt::print(stderr, "tasks_bench: measured without its peers: {}\n", fault.what());
  }
}

outcome peers::measure_one(const std::string& peer, const scratch_database& on, measure what,
                           std::size_t count) const {
  const std::string told =
      output_of({peers_program(), peer, std::string(name_of(what)), fmt::format("{}", count)},
                on.environment());
  const auto seen = boost::json::parse(told).as_object();
  const auto number = [&](const char* key) {
    const auto* value = seen.if_contains(key);
    return value == nullptr ? 0 : value->to_number<double>();
  };
  return {.per_second = number("per_second"),
          .handlers_per_second = number("handlers_per_second"),
          .p50 = number("p50"),
          .p99 = number("p99"),
          .max = number("max"),
          .returned_p50 = number("returned_p50")};
}

floor_of_server::floor_of_server() {
  for (const pg::server_programs& one : pg::find_server_programs()) {
    if (!std::filesystem::exists(one.bin / "pgbench")) continue;
    program_ = one.bin / "pgbench";
    return;
  }
  program_ = pg::find_program("pgbench");
  if (!program_) fmt::print(stderr, "tasks_bench: measured without the floor: no pgbench found\n");
}

double floor_of_server::jobs_per_second(const scratch_database& on, const script& what,
                                        std::size_t count) const {
  const auto connection = connect(on.conninfo());
  const std::size_t each = count / (what.clients * what.jobs_in_one);
  std::string before = "TRUNCATE matview.job";
  if (what.needs_jobs) {
    before += fmt::format(
        "; INSERT INTO matview.job (task) SELECT 'floor' FROM generate_series(1, {})", count);
  }
  execute(connection.get(), before);
  // As the library's worker does: with statistics that say "empty" the planner would sort all jobs
  // for each claim, and that would be a low floor.
  variables environment = on.environment();
  environment.insert_or_assign("PGOPTIONS", "-c enable_sort=off");
  const std::string told =
      output_of({program_->string(), "-n", "-M", "prepared", "-c", fmt::format("{}", what.clients),
                 "-j", what.clients > 1 ? "2" : "1", "-t", fmt::format("{}", each), "-f",
                 (repository / "bench" / "floor" / (what.name + ".sql")).string()},
                environment);
  constexpr std::string_view words = "\ntps = ";
  const auto at = told.find(words);
  if (at == std::string::npos) throw std::runtime_error("pgbench said no tps:\n" + told);
  if (what.needs_jobs) {
    const std::string left =
        value_of(connection.get(), "SELECT count(*) FROM matview.job WHERE state <> 'done'");
    if (std::stoul(left) >= what.clients * what.jobs_in_one) {
      throw std::runtime_error(fmt::format("pgbench left {} jobs of {}", left, what.name));
    }
  }
  return std::stod(told.substr(at + words.size())) * static_cast<double>(what.jobs_in_one);
}

}  // namespace matview::bench
