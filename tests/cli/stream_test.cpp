#include "cli_fixture.hpp"

#include <gtest/gtest.h>

namespace matview::test {
namespace {

// What the three standard streams may be.
class CliStream : public cli_test {
 protected:
  CliStream() { db.execute("CREATE MATERIALIZED VIEW v AS SELECT 1 AS a"); }
  /// A line of bash; `matview` is the program.
  process_result shell(const std::string& line) {
    return run_other(
        {"bash", "-c", "matview() { " + shell_line({MATVIEW_PROGRAM}) + " \"$@\"; }\n" + line});
  }
};

TEST_F(CliStream, AReaderThatHasLeftIsFine) {
  // 64 kB fill a pipe: the list is longer.
  db.execute(
      "DO $$ BEGIN FOR i IN 1..700 LOOP EXECUTE format('CREATE MATERIALIZED VIEW "
      "a_long_name_so_that_the_list_fills_the_pipe_%s AS SELECT 1 AS a', i); END LOOP; END $$");
  for (const char* format : {"table", "json", "tsv"}) {
    const auto done = shell(std::string("matview list --format ") + format +
                            " | head -c 10 >/dev/null; echo ${PIPESTATUS[0]}");
    EXPECT_EQ(done.out, "0\n");
    EXPECT_EQ(done.err, "");
  }
}

TEST_F(CliStream, AReaderThatNeverReadIsFine) {
  for (const char* what : {"list", "refresh v", "--help", "--version", "generate man"}) {
    process done =
        start_other({"bash", "-c", "read -r; exec " + shell_line({MATVIEW_PROGRAM}) + " " + what},
                    {.input = "go\n"});
    done.close_out();
    const process_result ended = done.wait();
    EXPECT_EQ(ended.exit_code, 0) << what << ended.err;
    EXPECT_EQ(ended.err, "") << what;
  }
}

TEST_F(CliStream, AFullDiskIsAFailure) {
  for (const char* what : {"list", "list --format json", "list --format tsv", "generate man"}) {
    const auto done = shell(std::string("matview ") + what + " >/dev/full");
    EXPECT_EQ(done.exit_code, 1) << what;
    EXPECT_TRUE(contains(done.err, "No space left on device")) << what << done.err;
  }
}

TEST_F(CliStream, AFullDiskAfterARefreshSaysThatItIsDone) {
  const auto done = shell("matview refresh v >/dev/full");
  EXPECT_EQ(done.exit_code, 1);
  EXPECT_TRUE(contains(done.err, "the work itself is done")) << done.err;
}

TEST_F(CliStream, AFullDiskForAListDoesNotSpeakOfWork) {
  EXPECT_FALSE(contains(shell("matview list >/dev/full").err, "the work itself is done"));
}

TEST_F(CliStream, AFullDiskForTheHelpIsAFailure) {
  EXPECT_EQ(shell("matview --help >/dev/full").exit_code, 1);
}

TEST_F(CliStream, AFullDiskForStderrChangesNothing) {
  const auto done = shell("matview refresh v --verbose 2>/dev/full");
  EXPECT_EQ(done.exit_code, 0);
  EXPECT_TRUE(contains(done.out, "public.v"));
}

TEST_F(CliStream, AClosedStdoutIsAFailure) {
  const auto done = shell("matview list >&-");
  EXPECT_EQ(done.exit_code, 1);
  EXPECT_TRUE(contains(done.err, "could not be written")) << done.err;
}

TEST_F(CliStream, AClosedStderrDoesNotPutTextIntoTheConnection) {
  // The lowest free descriptor is the next one opened: the socket to the server.
  const auto done = shell("matview refresh v --verbose 2>&-");
  EXPECT_EQ(done.exit_code, 0);
  EXPECT_TRUE(contains(done.out, "public.v")) << done.out;
}

TEST_F(CliStream, AllThreeClosedRefreshAllTheSame) {
  db.execute(
      "CREATE TABLE t AS SELECT 1 AS id; CREATE MATERIALIZED VIEW w AS SELECT id FROM t; "
      "UPDATE t SET id = 2");
  shell("matview refresh w --verbose <&- >&- 2>&-");
  EXPECT_EQ(db.query_one("SELECT id FROM w"), "2");
}

TEST_F(CliStream, AClosedStdinIsFine) {
  const auto done = shell("matview list <&-");
  EXPECT_EQ(done.exit_code, 0) << done.err;
  EXPECT_TRUE(contains(done.out, "v"));
}

TEST_F(CliStream, AClosedStdinForTheQueryIsRefused) {
  const auto done = shell("matview create w --file - <&-");
  EXPECT_EQ(done.exit_code, 2) << done.err;
  EXPECT_FALSE(exists("w"));
}

TEST_F(CliStream, AFolderAsStdinForTheQueryIsRefused) {
  const auto done = shell("matview create w --file - </tmp");
  EXPECT_EQ(done.exit_code, 2) << done.err;
  EXPECT_TRUE(contains(done.err, "Is a directory")) << done.err;
}

}  // namespace
}  // namespace matview::test
