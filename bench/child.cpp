#include "child.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <stdexcept>
#include <string_view>
#include <system_error>
#include <utility>

namespace matview::bench {

namespace {

std::vector<std::string> environment_with(const variables& added) {
  std::vector<std::string> out;
  for (char** one = environ; *one != nullptr; ++one) {
    const std::string_view entry(*one);
    if (!added.contains(std::string(entry.substr(0, entry.find('='))))) out.emplace_back(entry);
  }
  for (const auto& [name, value] : added) out.push_back(fmt::format("{}={}", name, value));
  return out;
}

std::vector<char*> pointers_to(std::vector<std::string>& texts) {
  std::vector<char*> out;
  for (std::string& one : texts) out.push_back(one.data());
  out.push_back(nullptr);
  return out;
}

}  // namespace

child::child(std::vector<std::string> argv, const variables& added) {
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) {
    throw std::system_error(errno, std::generic_category(), "no pipe");
  }
  output_ = ends[0];
  std::vector<std::string> environment = environment_with(added);
  posix_spawn_file_actions_t actions{};
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
  const int failed = posix_spawn(&pid_, argv.front().c_str(), &actions, nullptr,
                                 pointers_to(argv).data(), pointers_to(environment).data());
  posix_spawn_file_actions_destroy(&actions);
  close(ends[1]);
  if (failed != 0) {
    close(output_);
    throw std::system_error(failed, std::generic_category(), argv.front());
  }
}

child::~child() {
  if (!status_) {
    kill();
    wait();
  }
  close(output_);
}

std::optional<std::string> child::read_line() {
  for (;;) {
    const auto end = pending_.find('\n');
    if (end != std::string::npos) {
      std::string line = pending_.substr(0, end);
      pending_.erase(0, end + 1);
      return line;
    }
    std::array<char, 4096> chunk{};
    const ssize_t count = read(output_, chunk.data(), chunk.size());
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return std::nullopt;
    pending_.append(chunk.data(), static_cast<std::size_t>(count));
  }
}

void child::await(const std::string& words) {
  for (auto line = read_line(); line; line = read_line()) {
    if (line->starts_with(words)) return;
  }
  throw std::runtime_error(fmt::format("process {} ended without \"{}\"", pid_, words));
}

void child::kill() noexcept {
  if (!status_) ::kill(pid_, SIGKILL);
}

int child::wait() noexcept {
  if (status_) return *status_;
  int status = 0;
  while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
  status_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return *status_;
}

std::string output_of(const std::vector<std::string>& argv, const variables& added) {
  child running(argv, added);
  std::string out;
  for (auto line = running.read_line(); line; line = running.read_line()) out += *line + '\n';
  const int status = running.wait();
  if (status != 0) throw std::runtime_error(fmt::format("{} ended with {}", argv.front(), status));
  return out;
}

}  // namespace matview::bench
