#pragma once

#include "support/server.hpp"
#include "trial/runtime.hpp"

#include <memory>
#include <string>

namespace matview::trial {

/// Room for cases one after the other: each in a schema of its own, many in a database, because
/// creating and dropping a database takes longer than a case does.
class arena final {
 public:
  /// @param under_trial must outlive the arena.
  explicit arena(const runtime& under_trial) : runtime_(under_trial) {}

  /// A new empty schema, prepared by the runtime. What the last one holds stays until the database
  /// goes.
  void renew();

  /// Of the database, with the schema as its search path.
  [[nodiscard]] const std::string& url() const noexcept { return url_; }
  [[nodiscard]] std::string qualified(const std::string& name) const {
    return schema_ + "." + name;
  }
  [[nodiscard]] const runtime& under_trial() const noexcept { return runtime_; }

 private:
  const runtime& runtime_;
  std::unique_ptr<test::test_database> database_;
  int used_ = 0;
  std::string schema_;
  std::string url_;
};

}  // namespace matview::trial
