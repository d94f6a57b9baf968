#pragma once

#include "pg/server_folder.hpp"
#include <matview/log.hpp>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace matview::pg {

/// The cluster in a folder and the process that serves it. Knows nothing of who uses it: whoever
/// calls start() or stop() holds the locks for it, see embedded_server.
class server_process final {
 public:
  server_process(server_folder folder, log_sink log);

  [[nodiscard]] const std::filesystem::path& path() const noexcept { return folder_.path; }
  [[nodiscard]] const std::string& conninfo() const noexcept { return conninfo_; }

  void say(log_level level, std::string_view line) const;

  /// Makes it answer, whatever state it is in.
  /// @throws error with errc::connection_failed; errc::invalid_option when the cluster has a server
  ///         that somebody else started. std::filesystem::filesystem_error.
  void start(const file_lock& start_lock);

  /// Starts a process that holds `users_lock` open until the server ends.
  void launch_keeper(int users_lock) const;

  [[nodiscard]] const std::filesystem::path& programs() const noexcept {
    return folder_.programs.bin;
  }

  /// Stops it if it runs; a failure is logged as a warning.
  void stop();

 private:
  [[nodiscard]] program_result run(std::vector<std::string> argv, int kept_open = -1) const;
  void initialise(const file_lock& start_lock) const;
  void launch_supervisor();
  void begin_log();
  [[nodiscard]] program_result launch() const;
  void await_answer() const;
  [[nodiscard]] bool runs(const char* lock_file) const;
  [[nodiscard]] bool is_served_elsewhere() const;
  void refuse_served_elsewhere() const;
  [[nodiscard]] bool forget_stale_process() const;
  [[nodiscard]] std::string fresh_log() const;
  [[noreturn]] void fail(const std::string& what, std::string_view said) const;

  const server_folder folder_;
  const log_sink log_;
  const std::string conninfo_;
  std::optional<std::filesystem::path> flock_ = {};  ///< Set by launch_supervisor().
  std::uintmax_t log_start_ = 0;                     ///< Where in server.log this start began.
};

}  // namespace matview::pg
