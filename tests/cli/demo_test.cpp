#include "cli_fixture.hpp"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mount.h>
#include <unistd.h>

#include <fstream>
#include <regex>

namespace matview::test {
namespace {

namespace fs = std::filesystem;

class CliDemo : public cli_test {
 protected:
  CliDemo() { folder.write("tmp/.keep", ""); }
  // What a test that fails has left running must not stay.
  ~CliDemo() override {
    for (const pid_t left : processes_about(tmp().string())) ::kill(left, SIGKILL);
  }
  [[nodiscard]] fs::path tmp() const { return folder.path() / "tmp"; }
  /// A demo whose every trace is in tmp().
  [[nodiscard]] process demo(std::vector<std::string> more = {}, process_options how = {}) {
    more.insert(more.begin(), "demo");
    how.env.emplace("TMPDIR", tmp().string());
    how.env.emplace("MATVIEW_URL", std::nullopt);
    return start(more, std::move(how));
  }
  [[nodiscard]] bool nothing_left() {
    const bool gone = eventually([this] { return processes_about(tmp().string()).empty(); });
    EXPECT_TRUE(gone) << "processes are left";
    std::string files;
    for (const auto& entry : fs::directory_iterator(tmp())) {
      if (entry.path().filename() != ".keep") files += entry.path().string() + ' ';
    }
    EXPECT_EQ(files, "");
    return gone && files.empty();
  }
};

TEST_F(CliDemo, TellsTheWholeStoryAndLeavesNothing) {
  process telling = demo();
  const process_result told = telling.wait(30s);
  EXPECT_EQ(told.exit_code, 0) << told.err;
  EXPECT_EQ(told.err, "");
  EXPECT_TRUE(nothing_left());

  // In this order.
  const std::vector<std::string> steps{
      R"(PostgreSQL \d+.* started in .*s)",                  // a private server
      R"([\d,]+ airports and [\d,]+ flights .* loaded in)",  // real flights
      R"(delay_by_airport_and_day +[\d,]+ rows .*s\n)",      // three views
      R"(busiest_routes +[\d,]+ rows .*s\n)",
      R"(airports_by_delay +[\d,]+ rows .*s\n)",
      R"(can refresh concurrently)",                     // list
      R"(base tables .*s, view .*s: \d+ times faster)",  // the times
      R"(\w+, [A-Z]{2} \([A-Z]{3}\): .* minutes late)",  // the dashboard, with city names
      R"([\d,]+ flights inserted in)",                   // a later batch
      R"(flights in the table \d+, in the view \d+)",    // not known yet
      R"(delay_by_airport_and_day +[\d,]+ rows .*s\n)",  // refresh plainly
      R"(\d+ refreshes; the reader read .* waited .*s at the longest)",  // concurrently
      R"(both together took .*s)",                                       // two at once
      R"(error: .*without a unique index\n +hint: +CREATE UNIQUE INDEX)",
      R"(20 flights are later: applied in .*, REFRESH took .*s\.)",
      R"(both show the same\.)",
      R"(Process \d+ was killed with SIGKILL in the middle of a refresh)",
      R"(Process \d+ took it over .*s later)",
      R"((\d+) ticks, \1 jobs done: doubles 0, lost 0)",
      R"(three dropped, 0 left)",
      R"(Done in .*s)"};
  std::string rest = told.out;
  for (const std::string& step : steps) {
    std::smatch found;
    ASSERT_TRUE(std::regex_search(rest, found, std::regex(step))) << step << '\n' << told.out;
    rest = found.suffix();
  }
}

TEST_F(CliDemo, LeavesTheUsersOwnDatabaseAlone) {
  const std::string before = catalog();
  EXPECT_EQ(demo({}, {.env = {{"MATVIEW_URL", db.url()}}}).wait().exit_code, 0);
  EXPECT_EQ(catalog(), before);
}

TEST_F(CliDemo, NeedsNoConfigurationAndNoServer) {
  folder.write("matview.toml", "[databases]\ndefault = \"host=/nonexistent\"\n");
  EXPECT_EQ(demo().wait().exit_code, 0);
}

TEST_F(CliDemo, KeepsTheServerAndPrintsLinesThatWork) {
  const process_result told = demo({"--keep"}).wait();
  ASSERT_EQ(told.exit_code, 0) << told.err;
  std::smatch look;
  std::smatch stop;
  ASSERT_TRUE(std::regex_search(told.out, look, std::regex("\n +(psql .*)\n"))) << told.out;
  ASSERT_TRUE(std::regex_search(told.out, stop, std::regex("To end it:\n\n +(.*)\n"))) << told.out;

  const auto looked =
      run_other({"bash", "-c", look[1].str() + " -Atc 'SELECT count(*) FROM airports_by_delay'"});
  EXPECT_EQ(looked.exit_code, 0) << looked.err;
  EXPECT_GT(std::atoi(looked.out.c_str()), 100);

  const auto stopped = run_other({"bash", "-c", stop[1].str()});
  EXPECT_EQ(stopped.exit_code, 0) << stopped.err;
  EXPECT_TRUE(nothing_left());
}

TEST_F(CliDemo, KeepsTheServerInAFolderWithAQuoteAndABlank) {
  const std::string odd = (folder.path() / "tmp/it's odd").string();
  fs::create_directories(odd);
  const process_result told = demo({"--keep"}, {.env = {{"TMPDIR", odd}}}).wait();
  ASSERT_EQ(told.exit_code, 0) << told.err;
  std::smatch look;
  std::smatch stop;
  ASSERT_TRUE(std::regex_search(told.out, look, std::regex("\n +(psql .*)\n")));
  ASSERT_TRUE(std::regex_search(told.out, stop, std::regex("To end it:\n\n +(.*)\n")));
  EXPECT_EQ(run_other({"bash", "-c", look[1].str() + " -Atc 'SELECT 1'"}).out, "1\n") << look[1];
  const auto stopped = run_other({"bash", "-c", stop[1].str()});
  EXPECT_EQ(stopped.exit_code, 0) << stopped.err << stop[1];
  fs::remove(odd);
  EXPECT_TRUE(nothing_left());
}

TEST_F(CliDemo, StopsAtEachStageOfItAndLeavesNothing) {
  for (const char* stage :
       {"matview demo", "== Real flights", "== Three views", "== Refresh, plainly",
        "== Refresh concurrently", "== By the clock", "was killed with SIGKILL", "== The end"}) {
    process telling = demo();
    ASSERT_TRUE(telling.wait_for_out(stage)) << stage;
    telling.send_signal(SIGINT);
    const process_result told = telling.wait();
    if (std::string_view(stage) != "== The end") {
      EXPECT_EQ(told.exit_code, 130) << stage << told.err;
      EXPECT_TRUE(contains(told.err, "interrupted")) << told.err;
    }
    EXPECT_TRUE(nothing_left()) << stage;
  }
}

TEST_F(CliDemo, LeavesNothingWhenTheTerminalIsClosed) {
  process telling = demo();
  ASSERT_TRUE(telling.wait_for_out("== Three views"));
  telling.send_signal(SIGHUP);
  telling.wait();
  EXPECT_TRUE(nothing_left());
}

TEST_F(CliDemo, StopsQuietlyWhenItsReaderHasLeft) {
  process telling = demo();
  ASSERT_TRUE(telling.wait_for_out("== A private server"));
  telling.close_out();
  const process_result told = telling.wait();
  EXPECT_EQ(told.exit_code, 0);
  EXPECT_EQ(told.err, "");
  EXPECT_TRUE(nothing_left());
}

TEST_F(CliDemo, FailsWhenTheStoryCannotBeWritten) {
  const auto told = run_other({"bash", "-c", shell_line(program({"demo"})) + " >/dev/full"},
                              {.env = {{"TMPDIR", tmp().string()}}});
  EXPECT_EQ(told.exit_code, 1);
  EXPECT_TRUE(contains(told.err, "No space left on device")) << told.err;
  EXPECT_TRUE(nothing_left());
}

TEST_F(CliDemo, SaysWhichFolderCannotBeUsed) {
  const std::string missing = (folder.path() / "nope").string();
  expect_refusal(demo({}, {.env = {{"TMPDIR", missing}}}).wait(), 2, {missing, "TMPDIR"});
  // Not even root may make a folder here.
  expect_refusal(demo({}, {.env = {{"TMPDIR", "/proc"}}}).wait(), 2, {"/proc", "TMPDIR"});
}

TEST_F(CliDemo, SaysWhatToDoWithoutThePrograms) {
  const auto refused = demo({}, {.env = {{"MATVIEW_PG_BINDIR", "/nonexistent"}}}).wait();
  EXPECT_EQ(refused.exit_code, 2);
  for (const char* part : {"MATVIEW_PG_BINDIR", "/nonexistent", "initdb", "hint: "}) {
    EXPECT_TRUE(contains(refused.err, part)) << refused.err;
  }
  EXPECT_TRUE(nothing_left());
}

class CliDemoOnAFullDisk : public CliDemo {
 protected:
  ~CliDemoOnAFullDisk() override { ::umount2(tmp().c_str(), MNT_DETACH); }
  [[nodiscard]] bool mount_disk(const std::string& size) const {
    const std::string options = "mode=0755,size=" + size;
    return ::mount("tmpfs", tmp().c_str(), "tmpfs", 0, options.c_str()) == 0;
  }
  void expect_clear_error(const process_result& told) {
    EXPECT_TRUE(told.exit_code == 1 || told.exit_code == 3) << told.exit_code << told.out;
    EXPECT_TRUE(contains(told.err, "No space left on device") || contains(told.err, "disk is full"))
        << told.err;
    EXPECT_TRUE(contains(told.err, "hint: ")) << told.err;
    EXPECT_TRUE(nothing_left());
  }
};

TEST_F(CliDemoOnAFullDisk, IsAClearErrorWhenTheServerDoesNotFit) {
  if (!mount_disk("20m")) GTEST_SKIP() << "mounting a small disk needs root";
  expect_clear_error(demo().wait());
}

TEST_F(CliDemoOnAFullDisk, IsAClearErrorWhenItFillsInMidStory) {
  if (!mount_disk("200m")) GTEST_SKIP() << "mounting a small disk needs root";
  process telling = demo();
  ASSERT_TRUE(telling.wait_for_out("== A private server"));
  {
    std::ofstream ballast(tmp() / "ballast", std::ios::binary);
    const std::string block(1 << 20, 'x');
    while (ballast.write(block.data(), static_cast<std::streamsize>(block.size())).flush()) {
    }
  }
  const process_result told = telling.wait();
  fs::remove(tmp() / "ballast");
  expect_clear_error(told);
}

}  // namespace
}  // namespace matview::test
