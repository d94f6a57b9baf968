#pragma once

#include "pg/views_fixture.hpp"
#include <matview/incremental.hpp>

#include <gtest/gtest.h>

#include <string>

namespace matview::test {

/// A database with incremental views.
class incremental_test : public views_test {
 protected:
  static refresh_report create(const std::string& name, const std::string& sql) {
    return create_matview(name, sql, {.kind = view_kind::incremental});
  }
  /// That it shows what its query yields.
  static void expect_right(const std::string& name = "v") {
    const verify_report found = verify_matview(name);
    EXPECT_TRUE(found.right()) << name << ": " << found.missing << " missing, " << found.unexpected
                               << " unexpected, "
                               << (found.samples.empty() ? "" : found.samples.front());
  }
};

}  // namespace matview::test
