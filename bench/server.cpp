#include "server.hpp"

#include "bare_libpq.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <stdexcept>
#include <system_error>
#include <thread>

namespace matview::bench {

namespace {

namespace fs = std::filesystem;

// Two kinds of bare connections beside the library's, and a few for the rest.
constexpr std::size_t connections_needed = 3 * most_in_flight + 8;

std::string from_environment(const char* name, const char* otherwise) {
  const char* value = std::getenv(name);
  return value == nullptr || *value == '\0' ? otherwise : value;
}

fs::path make_temporary_folder() {
  std::string path = from_environment("TMPDIR", "/tmp") + "/matview-bench-XXXXXX";
  if (mkdtemp(path.data()) == nullptr) {
    throw std::system_error(errno, std::generic_category(), path + " cannot be made");
  }
  return path;
}

void log_warnings(log_level level, std::string_view line) {
  if (level >= log_level::warning) fmt::print(stderr, "{}\n", line);
}

std::string cpu_model() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    const auto colon = line.find(": ");
    if (line.starts_with("model name") && colon != std::string::npos) return line.substr(colon + 2);
  }
  return "CPU";
}

}  // namespace

server::temporary_folder::~temporary_folder() {
  std::error_code ignored;
  fs::remove_all(path, ignored);
}

server::server(const std::vector<std::string>& settings)
    : conninfo_(from_environment("MATVIEW_BENCH_URL", "")) {
  if (conninfo_.empty()) {
    folder_ = std::make_unique<temporary_folder>(make_temporary_folder());
    private_ = pg::embedded_server::use(folder_->path, log_warnings);
    conninfo_ = private_->conninfo();
    execute(connect(conninfo_).get(),
            fmt::format("ALTER SYSTEM SET max_connections = {}", connections_needed));
    for (const std::string& one : settings) {
      execute(connect(conninfo_).get(), "ALTER SYSTEM SET " + one);
    }
    private_.reset();
    private_ = pg::embedded_server::use(folder_->path, log_warnings);
  }
  const auto connection = connect(conninfo_);
  const std::string most = value_of(connection.get(), "SHOW max_connections");
  if (std::stoul(most) < connections_needed) {
    throw std::runtime_error(fmt::format("max_connections of the server is {}, and {} are needed",
                                         most, connections_needed));
  }
}

std::string server::description() const {
  const auto connection = connect(conninfo_);
  const auto show = [&](const std::string& setting) {
    return value_of(connection.get(), "SHOW " + setting);
  };
  return fmt::format(
      "{} x {}; PostgreSQL {} ({}), fsync {}, synchronous_commit {}, "
      "shared_buffers {}",
      std::thread::hardware_concurrency(), cpu_model(), show("server_version"),
      private_ ? "private" : "$MATVIEW_BENCH_URL", show("fsync"), show("synchronous_commit"),
      show("shared_buffers"));
}

one_row_views::one_row_views(const server& on)
    : conninfo_(on.conninfo()), schema_(fmt::format("matview_bench_{}", getpid())) {
  const auto connection = connect(conninfo_);
  std::string sql = fmt::format("CREATE SCHEMA {};", schema_);
  for (const std::string& view : plain(most_in_flight)) {
    sql += fmt::format("CREATE MATERIALIZED VIEW {} AS SELECT 1 AS n;", view);
  }
  sql += fmt::format(
      "CREATE MATERIALIZED VIEW {0} AS SELECT 1 AS n; CREATE UNIQUE INDEX ON {0} (n)", indexed());
  execute(connection.get(), sql);  // One message, and so one transaction.
}

one_row_views::~one_row_views() {
  try {
    const auto connection = connect(conninfo_, {"SET client_min_messages = warning"});
    execute(connection.get(), fmt::format("DROP SCHEMA {} CASCADE", schema_));
  } catch (const std::exception& fault) {
    fmt::print(stderr, "matview_bench: schema {} stays behind: {}\n", schema_, fault.what());
  }
}

std::vector<std::string> one_row_views::plain(std::size_t count) const {
  std::vector<std::string> names;
  for (std::size_t i = 0; i < count; ++i) names.push_back(fmt::format("{}.v{:02}", schema_, i));
  return names;
}

}  // namespace matview::bench
