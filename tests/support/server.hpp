#pragma once

#include "support/process.hpp"

#include <sys/types.h>

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

struct pg_conn;  // libpq's

namespace matview::test {

using rows = std::vector<std::vector<std::string>>;

/// Where the server is that all tests of a run share, as a libpq URI: $MATVIEW_TEST_URL, else the
/// one that ctest started for this run.
/// @throws std::runtime_error that says how to start one when there is none.
[[nodiscard]] std::string server_url();

/// The same server with another database, role or other libpq keyword.
[[nodiscard]] std::string with_parameter(const std::string& url, std::string_view keyword,
                                         std::string_view value);

/// A plain libpq connection for arranging and looking, apart from the library under test.
class session final {
 public:
  /// @throws std::runtime_error with libpq's words.
  explicit session(const std::string& url);

  /// One or several statements. NULL is "NULL"; the rows are those of the last statement.
  /// @throws std::runtime_error with the statement and the server's words.
  rows query(const std::string& sql);
  std::string query_one(const std::string& sql);
  void execute(const std::string& sql) { query(sql); }

  [[nodiscard]] int backend_pid() const;

 private:
  struct deleter {
    void operator()(pg_conn* connection) const noexcept;
  };
  std::unique_ptr<pg_conn, deleter> connection_;
};

/// A database of one test's own on the shared server. It is dropped, its sessions ended, with the
/// object; with $MATVIEW_KEEP_DB set it stays until the server ends, and a psql line is printed.
class test_database final {
 public:
  test_database();
  test_database(const test_database&) = delete;
  test_database& operator=(const test_database&) = delete;
  ~test_database();

  [[nodiscard]] const std::string& name() const noexcept { return name_; }
  [[nodiscard]] const std::string& url() const noexcept { return url_; }

  /// On one session that stays open; see session.
  rows query(const std::string& sql) { return own().query(sql); }
  std::string query_one(const std::string& sql) { return own().query_one(sql); }
  void execute(const std::string& sql) { own().execute(sql); }

 private:
  session& own();

  std::string name_;
  std::string url_;
  std::unique_ptr<session> session_;
};

/// A server of one test's own, which it may stop and kill. It ends with the object, and also with
/// the thread that called start() should the test be killed.
class private_server final {
 public:
  /// Initialises it, does not start it. `settings` are lines of postgresql.conf. Data are kept over
  /// a kill of the processes; nothing is synced to disk.
  explicit private_server(std::vector<std::string> settings = {});
  private_server(const private_server&) = delete;
  private_server& operator=(const private_server&) = delete;
  ~private_server();

  /// Until it accepts connections, also after kill_now().
  void start();
  /// SIGKILL to all of its processes, as a power cut; returns when none is left.
  void kill_now();
  /// In order, but without waiting for clients.
  void stop();
  void restart();
  /// Dumps the database postgres and restores it as `name`. False, and nothing is done, where the
  /// programs for that are not at hand.
  [[nodiscard]] bool restore_dump_as(const std::string& name);
  /// Dumps the rows of the schema matview of the database postgres; they take the place of those
  /// that are there when load_rows() is called. False where pg_dump is not at hand.
  [[nodiscard]] bool dump_rows();
  void load_rows();
  /// Moves what it holds to a new cluster in its place with pg_upgrade, which takes the same
  /// version, too. False, and nothing is done, where that program is not at hand.
  [[nodiscard]] bool upgrade();

  [[nodiscard]] bool running() const noexcept { return postmaster_ != nullptr; }
  /// The same over all restarts: user postgres, database postgres.
  [[nodiscard]] std::string url() const;
  [[nodiscard]] const std::filesystem::path& folder() const noexcept { return folder_; }
  /// What the server has logged so far.
  [[nodiscard]] std::string log() const;

 private:
  std::filesystem::path folder_;
  std::string bindir_;
  std::unique_ptr<process> postmaster_;
};

}  // namespace matview::test
