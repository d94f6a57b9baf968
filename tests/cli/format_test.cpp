#include "cli_fixture.hpp"

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <gtest/gtest.h>

#include <regex>

namespace matview::test {
namespace {

namespace json = boost::json;

class CliFormat : public cli_test {
 protected:
  CliFormat() {
    db.execute(
        "CREATE MATERIALIZED VIEW daily AS SELECT generate_series(1, 1234) AS id; "
        "CREATE UNIQUE INDEX ON daily (id); COMMENT ON MATERIALIZED VIEW daily IS "
        "E'Zürich\\tA\\nB'; "
        "CREATE MATERIALIZED VIEW empty AS SELECT 1 AS id WITH NO DATA");
  }
};

void expect_time(const json::value& text) {
  static const std::regex rfc3339(R"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d))");
  EXPECT_TRUE(std::regex_match(std::string(text.as_string()), rfc3339)) << text;
}

TEST_F(CliFormat, ListsATableForPeople) {
  const auto listed = matview({"list"});
  EXPECT_EQ(listed.exit_code, 0);
  EXPECT_TRUE(listed.out.starts_with("NAME")) << listed.out;
  EXPECT_TRUE(std::regex_search(listed.out, std::regex("\ndaily +native +\\w+ +yes +yes ")))
      << listed.out;
  EXPECT_TRUE(std::regex_search(listed.out, std::regex("\nempty +native +\\w+ +no +no ")))
      << listed.out;
}

TEST_F(CliFormat, GivesEachViewOneLineOfTheTable) {
  // Whatever a comment holds.
  const std::string out = matview({"list"}).out;
  EXPECT_EQ(std::count(out.begin(), out.end(), '\n'), 3) << out;
}

TEST_F(CliFormat, ListsAnArrayOfObjectsAsJson) {
  const auto listed = matview({"list", "--format", "json"});
  EXPECT_EQ(listed.exit_code, 0);
  const json::value parsed = json_of(listed);
  const json::array& views = parsed.as_array();
  ASSERT_EQ(views.size(), 2U);
  EXPECT_EQ(views[0].at("name"), "daily");
  EXPECT_EQ(views[0].at("schema"), "public");
  EXPECT_EQ(views[0].at("populated"), true);
  EXPECT_EQ(views[0].at("comment"), "Zürich\tA\nB");
  EXPECT_EQ(views[1].at("name"), "empty");
  EXPECT_EQ(views[1].at("populated"), false);
}

TEST_F(CliFormat, ListsLinesWithTabsAndNoHeadingAsTsv) {
  const auto listed = matview({"list", "--format=tsv"});
  EXPECT_TRUE(std::regex_match(
      listed.out, std::regex("daily\tpublic\t\\w+\tyes\tyes\t\\d+\tZürich\\\\tA\\\\nB\tnative\n"
                             "empty\tpublic\t\\w+\tno\tno\t\\d+\t\tnative\n")))
      << listed.out;
}

TEST_F(CliFormat, ListsAnotherSchema) {
  db.execute("CREATE SCHEMA \"Sales\"; CREATE MATERIALIZED VIEW \"Sales\".weekly AS SELECT 1 AS a");
  const json::value parsed = json_of(matview({"list", "--schema", "Sales", "--format", "json"}));
  ASSERT_EQ(parsed.as_array().size(), 1U);
  EXPECT_EQ(parsed.as_array()[0].at("name"), "weekly");
  EXPECT_EQ(parsed.as_array()[0].at("schema"), "Sales");
}

TEST_F(CliFormat, ListsNothingAsNothingAndSaysSo) {
  db.execute("DROP MATERIALIZED VIEW daily, empty");
  const auto listed = matview({"list"});
  EXPECT_EQ(listed.exit_code, 0);
  EXPECT_EQ(listed.out, "");
  EXPECT_TRUE(contains(listed.err, "no materialized views in schema public")) << listed.err;
  EXPECT_EQ(matview({"list", "--format", "tsv"}).out, "");
  EXPECT_EQ(json_of(matview({"list", "--format", "json"})), json::array{});
}

TEST_F(CliFormat, ReportsARefreshAsJson) {
  const json::value parsed = json_of(matview({"--format", "json", "refresh", "daily", "empty"}));
  const json::array& done = parsed.as_array();
  ASSERT_EQ(done.size(), 2U);
  EXPECT_EQ(done[0].at("view"), "public.daily");
  EXPECT_EQ(done[0].at("mode"), "full");
  EXPECT_EQ(done[0].at("rows"), 1234);
  EXPECT_TRUE(done[0].at("bytes").is_number());
  EXPECT_TRUE(done[0].at("reason").is_string());
  EXPECT_GE(done[0].at("duration_seconds").to_number<double>(), 0);
  EXPECT_LT(done[0].at("duration_seconds").to_number<double>(), 60);
  expect_time(done[0].at("started"));
  EXPECT_EQ(done[1].at("view"), "public.empty");
}

TEST_F(CliFormat, ReportsARefreshAsATableWithGroupedDigits) {
  const auto done = matview({"refresh", "daily"});
  EXPECT_TRUE(contains(done.out, "1,234")) << done.out;
}

TEST_F(CliFormat, ReportsARefreshAsTsvWithPlainNumbers) {
  const auto done = matview({"refresh", "daily", "--concurrently", "--format", "tsv"});
  EXPECT_TRUE(std::regex_match(
      done.out, std::regex("public\\.daily\tconcurrently\t1234\t\\d+\t\\d+\\.\\d+\t[^\t]*\n")))
      << done.out;
}

TEST_F(CliFormat, ReportsACreationAsJson) {
  const json::value parsed =
      json_of(matview({"create", "v", "--no-data", "--sql", "SELECT 1 AS a", "--format", "json"}));
  ASSERT_EQ(parsed.as_array().size(), 1U);
  EXPECT_EQ(parsed.as_array()[0].at("view"), "public.v");
  EXPECT_EQ(parsed.as_array()[0].at("mode"), "none");
  EXPECT_TRUE(parsed.as_array()[0].at("rows").is_null());
}

TEST_F(CliFormat, ReportsADropAsJson) {
  const json::value parsed = json_of(matview({"drop", "daily", "nope", "--format", "json"}));
  ASSERT_EQ(parsed.as_array().size(), 2U);
  EXPECT_EQ(parsed.as_array()[0].at("dropped"), true);
  EXPECT_EQ(parsed.as_array()[1].at("dropped"), false);
}

TEST_F(CliFormat, ReportsAFailureAmongOthersAsJsonToo) {
  const auto done = matview({"refresh", "nope", "daily", "--format", "json"});
  EXPECT_EQ(done.exit_code, 4);
  const json::value parsed = json_of(done);
  const json::array& all = parsed.as_array();
  ASSERT_EQ(all.size(), 2U);
  EXPECT_EQ(all[0].at("view"), "nope");
  EXPECT_EQ(all[0].at("error").at("code"), "view_not_found");
  EXPECT_TRUE(contains(all[0].at("error").at("message").as_string(), "nope"));
  EXPECT_EQ(all[1].at("view"), "public.daily");
  EXPECT_TRUE(contains(done.err, "matview: error: "));
}

}  // namespace
}  // namespace matview::test
