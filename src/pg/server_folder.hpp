#pragma once

#include "pg/server_programs.hpp"

#include <chrono>
#include <filesystem>
#include <optional>

namespace matview::pg {

/// A folder that is fit for a private server, and what runs in it.
struct server_folder {
  std::filesystem::path path;   ///< Absolute. It exists and belongs to the user.
  server_programs programs;     ///< Of the version that made the cluster, if there is one.
  std::optional<os_user> user;  ///< Whom the server runs as; unset when that is who we are.
};

/// Checks everything that can be known before a server is made or started, and then makes the
/// folder. A refusal leaves everything as it was.
/// @throws error with errc::invalid_option.
[[nodiscard]] server_folder prepare_server_folder(const std::filesystem::path& path);

/// The major version of the cluster in `path`/data; none when that is missing or empty.
/// @throws error with errc::invalid_option when something else is there.
[[nodiscard]] std::optional<int> cluster_version(const std::filesystem::path& path);

/// Makes a folder that only the server's user can enter, unless it is there.
void make_private_folder(const std::filesystem::path& path, const std::optional<os_user>& user);

/// A lock file (see flock(2)); the lock goes with this object or its process, and is not inherited
/// by programs. The file is made if need be, and stays. A copy in a forked child is no holder: it
/// does not change the lock.
class file_lock final {
 public:
  file_lock(const std::filesystem::path& path, const std::optional<os_user>& user);
  ~file_lock() { release(); }
  file_lock(file_lock&& other) noexcept;
  file_lock& operator=(file_lock&&) = delete;

  /// Takes the lock, or changes it to `kind` (LOCK_SH, LOCK_EX); false when somebody has it. A
  /// change that fails loses the lock.
  [[nodiscard]] bool try_lock(int kind);

  /// The same, waiting up to `patience`.
  [[nodiscard]] bool lock(int kind, std::chrono::steady_clock::duration patience);

  /// Gives it back before the end of this object, which is then of no more use.
  void release() noexcept;

  /// Closes it but leaves the lock to a child that has inherited the descriptor.
  void hand_over() noexcept;

  [[nodiscard]] pid_t owner() const noexcept { return owner_; }
  [[nodiscard]] int descriptor() const noexcept { return fd_; }

 private:
  int fd_ = -1;
  pid_t owner_;
};

}  // namespace matview::pg
