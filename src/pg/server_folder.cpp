#include "pg/server_folder.hpp"

#include "text/quote.hpp"
#include <matview/error.hpp>

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <fstream>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

namespace matview::pg {
namespace {

namespace fs = std::filesystem;

std::string shown(const fs::path& path) {
  return text::shown(path.string(), 300);
}
std::string reason(int number) {
  return std::generic_category().message(number);
}

[[noreturn]] void refuse(const std::string& message, std::string hint = {}) {
  throw error(errc::invalid_option, message, {.hint = std::move(hint)});
}

/// What can be said against a path without looking at the disk.
void check_name(const fs::path& path) {
  const std::string& name = path.native();
  if (name.empty()) refuse("a private server needs a folder, and its path is empty");
  if (std::ranges::any_of(name, [](unsigned char c) { return c < ' ' || c == 0x7f; })) {
    refuse(fmt::format("the path of a private server holds a control character: {}", shown(path)));
  }
  if (name.find(',') != std::string::npos) {
    refuse(
        fmt::format("{} cannot be the folder of a private server: libpq takes a comma in the "
                    "path of a socket for the start of another host",
                    shown(path)));
  }
  const std::string socket = (path / "run" / ".s.PGSQL.5432").native();
  constexpr std::size_t most = sizeof(sockaddr_un::sun_path) - 1;
  if (socket.size() > most) {
    refuse(fmt::format("{} is too long for the folder of a private server: the socket in it would "
                       "have a path of {} bytes, and {} are allowed",
                       shown(path), socket.size(), most),
           "Choose a shorter path, or make a symbolic link with a shorter one.");
  }
}

fs::path absolute_path(const fs::path& path) {
  check_name(path);
  // Not canonical: a symbolic link is a way to have a shorter path for the socket.
  fs::path result = fs::absolute(path);
  while (!result.has_filename() && result.has_relative_path()) result = result.parent_path();
  check_name(result);
  return result;
}

/// Whether all that is in the folder may be ours. Another program's folder must not get a new owner
/// and a server because of a slip of the pen (`embedded:/etc`).
void check_contents(const fs::path& path) {
  constexpr std::array<std::string_view, 8> ours = {"data",       "data.new",     "run",
                                                    "server.log", "server.log.1", "start.lock",
                                                    "users.lock", "lost+found"};
  if (fs::exists(path / "start.lock")) return;
  for (const auto& entry : fs::directory_iterator(path)) {
    const std::string name = entry.path().filename().string();
    if (std::ranges::find(ours, name) != ours.end()) continue;
    refuse(fmt::format("{} is not the folder of a private server: it holds {}", shown(path),
                       text::shown(name)),
           "Choose an empty folder or one that does not exist.");
  }
}

server_programs choose_programs(const fs::path& path) {
  const std::vector<server_programs> all = find_server_programs();
  if (all.empty()) {
    refuse(
        "no PostgreSQL server is installed: initdb, pg_ctl and postgres are not together in any "
        "of the usual folders",
        "Install it (Debian: apt install postgresql), or set MATVIEW_PG_BINDIR to the folder "
        "that holds these programs.");
  }
  const std::optional<int> wanted = cluster_version(path);
  if (!wanted) return all.front();
  const auto fitting = std::ranges::find(all, *wanted, &server_programs::major);
  if (fitting != all.end()) return *fitting;
  std::vector<int> versions;
  versions.reserve(all.size());
  for (const server_programs& one : all) versions.push_back(one.major);
  refuse(fmt::format("{} was made by PostgreSQL {}, and installed is PostgreSQL {}",
                     shown(path / "data"), *wanted, fmt::join(versions, ", ")),
         fmt::format("Install PostgreSQL {0} (Debian: apt install postgresql-{0}), or set "
                     "MATVIEW_PG_BINDIR to the folder that holds its programs.",
                     *wanted));
}

/// Whom a server in this folder runs as; unset when that is who we are.
std::optional<os_user> server_user(const fs::path& path) {
  struct stat status = {};
  const bool there = stat(path.c_str(), &status) == 0;
  if (geteuid() != 0) {
    if (there && status.st_uid != geteuid()) {
      refuse(fmt::format("{} belongs to another user, and a private server serves its owner alone",
                         shown(path)));
    }
    return std::nullopt;
  }
  if (there && status.st_uid != 0) {
    if (auto owner = find_user(status.st_uid)) return owner;
    return os_user{
        status.st_uid, status.st_gid, fmt::format("number {}", status.st_uid), {status.st_gid}};
  }
  for (const char* name : {"postgres", "nobody"}) {
    if (auto user = find_user(name)) return user;
  }
  refuse("a server cannot run as root, and there is neither a user postgres nor a user nobody");
}

/// Tries it, as the user, because modes do not tell all (access control lists, mount options). The
/// folder itself is not tried: it is going to be given to the user.
void check_reach(const fs::path& path, const server_programs& programs, const os_user& user) {
  fs::path folder;
  for (const fs::path& part : path.parent_path()) {
    folder /= part;
    if (!fs::exists(folder)) break;
    const std::string program = (programs.bin / "pg_ctl").string();
    const int status =
        run_program({.argv = {program, "--version"}, .folder = folder, .user = user}).status;
    if (status == program_result::succeeded) continue;
    if (status != program_result::folder_closed) {
      refuse(fmt::format("{} cannot be run by user {}, as which the server must run",
                         shown(program), user.name));
    }
    refuse(fmt::format("{} cannot be reached by user {}, as which the server must run: {} is "
                       "closed to it",
                       shown(path), user.name, shown(folder)),
           "Choose another folder, such as /var/lib/matview.");
  }
}

void give(const fs::path& path, const std::optional<os_user>& user) {
  if (user && lchown(path.c_str(), user->uid, user->gid) != 0) {
    refuse(
        fmt::format("{} cannot be given to user {}: {}", shown(path), user->name, reason(errno)));
  }
}

/// Missing parents are made open to all to pass through, whatever the umask: the server's user
/// must get to its folder.
void make_parents(const fs::path& path) {
  const fs::path parent = path.parent_path();
  if (parent == path || fs::exists(parent)) return;
  make_parents(parent);
  if (mkdir(parent.c_str(), 0755) != 0 && errno != EEXIST) {
    refuse(fmt::format("{} cannot be made: {}", shown(parent), reason(errno)));
  }
  if (geteuid() == 0) fs::permissions(parent, static_cast<fs::perms>(0755));
}

void make_folder(const fs::path& path, const std::optional<os_user>& user) {
  make_parents(path);
  make_private_folder(path, user);
  struct stat status = {};
  if (stat(path.c_str(), &status) != 0) refuse(fmt::format("{}: {}", shown(path), reason(errno)));
  // An empty folder that root made for us. With the dot, for it may be behind a symbolic link.
  if (user && status.st_uid == 0) give(path / ".", user);
  if ((status.st_mode & 022) != 0) {
    fs::permissions(path, fs::perms::group_write | fs::perms::others_write,
                    fs::perm_options::remove);
  }
}

}  // namespace

std::optional<int> cluster_version(const fs::path& path) {
  const fs::path data = path / "data";
  if (!fs::exists(fs::symlink_status(data))) return std::nullopt;
  if (fs::is_directory(data) && fs::is_empty(data)) return std::nullopt;
  int major = 0;
  if (std::ifstream file(data / "PG_VERSION"); file >> major) return major;
  refuse(fmt::format("{} is there, but is no database cluster: PG_VERSION in it cannot be read",
                     shown(data)),
         "Choose another folder, or move this one out of the way.");
}

server_folder prepare_server_folder(const fs::path& given) {
  const fs::path path = absolute_path(given);
  try {
    if (fs::exists(path) && !fs::is_directory(path)) {
      refuse(
          fmt::format("{} cannot be the folder of a private server: it is no folder", shown(path)));
    }
    const std::optional<os_user> user = server_user(path);
    if (fs::exists(path)) check_contents(path);
    const server_programs programs = choose_programs(path);
    if (user) check_reach(path, programs, *user);
    make_folder(path, user);
    return {path, programs, user};
  } catch (const fs::filesystem_error& fault) {
    refuse(fmt::format("{} cannot be the folder of a private server: {}: {}", shown(path),
                       shown(fault.path1()), fault.code().message()));
  }
}

void make_private_folder(const fs::path& path, const std::optional<os_user>& user) {
  if (mkdir(path.c_str(), 0700) != 0) {
    if (errno == EEXIST && fs::is_directory(path)) return;
    refuse(fmt::format("{} cannot be made: {}", shown(path), reason(errno)));
  }
  give(path, user);
}

file_lock::file_lock(const fs::path& path, const std::optional<os_user>& user)
    : fd_(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600)), owner_(getpid()) {
  if (fd_ < 0) refuse(fmt::format("{} cannot be opened: {}", shown(path), reason(errno)));
  // The supervisor opens it as this user.
  if (user && fchown(fd_, user->uid, user->gid) != 0) {
    const int number = errno;
    release();
    refuse(
        fmt::format("{} cannot be given to user {}: {}", shown(path), user->name, reason(number)));
  }
}

file_lock::file_lock(file_lock&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), owner_(other.owner_) {}

bool file_lock::try_lock(int kind) {
  while (flock(fd_, kind | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK) return false;
    if (errno != EINTR) {
      throw error(errc::connection_failed,
                  fmt::format("a file cannot be locked: {}", reason(errno)));
    }
  }
  return true;
}

bool file_lock::lock(int kind, std::chrono::steady_clock::duration patience) {
  // Asking again and again and not a blocking flock(), which cannot be given a deadline.
  const auto deadline = std::chrono::steady_clock::now() + patience;
  while (!try_lock(kind)) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  return true;
}

void file_lock::hand_over() noexcept {
  close(fd_);
  fd_ = -1;
}

void file_lock::release() noexcept {
  if (fd_ < 0) return;
  // Closing alone would leave the lock to a child that another thread forked meanwhile.
  if (owner_ == getpid()) flock(fd_, LOCK_UN);
  close(fd_);
  fd_ = -1;
}

}  // namespace matview::pg
