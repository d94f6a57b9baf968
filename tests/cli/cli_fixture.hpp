#pragma once

#include "support/process.hpp"
#include "support/server.hpp"

#include <boost/json/value.hpp>
#include <gtest/gtest.h>
#include <signal.h>

#include <chrono>
#include <filesystem>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace matview::test {

/// A folder that goes with the test. Others may pass through it: a server's user, for one.
class scratch_folder final {
 public:
  scratch_folder();
  scratch_folder(const scratch_folder&) = delete;
  scratch_folder& operator=(const scratch_folder&) = delete;
  ~scratch_folder();

  [[nodiscard]] const std::filesystem::path& path() const noexcept { return path_; }

  /// A new file in it, and in new folders of it where `name` has some.
  /// @returns its absolute path.
  std::string write(const std::string& name, std::string_view text) const;

 private:
  std::filesystem::path path_;
};

[[nodiscard]] bool contains(std::string_view text, std::string_view part);
[[nodiscard]] std::string read_file(const std::filesystem::path& path);

/// Whether `condition` becomes true in time.
template <class Condition>
[[nodiscard]] bool eventually(Condition condition, std::chrono::seconds patience = 30s) {
  const auto until = std::chrono::steady_clock::now() + patience;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > until) return false;
    std::this_thread::sleep_for(2ms);
  }
  return true;
}

/// Processes whose environment, command line or current folder names `text`; zombies and this
/// process left out. What a test puts into TMPDIR marks all that it starts.
[[nodiscard]] std::vector<pid_t> processes_about(const std::string& text);

/// The program, `MATVIEW_PROGRAM`, with these arguments.
[[nodiscard]] std::vector<std::string> program(const std::vector<std::string>& arguments);

/// A line for sh with each word quoted.
[[nodiscard]] std::string shell_line(const std::vector<std::string>& words);

/// An error as a person must meet it: this exit code, nothing on stdout, and on stderr one that
/// begins with `matview: error: ` and says each of these.
void expect_refusal(const process_result& result, int exit_code,
                    const std::vector<std::string>& said);

/// Parses stdout; holds every key to snake_case, and `*_seconds` to be numbers.
[[nodiscard]] boost::json::value json_of(const process_result& result);

/// A database, a folder to run in, and an environment in which nothing of the tester's own is left.
class cli_test : public testing::Test {
 protected:
  /// Starts the program in `folder`, with `db` as $MATVIEW_URL.
  [[nodiscard]] process start(const std::vector<std::string>& arguments,
                              process_options more = {}) const;
  process_result matview(const std::vector<std::string>& arguments,
                         process_options more = {}) const;
  /// Any program in that environment.
  [[nodiscard]] process start_other(const std::vector<std::string>& argv,
                                    process_options more = {}) const;
  process_result run_other(const std::vector<std::string>& argv, process_options more = {}) const;

  [[nodiscard]] bool exists(const std::string& relation);
  /// All there is in schema public and what it holds on disk: equal before and after when nothing
  /// was changed.
  [[nodiscard]] std::string catalog();
  /// Statements of the program that run in the database now.
  [[nodiscard]] int running();

  /// A view `name` over table `t` whose query waits wherever the gate is closed. It is filled, with
  /// `id` = 1, while t says 2 already.
  void create_gated_view(const std::string& name);
  /// @returns a session that holds the gate closed as long as it lives.
  [[nodiscard]] session close_gate() const;
  static std::string gated_query();
  /// Until a query of the program stands before the gate.
  [[nodiscard]] bool at_gate();

  test_database db;
  scratch_folder folder;
};

}  // namespace matview::test
