#include "cli/worker_process.hpp"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <system_error>

namespace matview::cli {

worker_process::worker_process(const std::string& url) {
  std::string program = "matview";
  std::string command = "worker";
  std::string option = "--url";
  std::string value = url;
  const std::array<char*, 5> arguments{program.data(), command.data(), option.data(), value.data(),
                                       nullptr};
  posix_spawn_file_actions_t quietly;
  posix_spawn_file_actions_init(&quietly);
  for (const int stream : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    posix_spawn_file_actions_addopen(&quietly, stream, "/dev/null", O_RDWR, 0);
  }
  const int failed =
      posix_spawn(&id_, "/proc/self/exe", &quietly, nullptr, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&quietly);
  if (failed != 0) throw std::system_error(failed, std::generic_category(), "matview worker");
}

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
