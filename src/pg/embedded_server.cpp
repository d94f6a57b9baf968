#include "pg/embedded_server.hpp"

#include "pg/server_folder.hpp"
#include "pg/server_process.hpp"
#include "text/quote.hpp"
#include <matview/error.hpp>

#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <exception>
#include <optional>
#include <utility>

namespace matview::pg {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

/// How long to wait for somebody else's start: longer than server_process waits for a recovery.
constexpr auto turn_patience = 17min;
/// How long to wait for somebody else's stop; pg_ctl gives up after a minute.
constexpr auto stop_patience = 90s;

std::string shown(const fs::path& path) {
  return text::shown(path.string(), 300);
}

}  // namespace

/// One use: the server and this use's own shared lock on it.
struct embedded_server::parts {
  const std::optional<os_user> user;
  server_process server;
  file_lock users;

  parts(const server_folder& folder, const log_sink& log)
      : user(folder.user), server(folder, log), users(folder.path / "users.lock", user) {}

  void enter() {
    const file_lock start = take_turn();
    if (!users.lock(LOCK_SH, stop_patience)) {
      throw error(errc::connection_failed,
                  fmt::format("the private server in {} is being stopped and does not come to an "
                              "end",
                              shown(server.path())));
    }
    try {
      server.start(start);
    } catch (const fs::filesystem_error& fault) {
      give_up();
      throw error(errc::connection_failed,
                  fmt::format("the private server in {} could not be started: {}: {}",
                              shown(server.path()), shown(fault.path1()), fault.code().message()));
    } catch (...) {
      give_up();
      throw;
    }
  }

  /// One more shared lock, in the hands of a process that ends with the server.
  void keep() {
    file_lock held(server.path() / "users.lock", user);
    if (!held.try_lock(LOCK_SH)) {
      throw error(errc::connection_failed, "the private server is being stopped");
    }
    server.launch_keeper(held.descriptor());
    held.hand_over();
  }

  void leave() {
    const file_lock start = take_turn();
    give_up();
  }

 private:
  /// Everybody who looks at or changes users.lock takes turns by start.lock, the supervisor alone
  /// excepted: that is why give_up() may conclude what it does.
  [[nodiscard]] file_lock take_turn() const {
    file_lock start(server.path() / "start.lock", user);
    if (start.lock(LOCK_EX, turn_patience)) return start;
    throw error(errc::connection_failed,
                fmt::format("another process has been starting or stopping the private server in "
                            "{} for {} minutes",
                            shown(server.path()), turn_patience / 1min));
  }

  /// To be called with start.lock held, and done before that is released.
  void give_up() {
    if (users.try_lock(LOCK_EX)) {
      server.stop();
    } else if (!users.try_lock(LOCK_SH) && !users.lock(LOCK_SH, stop_patience)) {
      // Held exclusively: the supervisor was quicker and is stopping it.
      server.say(log_level::warning, "is being stopped and does not come to an end");
    }
    users.release();
  }
};

embedded_server::embedded_server(std::unique_ptr<parts> made) : parts_(std::move(made)) {}

std::unique_ptr<embedded_server> embedded_server::use(const fs::path& path, const log_sink& log) {
  auto made = std::make_unique<parts>(prepare_server_folder(path), log);
  made->enter();
  return std::unique_ptr<embedded_server>(new embedded_server(std::move(made)));
}

embedded_server::~embedded_server() {
  if (parts_->users.owner() != getpid()) return;  // a forked child, no user
  try {
    parts_->leave();
  } catch (const std::exception& fault) {
    try {
      parts_->server.say(log_level::warning, fmt::format("leaving it failed: {}", fault.what()));
    } catch (...) {  // No memory even for that. The lock goes with the descriptor all the same.
    }
  }
}

void embedded_server::keep_running() {
  parts_->keep();
}

const fs::path& embedded_server::programs() const noexcept {
  return parts_->server.programs();
}

std::string embedded_server::runs_as() const {
  return parts_->user ? parts_->user->name : std::string();
}

const std::string& embedded_server::conninfo() const noexcept {
  return parts_->server.conninfo();
}

const fs::path& embedded_server::path() const noexcept {
  return parts_->server.path();
}

fs::path default_embedded_path() {
  const auto folder = [](const char* name) {
    const char* value = std::getenv(name);
    // The XDG specification: a relative path is to be ignored.
    return value != nullptr && *value == '/' ? fs::path(value) : fs::path();
  };
  if (const fs::path data = folder("XDG_DATA_HOME"); !data.empty()) {
    return data / "matview/embedded";
  }
  // The folder of root's data is closed to the account that the server has to run as.
  if (geteuid() == 0) return "/var/lib/matview/embedded";
  const fs::path home = folder("HOME");
  if (home.empty()) {
    throw error(errc::invalid_option,
                "the folder of the private server is not known: neither XDG_DATA_HOME nor HOME "
                "holds an absolute path",
                {.hint = "Say which folder: embedded:PATH."});
  }
  return home / ".local/share/matview/embedded";
}

}  // namespace matview::pg
