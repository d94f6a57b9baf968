// How a view is refreshed, from the command line, and what is remembered of it.

#include "cli_fixture.hpp"

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace matview::test {
namespace {

namespace json = boost::json;

class CliRefreshManner : public cli_test {
 protected:
  CliRefreshManner() {
    db.execute(
        "CREATE TABLE t AS SELECT 1 AS id; CREATE MATERIALIZED VIEW v AS SELECT id FROM t; "
        "CREATE UNIQUE INDEX ON v (id)");
  }
  process_result refresh(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"refresh", "v"});
    return matview(arguments);
  }
  json::object report(std::vector<std::string> arguments) {
    arguments.insert(arguments.end(), {"--format", "json"});
    return json_of(refresh(arguments)).as_array().at(0).as_object();
  }
};

TEST_F(CliRefreshManner, ModeIsChosenWithAReason) {
  const json::object done = report({"--mode", "auto"});
  EXPECT_EQ(done.at("mode"), "full");
  EXPECT_EQ(done.at("reason"), "nobody has read it since the server's statistics began");
  EXPECT_EQ(report({"--mode", "concurrently"}).at("mode"), "concurrently");
  EXPECT_EQ(refresh({"--mode", "quickly"}).exit_code, 2);
  EXPECT_EQ(refresh({"--mode", "full", "--concurrently"}).exit_code, 2);
}

TEST_F(CliRefreshManner, DryRunSaysTheModeAndWhy) {
  const auto plan =
      json_of(matview({"refresh", "--all", "--dry-run", "--mode", "auto", "--format", "json"}));
  const json::object first = plan.as_array().at(0).as_object();
  EXPECT_EQ(first.at("mode"), "full");
  EXPECT_EQ(first.at("mode_reason"), "nobody has read it since the server's statistics began");
}

TEST_F(CliRefreshManner, IsLeftOutWhenNothingHasChanged) {
  EXPECT_EQ(report({"--if-changed"}).at("mode"), "full");
  const json::object left_out = report({"--if-changed"});
  EXPECT_EQ(left_out.at("mode"), "none");
  EXPECT_EQ(
      std::string(left_out.at("reason").as_string()).rfind("none of its 1 table has changed", 0),
      0U)
      << left_out.at("reason");
  EXPECT_EQ(report({"--if-changed", "--at-least-every", "1 microsecond"}).at("mode"), "full");
  EXPECT_EQ(refresh({"--at-least-every", "1 day"}).exit_code, 2);
}

TEST_F(CliRefreshManner, IsLeftOutWhenItsDataIsNew) {
  EXPECT_EQ(report({"--max-age", "1 hour"}).at("mode"), "full");
  EXPECT_EQ(report({"--max-age", "1 hour"}).at("mode"), "none");
  EXPECT_EQ(refresh({"--max-age", "soon"}).exit_code, 2);
}

TEST_F(CliRefreshManner, IsRememberedAsAskedByHand) {
  EXPECT_EQ(refresh({}).exit_code, 0);
  const auto rows = json_of(matview({"history", "v", "--format", "json"})).as_array();
  ASSERT_EQ(rows.size(), 1U);
  EXPECT_EQ(rows[0].at("asked_by"), "hand");
  EXPECT_EQ(rows[0].at("outcome"), "done");
  EXPECT_EQ(rows[0].at("rows_after"), 1);
  EXPECT_TRUE(contains(std::string(rows[0].at("care").as_string()), "ANALYZE"));
  const auto table = matview({"history"});
  EXPECT_TRUE(contains(table.out, "public.v")) << table.out;
}

TEST_F(CliRefreshManner, MakesNoSchemaWhenToldSo) {
  EXPECT_EQ(refresh({"--no-history"}).exit_code, 0);
  EXPECT_EQ(db.query_one("SELECT to_regnamespace('matview')"), "NULL");
  const auto none = matview({"history"});
  EXPECT_EQ(none.exit_code, 0);
  EXPECT_TRUE(contains(none.err, "nothing is remembered")) << none.err;
}

TEST_F(CliRefreshManner, NeedsNoRightToMakeASchema) {
  db.execute(
      "CREATE ROLE refresher LOGIN; ALTER MATERIALIZED VIEW v OWNER TO refresher; "
      "GRANT SELECT ON t TO refresher");
  const auto done =
      matview({"refresh", "v", "--url", with_parameter(db.url(), "user", "refresher")});
  EXPECT_EQ(done.exit_code, 0) << done.err;
  EXPECT_EQ(done.err, "");
  db.execute("DROP OWNED BY refresher; DROP ROLE refresher");
}

TEST_F(CliRefreshManner, IsStopped) {
  const auto none = matview({"refresh", "--cancel", "v"});
  EXPECT_EQ(none.exit_code, 0);
  EXPECT_TRUE(contains(none.out, "0")) << none.out;
  EXPECT_EQ(matview({"refresh", "--cancel"}).exit_code, 2);
  EXPECT_EQ(matview({"refresh", "--cancel", "--all"}).exit_code, 2);
}

TEST_F(CliRefreshManner, HistoryIsBegunAndPruned) {
  EXPECT_EQ(matview({"history", "--begin"}).exit_code, 0);
  EXPECT_EQ(db.query_one("SELECT count(*) FROM matview.refresh"), "0");
  db.execute(
      "INSERT INTO matview.refresh (schema, name, mode, reason, outcome, asked_by, started_at, "
      "finished_at) SELECT 'public', 'v', 'full', '', 'done', 'api', at, at FROM "
      "generate_series(now() - interval '50 days', now(), '1 day') AS at");
  EXPECT_EQ(json_of(matview({"history", "--prune", "--keep", "30 days", "--format", "json"}))
                .at("deleted"),
            21);
  EXPECT_EQ(matview({"history", "--keep", "30 days"}).exit_code, 2);
  EXPECT_EQ(matview({"history", "--limit", "0"}).exit_code, 2);
}

}  // namespace
}  // namespace matview::test
