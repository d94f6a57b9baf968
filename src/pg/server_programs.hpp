#pragma once

#include <sys/types.h>

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace matview::pg {

/// Where the programs of one PostgreSQL installation are.
struct server_programs {
  std::filesystem::path bin;  ///< Holds initdb, pg_ctl and postgres.
  int major;                  ///< What `postgres --version` says: 15 for 15.13.
};

/// All installations that have initdb, pg_ctl and postgres, newest first; none is no error.
///
/// Looks at /usr/lib/postgresql/*/bin, `pg_config --bindir` and the folders of $PATH, in this order
/// among equals. $MATVIEW_PG_BINDIR, when set and not empty, is the only place looked at.
/// @throws error with errc::invalid_option when $MATVIEW_PG_BINDIR lacks one of the programs or
///         they do not run.
[[nodiscard]] std::vector<server_programs> find_server_programs();

/// The program of this name in the folders of $PATH, then in /usr/bin and /bin.
[[nodiscard]] std::optional<std::filesystem::path> find_program(std::string_view name);

/// A user of the operating system, as far as a program must know to become one.
struct os_user {
  uid_t uid;
  gid_t gid;
  std::string name;
  std::vector<gid_t> groups;  ///< All of them, `gid` included.
};

[[nodiscard]] std::optional<os_user> find_user(const std::string& name);
[[nodiscard]] std::optional<os_user> find_user(uid_t uid);

/// How to run a program that must not depend on the process that happens to start it.
///
/// It gets its own session (so a Ctrl-C on the terminal passes it by), /dev/null as stdin, no
/// descriptors of the caller, default signal handling, umask 077, and of the environment only what
/// finds programs, libraries and time zones: a server outlives its starter and must not carry the
/// starter's passwords around. Messages are in English (LC_ALL=C).
struct program_call {
  std::vector<std::string> argv;       ///< argv[0] is a path. No shell is involved.
  std::filesystem::path folder = "/";  ///< Its working directory, entered as `user`.
  std::optional<os_user> user = {};    ///< Whom to become; needs root. Unset: nobody else.
  int kept_open = -1;                  ///< A descriptor it does inherit, such as a lock's.
  bool detached = false;               ///< Not waited for; nobody's child and without output.
};

/// How a program ended.
struct program_result {
  /// Exit status, 128 + n after signal n, and these two when it was never run. An application that
  /// ignores SIGCHLD, or reaps every child, takes the status away: it then reads `succeeded`, so
  /// look for the effect as well.
  int status;
  static constexpr int succeeded = 0;
  static constexpr int folder_closed = 126;  ///< The user cannot enter `folder`.
  static constexpr int not_executable = 127;

  std::string output;  ///< stdout and stderr, its last 64 KiB.
};

/// Runs a program to its end, or starts it when it is detached. Safe in a threaded process.
/// @throws error with errc::connection_failed when no process can be made.
program_result run_program(const program_call& call);

}  // namespace matview::pg
