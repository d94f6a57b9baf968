#include "cli_fixture.hpp"
#include <matview/doctor.hpp>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

namespace matview::test {
namespace {

namespace json = boost::json;

class CliDoctor : public cli_test {
 protected:
  void create_sound() {
    db.execute(
        "CREATE TABLE t AS SELECT 1 AS id; CREATE MATERIALIZED VIEW sound AS SELECT id FROM t; "
        "CREATE UNIQUE INDEX ON sound (id)");
  }
};

TEST_F(CliDoctor, SaysHowMuchItLookedAtWhenAllIsWell) {
  create_sound();
  const auto done = matview({"doctor"});
  EXPECT_EQ(done.exit_code, 0) << done.err;
  EXPECT_EQ(done.out, "");
  EXPECT_TRUE(contains(done.err, "looked at 1 view: nothing to report")) << done.err;
  const auto programs = matview({"doctor", "--format", "json"});
  EXPECT_EQ(programs.exit_code, 0);
  EXPECT_EQ(programs.out, "[]\n");
}

TEST_F(CliDoctor, TellsAnErrorWithItsReasonAndItsMendAndExitsWith4) {
  create_sound();
  db.execute(
      "CREATE MATERIALIZED VIEW empty AS SELECT id FROM t WITH NO DATA; "
      "CREATE UNIQUE INDEX ON empty (id)");
  const auto done = matview({"doctor"});
  EXPECT_EQ(done.exit_code, 4) << done.err;
  EXPECT_EQ(done.out,
            "error    public.empty: it holds no data and was never refreshed\n"
            "         whoever reads it gets an error, and it cannot be refreshed concurrently "
            "[not_populated]\n"
            "         REFRESH MATERIALIZED VIEW public.empty;\n");
  EXPECT_TRUE(contains(done.err, "looked at 2 views: 1 error, 0 warnings, 0 notes")) << done.err;
  EXPECT_EQ(matview({"doctor", "sound"}).exit_code, 0);
}

TEST_F(CliDoctor, ExitsWith0WhenThereAreOnlyWarnings) {
  db.execute("CREATE MATERIALIZED VIEW v AS SELECT 1 AS id");
  const auto done = matview({"doctor", "--format", "json"});
  EXPECT_EQ(done.exit_code, 0) << done.err;
  const json::value found = json_of(done);
  ASSERT_EQ(found.as_array().size(), 1U);
  EXPECT_EQ(found.at(0).at("severity"), "warning");
  EXPECT_EQ(found.at(0).at("kind"), "no_unique_index");
  EXPECT_EQ(found.at(0).at("object"), "public.v");
  EXPECT_EQ(found.at(0).at("mend"), "CREATE UNIQUE INDEX ON public.v (id);");
  EXPECT_TRUE(found.at(0).at("what").is_string());
  EXPECT_TRUE(found.at(0).at("why").is_string());
  const std::string line = matview({"doctor", "--format", "tsv"}).out;
  EXPECT_TRUE(line.starts_with("warning\tno_unique_index\tpublic.v\t")) << line;
}

TEST_F(CliDoctor, TakesSchemasOrNames) {
  db.execute(
      "CREATE SCHEMA s; CREATE MATERIALIZED VIEW s.v AS SELECT 1 AS id; "
      "CREATE MATERIALIZED VIEW w AS SELECT 1 AS id");
  const auto of_schema = matview({"doctor", "--schema", "s"});
  EXPECT_TRUE(contains(of_schema.err, "looked at 1 view:")) << of_schema.err;
  EXPECT_TRUE(contains(of_schema.out, "s.v:")) << of_schema.out;
  EXPECT_FALSE(contains(of_schema.out, "public.w")) << of_schema.out;
  const auto both = matview({"doctor", "s.v", "w"});
  EXPECT_TRUE(contains(both.err, "looked at 2 views:")) << both.err;
  expect_refusal(matview({"doctor", "missing"}), 1, {"there is no materialized view \"missing\""});
  expect_refusal(matview({"doctor", "a b"}), 2, {"a b"});
  expect_refusal(matview({"doctor", "w", "--schema", "s"}), 2, {"--schema"});
}

TEST_F(CliDoctor, CallsAViewUnusedAfterTheTimeThatIsAskedFor) {
  create_sound();
  db.execute("CREATE MATERIALIZED VIEW v AS SELECT id FROM t");
  const auto asked = matview({"doctor", "v", "--unread-for", "0 seconds", "--probe-limit",
                              "0 seconds", "--format", "json"});
  EXPECT_TRUE(contains(asked.out, "\"unused\"")) << asked.out;
  EXPECT_FALSE(contains(matview({"doctor", "v"}).out, "unused"));
}

TEST_F(CliDoctor, LetsNoNameActOnTheTerminal) {
  db.execute("CREATE MATERIALIZED VIEW \"red\x1b[31m\" AS SELECT 1 AS id");
  const auto done = matview({"doctor"});
  EXPECT_FALSE(contains(done.out, "\x1b")) << done.out;
  EXPECT_TRUE(contains(done.out, "red")) << done.out;
}

TEST(DoctorPage, ExplainsEachKindAndNoOther) {
  const std::string page =
      read_file(std::filesystem::path(MATVIEW_SOURCE_DIR) / "docs" / "doctor.md");
  std::size_t rows = 0;
  for (std::size_t at = page.find("\n| `"); at != std::string::npos;
       at = page.find("\n| `", at + 1)) {
    ++rows;
  }
  EXPECT_EQ(rows, finding_kinds().size());
  for (const finding_kind kind : finding_kinds()) {
    EXPECT_TRUE(contains(page, "\n| `" + std::string(to_string(kind)) + "` |")) << to_string(kind);
  }
}

}  // namespace
}  // namespace matview::test
