#include "cli_fixture.hpp"

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <gtest/gtest.h>

#include <string>

namespace matview::test {
namespace {

namespace json = boost::json;

class CliStatus : public cli_test {
 protected:
  CliStatus() {
    db.execute(
        "CREATE TABLE t AS SELECT 1 AS id; CREATE MATERIALIZED VIEW v AS SELECT id FROM t; "
        "CREATE UNIQUE INDEX ON v (id)");
  }
  void keep_history() { EXPECT_EQ(matview({"history", "--begin"}).exit_code, 0); }
  void refresh() { EXPECT_EQ(matview({"refresh", "v"}).exit_code, 0); }
  std::string shown() { return matview({"status"}).out; }
};

TEST_F(CliStatus, WithoutAHistoryShowsWhatTheCatalogKnowsAndSaysOnceWhyNoMore) {
  db.execute("CREATE MATERIALIZED VIEW w AS SELECT id FROM t WITH NO DATA");
  const auto done = matview({"status"});
  EXPECT_EQ(done.exit_code, 0) << done.err;
  EXPECT_TRUE(done.out.starts_with("VIEW")) << done.out;
  for (const char* heading :
       {"KIND", "FRESHNESS", "AGE", "LAST", "USUAL", "NEXT", "SIZE", "NOTE"}) {
    EXPECT_TRUE(contains(done.out, heading)) << done.out;
  }
  EXPECT_TRUE(contains(done.out, "\npublic.v  native  unknown")) << done.out;
  EXPECT_TRUE(contains(done.out, "\npublic.w  native  stale")) << done.out;
  EXPECT_TRUE(contains(done.out, "it holds no data")) << done.out;
  EXPECT_FALSE(contains(done.out, "no schema matview")) << done.out;
  EXPECT_TRUE(contains(done.err, "no schema matview")) << done.err;
}

TEST_F(CliStatus, ShowsOneViewInFull) {
  keep_history();
  refresh();
  const auto done = matview({"status", "v"});
  EXPECT_EQ(done.exit_code, 0) << done.err;
  EXPECT_EQ(done.err, "");
  for (const char* line :
       {"view          public.v\n", "freshness     fresh: none of its 1 table has changed\n",
        "populated     yes\n", "rows          1\n", "now           not running\n",
        "next          no schedule\n", "last error    none\n", ", full, by hand\n",
        "of 1 refresh\n"}) {
    EXPECT_TRUE(contains(done.out, line)) << line << done.out;
  }
  const std::string tsv = matview({"status", "v", "--format", "tsv"}).out;
  EXPECT_TRUE(tsv.starts_with("view\tpublic.v\n")) << tsv;
}

TEST_F(CliStatus, TellsProgramsAllOfIt) {
  keep_history();
  const json::value before = json_of(matview({"status", "--format", "json"}));
  ASSERT_EQ(before.as_array().size(), 1U);
  for (const char* key : {"last", "outside", "usual", "running", "next", "error"}) {
    EXPECT_TRUE(before.at(0).at(key).is_null()) << key;
  }
  EXPECT_FALSE(before.at(0).as_object().contains("age_seconds")) << "a length is a number";
  refresh();
  EXPECT_EQ(
      matview({"schedule", "set", "nightly", "--cron", "0 3 * * *", "--refresh", "v"}).exit_code,
      0);
  const json::value one = json_of(matview({"status", "v", "--format", "json"}));
  EXPECT_EQ(one.at("schema"), "public");
  EXPECT_EQ(one.at("name"), "v");
  EXPECT_EQ(one.at("populated"), true);
  EXPECT_EQ(one.at("freshness"), "fresh");
  EXPECT_TRUE(one.at("reason").is_string());
  EXPECT_TRUE(one.at("bytes").is_int64());
  EXPECT_TRUE(one.at("age_seconds").is_double());
  EXPECT_EQ(one.at("last").at("mode"), "full");
  EXPECT_EQ(one.at("last").at("rows"), 1);
  EXPECT_TRUE(one.at("last").at("started").as_string().ends_with("Z"));
  EXPECT_EQ(one.at("usual").at("refreshes"), 1);
  EXPECT_EQ(one.at("next").at("schedule"), "nightly");
  EXPECT_EQ(one.at("next").at("paused"), false);
  EXPECT_TRUE(contains(one.at("next").at("at").as_string(), "T03:00:00.000Z"));
  EXPECT_EQ(json_of(matview({"--format", "json", "status"})).as_array().size(), 1U);
  const std::string line = matview({"status", "--format", "tsv"}).out;
  EXPECT_TRUE(line.starts_with("public.v\tfresh\t")) << line;
}

TEST_F(CliStatus, NotesWhatNeedsAPersonsEye) {
  keep_history();
  refresh();
  db.execute("GRANT SELECT ON v TO public");
  EXPECT_TRUE(contains(shown(), "altered outside: ")) << shown();
  db.execute("REFRESH MATERIALIZED VIEW v");
  EXPECT_TRUE(contains(shown(), "refreshed outside: ")) << shown();
  EXPECT_TRUE(contains(shown(), "unknown    < ")) << "it is younger than the last one known";
  refresh();
  EXPECT_FALSE(contains(shown(), "outside")) << shown();
  db.execute("INSERT INTO t VALUES (1)");
  EXPECT_EQ(matview({"refresh", "v"}).exit_code, 1);
  EXPECT_TRUE(contains(shown(), "[23505]: ")) << shown();
  db.execute("TRUNCATE t");
  refresh();
  EXPECT_FALSE(contains(shown(), "[23505]: ")) << "mended since";
  EXPECT_TRUE(contains(matview({"status", "v"}).out, "[23505]: "));
  EXPECT_EQ(matview({"schedule", "set", "s", "--every", "1 hour", "--refresh", "v"}).exit_code, 0);
  EXPECT_EQ(matview({"schedule", "pause", "s"}).exit_code, 0);
  EXPECT_TRUE(contains(shown(), "paused")) << shown();
}

TEST_F(CliStatus, ShowsWhatRunsNow) {
  keep_history();
  create_gated_view("gated");
  const session closed = close_gate();
  process running = start({"refresh", "gated"});
  ASSERT_TRUE(at_gate());
  const auto done = matview({"status", "gated"});
  EXPECT_TRUE(contains(done.out, "running for ")) << done.out;
  EXPECT_TRUE(contains(done.out, "how long it usually takes is not known")) << done.out;
  EXPECT_TRUE(contains(done.out, "size          locked\n")) << done.out;
}

TEST_F(CliStatus, RefusesWhatIsNoView) {
  expect_refusal(matview({"status", "nope"}), 1, {"there is no materialized view \"nope\""});
  expect_refusal(matview({"status", "t"}), 1, {"public.t is a table, not a materialized view"});
  expect_refusal(matview({"status", "a b"}), 2, {"a b"});
  expect_refusal(matview({"status", "v", "--schema", "public"}), 2, {"--schema"});
}

TEST_F(CliStatus, SaysWhenThereAreNone) {
  const auto done = matview({"status", "--schema", "nowhere"});
  EXPECT_EQ(done.exit_code, 0);
  EXPECT_EQ(done.out, "");
  EXPECT_TRUE(contains(done.err, "no materialized views")) << done.err;
}

}  // namespace
}  // namespace matview::test
