#pragma once

#include "support/process.hpp"
#include "support/server.hpp"

#include <fmt/format.h>
#include <libpq-fe.h>
#include <stdlib.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <system_error>
#include <vector>

namespace matview::test {

/// pgbouncer before the database, with this pool_mode; on a Unix socket.
class pooler final {
 public:
  pooler(session& server, const std::string& pool_mode) {
    std::string name =
        (std::filesystem::temp_directory_path() / "matview-pgbouncer.XXXXXX").string();
    folder_ = ::mkdtemp(name.data());
    std::filesystem::permissions(folder_, std::filesystem::perms::all);
    std::ofstream(folder_ / "pgbouncer.ini")
        << "[databases]\n* = host="
        << server.query_one("SELECT split_part(current_setting('unix_socket_directories'), ',', 1)")
        << " port=" << server.query_one("SHOW port")
        << " user=" << server.query_one("SELECT current_user")
        << "\n[pgbouncer]\nunix_socket_dir = " << folder_.string()
        << "\nlisten_port = 6432\nauth_type = any\npool_mode = " << pool_mode
        << "\nignore_startup_parameters = extra_float_digits\n";
    std::vector<std::string> argv{"pgbouncer", (folder_ / "pgbouncer.ini").string()};
    if (::geteuid() == 0) {  // It refuses to be root.
      argv.insert(argv.begin(), {"setpriv", "--reuid", "nobody", "--clear-groups", "--"});
    }
    running_ = std::make_unique<process>(argv);
  }
  pooler(const pooler&) = delete;
  pooler& operator=(const pooler&) = delete;
  ~pooler() {
    running_.reset();
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }
  /// Not as soon as its socket is there: it is bound a little before it accepts.
  [[nodiscard]] bool ready() const { return PQping(url("postgres").c_str()) == PQPING_OK; }
  [[nodiscard]] std::string url(const std::string& database) const {
    return fmt::format("postgresql:///{}?host={}&port=6432&user=anybody", database,
                       folder_.string());
  }

 private:
  std::filesystem::path folder_;
  std::unique_ptr<process> running_;
};

}  // namespace matview::test
