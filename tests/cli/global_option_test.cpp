#include "cli_fixture.hpp"

#include <gtest/gtest.h>

#include <regex>

namespace matview::test {
namespace {

class CliGlobalOptions : public cli_test {
 protected:
  CliGlobalOptions() { db.execute("CREATE MATERIALIZED VIEW v AS SELECT 1 AS a"); }
};

TEST_F(CliGlobalOptions, MayStandBeforeAndBehindTheCommand) {
  const std::string before = matview({"--format", "tsv", "list"}).out;
  EXPECT_TRUE(before.starts_with("v\t")) << before;
  EXPECT_EQ(matview({"list", "--format", "tsv"}).out, before);
  EXPECT_EQ(
      matview({"--url", db.url(), "list", "--format=tsv"}, {.env = {{"MATVIEW_URL", "x:"}}}).out,
      before);
  EXPECT_EQ(
      matview({"list", "--url=" + db.url(), "--format=tsv"}, {.env = {{"MATVIEW_URL", "x:"}}}).out,
      before);
}

TEST_F(CliGlobalOptions, QuietSaysNothingOnStderrOfASuccess) {
  for (const auto& arguments : std::vector<std::vector<std::string>>{
           {"refresh", "v", "--quiet"},
           {"-q", "drop", "nope"},
           {"create", "v", "--if-not-exists", "--sql", "SELECT 1 AS a", "-q"},
           {"list", "--schema", "nope", "-q"}}) {
    const auto done = matview(arguments);
    EXPECT_EQ(done.exit_code, 0);
    EXPECT_EQ(done.err, "") << arguments[0];
  }
}

TEST_F(CliGlobalOptions, QuietStillSaysErrors) {
  expect_refusal(matview({"refresh", "nope", "--quiet"}), 1, {"\"nope\"", "hint:"});
}

TEST_F(CliGlobalOptions, VerboseShowsTheStatementsOnStderr) {
  const auto done = matview({"refresh", "v", "--verbose"});
  EXPECT_EQ(done.exit_code, 0);
  EXPECT_TRUE(contains(done.err, "REFRESH MATERIALIZED VIEW \"v\"")) << done.err;
  EXPECT_FALSE(contains(done.out, "REFRESH MATERIALIZED"));
}

TEST_F(CliGlobalOptions, HasNoEscapesWhereNoTerminalIs) {
  const auto done = matview({"refresh", "v", "nope", "--verbose"});
  EXPECT_FALSE(contains(done.out + done.err, "\x1b")) << done.err;
}

TEST_F(CliGlobalOptions, VersionIsOneLineOnStdout) {
  const auto shown = matview({"--version"});
  EXPECT_EQ(shown.exit_code, 0);
  EXPECT_EQ(shown.err, "");
  EXPECT_TRUE(std::regex_match(shown.out, std::regex(R"(matview \d+\.\d+\.\d+\n)"))) << shown.out;
}

TEST_F(CliGlobalOptions, HelpIsOnStdoutAndNeedsNoDatabase) {
  const auto shown = matview({"--help"}, {.env = {{"MATVIEW_URL", "sqlite:x"}}});
  EXPECT_EQ(shown.exit_code, 0);
  EXPECT_EQ(shown.err, "");
  for (const char* text :
       {"create", "refresh", "drop", "list", "demo", "--database", "--url", "--config", "--format",
        "--quiet", "--verbose", "--no-color", "--version", "--help"}) {
    EXPECT_TRUE(contains(shown.out, text)) << text;
  }
  EXPECT_FALSE(contains(shown.out, "generate")) << "for the build, not for people";
}

struct help_row {
  std::string command;
  std::vector<std::string> shown;
};
class CliHelp : public cli_test, public testing::WithParamInterface<help_row> {};

INSTANTIATE_TEST_SUITE_P(
    Of, CliHelp,
    testing::Values(
        help_row{"create",
                 {"NAME", "--sql", "--file", "--no-data", "--if-not-exists", "--index",
                  "--unique-index", "--comment", "--statement-timeout", "--lock-timeout"}},
        help_row{"refresh", {"NAME", "--concurrently", "--statement-timeout", "--lock-timeout"}},
        help_row{"drop", {"NAME", "--must-exist", "--cascade"}}, help_row{"list", {"--schema"}},
        help_row{"demo", {"--keep"}}),
    [](const auto& row) { return row.param.command; });

TEST_P(CliHelp, NamesEveryOption) {
  const auto shown = matview({GetParam().command, "--help"});
  EXPECT_EQ(shown.exit_code, 0);
  EXPECT_EQ(shown.err, "");
  EXPECT_TRUE(contains(shown.out, "Usage: matview " + GetParam().command)) << shown.out;
  for (const std::string& text : GetParam().shown) EXPECT_TRUE(contains(shown.out, text)) << text;
  EXPECT_EQ(matview({GetParam().command, "-h"}).out, shown.out);
}

TEST_P(CliHelp, TellsWhereTheGlobalOptionsAre) {
  const std::string shown = matview({GetParam().command, "--help"}).out;
  EXPECT_TRUE(contains(shown, "--url") || contains(shown, "matview --help")) << shown;
}

TEST_P(CliHelp, FitsATerminal) {
  // 100 columns; 80 would be better.
  std::istringstream lines(matview({GetParam().command, "--help"}).out);
  for (std::string line; std::getline(lines, line);) EXPECT_LE(line.size(), 110U) << line;
}

}  // namespace
}  // namespace matview::test
