#pragma once

#include "tasks_database.hpp"
#include "tasks_measures.hpp"

#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>

// What the library is measured beside: other queues, and what the server can do at best.

namespace matview::bench {

/// graphile-worker and pg-boss, by tools/bench-peers.
class peers final {
 public:
  /// Installs them if they are not there. What is missing is said on standard error.
  peers();

  [[nodiscard]] bool there() const noexcept { return !versions_.empty(); }
  /// `graphile-worker 0.17.3, pg-boss 10.4.2, node 20.20.2`.
  [[nodiscard]] const std::string& versions() const noexcept { return versions_; }

  [[nodiscard]] outcome measure_one(const std::string& peer, const scratch_database& on,
                                    measure what, std::size_t count) const;

 private:
  std::string versions_;
};

/// pgbench on the queue's own table, with the fewest statements that do the same.
class floor_of_server final {
 public:
  /// That there is no pgbench is said on standard error.
  floor_of_server();

  [[nodiscard]] bool there() const noexcept { return program_.has_value(); }

  struct script {
    std::string name;  ///< Of a file in bench/floor, without its ending.
    std::size_t clients;
    std::size_t jobs_in_one;  ///< Of one run of the script.
    bool needs_jobs;          ///< Whether it works on jobs that are there already.
  };

  /// @return jobs in a second; the queue is emptied first.
  [[nodiscard]] double jobs_per_second(const scratch_database& on, const script& what,
                                       std::size_t count) const;

 private:
  std::optional<std::filesystem::path> program_;
};

}  // namespace matview::bench
