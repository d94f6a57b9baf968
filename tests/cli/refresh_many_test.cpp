#include "cli_fixture.hpp"

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <gtest/gtest.h>
#include <signal.h>

#include <map>
#include <regex>
#include <string>
#include <vector>

namespace matview::test {
namespace {

namespace json = boost::json;

// base <- mid <- top, all public; s.far over t.
class CliRefreshMany : public cli_test {
 protected:
  CliRefreshMany() {
    db.execute(
        "CREATE TABLE t AS SELECT 1 AS id; CREATE TABLE divisor AS SELECT 1 AS n; CREATE SCHEMA s;"
        "CREATE MATERIALIZED VIEW base AS SELECT id / n AS id FROM t, divisor;"
        "CREATE MATERIALIZED VIEW mid AS SELECT id FROM base;"
        "CREATE MATERIALIZED VIEW top AS SELECT id FROM mid;"
        "CREATE MATERIALIZED VIEW s.far AS SELECT id FROM t;"
        "INSERT INTO t VALUES (2)");
  }
  process_result refresh(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "refresh");
    return matview(arguments);
  }
  std::string count(const std::string& view) {
    return db.query_one("SELECT count(*) FROM " + view);
  }
  static std::map<std::string, json::object> by_view(const json::value& rows) {
    std::map<std::string, json::object> out;
    for (const json::value& row : rows.as_array()) {
      out.emplace(std::string(row.at("view").as_string()), row.as_object());
    }
    return out;
  }
};

TEST_F(CliRefreshMany, AllRefreshesEachOnceInOrderAndSumsUp) {
  const auto done = refresh({"--all"});
  EXPECT_EQ(done.exit_code, 0) << done.err;
  EXPECT_LT(done.out.find("public.base"), done.out.find("public.mid"));
  EXPECT_LT(done.out.find("public.mid"), done.out.find("public.top"));
  EXPECT_TRUE(std::regex_search(done.err, std::regex("matview: 4 views: 4 done in .*s\n")))
      << done.err;
  EXPECT_EQ(count("top"), "2");
  EXPECT_EQ(count("s.far"), "2");
}

TEST_F(CliRefreshMany, TellsEachAsJson) {
  const auto rows = by_view(json_of(refresh({"--all", "--jobs", "1", "--format", "json"})));
  ASSERT_EQ(rows.size(), 4U);
  const json::object& top = rows.at("public.top");
  EXPECT_EQ(top.at("outcome"), "done");
  EXPECT_EQ(top.at("mode"), "full");
  EXPECT_EQ(top.at("rows"), 2);
  EXPECT_TRUE(top.at("duration_seconds").is_double());
}

TEST_F(CliRefreshMany, TakesASchemaOrTheNeighboursOfAName) {
  EXPECT_EQ(by_view(json_of(refresh({"--schema", "s", "--format", "json"}))).size(), 1U);
  EXPECT_EQ(
      by_view(json_of(refresh({"--schema", "s", "--schema", "public", "--format", "json"}))).size(),
      4U);
  const auto up = by_view(json_of(refresh({"mid", "--with-upstream", "--format", "json"})));
  EXPECT_TRUE(up.contains("public.base") && up.contains("public.mid") && up.size() == 2);
  const auto down = by_view(json_of(refresh({"--with-downstream", "mid", "--format", "json"})));
  EXPECT_TRUE(down.contains("public.top") && down.contains("public.mid") && down.size() == 2);
}

TEST_F(CliRefreshMany, FailsWhatIsBehindAFailureAndExitsWithFour) {
  db.execute("UPDATE divisor SET n = 0");
  const auto failed = refresh({"--all", "--format", "json"});
  EXPECT_EQ(failed.exit_code, 4);
  const auto rows = by_view(json_of(failed));
  EXPECT_EQ(rows.at("public.base").at("outcome"), "failed");
  EXPECT_EQ(rows.at("public.base").at("error").at("sqlstate"), "22012");
  EXPECT_EQ(rows.at("public.mid").at("outcome"), "upstream_failed");
  EXPECT_EQ(rows.at("public.top").at("reason"), "upstream public.base failed");
  EXPECT_EQ(rows.at("s.far").at("outcome"), "done");
  EXPECT_TRUE(contains(failed.err, "matview: error: public.base: division by zero")) << failed.err;
  EXPECT_TRUE(contains(failed.err, "4 views: 1 done, 1 failed, 2 upstream failed in"))
      << failed.err;
}

TEST_F(CliRefreshMany, ExitsAsOneFailureDoesWhenNothingWasDone) {
  db.execute("UPDATE divisor SET n = 0");
  EXPECT_EQ(refresh({"base", "--with-downstream"}).exit_code, 1);
}

TEST_F(CliRefreshMany, DryRunShowsOrderModeAndTimeAndDoesNothing) {
  const auto before = catalog();
  auto dry = refresh({"top", "--with-upstream", "--dry-run"});
  EXPECT_EQ(dry.exit_code, 0) << dry.err;
  EXPECT_TRUE(std::regex_search(dry.out, std::regex("1 +public.base +full")));
  EXPECT_TRUE(std::regex_search(dry.out, std::regex("3 +public.top +full +public.mid"))) << dry.out;
  EXPECT_TRUE(contains(dry.err, "have no history")) << dry.err;
  EXPECT_EQ(catalog(), before);

  ASSERT_EQ(matview({"declare", "s.far", "--depends-on", "t"}).exit_code, 0);
  db.execute(
      "INSERT INTO matview.refresh (schema, name, mode, reason, outcome, asked_by, started_at, "
      "finished_at) SELECT 'public', v, 'full', '', 'done', 'hand', now(), now() + interval '2 s' "
      "FROM unnest(array['base', 'mid', 'top']) v");
  dry = refresh({"top", "--with-upstream", "--dry-run", "--concurrently", "--format", "json"});
  const json::value rows = json_of(dry);
  EXPECT_EQ(rows.at(2).at("view"), "public.top");
  EXPECT_EQ(rows.at(2).at("mode"), "concurrently");
  EXPECT_EQ(rows.at(2).at("begins_seconds").as_double(), 4);
  EXPECT_EQ(rows.at(2).at("expected_seconds").as_double(), 2);
  EXPECT_TRUE(contains(dry.err, "about 6.00 s, at least 6.00 s")) << dry.err;
  EXPECT_EQ(catalog(), before);
}

TEST_F(CliRefreshMany, NamesAloneAreRefreshedInTheOrderGivenUnlessJobsAreAskedFor) {
  const std::string given = refresh({"top", "base"}).out;
  EXPECT_LT(given.find("public.top"), given.find("public.base"));
  EXPECT_FALSE(contains(given, "OUTCOME")) << given;
  const std::string ordered = refresh({"top", "base", "--jobs", "2"}).out;
  EXPECT_LT(ordered.find("public.base"), ordered.find("public.top"));
}

TEST_F(CliRefreshMany, InterruptedItStopsAndTellsWhatWasNotBegun) {
  db.execute("CREATE MATERIALIZED VIEW gated AS " + gated_query());
  db.execute("CREATE MATERIALIZED VIEW behind AS SELECT id FROM gated");
  session gate = close_gate();
  process many = start({"refresh", "gated", "--with-downstream", "--format", "json"});
  ASSERT_TRUE(at_gate());
  many.send_signal(SIGINT);
  const auto ended = many.wait();
  EXPECT_EQ(ended.exit_code, 130);
  const auto rows = by_view(json_of(ended));
  EXPECT_EQ(rows.at("public.gated").at("error").at("code"), "cancelled");
  EXPECT_EQ(rows.at("public.behind").at("outcome"), "skipped");
  EXPECT_TRUE(contains(ended.err, "interrupted; 2 views")) << ended.err;
  EXPECT_EQ(running(), 0);
}

TEST_F(CliRefreshMany, ShowsTheProgressOfTheWholeAndOfEach) {
  if (run({"sh", "-c", "command -v script"}).exit_code != 0) GTEST_SKIP() << "no script(1)";
  db.execute("CREATE MATERIALIZED VIEW gated AS " + gated_query());
  session gate = close_gate();
  session reader(db.url());
  reader.execute("BEGIN; SELECT id FROM s.far");
  process many = start_other(
      {"script", "-qefc",
       "stty cols 200; " + shell_line(program({"refresh", "--all"})) + " >/dev/null", "/dev/null"});
  EXPECT_TRUE(many.wait_for_out("refreshing: "));
  EXPECT_TRUE(many.wait_for_out("of 5 views"));
  EXPECT_TRUE(many.wait_for_out("  public.gated 1 s"));
  EXPECT_TRUE(many.wait_for_out("waits for pid " + std::to_string(reader.backend_pid())));
  reader.execute("ROLLBACK");
  gate.execute("SELECT pg_advisory_unlock(4711)");
  EXPECT_EQ(many.wait().exit_code, 0);
}

TEST_F(CliRefreshMany, SaysSoWhenThereIsNothing) {
  db.execute("DROP TABLE t CASCADE");
  const auto none = refresh({"--all"});
  EXPECT_EQ(none.exit_code, 0);
  EXPECT_EQ(none.out, "");
  EXPECT_TRUE(contains(none.err, "no materialized views in this database")) << none.err;
}

struct bad_refresh {
  std::string name;
  std::vector<std::string> arguments;
  int exit_code;
  std::vector<std::string> said;
};
class CliBadRefreshMany : public CliRefreshMany, public testing::WithParamInterface<bad_refresh> {};

TEST_P(CliBadRefreshMany, IsRefusedAndNothingIsRefreshed) {
  const std::string before = catalog();
  expect_refusal(refresh(GetParam().arguments), GetParam().exit_code, GetParam().said);
  EXPECT_EQ(catalog(), before);
}

using several = std::vector<bad_refresh>;

INSTANTIATE_TEST_SUITE_P(
    Each, CliBadRefreshMany,
    testing::ValuesIn(several{
        {"Nothing", {}, 2, {"NAME", "--all", "--schema", "matview refresh --help"}},
        {"AllAndAName", {"--all", "base"}, 2, {"--all takes no names"}},
        {"AllAndASchema", {"--all", "--schema", "s"}, 2, {"exclude each other"}},
        {"ASchemaAndAName", {"base", "--schema", "s"}, 2, {"--schema takes no names"}},
        {"UpstreamOfAll", {"--all", "--with-upstream"}, 2, {"--with-upstream needs the NAME"}},
        {"DownstreamOfASchema",
         {"--schema", "s", "--with-downstream"},
         2,
         {"--with-downstream needs the NAME"}},
        {"NoJobs", {"--all", "--jobs", "0"}, 2, {"--jobs 0 refreshes nothing"}},
        {"JobsThatAreNoNumber", {"--all", "--jobs", "many"}, 2, {"many"}},
        {"UnknownName",
         {"base", "nope", "--with-upstream"},
         1,
         {"no materialized view \"nope\"", "matview list"}},
        {"BadName", {"base; DROP", "--with-upstream"}, 2, {"base; DROP"}},
        {"Table", {"t", "--with-downstream"}, 1, {"\"t\" is a table, not a materialized view"}},
        {"UnknownSchema", {"--schema", "nope"}, 1, {"no materialized view in schema \"nope\""}},
    }),
    [](const testing::TestParamInfo<bad_refresh>& row) { return row.param.name; });

}  // namespace
}  // namespace matview::test
