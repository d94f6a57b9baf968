#include "pg/server_process.hpp"

#include "text/quote.hpp"
#include <matview/error.hpp>

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <libpq-fe.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <fstream>
#include <iterator>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>

namespace matview::pg {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using steady = std::chrono::steady_clock;

/// How long a server may be silent before it is given up.
constexpr auto start_patience = 60s;
/// How long one may say "starting up": the recovery after a crash takes as long as it takes.
constexpr auto recovery_patience = 15min;
constexpr auto tick = 20ms;

/// Where PostgreSQL keeps the number of the server's process.
constexpr const char* postmaster_file = "data/postmaster.pid";
constexpr const char* socket_file = "run/.s.PGSQL.5432.lock";

/// As the server says it, whose working directory is data.
constexpr const char* socket_folder = "../run";

/// More than this of server.log is put aside at the next start.
constexpr std::uintmax_t largest_log = std::uintmax_t{16} * 1024 * 1024;

std::string shown(const fs::path& path) {
  return text::shown(path.string(), 300);
}

bool tells_something(std::string_view line) {
  constexpr std::array<std::string_view, 11> words = {
      "FATAL",     "PANIC",  "ERROR",   "error:",       "HINT",    "DETAIL",
      "could not", "cannot", "invalid", "unrecognized", "No space"};
  return std::ranges::any_of(words,
                             [&](auto word) { return line.find(word) != std::string_view::npos; });
}

/// The last lines of `text`, those that speak of a fault if there are any, on one line.
std::string gist(std::string_view text) {
  constexpr std::size_t most = 4;
  std::vector<std::string> all;
  std::vector<std::string> faults;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string line(text.substr(0, end));
    if (line.find_first_not_of(" \t\r") != std::string::npos) {
      all.push_back(line);
      if (tells_something(line)) faults.push_back(line);
    }
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  const std::vector<std::string>& best = faults.empty() ? all : faults;
  const auto from = best.end() - static_cast<std::ptrdiff_t>(std::min(best.size(), most));
  return best.empty() ? "it said nothing" : fmt::format("{}", fmt::join(from, best.end(), " | "));
}

std::string hint_for(std::string_view said, const fs::path& path) {
  if (said.find("No space left on device") != std::string_view::npos) {
    return fmt::format(
        "No space left on device: free some on the disk that holds {}, or choose "
        "another folder.",
        shown(path));
  }
  return fmt::format("The server's log is {}.", shown(path / "server.log"));
}

/// A value of a libpq key=value string.
std::string conninfo_value(std::string_view value) {
  std::string result = "'";
  for (const char c : value) {
    if (c == '\'' || c == '\\') result += '\\';
    result += c;
  }
  return result + "'";
}

PGPing ping(const std::string& conninfo) {
  return PQping((conninfo + " connect_timeout=5").c_str());
}

}  // namespace

server_process::server_process(server_folder folder, log_sink log)
    : folder_(std::move(folder)),
      log_(std::move(log)),
      // hostaddr, because PGHOSTADDR in the environment would go before the socket.
      conninfo_(fmt::format("host={} hostaddr='' port=5432 dbname=postgres user=postgres",
                            conninfo_value((folder_.path / "run").native()))) {}

void server_process::say(log_level level, std::string_view line) const {
  if (log_) log_(level, fmt::format("private server in {}: {}", shown(path()), line));
}

program_result server_process::run(std::vector<std::string> argv, int kept_open) const {
  argv.front() =
      (folder_.programs.bin / argv.front()).string();  // leaves an absolute path as it is
  return run_program(
      {.argv = std::move(argv), .folder = path(), .user = folder_.user, .kept_open = kept_open});
}

void server_process::fail(const std::string& what, std::string_view said) const {
  throw error(
      errc::connection_failed,
      fmt::format("the private server in {} could not be {}: {}", shown(path()), what, gist(said)),
      {.hint = hint_for(said, path())});
}

void server_process::initialise(const file_lock& start_lock) const {
  say(log_level::debug, fmt::format("initialising (PostgreSQL {})", folder_.programs.major));
  fs::remove_all(path() / "data.new");
  // Names relative to the folder, here and at pg_ctl start: these programs go through a shell with
  // them, and nobody promises that it survives all characters of the path.
  const program_result done = run({"initdb", "-D", "data.new", "--encoding=UTF8", "--locale=C",
                                   "--auth=trust", "--username=postgres", "--data-checksums"},
                                  start_lock.descriptor());
  if (done.status != program_result::succeeded || !fs::exists(path() / "data.new/PG_VERSION")) {
    fail("initialised", done.output);
  }
  fs::rename(path() / "data.new", path() / "data");
  if (const int folder = open(path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); folder >= 0) {
    fsync(folder);
    close(folder);
  }
}

/// Before the server and not after it: we may be killed in between.
void server_process::launch_supervisor() {
  flock_ = find_program("flock");
  // Others of this name (busybox) lack --close.
  if (flock_ &&
      run({flock_->string(), "--version"}).output.find("util-linux") == std::string::npos) {
    flock_.reset();
  }
  if (!flock_) {
    say(log_level::warning,
        "the program flock (of util-linux) is missing: when its last user is killed, the server "
        "will go on running");
    return;
  }
  // As runs() and stop(): pg_ctl alone would send its signal to whatever process has the number.
  constexpr const char* script =
      "read -r process rest <\"$2/postmaster.pid\" && "
      "{ [ \"/proc/$process/cwd\" -ef \"$2\" ] || [ ! -e /proc/self/cwd ]; } && "
      "exec \"$1\" stop -D \"$2\" -m fast";
  run_program({.argv = {flock_->string(), "--exclusive", (path() / "users.lock").string(),
                        "/bin/sh", "-c", script, "matview-supervisor",
                        (folder_.programs.bin / "pg_ctl").string(), (path() / "data").string()},
               .folder = path(),
               .user = folder_.user,
               .detached = true});
}

