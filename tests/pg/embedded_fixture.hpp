#pragma once

#include "pg/embedded_server.hpp"
#include "support/server.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

namespace matview::pg::embedded_testing {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using test::session;

/// A folder that goes with the test. Open to pass through, because as root the server is not ours.
class scratch_folder final {
 public:
  scratch_folder() {
    const char* parent = std::getenv("TMPDIR");
    path_ = fs::path(parent == nullptr ? "/tmp" : parent) / "matview-embedded-XXXXXX";
    std::string name = path_.string();
    if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("mkdtemp " + name);
    path_ = name;
    fs::permissions(path_, static_cast<fs::perms>(0755));
  }
  ~scratch_folder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  scratch_folder(const scratch_folder&) = delete;
  scratch_folder& operator=(const scratch_folder&) = delete;

  [[nodiscard]] const fs::path& path() const noexcept { return path_; }
  [[nodiscard]] fs::path server() const { return path_ / "pg"; }

 private:
  fs::path path_;
};

class environment_variable final {
 public:
  environment_variable(std::string name, const char* value) : name_(std::move(name)) {
    if (const char* old = std::getenv(name_.c_str())) before_ = old;
    value == nullptr ? unsetenv(name_.c_str()) : setenv(name_.c_str(), value, 1);
  }
  ~environment_variable() {
    before_ ? setenv(name_.c_str(), before_->c_str(), 1) : unsetenv(name_.c_str());
  }
  environment_variable(const environment_variable&) = delete;
  environment_variable& operator=(const environment_variable&) = delete;

 private:
  std::string name_;
  std::optional<std::string> before_ = {};
};

inline std::string contents(const fs::path& file) {
  const std::ifstream stream(file);
  std::ostringstream text;
  text << stream.rdbuf();  // A process of /proc may go meanwhile: then what there was.
  return text.str();
}

inline void write_file(const fs::path& file, std::string_view text) {
  std::ofstream(file) << text;
}

/// A zombie counts as dead: nothing says that the first process reaps, in a container.
inline bool alive(pid_t process) {
  const std::string stat = contents(fmt::format("/proc/{}/stat", process));
  const std::size_t name_end = stat.rfind(')');
  return name_end != std::string::npos && stat.at(name_end + 2) != 'Z';
}

/// 0 when there is none.
inline pid_t postmaster_of(const fs::path& server) {
  pid_t process = 0;
  std::ifstream(server / "data/postmaster.pid") >> process;
  return process;
}

inline bool holds_soon(const std::function<bool()>& condition,
                       std::chrono::seconds patience = 20s) {
  const auto deadline = std::chrono::steady_clock::now() + patience;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(5ms);
  }
  return true;
}

/// The postmaster ends a little after its file, by which pg_ctl tells that it has stopped.
inline testing::AssertionResult stopped(const fs::path& server, pid_t postmaster) {
  if (fs::exists(server / "data/postmaster.pid")) {
    return testing::AssertionFailure() << "postmaster.pid is there";
  }
  if (!holds_soon([&] { return !alive(postmaster); })) {
    return testing::AssertionFailure() << postmaster << " is alive";
  }
  return testing::AssertionSuccess();
}

/// A process that uses the folder, until told to leave or killed. It is a fork of this one.
class guest final {
 public:
  explicit guest(const fs::path& server) {
    int said[2];
    int told[2];
    if (pipe2(said, O_CLOEXEC) != 0 || pipe2(told, O_CLOEXEC) != 0)
      throw std::runtime_error("pipe");
    process_ = fork();
    if (process_ == 0) {
      close(said[0]);
      close(told[1]);
      be_guest(server, said[1], told[0]);
    }
    close(said[1]);
    close(told[0]);
    said_ = said[0];
    told_ = told[1];
  }
  ~guest() {
    kill_now();
    close(said_);
    if (told_ >= 0) close(told_);
  }
  guest(const guest&) = delete;
  guest& operator=(const guest&) = delete;

  /// The postmaster that the guest's connection reached; 0 when it could not use the server.
  pid_t postmaster() {
    if (postmaster_) return *postmaster_;
    pid_t answer = 0;
    pollfd wait = {said_, POLLIN, 0};
    if (poll(&wait, 1, 60000) != 1 || read(said_, &answer, sizeof answer) != sizeof answer) {
      answer = 0;
    }
    postmaster_ = answer;
    return answer;
  }
  /// Does not wait for the end.
  void tell_to_leave() { close(std::exchange(told_, -1)); }
  /// Whether the guest ended as it should.
  bool has_left() {
    if (told_ >= 0) tell_to_leave();
    int status = -1;
    waitpid(std::exchange(process_, -1), &status, 0);
    return status == 0;
  }
  void kill_now() {
    if (process_ < 0) return;
    kill(process_, SIGKILL);
    waitpid(std::exchange(process_, -1), nullptr, 0);
  }

 private:
  [[noreturn]] static void be_guest(const fs::path& server, int say, int told) noexcept {
    int status = 1;
    try {
      const auto use = embedded_server::use(server, {});
      session(use->conninfo()).execute("SELECT 1");
      const pid_t postmaster = postmaster_of(server);
      char none = 0;
      if (write(say, &postmaster, sizeof postmaster) > 0 && read(told, &none, 1) == 0) status = 0;
    } catch (const std::exception& fault) {
      fmt::print(stderr, "guest: {}\n", fault.what());
    }
    _exit(status);
  }

  pid_t process_ = -1;
  int said_ = -1;
  int told_ = -1;
  std::optional<pid_t> postmaster_ = {};
};

}  // namespace matview::pg::embedded_testing
