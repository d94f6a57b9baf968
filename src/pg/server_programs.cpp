#include "pg/server_programs.hpp"

#include "text/quote.hpp"
#include <matview/error.hpp>

#include <fcntl.h>
#include <fmt/format.h>
#include <grp.h>
#include <pwd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <system_error>

namespace matview::pg {
namespace {

namespace fs = std::filesystem;

// Running.

struct scope_close {
  int fd;
  ~scope_close() {
    if (fd >= 0) close(fd);
  }
};

/// A descriptor above the ones that a child rearranges, so that no dup2 there hits a source.
class high_descriptor final {
 public:
  explicit high_descriptor(int fd) noexcept : fd_(fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 10)) {}
  ~high_descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  high_descriptor(const high_descriptor&) = delete;
  high_descriptor& operator=(const high_descriptor&) = delete;

  /// The same of a descriptor that nobody else needs.
  [[nodiscard]] static high_descriptor instead_of(int fd) noexcept {
    const scope_close low{fd};
    return high_descriptor(fd);
  }
  [[nodiscard]] int get() const noexcept { return fd_; }

 private:
  int fd_;
};

/// Everything a child needs, laid out before the fork: after it nothing may allocate or lock,
/// because another thread may have held that lock.
struct child_plan {
  std::vector<char*> argv;
  std::vector<char*> environment;
  const char* folder;
  const os_user* user;
  int null;
  int output;
  int kept_open;
  bool detached;
};

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> result;
  result.reserve(texts.size() + 1);
  for (std::string& text : texts) result.push_back(text.data());
  result.push_back(nullptr);
  return result;
}

std::vector<std::string> sober_environment() {
  std::vector<std::string> result = {"LC_ALL=C"};
  for (const char* name : {"PATH", "LD_LIBRARY_PATH", "TZ", "TZDIR"}) {
    if (const char* value = std::getenv(name)) result.push_back(fmt::format("{}={}", name, value));
  }
  return result;
}

void default_signals() noexcept {
  struct sigaction plain = {};
  plain.sa_handler = SIG_DFL;
  for (int number = 1; number < NSIG; ++number) sigaction(number, &plain, nullptr);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
}

void close_from(int first) noexcept {
  if (close_range(static_cast<unsigned>(first), ~0U, 0) == 0) return;
  for (int fd = first; fd < 1024; ++fd) close(fd);  // a kernel before 5.9
}

void arrange_descriptors(const child_plan& plan) noexcept {
  dup2(plan.null, 0);
  dup2(plan.output, 1);
  dup2(plan.output, 2);
  if (plan.kept_open >= 0) dup2(plan.kept_open, 3);
  close_from(plan.kept_open >= 0 ? 4 : 3);
}

bool become(const os_user& user) noexcept {
  return setgroups(user.groups.size(), user.groups.data()) == 0 && setgid(user.gid) == 0 &&
         setuid(user.uid) == 0;
}

[[noreturn]] void leave_with(int status) noexcept {
  const char* reason = strerrordesc_np(errno);  // strerror() translates, and so may lock
  if (reason == nullptr) reason = "unknown error";
  [[maybe_unused]] const auto written = write(2, reason, std::strlen(reason));
  _exit(status);
}

[[noreturn]] void run_child(const child_plan& plan) noexcept {
  default_signals();
  setsid();
  if (plan.detached) {
    // The second fork leaves the program without a parent that would have to reap it.
    if (const pid_t heir = _Fork(); heir != 0) _exit(heir < 0 ? program_result::not_executable : 0);
  }
  arrange_descriptors(plan);
  umask(077);
  if (plan.user != nullptr && !become(*plan.user)) leave_with(program_result::not_executable);
  if (chdir(plan.folder) != 0) leave_with(program_result::folder_closed);
  execve(plan.argv.front(), plan.argv.data(), plan.environment.data());
  leave_with(program_result::not_executable);
}

/// Forks with all signals blocked, so that no handler of the application runs in the child.
pid_t fork_child(const child_plan& plan) {
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  const pid_t child = fork();
  if (child == 0) run_child(plan);
  const int reason = errno;
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  errno = reason;
  return child;
}

