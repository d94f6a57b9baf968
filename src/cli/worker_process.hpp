#pragma once

#include <sys/types.h>

#include <string>

namespace matview::cli {

/// `matview worker` as a process of its own; killed with the object if it still runs.
class worker_process final {
 public:
  /// Works on the database of this address.
  /// @throws std::system_error if it cannot be started.
  explicit worker_process(const std::string& url);
  worker_process(const worker_process&) = delete;
  worker_process& operator=(const worker_process&) = delete;
  ~worker_process();

  [[nodiscard]] pid_t id() const noexcept { return id_; }

  /// Ends it as nobody can object to, SIGKILL, and waits for it.
  void kill() noexcept;

  /// Asks it to end, SIGTERM, and waits until it has.
  void stop() noexcept;

 private:
  void end(int signal) noexcept;

  pid_t id_ = -1;
};

}  // namespace matview::cli
