#include "cli_fixture.hpp"

#include <gtest/gtest.h>
#include <signal.h>

#include <string>

namespace matview::test {
namespace {

// On a terminal, which util-linux's script makes: its stdout is what the terminal was sent.
class CliTerminal : public cli_test {
 protected:
  void SetUp() override {
    if (run({"sh", "-c", "command -v script"}).exit_code != 0) GTEST_SKIP() << "no script(1)";
  }
  /// `redirection` behind the command, `how` is the environment.
  [[nodiscard]] process on_terminal(const std::vector<std::string>& arguments,
                                    const std::string& redirection = "", process_options how = {}) {
    const std::string pid_file = (folder.path() / "pid").string();
    const std::string inner =
        "echo $$ >" + pid_file + "; exec " + shell_line(program(arguments)) + " " + redirection;
    return start_other({"script", "-qefc", "sh -c " + shell_line({inner}), "/dev/null"},
                       std::move(how));
  }
  void interrupt() { ::kill(std::stoi(read_file(folder.path() / "pid")), SIGINT); }
};

TEST_F(CliTerminal, ShowsTheProgressOfASlowRefreshAndClearsIt) {
  create_gated_view("v");
  session gate = close_gate();
  process refresh = on_terminal({"refresh", "v"}, ">/dev/null");
  ASSERT_TRUE(refresh.wait_for_out("refreshing v, 0 s"));
  ASSERT_TRUE(refresh.wait_for_out("refreshing v, 1 s"));
  gate.execute("SELECT pg_advisory_unlock(4711)");
  const process_result done = refresh.wait();
  EXPECT_EQ(done.exit_code, 0);
  EXPECT_TRUE(done.out.ends_with("\r\x1b[K")) << done.out;
}

TEST_F(CliTerminal, ShowsProgressBesideTheNamesOfSeveral) {
  create_gated_view("v");
  create_gated_view("w");
  session gate = close_gate();
  process refresh = on_terminal({"refresh", "v", "w"}, ">/dev/null");
  ASSERT_TRUE(refresh.wait_for_out("refreshing v"));
  gate.execute("SELECT pg_advisory_unlock(4711); SELECT pg_advisory_lock(4711)");
  const bool second = refresh.wait_for_out("refreshing w", 10s);
  gate.execute("SELECT pg_advisory_unlock(4711)");
  EXPECT_EQ(refresh.wait().exit_code, 0);
  static_cast<void>(second);  // w may have passed before the gate was closed again
}

TEST_F(CliTerminal, IsSilentWhereStderrIsNone) {
  create_gated_view("v");
  session gate = close_gate();
  process refresh = on_terminal({"refresh", "v"}, ">/dev/null 2>stderr");
  ASSERT_TRUE(at_gate());
  // Longer than the first progress line takes; a terminal would have had one by now.
  process watched = on_terminal({"refresh", "v"}, ">/dev/null");
  ASSERT_TRUE(watched.wait_for_out("refreshing v, 1 s"));
  gate.execute("SELECT pg_advisory_unlock(4711)");
  EXPECT_EQ(refresh.wait().out, "");
  EXPECT_EQ(watched.wait().exit_code, 0);
  EXPECT_EQ(read_file(folder.path() / "stderr"), "");
}

TEST_F(CliTerminal, IsSilentWhenQuiet) {
  create_gated_view("v");
  session gate = close_gate();
  process quiet = on_terminal({"refresh", "v", "--quiet"}, ">/dev/null");
  ASSERT_TRUE(at_gate());
  process watched = on_terminal({"refresh", "v"}, ">/dev/null");
  ASSERT_TRUE(watched.wait_for_out("refreshing v, 1 s"));
  gate.execute("SELECT pg_advisory_unlock(4711)");
  EXPECT_EQ(quiet.wait().out, "");
  EXPECT_EQ(watched.wait().exit_code, 0);
}

TEST_F(CliTerminal, ShowsThatItIsStoppingAndClearsIt) {
  create_gated_view("v");
  session gate = close_gate();
  process refresh = on_terminal({"refresh", "v"}, ">/dev/null");
  ASSERT_TRUE(refresh.wait_for_out("refreshing v"));
  interrupt();
  const process_result done = refresh.wait();
  EXPECT_EQ(done.exit_code, 130);
  EXPECT_TRUE(done.out.ends_with("\r\x1b[Kmatview: interrupted; v is as it was\r\n")) << done.out;
}

TEST_F(CliTerminal, HasColouredErrors) {
  EXPECT_TRUE(contains(on_terminal({"refresh", "nope"}).wait().out, "\x1b[1;31merror:\x1b[0m"));
}

TEST_F(CliTerminal, HasNoColoursWhereTheyAreNotWanted) {
  const std::string colour = "\x1b[1;31m";
  EXPECT_FALSE(contains(on_terminal({"refresh", "nope", "--no-color"}).wait().out, colour));
  EXPECT_FALSE(contains(
      on_terminal({"refresh", "nope"}, "", {.env = {{"NO_COLOR", "1"}}}).wait().out, colour));
  EXPECT_FALSE(contains(
      on_terminal({"refresh", "nope"}, "", {.env = {{"TERM", "dumb"}}}).wait().out, colour));
}

TEST_F(CliTerminal, KeepsColoursWithAnEmptyNoColor) {
  // https://no-color.org: when present and not an empty string.
  EXPECT_TRUE(contains(on_terminal({"refresh", "nope"}, "", {.env = {{"NO_COLOR", ""}}}).wait().out,
                       "\x1b[1;31m"));
}

TEST_F(CliTerminal, WritesNoEscapesAtAllForAFastCommandWithoutColour) {
  db.execute("CREATE MATERIALIZED VIEW v AS SELECT 1 AS a");
  EXPECT_FALSE(contains(on_terminal({"list", "--no-color"}).wait().out, "\x1b"));
}

TEST_F(CliTerminal, VerboseLinesHaveNoColoursWithNoColor) {
  db.execute("CREATE MATERIALIZED VIEW v AS SELECT 1 AS a");
  const auto done = on_terminal({"refresh", "v", "--verbose", "--no-color"}).wait();
  EXPECT_FALSE(contains(done.out, "\x1b[3")) << done.out;
}

}  // namespace
}  // namespace matview::test