void server_process::launch_keeper(int users_lock) const {
  run_program({.argv = {"/bin/sh", "-c", "while [ -e data/postmaster.pid ]; do sleep 1; done"},
               .folder = path(),
               .user = folder_.user,
               .kept_open = users_lock,
               .detached = true});
}

/// Remembers where in the log this start begins; puts a large one aside before.
void server_process::begin_log() {
  const fs::path file = path() / "server.log";
  std::error_code missing;
  log_start_ = fs::exists(file) ? fs::file_size(file, missing) : 0;
  if (log_start_ <= largest_log) return;
  fs::rename(file, path() / "server.log.1");
  log_start_ = 0;
}

/// One attempt. pg_ctl waits until the server accepts connections, or has ended.
program_result server_process::launch() const {
  std::vector<std::string> argv;
  if (flock_) argv = {flock_->string(), "--shared", "--close", "users.lock"};
  argv.insert(argv.end(),
              {(folder_.programs.bin / "pg_ctl").string(), "start", "-w", "-t",
               std::to_string(start_patience / 1s), "-s", "-D", "data", "-l", "server.log", "-o",
               fmt::format("-p 5432 -c listen_addresses= -c unix_socket_directories={} "
                           "-c unix_socket_permissions=0700 -c cluster_name=matview "
                           "-c logging_collector=off -c log_destination=stderr",
                           socket_folder)});
  return run(std::move(argv));
}

std::string server_process::fresh_log() const {
  std::ifstream file(path() / "server.log", std::ios::binary);
  file.seekg(static_cast<std::streamoff>(log_start_));
  return {std::istreambuf_iterator<char>(file), {}};
}

/// Launches it until it answers, or until there is no hope.
void server_process::await_answer() const {
  const auto began = steady::now();
  while (true) {
    const PGPing answer = ping(conninfo_);
    if (answer == PQPING_OK) return;
    const auto waited = steady::now() - began;
    if (answer == PQPING_REJECT && waited < recovery_patience) {  // starting up, or stopping
      std::this_thread::sleep_for(tick);
      continue;
    }
    if (waited >= start_patience) fail("reached within a minute", fresh_log());
    const program_result attempt = launch();
    if (attempt.status == program_result::succeeded) continue;
    const std::string said = fresh_log();
    // The rest of a crashed server may need a moment to notice; an orphaned start may be ahead.
    const bool in_the_way = said.find("pre-existing shared memory block") != std::string::npos ||
                            said.find("lock file \"") != std::string::npos;
    const bool slow = ping(conninfo_) == PQPING_REJECT;
    if (!in_the_way && !slow) fail("started", attempt.output + said);
    if (!forget_stale_process()) std::this_thread::sleep_for(slow ? tick : 500ms);
  }
}

void server_process::start(const file_lock& start_lock) {
  if (ping(conninfo_) == PQPING_OK) {
    say(log_level::debug, "is running already");
    return;
  }
  refuse_served_elsewhere();
  const auto began = steady::now();
  if (!cluster_version(path())) initialise(start_lock);
  say(log_level::debug, "starting");
  make_private_folder(path() / "run", folder_.user);
  launch_supervisor();
  begin_log();
  await_answer();
  const auto took = std::chrono::duration_cast<std::chrono::milliseconds>(steady::now() - began);
  say(log_level::debug, fmt::format("started in {} ms", took.count()));
}

/// Whether the process that a lock file of PostgreSQL names is there and is a server of this
/// folder.
bool server_process::runs(const char* lock_file) const {
  pid_t process = 0;
  if (std::ifstream file(path() / lock_file); !(file >> process) || process <= 1) return false;
  if (!fs::exists("/proc/self/cwd")) return kill(process, 0) == 0;
  // Fails for the dead, for zombies, and for processes of users that are not the server's.
  std::error_code none;
  return fs::equivalent(fmt::format("/proc/{}/cwd", process), path() / "data", none);
}

/// Whether the cluster has a server with another socket folder: one that somebody else started.
bool server_process::is_served_elsewhere() const {
  if (!runs(postmaster_file)) return false;
  std::ifstream file(path() / postmaster_file);
  std::string line;
  for (int number = 1; number <= 5; ++number) std::getline(file, line);
  return !line.empty() && line != socket_folder;  // empty: it is just starting
}

void server_process::refuse_served_elsewhere() const {
  if (!is_served_elsewhere()) return;
  throw error(errc::invalid_option,
              fmt::format("{} is served already, by a PostgreSQL that was started by other means",
                          shown(path() / "data")),
              {.hint = "Connect to that server by its own address, or stop it first."});
}

/// Removes lock files whose process is something else by now; true when there were any.
bool server_process::forget_stale_process() const {
  bool removed = false;
  for (const char* lock_file : {postmaster_file, socket_file}) {
    if (runs(lock_file) || !fs::remove(path() / lock_file)) continue;
    removed = true;
    say(log_level::debug, fmt::format("removed {}, which a server that died left", lock_file));
  }
  return removed;
}

void server_process::stop() {
  if (!runs(postmaster_file) || is_served_elsewhere()) return;
  const program_result done =
      run({"pg_ctl", "stop", "-D", (path() / "data").string(), "-m", "fast", "-w", "-t", "60"});
  if (done.status == program_result::succeeded) return say(log_level::debug, "stopped");
  say(log_level::warning, "could not be stopped: " + gist(done.output));
}

}  // namespace matview::pg
