#pragma once

#include "pg/embedded_server.hpp"

#include <cstddef>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

namespace matview::bench {

/// The most refreshes in flight, and so the most connections of one kind.
inline constexpr std::size_t most_in_flight = 64;

/// The server that is measured: $MATVIEW_BENCH_URL, or a private one in a temporary folder with
/// PostgreSQL's own settings (fsync on), but for max_connections. The folder goes with this object.
class server final {
 public:
  /// @param settings  `shared_buffers = '2GB'`: what the private one is started with besides.
  explicit server(const std::vector<std::string>& settings = {});
  ~server() = default;
  server(const server&) = delete;
  server& operator=(const server&) = delete;

  /// For libpq.
  [[nodiscard]] const std::string& conninfo() const noexcept { return conninfo_; }

  /// Whether nobody else's settings are there to be kept.
  [[nodiscard]] bool is_private() const noexcept { return private_ != nullptr; }

  /// `2 x AMD EPYC 7763; PostgreSQL 15.4 (private), fsync on, synchronous_commit on, shared_buffers
  /// 128MB`.
  [[nodiscard]] std::string description() const;

 private:
  struct temporary_folder {
    std::filesystem::path path;
    ~temporary_folder();
  };

  std::unique_ptr<temporary_folder> folder_;
  std::unique_ptr<pg::embedded_server> private_;  // Goes before its folder.
  std::string conninfo_;
};

/// Views of one row each in a schema of their own, which goes with this object.
class one_row_views final {
 public:
  explicit one_row_views(const server& on);
  ~one_row_views();
  one_row_views(const one_row_views&) = delete;
  one_row_views& operator=(const one_row_views&) = delete;

  /// The first `count` of the views without an index.
  [[nodiscard]] std::vector<std::string> plain(std::size_t count) const;

  /// A view with a unique index, as a concurrent refresh needs.
  [[nodiscard]] std::string indexed() const { return schema_ + ".indexed"; }

 private:
  std::string conninfo_;
  std::string schema_;
};

}  // namespace matview::bench
