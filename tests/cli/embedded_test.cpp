#include "cli_fixture.hpp"

#include <boost/json/array.hpp>
#include <gtest/gtest.h>
#include <signal.h>

#include <memory>

namespace matview::test {
namespace {

class CliEmbedded : public cli_test {
 protected:
  [[nodiscard]] std::string path() const { return (folder.path() / "pg").string(); }
  [[nodiscard]] std::string url() const { return "embedded:" + path(); }
  /// No server is left, and none of its supervisors.
  [[nodiscard]] bool all_gone() const {
    return eventually([this] { return processes_about(folder.path().string()).empty(); });
  }
};

TEST_F(CliEmbedded, IsMadeOnFirstUseAndStoppedAfterIt) {
  const auto made = matview({"create", "v", "--sql", "SELECT 1 AS a", "--url", url()});
  EXPECT_EQ(made.exit_code, 0) << made.err;
  EXPECT_TRUE(all_gone());
  const auto listed = matview({"list", "--format", "tsv", "--url", url()});
  EXPECT_TRUE(listed.out.starts_with("v\t")) << listed.out << listed.err;
  EXPECT_TRUE(all_gone());
}

TEST_F(CliEmbedded, ServesSeveralProcessesAtOnce) {
  std::vector<std::unique_ptr<process>> all;
  for (int i = 0; i < 4; ++i) {
    all.push_back(std::make_unique<process>(
        program({"create", "v" + std::to_string(i), "--sql", "SELECT 1 AS a", "--url", url()}),
        process_options{.env = {{"HOME", folder.path().string()}}, .directory = folder.path()}));
  }
  for (const auto& one : all) {
    const process_result done = one->wait();
    EXPECT_EQ(done.exit_code, 0) << done.err;
  }
  const auto listed = matview({"list", "--format", "json", "--url", url()});
  EXPECT_EQ(json_of(listed).as_array().size(), 4U);
  EXPECT_TRUE(all_gone());
}

TEST_F(CliEmbedded, ComesFromTheConfiguration) {
  folder.write("matview.toml", "[databases]\nplay = \"" + url() + "\"\n");
  const auto made = matview({"create", "v", "--sql", "SELECT 1 AS a", "--database", "play"});
  EXPECT_EQ(made.exit_code, 0) << made.err;
  EXPECT_TRUE(all_gone());
}

TEST_F(CliEmbedded, IsStoppedWhenTheRefreshIsInterrupted) {
  ASSERT_EQ(matview({"create", "v", "--no-data", "--url", url(), "--sql",
                     "SELECT 1 AS a FROM pg_sleep(600)"})
                .exit_code,
            0);
  process refresh = start({"refresh", "v", "--verbose", "--url", url()});
  ASSERT_TRUE(refresh.wait_for_err("REFRESH MATERIALIZED VIEW"));
  refresh.send_signal(SIGINT);
  EXPECT_EQ(refresh.wait().exit_code, 130);
  EXPECT_TRUE(all_gone());
}

TEST_F(CliEmbedded, IsStoppedWhenTheUserIsKilled) {
  ASSERT_EQ(matview({"create", "v", "--no-data", "--url", url(), "--sql",
                     "SELECT 1 AS a FROM pg_sleep(600)"})
                .exit_code,
            0);
  process refresh = start({"refresh", "v", "--verbose", "--url", url()});
  ASSERT_TRUE(refresh.wait_for_err("REFRESH MATERIALIZED VIEW"));
  refresh.send_signal(SIGKILL);
  EXPECT_EQ(refresh.wait().exit_code, 128 + SIGKILL);
  EXPECT_TRUE(all_gone());
}

TEST_F(CliEmbedded, SaysWhatToDoWithoutThePrograms) {
  const auto refused =
      matview({"list", "--url", url()}, {.env = {{"MATVIEW_PG_BINDIR", "/nonexistent"}}});
  expect_refusal(refused, 2, {"MATVIEW_PG_BINDIR", "/nonexistent", "initdb"});
}

TEST_F(CliEmbedded, TakesNoFileForAFolder) {
  const std::string file = folder.write("file", "x");
  expect_refusal(matview({"list", "--url", "embedded:" + file}), 2, {file, "no folder"});
}

TEST_F(CliEmbedded, LeavesAFolderAloneThatIsSomethingElse) {
  folder.write("mine/notes.txt", "x");
  const std::string mine = (folder.path() / "mine").string();
  expect_refusal(matview({"list", "--url", "embedded:" + mine}), 2, {mine});
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(mine), {}), 1);
}

}  // namespace
}  // namespace matview::test
