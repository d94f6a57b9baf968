// The pure parts of the command line; tests/cli/ runs the program.

#include "cli/exit_code.hpp"
#include "cli/flights.hpp"
#include "cli/output.hpp"
#include "cli/secrets.hpp"
#include "text/edit_distance.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

namespace matview::cli {
namespace {

using namespace std::chrono_literals;

TEST(ExitCode, FollowsTheContract) {
  const std::vector<std::pair<errc, int>> table{
      {errc::invalid_identifier, 2}, {errc::invalid_interval, 2},   {errc::invalid_select, 2},
      {errc::invalid_cron, 2},       {errc::invalid_option, 2},     {errc::unknown_database, 2},
      {errc::connection_failed, 3},  {errc::connection_lost, 3},    {errc::in_doubt, 1},
      {errc::view_not_found, 1},     {errc::needs_unique_index, 1}, {errc::server_error, 1},
      {errc::lock_timeout, 1},       {errc::unsupported_backend, 2}};
  for (const auto& [code, exit] : table) {
    EXPECT_EQ(static_cast<int>(exit_code_of(code)), exit) << to_string(code);
  }
}

TEST(Tally, TellsAMixtureFromAFailure) {
  tally none;
  EXPECT_EQ(none.code(), exit_code::done);
  tally failed;
  failed.failed(exit_code::no_connection);
  failed.failed(exit_code::failed);
  EXPECT_EQ(failed.code(), exit_code::no_connection);
  failed.succeeded();
  EXPECT_EQ(failed.code(), exit_code::look_at_it);
}

TEST(Pretty, Bytes) {
  const std::vector<std::pair<std::int64_t, std::string>> table{
      {0, "0 bytes"},        {1023, "1023 bytes"},    {8192, "8 kB"},
      {1'258'291, "1.2 MB"}, {524'288'000, "500 MB"}, {1'610'612'736, "1.5 GB"}};
  for (const auto& [bytes, text] : table) EXPECT_EQ(pretty_bytes(bytes), text);
}

TEST(Pretty, Durations) {
  const std::vector<std::pair<std::chrono::microseconds, std::string>> table{
      {0us, "0.0 ms"},  {820us, "0.8 ms"},   {999'400us, "999.4 ms"}, {999'900us, "1.00 s"},
      {65s, "65.00 s"}, {125s, "2 min 5 s"}, {3h + 5min, "3 h 5 min"}};
  for (const auto& [duration, text] : table) EXPECT_EQ(pretty_duration(duration), text);
}

TEST(Pretty, Counts) {
  const std::vector<std::pair<std::int64_t, std::string>> table{
      {0, "0"},       {999, "999"},     {1000, "1,000"}, {1'234'567, "1,234,567"},
      {-123, "-123"}, {-1234, "-1,234"}};
  for (const auto& [count, text] : table) EXPECT_EQ(pretty_count(count), text);
}

TEST(Rfc3339, IsUtcWithMilliseconds) {
  EXPECT_EQ(rfc3339(std::chrono::system_clock::time_point(1'006'000'000'042ms)),
            "2001-11-17T12:26:40.042Z");
}

TEST(Table, AlignsAndEscapes) {
  table t({{"NAME"}, {"N", true}});
  t.add({"é", "1"}, {{"name", "é"}}, {"é", "1"});
  t.add({"long one", "22"}, {{"name", "long one"}}, {"a\tb\nc\\", "22"});
  EXPECT_EQ(t.text(output_format::table), "NAME       N\né          1\nlong one  22\n");
  EXPECT_EQ(t.text(output_format::tsv), "é\t1\na\\tb\\nc\\\\\t22\n");
  EXPECT_EQ(t.text(output_format::json), "[{\"name\":\"é\"},{\"name\":\"long one\"}]\n");
}

TEST(Secrets, AreBlottedOutWhereverTheyStand) {
  const std::vector<std::pair<std::string, std::string>> table{
      {"postgresql://u:secret@h/d", "postgresql://u:xxxxxx@h/d"},
      {"--url=postgresql://u:se@cret@h/d", "--url=postgresql://u:xxxxxxx@h/d"},
      {"postgresql://u@h/d", "postgresql://u@h/d"},
      {"postgresql://h/d?password=secret&user=u", "postgresql://h/d?password=xxxxxx&user=u"},
      {"host=h password=secret user=u", "host=h password=xxxxxx user=u"},
      {"password = 'se cret' user=u", "password = 'xxxxxxx' user=u"},
      {"refresh", "refresh"}};
  for (const auto& [given, shown] : table) EXPECT_EQ(without_passwords(given), shown);
}

TEST(Secrets, AreOverwrittenInPlace) {
  std::string program = "matview";
  std::string url = "postgresql://u:secret@h/d";
  std::vector<char*> argv{program.data(), url.data()};
  hide_passwords(2, argv.data());
  EXPECT_EQ(url, "postgresql://u:xxxxxx@h/d");
}

TEST(EditDistance, CountsChanges) {
  EXPECT_EQ(text::edit_distance("refresh", "refresh"), 0U);
  EXPECT_EQ(text::edit_distance("refrsh", "refresh"), 1U);
  EXPECT_EQ(text::edit_distance("", "abc"), 3U);
  EXPECT_EQ(text::edit_distance("kitten", "sitting"), 3U);
}

TEST(Flights, AreSplitAtADayWithoutLosingOne) {
  const split_csv batches = split_at_date(flights_csv(), "2001-03-01");
  EXPECT_EQ(batches.earlier.size() + batches.later.size(), flights_csv().size());
  EXPECT_TRUE(batches.earlier.starts_with("date,delay,distance,origin,destination\n"));
  EXPECT_TRUE(batches.later.starts_with("2001-03-01"));
  EXPECT_EQ(std::count(flights_csv().begin(), flights_csv().end(), '\n'), 20'001);
  EXPECT_TRUE(airports_csv().starts_with("iata,name,city"));
}

}  // namespace
}  // namespace matview::cli
