#include "support/process.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <stdexcept>
#include <system_error>
#include <utility>

namespace matview::test {

namespace {

[[noreturn]] void fail(int code, const std::string& what) {
  throw std::system_error(code, std::generic_category(), what);
}

void close_fd(int& fd) {
  if (fd >= 0) ::close(fd);
  fd = -1;
}

struct pipe_ends {
  pipe_ends() {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) fail(errno, "pipe");
    read = ends[0];
    write = ends[1];
  }
  pipe_ends(const pipe_ends&) = delete;
  pipe_ends& operator=(const pipe_ends&) = delete;
  ~pipe_ends() {
    close_fd(read);
    close_fd(write);
  }

  int read = -1;
  int write = -1;
};

std::vector<std::string> environment(
    const std::map<std::string, std::optional<std::string>>& changes) {
  std::vector<std::string> result;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view line(*entry);
    if (!changes.contains(std::string(line.substr(0, line.find('='))))) result.emplace_back(line);
  }
  for (const auto& [name, value] : changes) {
    if (value) result.push_back(name + '=' + *value);
  }
  return result;
}

std::vector<char*> c_strings(std::vector<std::string>& texts) {
  std::vector<char*> result;
  for (std::string& text : texts) result.push_back(text.data());
  result.push_back(nullptr);
  return result;
}

// Reads what is there; closes at the end of the stream.
void drain(int& fd, std::string& into) {
  std::array<char, 65536> buffer{};
  while (fd >= 0) {
    const ssize_t got = ::read(fd, buffer.data(), buffer.size());
    if (got > 0) {
      into.append(buffer.data(), static_cast<std::size_t>(got));
    } else if (got < 0 && errno == EINTR) {
      continue;
    } else if (got < 0 && errno == EAGAIN) {
      return;
    } else {
      close_fd(fd);
    }
  }
}

}  // namespace

process::process(const std::vector<std::string>& argv, process_options options)
    : program_(argv.at(0)), input_(std::move(options.input)) {
  // A program that does not read its input must not end the test.
  ::signal(SIGPIPE, SIG_IGN);

  pipe_ends in;
  pipe_ends out;
  pipe_ends err;
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, in.read, STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, out.write, STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, err.write, STDERR_FILENO);
  if (!options.directory.empty()) {
    posix_spawn_file_actions_addchdir_np(&actions, options.directory.c_str());
  }
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t none;
  sigemptyset(&none);
  sigset_t defaults;
  sigemptyset(&defaults);
  for (const int signal : {SIGPIPE, SIGINT, SIGTERM, SIGQUIT, SIGHUP}) sigaddset(&defaults, signal);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &defaults);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);

  std::vector<std::string> arguments = argv;
  std::vector<std::string> variables = environment(options.env);
  const int failed = ::posix_spawnp(&pid_, program_.c_str(), &actions, &attributes,
                                    c_strings(arguments).data(), c_strings(variables).data());
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  if (failed != 0) fail(failed, program_);

  in_ = std::exchange(in.write, -1);
  out_ = std::exchange(out.read, -1);
  err_ = std::exchange(err.read, -1);
  for (const int fd : {in_, out_, err_}) ::fcntl(fd, F_SETFL, O_NONBLOCK);
  pid_fd_ = watch_process(pid_);
  if (pid_fd_ < 0) fail(errno, "watching " + program_);
  if (input_.empty()) close_fd(in_);
}

process::~process() {
  if (!exit_code_) {
    ::kill(pid_, SIGKILL);
    reap();
  }
  for (int* fd : {&pid_fd_, &in_, &out_, &err_}) close_fd(*fd);
}

void process::send_signal(int signal) const {
  if (!exit_code_) ::kill(pid_, signal);
}

bool process::ended() {
  pollfd fd{pid_fd_, POLLIN, 0};
  if (!exit_code_ && ::poll(&fd, 1, 0) == 1) {
    reap();
    drain(out_, out_text_);
    drain(err_, err_text_);
  }
  return exit_code_.has_value();
}

void process::reap() {
  int status = 0;
  while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
  exit_code_ = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

// Moves data until something happened. What the program left in the pipes when it ended is taken;
// what a grandchild that holds them open may write later is not waited for.
void process::pump(clock::time_point until) {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - clock::now());
  std::array<pollfd, 4> fds{
      {{out_, POLLIN, 0}, {err_, POLLIN, 0}, {in_, POLLOUT, 0}, {pid_fd_, POLLIN, 0}}};
  const int ready =
      left.count() <= 0 ? 0 : ::poll(fds.data(), fds.size(), static_cast<int>(left.count()));
  if (ready < 0 && errno == EINTR) return;
  if (ready == 0) {
    ::kill(pid_, SIGKILL);
    reap();
    drain(out_, out_text_);
    drain(err_, err_text_);
    throw std::runtime_error(program_ + " did not get there before the deadline; it wrote\n" +
                             out_text_ + "\nand to standard error\n" + err_text_);
  }
  if (fds[3].revents != 0) reap();
  drain(out_, out_text_);
  drain(err_, err_text_);
  if (in_ >= 0 && fds[2].revents != 0) {
    const ssize_t sent = ::write(in_, input_.data() + input_sent_, input_.size() - input_sent_);
    if (sent > 0) input_sent_ += static_cast<std::size_t>(sent);
    if ((sent < 0 && errno != EAGAIN && errno != EINTR) || input_sent_ == input_.size()) {
      close_fd(in_);
    }
  }
}

bool process::wait_for(const std::string& where, std::string_view text,
                       std::chrono::milliseconds deadline) {
  const auto until = clock::now() + deadline;
  while (where.find(text) == std::string::npos) {
    if (exit_code_) return false;
    pump(until);
  }
  return true;
}

bool process::wait_for_out(std::string_view text, std::chrono::milliseconds deadline) {
  return wait_for(out_text_, text, deadline);
}

bool process::wait_for_err(std::string_view text, std::chrono::milliseconds deadline) {
  return wait_for(err_text_, text, deadline);
}

std::optional<std::string> process::read_line(std::chrono::milliseconds deadline) {
  const auto until = clock::now() + deadline;
  std::size_t end = 0;
  while ((end = out_text_.find('\n', lines_read_)) == std::string::npos) {
    if (out_ < 0 || exit_code_) {
      if (lines_read_ == out_text_.size()) return std::nullopt;
      end = out_text_.size();
      break;
    }
    pump(until);
  }
  std::string line = out_text_.substr(lines_read_, end - lines_read_);
  lines_read_ = std::min(end + 1, out_text_.size());
  return line;
}

void process::close_out() {
  close_fd(out_);
}

process_result process::wait(std::chrono::milliseconds deadline) {
  const auto until = clock::now() + deadline;
  while (!exit_code_) pump(until);
  return {*exit_code_, out_text_, err_text_};
}

// glibc 2.36 declares pidfd_open() without C linkage.
int watch_process(pid_t pid) noexcept {
  return static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));
}

process_result run(const std::vector<std::string>& argv, process_options options,
                   std::chrono::milliseconds deadline) {
  return process(argv, std::move(options)).wait(deadline);
}

}  // namespace matview::test
