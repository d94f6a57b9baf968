#include "cli/worker_process.hpp"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <system_error>

namespace matview::cli {

namespace {

// The child's side of fork(): only what may be called there. It must not outlive a parent that is
// killed.
[[noreturn]] void become(char* const* arguments, pid_t parent) noexcept {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  const int nowhere = ::open("/dev/null", O_RDWR);
  for (const int stream : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) ::dup2(nowhere, stream);
  if (::getppid() == parent) ::execv("/proc/self/exe", arguments);
  ::_exit(127);
}

pid_t start(std::string url) {
  std::string program = "matview";
  std::string command = "worker";
  std::string option = "--url";
  const std::array<char*, 5> arguments{program.data(), command.data(), option.data(), url.data(),
                                       nullptr};
  const pid_t parent = ::getpid();
  const pid_t child = ::fork();
  if (child < 0) throw std::system_error(errno, std::generic_category(), "matview worker");
  if (child == 0) become(arguments.data(), parent);
  return child;
}

}  // namespace

worker_process::worker_process(const std::string& url) : id_(start(url)) {}

worker_process::~worker_process() {
  kill();
}

void worker_process::kill() noexcept {
  end(SIGKILL);
}

void worker_process::stop() noexcept {
  end(SIGTERM);
}

void worker_process::end(int signal) noexcept {
  if (id_ < 0) return;
  ::kill(id_, signal);
  while (::waitpid(id_, nullptr, 0) < 0 && errno == EINTR) continue;
  id_ = -1;
}

}  // namespace matview::cli
