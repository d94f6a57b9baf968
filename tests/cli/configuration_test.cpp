#include "cli_fixture.hpp"

#include <gtest/gtest.h>

namespace matview::test {
namespace {

class CliConfiguration : public cli_test {
 protected:
  CliConfiguration() { db.execute("CREATE MATERIALIZED VIEW v AS SELECT 1 AS a"); }
  [[nodiscard]] std::string good(const std::string& alias = "default") const {
    return "[databases]\n" + alias + " = \"" + db.url() + "\"\n";
  }
  /// `arguments` in an environment that names no database.
  process_result configured(const std::vector<std::string>& arguments, process_options more = {}) {
    more.env.emplace("MATVIEW_URL", std::nullopt);
    more.env.emplace("PGHOST", "/nonexistent");
    return matview(arguments, std::move(more));
  }
  static void expect_v(const process_result& listed) {
    EXPECT_EQ(listed.exit_code, 0) << listed.err;
    EXPECT_TRUE(listed.out.starts_with("v\t")) << listed.out;
  }
};

TEST_F(CliConfiguration, IsMatviewTomlInTheCurrentFolder) {
  folder.write("matview.toml", good());
  expect_v(configured({"list", "--format", "tsv"}));
}

TEST_F(CliConfiguration, IsElseInTheConfigFolderOfTheUser) {
  folder.write("config/matview/matview.toml", good());
  expect_v(configured({"list", "--format", "tsv"},
                      {.env = {{"XDG_CONFIG_HOME", (folder.path() / "config").string()}}}));
}

TEST_F(CliConfiguration, IsElseInDotConfigAtHome) {
  folder.write("home/.config/matview/matview.toml", good());
  expect_v(configured({"list", "--format", "tsv"},
                      {.env = {{"HOME", (folder.path() / "home").string()}}}));
}

TEST_F(CliConfiguration, IsTheFileOfTheOption) {
  folder.write("matview.toml", "not even toml");
  expect_v(configured({"list", "--format", "tsv", "--config", folder.write("other.toml", good())}));
}

TEST_F(CliConfiguration, IsElseTheEnvironment) {
  expect_v(matview({"list", "--format", "tsv"}));
}

TEST_F(CliConfiguration, IsLeftAloneWhenTheUrlIsGiven) {
  folder.write("matview.toml", "not even toml");
  expect_v(configured({"list", "--format", "tsv", "--url", db.url()}));
}

TEST_F(CliConfiguration, NamesDatabasesByAlias) {
  folder.write("matview.toml", good("reports"));
  expect_v(configured({"list", "--format", "tsv", "--database", "reports"}));
  expect_v(configured({"--database=reports", "list", "--format", "tsv"}));
}

TEST_F(CliConfiguration, AnUnknownAliasNamesTheKnownOnes) {
  folder.write("matview.toml", "[databases]\nreports = \"host=a\"\nsales = \"host=b\"\n");
  expect_refusal(configured({"list", "--database", "sale"}), 2, {"\"sale\"", "reports", "sales"});
}

TEST_F(CliConfiguration, ReadsTheSettingsOfADatabase) {
  folder.write("matview.toml",
               "[databases.default]\nurl = \"" + db.url() + "\"\nsearch_path = [\"sales\"]\n");
  db.execute("CREATE SCHEMA sales");
  EXPECT_EQ(configured({"create", "w", "--sql", "SELECT 1 AS a"}).exit_code, 0);
  EXPECT_TRUE(exists("sales.w"));
}

TEST_F(CliConfiguration, AMissingFileIsNamed) {
  expect_refusal(matview({"list", "--config", "nope.toml"}), 2,
                 {"nope.toml", "No such file or directory"});
}

TEST_F(CliConfiguration, AFolderIsNoFile) {
  expect_refusal(matview({"list", "--config", folder.path().string()}), 2,
                 {folder.path().string(), "Is a directory"});
}

TEST_F(CliConfiguration, IsNotReadForHelp) {
  folder.write("matview.toml", "not even toml");
  EXPECT_EQ(configured({"list", "--help"}).exit_code, 0);
  EXPECT_EQ(configured({"--version"}).exit_code, 0);
}

struct bad_config_row {
  std::string name;
  std::string text;
  std::vector<std::string> said;
};
class CliBadConfiguration : public cli_test, public testing::WithParamInterface<bad_config_row> {};

INSTANTIATE_TEST_SUITE_P(
    Row, CliBadConfiguration,
    testing::Values(
        bad_config_row{"NoToml", "[databases]\ndefault = postgresql:///x\n", {"matview.toml:2:"}},
        bad_config_row{"UnclosedText", "[databases]\na = \"postgresql:///x\n", {"matview.toml:2:"}},
        bad_config_row{
            "UnknownSection", "[database]\na = \"x\"\n", {"matview.toml:1:", "[databases]"}},
        bad_config_row{"UnknownSetting",
                       "[databases.a]\nurl = \"host=x\"\npool_sze = 3\n",
                       {"matview.toml:3:", "\"pool_sze\"", "pool_size"}},
        bad_config_row{"NumberForAUrl", "[databases]\na = 5\n", {"matview.toml:2:5", "\"a\""}},
        bad_config_row{"BadInterval",
                       "[databases.a]\nurl = \"host=x\"\nconnect_timeout = \"soon\"\n",
                       {"matview.toml:3:", "\"soon\""}},
        bad_config_row{
            "Twice", "[databases]\na = \"host=x\"\na = \"host=y\"\n", {"matview.toml:3:"}},
        bad_config_row{"NoPostgres",
                       "[databases]\na = \"sqlite:x\"\n",
                       {"matview.toml", "\"a\"", "PostgreSQL-only"}},
        bad_config_row{"Malformed",
                       "[databases]\na = \"postgresql://u:hunter2%zz@h/d\"\n",
                       {"matview.toml", "\"a\"", "cannot be read"}}),
    [](const auto& row) { return row.param.name; });

TEST_P(CliBadConfiguration, IsRefusedWithItsPlace) {
  folder.write("matview.toml", GetParam().text);
  const auto refused = matview({"list"});
  expect_refusal(refused, 2, GetParam().said);
  EXPECT_FALSE(contains(refused.err, "hunter2"));
}

}  // namespace
}  // namespace matview::test
