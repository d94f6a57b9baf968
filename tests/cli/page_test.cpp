#include "cli_fixture.hpp"

#include <gtest/gtest.h>

#include <regex>
#include <set>
#include <sstream>

namespace matview::test {
namespace {

namespace fs = std::filesystem;

const std::vector<std::string> commands{"create",   "refresh", "drop",    "list",   "status",
                                        "history",  "graph",   "declare", "doctor", "demo",
                                        "schedule", "jobs",    "enqueue", "worker", "workers"};
const std::vector<std::string> schedule_commands{"set",   "list",   "show",    "remove",
                                                 "pause", "resume", "run-now", "next"};

// The manual page and the completions, which the build lets the program print.
class CliPage : public cli_test {
 protected:
  static fs::path built(const std::string& page) {
    return fs::path(MATVIEW_PROGRAM).parent_path() / "generated" / page;
  }
  static bool have(const std::string& tool) {
    return run({"sh", "-c", "command -v " + tool}).exit_code == 0;
  }
  std::string generated(const std::string& what) { return matview({"generate", what}).out; }
  /// What bash proposes for the last of these words.
  std::set<std::string> completed(const std::vector<std::string>& words) {
    folder.write("matview.bash", generated("bash"));
    const auto done =
        run_other({"bash", "-euc",
                   "source matview.bash; COMP_WORDS=(" + shell_line(words) +
                       "); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); COMPREPLY=(); _matview; "
                       "printf '%s\\n' \"${COMPREPLY[@]}\""});
    EXPECT_EQ(done.err, "");
    std::set<std::string> found;
    std::istringstream lines(done.out);
    for (std::string line; std::getline(lines, line);) {
      if (!line.empty()) found.insert(line);
    }
    return found;
  }
};

TEST_F(CliPage, AreBuiltAsTheProgramPrintsThem) {
  EXPECT_EQ(read_file(built("matview.1")), generated("man"));
  EXPECT_EQ(read_file(built("matview.bash")), generated("bash"));
  EXPECT_EQ(read_file(built("_matview")), generated("zsh"));
  EXPECT_EQ(read_file(built("matview.fish")), generated("fish"));
}

TEST_F(CliPage, TheManualHasNoWarnings) {
  if (!have("groff")) GTEST_SKIP() << "no groff";
  const std::string page = folder.write("matview.1", generated("man"));
  const auto shown = run_other({"groff", "-man", "-ww", "-Tutf8", "-z", page});
  EXPECT_EQ(shown.exit_code, 0);
  EXPECT_EQ(shown.err, "");
}

TEST_F(CliPage, TheManualNamesEveryOptionOfTheHelp) {
  std::string page = generated("man");
  page = std::regex_replace(page, std::regex(R"(\\-)"), "-");
  std::string help = matview({"--help"}).out;
  for (const std::string& command : commands) help += matview({command, "--help"}).out;
  for (const std::string& command : schedule_commands) {
    help += matview({"schedule", command, "--help"}).out;
  }
  const std::regex option("--[a-z][a-z-]+");
  for (std::sregex_iterator found(help.begin(), help.end(), option), end; found != end; ++found) {
    EXPECT_TRUE(contains(page, found->str())) << found->str();
  }
  for (const std::string& command : commands) {
    EXPECT_TRUE(contains(page, ".SS \"matview " + command)) << command;
  }
  for (const std::string& command : schedule_commands) {
    EXPECT_TRUE(contains(page, ".SS \"matview schedule " + command)) << command;
  }
  EXPECT_FALSE(contains(page, "Excludes")) << "the parser's words, not a person's";
}

TEST_F(CliPage, TheManualNamesEveryExitCode) {
  const std::string page = generated("man");
  for (const char* code : {"0", "1", "2", "3", "4", "130"}) {
    EXPECT_TRUE(contains(page, std::string("\n.B ") + code + "\n")) << code;
  }
}

TEST_F(CliPage, TheManualNamesTheConfigFolderOfTheEnvironment) {
  EXPECT_TRUE(contains(generated("man"), "XDG_CONFIG_HOME"));
}

TEST_F(CliPage, BashCompletesCommands) {
  EXPECT_EQ(completed({"matview", "ref"}), std::set<std::string>{"refresh"});
  const auto all = completed({"matview", ""});
  for (const std::string& command : commands) EXPECT_TRUE(all.contains(command)) << command;
  EXPECT_FALSE(all.contains("generate"));
}

TEST_F(CliPage, BashCompletesTheOptionsOfTheCommand) {
  EXPECT_EQ(completed({"matview", "create", "v", "--un"}), std::set<std::string>{"--unique-index"});
  EXPECT_EQ(completed({"matview", "refresh", "v", "--un"}), std::set<std::string>{});
  EXPECT_EQ(completed({"matview", "create", "--s"}),
            (std::set<std::string>{"--sql", "--statement-timeout"}));
  EXPECT_EQ(completed({"matview", "refresh", "--ver"}),
            (std::set<std::string>{"--verbose", "--version"}));
}

TEST_F(CliPage, BashCompletesCommandsBehindACommand) {
  const auto all = completed({"matview", "schedule", ""});
  for (const std::string& command : schedule_commands)
    EXPECT_TRUE(all.contains(command)) << command;
  EXPECT_FALSE(all.contains("create"));
  EXPECT_EQ(completed({"matview", "jobs", "--state", "dead", "li"}),
            (std::set<std::string>{"list"}));
  EXPECT_EQ(completed({"matview", "schedule", "show", "li"}), std::set<std::string>{});
}

TEST_F(CliPage, BashCompletesTheOptionsOfACommandBehindACommand) {
  EXPECT_EQ(completed({"matview", "schedule", "set", "n", "--mis"}),
            (std::set<std::string>{"--missed", "--missed-window"}));
  EXPECT_EQ(completed({"matview", "schedule", "list", "--mis"}), std::set<std::string>{});
  // An option of the group is one of each command of it.
  EXPECT_EQ(completed({"matview", "enqueue", "refresh", "v", "--del"}),
            std::set<std::string>{"--delay"});
  EXPECT_EQ(completed({"matview", "schedule", "set", "n", "--missed", ""}),
            (std::set<std::string>{"skip", "once", "all"}));
}

TEST_F(CliPage, BashCompletesFormats) {
  EXPECT_EQ(completed({"matview", "list", "--format", ""}),
            (std::set<std::string>{"table", "json", "tsv"}));
  EXPECT_EQ(completed({"matview", "list", "--format", "j"}), std::set<std::string>{"json"});
}

TEST_F(CliPage, BashCompletesFormatsBehindAnEqualsSign) {
  // readline's COMP_WORDBREAKS make the equals sign a word of its own.
  EXPECT_EQ(completed({"matview", "list", "--format", "=", "j"}), std::set<std::string>{"json"});
}

TEST_F(CliPage, BashCompletesFiles) {
  folder.write("daily.sql", "");
  EXPECT_EQ(completed({"matview", "create", "v", "--file", "dai"}),
            std::set<std::string>{"daily.sql"});
}

TEST_F(CliPage, BashTakesTheValueOfAnOptionForNoCommand) {
  const auto words = completed({"matview", "--database", "list", "ref"});
  EXPECT_EQ(words, std::set<std::string>{"refresh"});
}

TEST_F(CliPage, AllAreWellFormed) {
  const std::string bash = folder.write("matview.bash", generated("bash"));
  const std::string zsh = folder.write("_matview", generated("zsh"));
  const std::string fish = folder.write("matview.fish", generated("fish"));
  EXPECT_TRUE(read_file(zsh).starts_with("#compdef matview\n"));
  EXPECT_TRUE(contains(read_file(fish), "complete -c matview"));
  for (const auto& [shell, file] :
       {std::pair{"bash", bash}, std::pair{"zsh", zsh}, std::pair{"fish", fish}}) {
    if (!have(shell)) continue;
    const auto checked = run_other({shell, "-n", file});
    EXPECT_EQ(checked.exit_code, 0) << shell << checked.err;
    EXPECT_EQ(checked.err, "");
  }
}

TEST_F(CliPage, AnUnknownPageIsRefused) {
  expect_refusal(matview({"generate", "word"}), 2, {"man, bash, zsh or fish"});
}

}  // namespace
}  // namespace matview::test
