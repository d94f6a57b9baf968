#pragma once

#include <sys/types.h>

#include <chrono>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace matview::test {

using namespace std::chrono_literals;

/// How a program is started. Plain data.
struct process_options {
  /// Variables that differ from this process's; no value removes one.
  std::map<std::string, std::optional<std::string>> env = {};
  /// What the program reads; then its standard input ends.
  std::string input = {};
  /// Where it runs; empty: here.
  std::filesystem::path directory = {};
};

/// What a program that has ended left.
struct process_result {
  int exit_code = 0;  ///< 128 + signal when a signal ended it.
  std::string out = {};
  std::string err = {};
};

/// A program that runs beside the test. One thread at a time may use an object.
///
/// Every wait has a deadline; when it passes, the program is killed and std::runtime_error tells
/// what it had written. The destructor kills a program that still runs, so none outlives its test.
class process final {
 public:
  /// @param argv the program, looked up in PATH, and its arguments.
  /// @throws std::system_error when it cannot be started.
  explicit process(const std::vector<std::string>& argv, process_options options = {});
  process(const process&) = delete;
  process& operator=(const process&) = delete;
  ~process();

  [[nodiscard]] pid_t id() const noexcept { return pid_; }
  [[nodiscard]] bool ended();
  void send_signal(int signal) const;

  /// The next line of standard output without its line break; nothing once the output has ended.
  [[nodiscard]] std::optional<std::string> read_line(std::chrono::milliseconds deadline = 30s);

  /// Until standard output, or standard error, holds `text`; false when the program ended first.
  [[nodiscard]] bool wait_for_out(std::string_view text, std::chrono::milliseconds deadline = 30s);
  [[nodiscard]] bool wait_for_err(std::string_view text, std::chrono::milliseconds deadline = 30s);

  /// Closes this end of the program's standard output: its next write finds a closed pipe.
  void close_out();

  /// Until the program has ended. The output is all of it, with what read_line() gave.
  process_result wait(std::chrono::milliseconds deadline = 60s);

 private:
  using clock = std::chrono::steady_clock;

  void pump(clock::time_point until);
  bool wait_for(const std::string& where, std::string_view text,
                std::chrono::milliseconds deadline);
  void reap();

  std::string program_;
  pid_t pid_ = -1;
  int pid_fd_ = -1;
  int in_ = -1;
  int out_ = -1;
  int err_ = -1;
  std::string input_;
  std::size_t input_sent_ = 0;
  std::size_t lines_read_ = 0;
  std::optional<int> exit_code_;
  std::string out_text_;
  std::string err_text_;
};

/// A file descriptor that becomes readable when the process, anybody's, has ended; -1 when it has
/// already been waited for.
[[nodiscard]] int watch_process(pid_t pid) noexcept;

/// Runs a program to its end.
process_result run(const std::vector<std::string>& argv, process_options options = {},
                   std::chrono::milliseconds deadline = 60s);

}  // namespace matview::test
