#include "views_fixture.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace matview::test {
namespace {

class DropMatview : public views_test {
 protected:
  static error failure(const std::string& view, const drop_options& options = {}) {
    return failure_of([&] { return drop_matview(view, options), 0; });
  }
};

TEST_F(DropMatview, TakesTheViewAway) {
  create_matview("v", "SELECT 1 AS id");
  drop_matview("v");
  EXPECT_FALSE(exists("v"));
}

TEST_F(DropMatview, TakesOnlyTheViewOfThisCaseAndSchema) {
  db.execute("CREATE SCHEMA s");
  for (const std::string view : {"v", "V", "s.v"}) create_matview(view, "SELECT 1 AS id");
  drop_matview("V");
  EXPECT_EQ(list_matviews(), (std::vector<std::string>{"v"}));
  EXPECT_EQ(list_matviews({.schema = "s"}), (std::vector<std::string>{"v"}));
  drop_matview("s.v");
  EXPECT_EQ(list_matviews(), (std::vector<std::string>{"v"}));
  EXPECT_EQ(list_matviews({.schema = "s"}), std::vector<std::string>{});
}

TEST_F(DropMatview, IsContentWhenThereIsNone) {
  drop_matview("missing");
  drop_matview("nowhere.v");
}

TEST_F(DropMatview, RefusesWhatMustExistAndDoesNot) {
  for (const std::string view : {"missing", "nowhere.v"}) {
    SCOPED_TRACE(view);
    const error refused = failure(view, {.if_exists = false});
    EXPECT_EQ(refused.code(), errc::view_not_found);
    EXPECT_FALSE(refused.may_retry());
    EXPECT_NE(refused.hint(), "");
  }
}

TEST_F(DropMatview, RefusesAnotherKindOfRelation) {
  struct row {
    std::string name;
    std::string kind;
  };
  db.execute(
      "CREATE TABLE t (id int); CREATE VIEW plain AS SELECT 1 AS id; CREATE SEQUENCE numbers");
  for (const row& wrong :
       {row{"t", "a table"}, row{"plain", "a plain view"}, row{"numbers", "a sequence"}}) {
    for (const bool if_exists : {true, false}) {
      SCOPED_TRACE(wrong.name);
      const error refused = failure(wrong.name, {.if_exists = if_exists, .cascade = true});
      EXPECT_EQ(refused.code(), errc::view_not_found);
      EXPECT_TRUE(contains(refused.what(), wrong.kind)) << refused.what();
      EXPECT_TRUE(exists(wrong.name));
    }
  }
}

TEST_F(DropMatview, RefusesWhatOthersDependOnAndNamesThem) {
  create_matview("v", "SELECT 1 AS id");
  create_matview("above", "SELECT id FROM v");
  db.execute("CREATE VIEW \"Plain One\" AS SELECT id FROM v");
  const error refused = failure("v");
  EXPECT_EQ(refused.code(), errc::dependents_exist);
  EXPECT_EQ(refused.sqlstate(), "2BP01");
  EXPECT_TRUE(contains(refused.what(), "above")) << refused.what();
  EXPECT_TRUE(contains(refused.what(), "Plain One")) << refused.what();
  EXPECT_TRUE(contains(refused.hint(), "cascade")) << refused.hint();
  EXPECT_TRUE(exists("v") && exists("above"));
}

TEST_F(DropMatview, CascadesWhenAskedAndLogsWhatElseWent) {
  create_matview("v", "SELECT 1 AS id");
  create_matview("above", "SELECT id FROM v");
  db.execute("CREATE VIEW plain AS SELECT id FROM above; CREATE TABLE t (id int)");
  std::string said;
  drop_matview("v", {.cascade = true, .log = [&](log_level level, std::string_view line) {
                       if (level == log_level::info) said += std::string(line) + '\n';
                     }});
  for (const std::string gone : {"v", "above", "plain"}) EXPECT_FALSE(exists(gone)) << gone;
  EXPECT_TRUE(exists("t"));
  EXPECT_TRUE(contains(said, "above")) << said;
  EXPECT_TRUE(contains(said, "plain")) << said;
}

TEST_F(DropMatview, RefusesSomebodyElsesView) {
  const test_role role(db, "stranger");
  create_matview("v", "SELECT 1 AS id");
  const std::string owner = db.query_one("SELECT current_user");
  configure({{"default", role.url()}});
  const error refused = failure("v");
  EXPECT_EQ(refused.code(), errc::permission_denied);
  EXPECT_TRUE(contains(refused.hint(), "run as " + owner)) << refused.hint();
  EXPECT_FALSE(contains(refused.hint(), "MAINTAIN"))
      << refused.hint();  // It gives no right to drop.
  EXPECT_TRUE(exists("v"));
}

TEST_F(DropMatview, RefusesToWaitLongerThanItsLockTimeout) {
  create_matview("v", "SELECT 1 AS id");
  session reader(db.url());
  reader.execute("BEGIN; SELECT * FROM v");
  const error refused = failure("v", {.lock_timeout = interval::parse("50 milliseconds")});
  EXPECT_EQ(refused.code(), errc::lock_timeout);
  EXPECT_TRUE(contains(refused.what(), "pid " + std::to_string(reader.backend_pid())))
      << refused.what();
  EXPECT_TRUE(exists("v"));
}

TEST_F(DropMatview, RefusesToWaitLongerThanItsStatementTimeout) {
  create_matview("v", "SELECT 1 AS id");
  session reader(db.url());
  reader.execute("BEGIN; SELECT * FROM v");
  EXPECT_EQ(failure("v", {.statement_timeout = interval::parse("50 milliseconds")}).code(),
            errc::statement_timeout);
  reader.execute("COMMIT");
  drop_matview("v", {.statement_timeout = interval::parse("10 seconds")});
  EXPECT_FALSE(exists("v"));
}

}  // namespace
}  // namespace matview::test
