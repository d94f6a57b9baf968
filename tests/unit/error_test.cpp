#include <matview/error.hpp>

#include <gtest/gtest.h>

#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace matview {
namespace {

// The names are a contract: they stand in JSON output and in logs.
TEST(Errc, HasTheNameOfItsEnumerator) {
  const std::vector<std::pair<errc, std::string>> names{
      {errc::invalid_identifier, "invalid_identifier"},
      {errc::invalid_interval, "invalid_interval"},
      {errc::invalid_cron, "invalid_cron"},
      {errc::invalid_select, "invalid_select"},
      {errc::invalid_option, "invalid_option"},
      {errc::unknown_database, "unknown_database"},
      {errc::unsupported_backend, "unsupported_backend"},
      {errc::connection_failed, "connection_failed"},
      {errc::connection_lost, "connection_lost"},
      {errc::in_doubt, "in_doubt"},
      {errc::view_not_found, "view_not_found"},
      {errc::view_exists, "view_exists"},
      {errc::not_populated, "not_populated"},
      {errc::needs_unique_index, "needs_unique_index"},
      {errc::permission_denied, "permission_denied"},
      {errc::dependents_exist, "dependents_exist"},
      {errc::already_refreshing, "already_refreshing"},
      {errc::lock_timeout, "lock_timeout"},
      {errc::statement_timeout, "statement_timeout"},
      {errc::cancelled, "cancelled"},
      {errc::server_error, "server_error"},
  };
  for (const auto& [code, name] : names) EXPECT_EQ(to_string(code), name);
}

TEST(Error, KeepsWhatItWasGiven) {
  const error thrown(
      errc::server_error, "no",
      {.sqlstate = "42P01", .hint = "do", .position = 7, .connection_usable = false});
  EXPECT_STREQ(thrown.what(), "no");
  EXPECT_EQ(thrown.code(), errc::server_error);
  EXPECT_EQ(thrown.sqlstate(), "42P01");
  EXPECT_EQ(thrown.hint(), "do");
  EXPECT_EQ(thrown.position(), 7U);
  EXPECT_FALSE(thrown.connection_usable());
}

TEST(Error, SaysNothingItDoesNotKnow) {
  const error thrown(errc::cancelled, "stopped");
  EXPECT_EQ(thrown.sqlstate(), "");
  EXPECT_EQ(thrown.hint(), "");
  EXPECT_EQ(thrown.position(), std::nullopt);
  EXPECT_TRUE(thrown.connection_usable());
}

TEST(Error, IsCaughtAsRuntimeError) {
  static_assert(std::is_base_of_v<std::runtime_error, error>);
  static_assert(std::is_copy_constructible_v<error>);
  EXPECT_THROW(throw error(errc::cancelled, "stopped"), std::runtime_error);
}

// In doubt is never retried silently: the first attempt may have happened.
TEST(Error, OnlyInDoubtMayHaveHappened) {
  EXPECT_TRUE(error(errc::in_doubt, "").may_have_happened());
  EXPECT_FALSE(error(errc::in_doubt, "").may_retry());
  EXPECT_FALSE(error(errc::connection_lost, "").may_have_happened());
  EXPECT_FALSE(error(errc::cancelled, "").may_have_happened());
}

TEST(Error, MayBeRetriedWhenTheCausePassesByItself) {
  for (const errc code : {errc::connection_failed, errc::connection_lost, errc::already_refreshing,
                          errc::lock_timeout, errc::statement_timeout, errc::cancelled}) {
    EXPECT_TRUE(error(code, "").may_retry()) << to_string(code);
  }
  for (const errc code :
       {errc::invalid_identifier, errc::invalid_interval, errc::invalid_cron, errc::invalid_select,
        errc::invalid_option, errc::unknown_database, errc::unsupported_backend,
        errc::view_not_found, errc::view_exists, errc::not_populated, errc::needs_unique_index,
        errc::permission_denied, errc::dependents_exist}) {
    EXPECT_FALSE(error(code, "").may_retry()) << to_string(code);
  }
}

TEST(Error, OfTheServerMayBeRetriedByItsSqlstate) {
  const std::vector<std::pair<std::string, bool>> states{
      {"40001", true},   // serialization failure
      {"40P01", true},   // deadlock
      {"53100", true},   // disk full
      {"53300", true},   // too many connections
      {"57P01", true},   // the server is shut down
      {"57P03", true},   // it is still starting
      {"08006", true},   // connection failure
      {"22012", false},  // division by zero
      {"42703", false},  // undefined column
      {"XX000", false},  // internal error
      {"", false},      {"4", false},
  };
  for (const auto& [state, retry] : states) {
    EXPECT_EQ(error(errc::server_error, "", {.sqlstate = state}).may_retry(), retry) << state;
  }
}

}  // namespace
}  // namespace matview
