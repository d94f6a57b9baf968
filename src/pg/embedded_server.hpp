#pragma once

#include <matview/log.hpp>

#include <filesystem>
#include <memory>
#include <string>

namespace matview::pg {

/// A use of a private PostgreSQL in a folder, shared with all processes that use the same folder.
///
/// The server is there from use() until the last use of any process ends. Only a Unix socket in a
/// folder closed to other users (mode 0700) leads to it, so it has no port on the network and asks
/// for no password. Everything is inside the folder:
///
///     data/        the database cluster; data.new while it is being made
///     run/         the socket
///     server.log   what the server says; server.log.1 before that
///     start.lock   held (flock, exclusive) while somebody initialises, starts or leaves
///     users.lock   held shared by each use, exclusively by whoever stops the server
///
/// Who is authoritative: users.lock says whether the server may run, an answer on the socket
/// whether it does. The kernel drops a lock with its holder, so neither can be out of date.
///
///     use:    start.lock -> users.lock shared -> answers? else [supervisor, start] -> unlock start
///     leave:  start.lock -> users.lock exclusive, not waiting -> stop -> unlock both
///
/// Invariants. Nobody stops a server but under the exclusive users.lock, and nobody starts one but
/// under the shared one; so a server that is in use is never stopped, and a use that comes during a
/// stop waits for its end and starts anew. Locks are taken in the order start, users; the one
/// process that waits for the exclusive lock, the supervisor, waits for nothing while it has it.
///
/// What may fail, and what then happens:
/// - A process dies without leaving. Whoever starts the server first starts a supervisor, the
///   util-linux program `flock --exclusive users.lock` with a pg_ctl stop: it sleeps until the last
///   use is gone and then stops the server. Supervisors of earlier starts may still be waiting; the
///   extra ones find nothing to stop.
/// - It dies during initdb. initdb holds start.lock as well, so nobody starts beside it; what it
///   leaves is called data.new and is thrown away. Only a complete cluster is renamed to data.
/// - It dies during the start. `flock --shared` around pg_ctl keeps the supervisor from looking
///   for a server to stop before there is one.
/// - The server dies. The next use() starts it, and PostgreSQL recovers. Uses that are open get
///   connection errors meanwhile; their owners call use() again.
/// - The server died and its process number, which its lock files name, went to another process, or
///   nobody reaps it (both usual in containers): PostgreSQL would refuse to start, and pg_ctl would
///   signal a stranger. A process counts as the server only if it works in data/; lock files that
///   name another are removed when they are in the way.
/// - The machine crashes. fsync is on; locks and sockets do not survive, data does.
///
/// Root: PostgreSQL refuses to run as root, so a process of root runs it as the owner of the
/// folder, or, in a folder it makes, as `postgres`, else `nobody`.
///
/// After a fork() the use belongs to the parent: destroyed in the child it does nothing. May be
/// destroyed on any thread.
class embedded_server final {
 public:
  /// Starts the server in `path` if no process has it running, and keeps it running until this
  /// object is destroyed.
  ///
  /// Blocks: the first use of a folder takes seconds (initdb); a start after a crash takes as long
  /// as the recovery. Safe to call from any thread, and for a folder already in use.
  /// @param path  is made absolute; missing folders are made. What is in it already must be a
  ///              private server, otherwise nothing is touched.
  /// @param log   gets each step, at debug; is called until the destructor returns.
  /// @throws error with errc::invalid_option when no server can be in this folder (the message says
  ///         why) or there are no server programs of the right version; errc::connection_failed,
  ///         with the last lines of the server's log, when it does not start.
  [[nodiscard]] static std::unique_ptr<embedded_server> use(const std::filesystem::path& path,
                                                            const log_sink& log);

  /// Leaves. The last of all processes to leave stops the server and waits for that; what goes
  /// wrong is logged as a warning.
  ~embedded_server();

  embedded_server(const embedded_server&) = delete;
  embedded_server& operator=(const embedded_server&) = delete;

  /// Keeps the server running after the last use has ended, until somebody stops it with pg_ctl.
  /// @throws error with errc::connection_failed when the process that sees to it cannot be made.
  void keep_running();

  /// The programs that serve it, for those who want to talk about them.
  [[nodiscard]] const std::filesystem::path& programs() const noexcept;

  /// The account that it runs as when that is not the caller's; else empty.
  [[nodiscard]] std::string runs_as() const;

  /// A libpq key=value string: the socket folder, port, database and user `postgres`.
  [[nodiscard]] const std::string& conninfo() const noexcept;

  /// The folder, absolute.
  [[nodiscard]] const std::filesystem::path& path() const noexcept;

 private:
  struct parts;
  explicit embedded_server(std::unique_ptr<parts> made);

  std::unique_ptr<parts> parts_;
};

/// The folder that `embedded:` without a path means: $XDG_DATA_HOME/matview/embedded or
/// ~/.local/share/matview/embedded; for root /var/lib/matview/embedded.
/// @throws error with errc::invalid_option when the user has no home.
[[nodiscard]] std::filesystem::path default_embedded_path();

}  // namespace matview::pg
