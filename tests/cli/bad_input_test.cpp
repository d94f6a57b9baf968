#include "cli_fixture.hpp"

#include <gtest/gtest.h>
#include <pwd.h>
#include <unistd.h>

namespace matview::test {
namespace {

// Exit code 2, an answer on stderr, and a database in which nothing has changed.
class CliBadInput : public cli_test {
 protected:
  CliBadInput() {
    db.execute(
        "CREATE TABLE t AS SELECT 1 AS id; CREATE MATERIALIZED VIEW v AS SELECT id FROM t; "
        "CREATE UNIQUE INDEX ON v (id)");
    before_ = catalog();
  }
  void expect_usage(const std::vector<std::string>& arguments, const std::vector<std::string>& said,
                    process_options more = {}) {
    expect_refusal(matview(arguments, std::move(more)), 2, said);
    EXPECT_EQ(catalog(), before_);
  }

 private:
  std::string before_;
};

struct bad_input_row {
  std::string name;
  std::vector<std::string> arguments;
  std::vector<std::string> said;
};
class CliBadInputRows : public CliBadInput, public testing::WithParamInterface<bad_input_row> {};

TEST_P(CliBadInputRows, IsRefused) {
  expect_usage(GetParam().arguments, GetParam().said);
}

std::string name_of(const testing::TestParamInfo<bad_input_row>& row) {
  return row.param.name;
}

using rows_of = std::vector<bad_input_row>;

INSTANTIATE_TEST_SUITE_P(
    Command, CliBadInputRows,
    testing::ValuesIn(rows_of{
        {"None", {}, {"create, refresh, drop, list", "matview --help"}},
        {"Unknown", {"frobnicate"}, {"frobnicate", "matview --help"}},
        {"Mistyped", {"refesh", "v"}, {"refesh", "did you mean refresh?"}},
        {"MistypedShort", {"lst"}, {"lst", "did you mean list?"}},
        {"MistypedShorter", {"dro", "v"}, {"\"dro\"", "did you mean drop?"}},
        {"InCapitals", {"LIST"}, {"LIST", "did you mean list?"}},
        {"TheOneThatIsUnwritten", {"help"}, {"help", "matview --help"}},
        {"BehindAnOption", {"--quiet", "dorp", "v"}, {"dorp", "did you mean drop?"}},
    }),
    name_of);

INSTANTIATE_TEST_SUITE_P(
    Option, CliBadInputRows,
    testing::ValuesIn(rows_of{
        {"Unknown", {"list", "--frobnicate"}, {"--frobnicate", "matview list --help"}},
        {"UnknownWithoutCommand", {"--frobnicate"}, {"--frobnicate", "matview --help"}},
        {"UnknownShort", {"refresh", "-x", "v"}, {"-x", "matview refresh --help"}},
        {"Mistyped", {"refresh", "--concurrent", "v"}, {"did you mean --concurrently?"}},
        {"MistypedUnderscore",
         {"create", "v2", "--sql", "SELECT 1", "--if_not_exists"},
         {"did you mean --if-not-exists?"}},
        {"MistypedGlobal", {"list", "--fromat", "json"}, {"did you mean --format?"}},
        {"MistypedWithValue", {"list", "--shema", "public"}, {"--shema", "did you mean --schema?"}},
        {"MistypedWithEquals", {"list", "--shema=public"}, {"--shema", "did you mean --schema?"}},
        {"MistypedInGroup",
         {"create", "v2", "--slq", "SELECT 1"},
         {"did you mean --sql?", "create --help"}},
        {"OfAnotherCommand", {"list", "--concurrently"}, {"--concurrently", "list --help"}},
        {"BesideANameLikeACommand",
         {"refresh", "lits", "--frobnicate"},
         {"hint: see matview refresh --help"}},
        {"WithoutItsValue", {"list", "--schema"}, {"--schema", "NAME"}},
        {"FlagWithValue", {"refresh", "v", "--concurrently=maybe"}, {"--concurrently"}},
        {"Format", {"list", "--format", "xml"}, {"--format", "\"xml\"", "table, json or tsv"}},
        {"FormatAsANumber", {"list", "--format", "1"}, {"--format", "table, json or tsv"}},
        {"UrlAndDatabase",
         {"list", "--url", "postgresql:///x", "--database", "y"},
         {"--url", "--database"}},
        {"EmptyUrl", {"list", "--url", ""}, {"--url", "empty"}},
        {"EmptyUrlByEquals", {"list", "--url="}, {"--url"}},
        {"EmptyConfig", {"list", "--config", ""}, {"--config", "empty"}},
        {"EmptyAlias", {"list", "--database", ""}, {"\"\""}},
    }),
    name_of);

INSTANTIATE_TEST_SUITE_P(
    Argument, CliBadInputRows,
    testing::ValuesIn(rows_of{
        {"CreateWithoutAll", {"create"}, {"NAME", "matview create --help"}},
        {"CreateWithoutName", {"create", "--sql", "SELECT 1"}, {"NAME"}},
        {"CreateWithoutQuery", {"create", "v2"}, {"--sql", "--file"}},
        {"CreateWithBoth",
         {"create", "v2", "--sql", "SELECT 1", "--file", "x.sql"},
         {"--sql", "--file"}},
        {"CreateWithTwoNames", {"create", "v2", "v3", "--sql", "SELECT 1"}, {"v3"}},
        {"RefreshWithoutName", {"refresh"}, {"NAME", "matview refresh --help"}},
        {"DropWithoutName", {"drop", "--cascade"}, {"NAME", "matview drop --help"}},
        {"ListWithName", {"list", "v"}, {"not expected: v", "matview list --help"}},
        {"DemoWithName", {"demo", "v"}, {"not expected: v", "matview demo --help"}},
    }),
    name_of);

INSTANTIATE_TEST_SUITE_P(
    Name, CliBadInputRows,
    testing::ValuesIn(rows_of{
        {"WithAQuote", {"drop", "v'"}, {"\"v'\"", "character 2", "VIEW or SCHEMA.VIEW"}},
        {"WithADoubleQuote", {"drop", "v\""}, {"not a valid name", "character 2"}},
        {"WithANewline", {"drop", "v\n"}, {"\"v\\n\"", "character 2"}},
        {"WithAnEscape", {"drop", "v\x1b[31m"}, {"not a valid name", "character 2"}},
        {"WithASemicolon", {"drop", "v; DROP TABLE t"}, {"\"v; DROP TABLE t\"", "character 2"}},
        {"WithABlank", {"refresh", "v v"}, {"\"v v\"", "character 2"}},
        {"WithAnUmlaut", {"refresh", "größe"}, {"not a valid name", "character 3"}},
        {"WithADash", {"refresh", "my-view"}, {"\"my-view\"", "character 3"}},
        {"DigitsFirst", {"create", "2v", "--sql", "SELECT 1"}, {"\"2v\"", "begins with a digit"}},
        {"TooLong", {"create", std::string(64, 'v'), "--sql", "SELECT 1"}, {"64 characters", "63"}},
        {"Empty", {"refresh", ""}, {"it is empty"}},
        {"ThreeParts", {"refresh", "a.b.c"}, {"\"a.b.c\"", "more than two parts"}},
        {"EmptySchema", {"refresh", ".v"}, {"\".v\"", "beside the dot is empty"}},
        {"SecondOfSeveral", {"drop", "v", "2v"}, {"\"2v\""}},
        {"OfAnIndexColumn",
         {"create", "v2", "--sql", "SELECT 1 AS a", "--index", "a;b"},
         {"\"a;b\"", "not a valid name"}},
        {"NoneForAnIndex", {"create", "v2", "--sql", "SELECT 1 AS a", "--index", ""}, {"index"}},
        {"OneTooFewForAnIndex",
         {"create", "v2", "--sql", "SELECT 1 AS a, 2 AS b", "--unique-index", "a,,b"},
         {"index"}},
    }),
    name_of);

INSTANTIATE_TEST_SUITE_P(
    Interval, CliBadInputRows,
    testing::ValuesIn(rows_of{
        {"InWords", {"refresh", "v", "--lock-timeout", "soon"}, {"\"soon\"", "\"5 minutes\""}},
        {"WithoutUnit", {"refresh", "v", "--lock-timeout", "5"}, {"\"5\"", "\"5 minutes\""}},
        {"Negative", {"refresh", "v", "--lock-timeout", "-5 s"}, {"-5 s", "\"5 minutes\""}},
        {"Fraction", {"drop", "v", "--lock-timeout", "0.5 seconds"}, {"0.5 seconds"}},
        {"Injection",
         {"drop", "v", "--statement-timeout", "1 second'; DROP TABLE t; --"},
         {"not a valid interval"}},
        {"Overflow",
         {"drop", "v", "--statement-timeout", "99999999999999999999 years"},
         {"99999999999999999999 years"}},
        {"TooLongForTheServer", {"drop", "v", "--statement-timeout", "1 year"}, {"24 days"}},
        {"Empty", {"refresh", "v", "--lock-timeout", ""}, {"--lock-timeout"}},
        {"OfCreate",
         {"create", "v2", "--sql", "SELECT 1", "--statement-timeout", "1 fortnight"},
         {"fortnight"}},
    }),
    name_of);

INSTANTIATE_TEST_SUITE_P(
    Database, CliBadInputRows,
    testing::ValuesIn(rows_of{
        {"UnknownAlias", {"list", "--database", "reports"}, {"\"reports\"", "configured: default"}},
        {"Sqlite", {"list", "--url", "sqlite:///tmp/x.db"}, {"\"sqlite:\"", "PostgreSQL-only"}},
        {"MySql", {"list", "--url", "mysql://root@localhost/x"}, {"\"mysql:\"", "PostgreSQL-only"}},
        {"ADriversName",
         {"list", "--url", "postgresql+psycopg2://a@b/c"},
         {"PostgreSQL-only", "without a driver's name"}},
        {"BadEscape", {"list", "--url", "postgresql://u:%zz@h/d"}, {"cannot be read", "%25"}},
        {"BadPort", {"list", "--url", "postgresql://u@h:port:1/d"}, {"cannot be read"}},
        {"BareWord", {"list", "--url", "sales"}, {"cannot be read", "postgresql://"}},
        {"UnknownKeyword", {"list", "--url", "host=/tmp databse=x"}, {"cannot be read"}},
    }),
    name_of);

TEST_F(CliBadInput, AUrlOfTheCommandLineIsNotCalledADatabaseOfTheConfiguration) {
  const auto refused = matview({"list", "--url", "sqlite:x"});
  EXPECT_FALSE(contains(refused.err, "\"default\"")) << refused.err;
}

TEST_F(CliBadInput, AMissingFileIsNamed) {
  expect_usage({"create", "v2", "--file", "nope.sql"}, {"nope.sql", "No such file or directory"});
}

TEST_F(CliBadInput, AnEmptyFileIsNamed) {
  expect_usage({"create", "v2", "--file", folder.write("empty.sql", "")},
               {"empty.sql", "the query is empty"});
}

TEST_F(CliBadInput, AFileOfCommentsAloneIsEmpty) {
  expect_usage({"create", "v2", "--file", folder.write("notes.sql", "-- nothing\n/* yet */\n")},
               {"the query is empty"});
}

TEST_F(CliBadInput, AnEmptyFileNameIsNoFile) {
  expect_usage({"create", "v2", "--file", ""}, {"--file"});
}

TEST_F(CliBadInput, AnEmptyQueryIsEmpty) {
  expect_usage({"create", "v2", "--sql", ""}, {"the query is empty"});
  expect_usage({"create", "v2", "--file", "-"}, {"the query is empty"});
}

TEST_F(CliBadInput, AFolderIsNoFile) {
  expect_usage({"create", "v2", "--file", folder.path().string()},
               {folder.path().string(), "Is a directory", "--file"});
}

TEST_F(CliBadInput, AFileOfBytesThatAreNoTextIsRefused) {
  expect_usage(
      {"create", "v2", "--file", folder.write("picture.sql", std::string("\x89PNG\0\1", 6))},
      {"NUL"});
  expect_usage({"create", "v2", "--file", folder.write("latin.sql", "SELECT 'Z\xFCrich' AS a")},
               {"UTF-8"});
}

TEST_F(CliBadInput, AnUnreadableFileIsNamed) {
  const std::string file = folder.write("secret.sql", "SELECT 1");
  std::filesystem::permissions(file, static_cast<std::filesystem::perms>(0));
  std::vector<std::string> argv = program({"create", "v2", "--file", file});
  if (::geteuid() == 0) {
    const passwd* other = ::getpwnam("nobody");
    ASSERT_NE(other, nullptr);
    argv.insert(argv.begin(), {"setpriv", "--reuid", std::to_string(other->pw_uid), "--regid",
                               std::to_string(other->pw_gid), "--clear-groups", "--"});
    if (run({"setpriv", "--reuid", std::to_string(other->pw_uid), "--clear-groups", "--", "test",
             "-x", MATVIEW_PROGRAM})
            .exit_code != 0) {
      GTEST_SKIP() << "nobody may not run " MATVIEW_PROGRAM;
    }
  }
  expect_refusal(run_other(argv), 2, {"secret.sql", "Permission denied"});
}

}  // namespace
}  // namespace matview::test
