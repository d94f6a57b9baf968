#include "support/process.hpp"

#include <gtest/gtest.h>
#include <signal.h>

#include <stdexcept>
#include <string>
#include <system_error>

namespace matview::test {
namespace {

TEST(Process, GivesOutputErrorsAndExitCode) {
  const process_result done = run({"sh", "-c", "echo out; echo err >&2; exit 7"});
  EXPECT_EQ(done.exit_code, 7);
  EXPECT_EQ(done.out, "out\n");
  EXPECT_EQ(done.err, "err\n");
}

TEST(Process, TakesInputEnvironmentAndFolder) {
  const process_result done =
      run({"sh", "-c", "cat; echo $ADDED; echo ${HOME-none}; pwd"},
          {.env = {{"ADDED", "x"}, {"HOME", std::nullopt}}, .input = "in\n", .directory = "/"});
  EXPECT_EQ(done.out, "in\nx\nnone\n/\n");
}

TEST(Process, MovesMoreThanAPipeHoldsBothWays) {
  const std::string text(1'000'000, 'x');
  EXPECT_EQ(run({"cat"}, {.input = text}).out, text);
}

TEST(Process, SurvivesAProgramThatDoesNotRead) {
  EXPECT_EQ(run({"true"}, {.input = std::string(1'000'000, 'x')}).exit_code, 0);
}

TEST(Process, SaysWhichProgramIsMissing) {
  EXPECT_THROW(run({"/no/such/program"}), std::system_error);
}

TEST(Process, IsSignalledAndItsLinesAreRead) {
  process program(
      {"sh", "-c", "trap 'echo got; exit 3' INT; echo ready; while :; do sleep 0.01; done"});
  EXPECT_EQ(program.read_line(), "ready");
  EXPECT_FALSE(program.ended());
  program.send_signal(SIGINT);
  EXPECT_EQ(program.read_line(), "got");
  EXPECT_EQ(program.read_line(), std::nullopt);
  EXPECT_EQ(program.wait().exit_code, 3);
  EXPECT_TRUE(program.ended());
}

TEST(Process, ThatASignalEndsHasThatInItsExitCode) {
  process program({"sleep", "60"});
  program.send_signal(SIGTERM);
  EXPECT_EQ(program.wait().exit_code, 128 + SIGTERM);
}

TEST(Process, IsWaitedForByWhatItWrites) {
  process program({"sh", "-c", "echo one; echo two >&2"});
  EXPECT_TRUE(program.wait_for_out("one"));
  EXPECT_TRUE(program.wait_for_err("two"));
  EXPECT_FALSE(program.wait_for_out("three"));
}

TEST(Process, IsKilledAtItsDeadlineAndTheMessageHasItsOutput) {
  try {
    run({"sh", "-c", "echo stuck; exec sleep 60"}, {}, 300ms);
    FAIL() << "no deadline";
  } catch (const std::runtime_error& failure) {
    EXPECT_NE(std::string(failure.what()).find("stuck"), std::string::npos);
  }
}

TEST(Process, FindsAClosedPipe) {
  process program({"sh", "-c", "read -r go; echo x"}, {.input = "go\n"});
  program.close_out();
  EXPECT_NE(program.wait().exit_code, 0);
}

TEST(Process, DoesNotWaitForAGrandchildThatKeepsItsOutput) {
  EXPECT_EQ(run({"sh", "-c", "sleep 5 & echo done"}, {}, 3s).out, "done\n");
}

}  // namespace
}  // namespace matview::test
