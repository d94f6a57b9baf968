#pragma once

#include <sys/types.h>

#include <map>
#include <optional>
#include <string>
#include <vector>

namespace matview::bench {

/// Variables that a child has beside those of this process.
using variables = std::map<std::string, std::string>;

/// Another process, whose standard output is read here. Killed with this object, if it still runs.
class child final {
 public:
  /// @param argv  argv[0] is a path. No shell is involved.
  /// @throws std::runtime_error if it cannot be started.
  explicit child(std::vector<std::string> argv, const variables& added = {});
  ~child();
  child(const child&) = delete;
  child& operator=(const child&) = delete;

  [[nodiscard]] pid_t pid() const noexcept { return pid_; }

  /// Waits for a line of it; nothing when it has closed its output.
  [[nodiscard]] std::optional<std::string> read_line();

  /// Waits for a line that begins with `words`. @throws std::runtime_error if it ends before.
  void await(const std::string& words);

  /// SIGKILL, and nothing else.
  void kill() noexcept;

  /// Waits for its end; its exit status, or 128 and the signal's number.
  int wait() noexcept;

 private:
  pid_t pid_ = -1;
  int output_ = -1;
  std::string pending_;
  std::optional<int> status_;
};

/// Runs a program to its end; what it wrote to its standard output.
/// @throws std::runtime_error if it fails.
std::string output_of(const std::vector<std::string>& argv, const variables& added = {});

}  // namespace matview::bench