int await_child(pid_t child) {
  int status = 0;
  while (waitpid(child, &status, 0) < 0) {
    if (errno != EINTR) return program_result::succeeded;  // ECHILD, see program_result::status
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

std::string read_end(int fd) {
  constexpr off_t most = off_t{64} * 1024;
  const off_t size = lseek(fd, 0, SEEK_END);
  std::string text(static_cast<std::size_t>(std::clamp<off_t>(size, 0, most)), '\0');
  const ssize_t got = pread(fd, text.data(), text.size(), std::max<off_t>(size - most, 0));
  text.resize(static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
  return text;
}

[[noreturn]] void fail_to_run(const std::string& program) {
  throw error(errc::connection_failed, fmt::format("{} could not be run: {}", program,
                                                   std::generic_category().message(errno)));
}

// Finding.

std::vector<fs::path> path_folders() {
  std::vector<fs::path> result;
  const char* value = std::getenv("PATH");
  std::string_view rest = value == nullptr ? "" : value;
  while (!rest.empty()) {
    const std::size_t end = std::min(rest.find(':'), rest.size());
    // An empty or relative entry means "wherever I am", no place to take a server from.
    if (rest.starts_with('/')) result.emplace_back(rest.substr(0, end));
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return result;
}

bool is_program(const fs::path& file) {
  std::error_code ignored;
  return fs::is_regular_file(file, ignored) && access(file.c_str(), X_OK) == 0;
}

const char* first_missing(const fs::path& bin) {
  for (const char* name : {"initdb", "pg_ctl", "postgres"}) {
    if (!is_program(bin / name)) return name;
  }
  return nullptr;
}

/// From "postgres (PostgreSQL) 15.13 (Debian 15.13-0+deb12u1)"; 0 when it says anything else.
int major_version(const fs::path& bin) {
  const std::string said = run_program({.argv = {(bin / "postgres").string(), "--version"}}).output;
  constexpr std::string_view before = "(PostgreSQL) ";
  const std::size_t at = said.find(before);
  if (at == std::string::npos) return 0;
  int major = 0;
  std::from_chars(said.data() + at + before.size(), said.data() + said.size(), major);
  return major;
}

server_programs named_programs(const fs::path& named) {
  const fs::path bin = fs::absolute(named);
  const std::string shown = text::shown(bin.string(), 200);
  const std::string hint =
      "Set MATVIEW_PG_BINDIR to the folder that holds initdb, pg_ctl and postgres, or unset it.";
  if (const char* missing = first_missing(bin)) {
    throw error(
        errc::invalid_option,
        fmt::format("MATVIEW_PG_BINDIR is {}, where there is no program {}", shown, missing),
        {.hint = hint});
  }
  const int major = major_version(bin);
  if (major == 0) {
    throw error(errc::invalid_option,
                fmt::format("MATVIEW_PG_BINDIR is {}, whose postgres does not run", shown),
                {.hint = hint});
  }
  return {bin, major};
}

std::vector<fs::path> candidates() {
  std::vector<fs::path> result;
  std::error_code none;
  for (const auto& entry : fs::directory_iterator("/usr/lib/postgresql", none)) {
    result.push_back(entry.path() / "bin");
  }
  if (const auto pg_config = find_program("pg_config")) {
    std::string said = run_program({.argv = {pg_config->string(), "--bindir"}}).output;
    said.erase(std::min(said.find('\n'), said.size()));
    if (said.starts_with('/')) result.emplace_back(said);
  }
  std::ranges::copy(path_folders(), std::back_inserter(result));
  return result;
}

os_user user_of(const passwd& entry) {
  int count = 64;
  std::vector<gid_t> groups(static_cast<std::size_t>(count));
  if (getgrouplist(entry.pw_name, entry.pw_gid, groups.data(), &count) < 0) {
    groups.resize(static_cast<std::size_t>(count));  // it said how many there are
    getgrouplist(entry.pw_name, entry.pw_gid, groups.data(), &count);
  }
  groups.resize(static_cast<std::size_t>(count));
  return {entry.pw_uid, entry.pw_gid, entry.pw_name, std::move(groups)};
}

}  // namespace

std::vector<server_programs> find_server_programs() {
  if (const char* named = std::getenv("MATVIEW_PG_BINDIR"); named != nullptr && *named != '\0') {
    return {named_programs(named)};
  }
  std::vector<server_programs> result;
  for (const fs::path& bin : candidates()) {
    if (first_missing(bin) != nullptr) continue;
    std::error_code none;
    const fs::path real = fs::canonical(bin, none);
    const bool known = std::ranges::find(result, real, &server_programs::bin) != result.end();
    if (const int major = known ? 0 : major_version(real); major != 0) {
      result.push_back({real, major});
    }
  }
  std::ranges::stable_sort(result, std::greater{}, &server_programs::major);
  return result;
}

std::optional<fs::path> find_program(std::string_view name) {
  std::vector<fs::path> folders = path_folders();
  folders.insert(folders.end(), {"/usr/bin", "/bin"});
  for (const fs::path& folder : folders) {
    if (is_program(folder / name)) return folder / name;
  }
  return std::nullopt;
}

std::optional<os_user> find_user(const std::string& name) {
  passwd entry = {};
  passwd* found = nullptr;
  std::array<char, 16384> room{};
  getpwnam_r(name.c_str(), &entry, room.data(), room.size(), &found);
  return found == nullptr ? std::nullopt : std::optional(user_of(entry));
}

std::optional<os_user> find_user(uid_t uid) {
  passwd entry = {};
  passwd* found = nullptr;
  std::array<char, 16384> room{};
  getpwuid_r(uid, &entry, room.data(), room.size(), &found);
  return found == nullptr ? std::nullopt : std::optional(user_of(entry));
}

program_result run_program(const program_call& call) {
  const auto null = high_descriptor::instead_of(open("/dev/null", O_RDWR | O_CLOEXEC));
  // In memory and not in a pipe, so that what a program leaves running behind it cannot keep us
  // waiting for an end of file; and not on a disk, which may be the very thing that is full.
  const auto output = high_descriptor::instead_of(memfd_create("matview-output", MFD_CLOEXEC));
  const high_descriptor kept_open(call.kept_open);
  if (null.get() < 0 || output.get() < 0) fail_to_run(call.argv.front());

  std::vector<std::string> argv = call.argv;
  std::vector<std::string> environment = sober_environment();
  const child_plan plan = {
      .argv = pointers(argv),
      .environment = pointers(environment),
      .folder = call.folder.c_str(),
      .user = call.user ? &*call.user : nullptr,
      .null = null.get(),
      .output = call.detached ? null.get() : output.get(),
      .kept_open = kept_open.get(),
      .detached = call.detached,
  };
  const pid_t child = fork_child(plan);
  if (child < 0) fail_to_run(call.argv.front());
  const int status = await_child(child);
  return {status, read_end(output.get())};
}

}  // namespace matview::pg
