#pragma once

#include "child.hpp"

#include <string>

namespace matview::bench {

/// A database of its own on the server that is measured; it goes with this object. A queue that
/// somebody uses is never touched.
class scratch_database final {
 public:
  /// @param suffix  tells those of one process apart.
  scratch_database(const std::string& server, const std::string& suffix);
  ~scratch_database();
  scratch_database(const scratch_database&) = delete;
  scratch_database& operator=(const scratch_database&) = delete;

  /// For libpq.
  [[nodiscard]] const std::string& conninfo() const noexcept { return conninfo_; }
  [[nodiscard]] const std::string& name() const noexcept { return name_; }
  /// $PGHOST and so on, for programs that are told by them.
  [[nodiscard]] const variables& environment() const noexcept { return environment_; }

 private:
  std::string server_;
  std::string name_;
  std::string conninfo_;
  variables environment_;
};

}  // namespace matview::bench
