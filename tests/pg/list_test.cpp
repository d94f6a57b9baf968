#include "views_fixture.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

namespace matview::test {
namespace {

using names = std::vector<std::string>;

class ListMatviews : public views_test {};

TEST_F(ListMatviews, IsEmptyWithoutViews) {
  db.execute("CREATE TABLE t (id int); CREATE VIEW plain AS SELECT 1 AS id");
  EXPECT_EQ(list_matviews(), names{});
}

TEST_F(ListMatviews, SortsByByteWhateverTheCollation) {
  for (const std::string view : {"b", "a", "B", "_x", "A", "a1", "aB", "a_"}) {
    create_matview(view, "SELECT 1 AS id");
  }
  db.execute("CREATE MATERIALIZED VIEW \"é\" AS SELECT 1 AS id");
  EXPECT_EQ(list_matviews(), (names{"A", "B", "_x", "a", "a1", "aB", "a_", "b", "é"}));
}

TEST_F(ListMatviews, HasThoseOfOneSchema) {
  db.execute("CREATE SCHEMA sales; CREATE SCHEMA \"Sales\"");
  create_matview("p", "SELECT 1 AS id");
  create_matview("sales.s", "SELECT 1 AS id");
  create_matview("Sales.S", "SELECT 1 AS id");
  EXPECT_EQ(list_matviews(), names{"p"});
  EXPECT_EQ(list_matviews({.schema = "sales"}), names{"s"});
  EXPECT_EQ(list_matviews({.schema = "Sales"}), names{"S"});
}

TEST_F(ListMatviews, FindsNothingInASchemaThatIsNotThere) {
  create_matview("v", "SELECT 1 AS id");
  for (const std::string schema : {"nowhere", "", "PUBLIC", "public ", "%", "' OR true --"}) {
    SCOPED_TRACE(schema);
    EXPECT_EQ(list_matviews({.schema = schema}), names{});
  }
}

TEST_F(ListMatviews, TakesASchemaExactlyAsTheServerHasIt) {
  for (const std::string schema : {"two words", "it's", "a\"b", "back\\slash", "Größe", "x.y"}) {
    SCOPED_TRACE(schema);
    const std::string quoted = db.query_one("SELECT quote_ident($q$" + schema + "$q$)");
    db.execute("CREATE SCHEMA " + quoted + "; CREATE MATERIALIZED VIEW " + quoted +
               ".\"odd name\" AS SELECT 1 AS id");
    EXPECT_EQ(list_matviews({.schema = schema}), names{"odd name"});
    EXPECT_EQ(describe_matviews({.schema = schema}).at(0).schema, schema);
  }
}

TEST_F(ListMatviews, TakesUnpopulatedOnesAndOtherRolesToo) {
  const test_role role(db, "reader");
  create_matview("v", "SELECT 1 AS id", {.with_data = false});
  configure({{"default", role.url()}});
  EXPECT_EQ(list_matviews(), names{"v"});
}

TEST_F(ListMatviews, DoesNotWaitForAViewThatIsLocked) {
  create_matview("v", "SELECT 1 AS id");
  session holder(db.url());
  holder.execute("BEGIN; REFRESH MATERIALIZED VIEW v");
  configure({{"default", with_parameter(db.url(), "options", "-c lock_timeout=1s")}});
  EXPECT_EQ(list_matviews(), names{"v"});
}

class DescribeMatviews : public views_test {};

TEST_F(DescribeMatviews, TellsWhatTheCatalogSays) {
  const test_role role(db, "owner");
  create_matview("a", "SELECT g AS id FROM generate_series(1, 1000) g",
                 {.indexes = {{.columns = {"id"}, .unique = true}}, .comment = "it's\nmine"});
  create_matview("b", "SELECT 1 AS id",
                 {.with_data = false, .indexes = {{.columns = {"id"}, .unique = true}}});
  create_matview("c", "SELECT 1 AS id", {.indexes = {{.columns = {"id"}}}});
  db.execute("ALTER MATERIALIZED VIEW c OWNER TO " + role.name());

  const std::vector<matview_info> views = describe_matviews();
  ASSERT_EQ(views.size(), 3U);
  const std::string me = db.query_one("SELECT current_user");
  const auto& [a, b, c] = std::tie(views[0], views[1], views[2]);
  EXPECT_EQ(a.schema, "public");
  EXPECT_EQ(a.name, "a");
  EXPECT_EQ(a.owner, me);
  EXPECT_TRUE(a.populated);
  EXPECT_TRUE(a.can_refresh_concurrently);
  EXPECT_EQ(std::to_string(a.bytes.value_or(-1)),
            db.query_one("SELECT pg_total_relation_size('a')"));
  EXPECT_GE(a.bytes.value_or(0), 2 * 8192);
  EXPECT_EQ(a.comment, "it's\nmine");

  EXPECT_EQ(b.name, "b");
  EXPECT_FALSE(b.populated);
  EXPECT_FALSE(b.can_refresh_concurrently);
  EXPECT_EQ(b.comment, "");

  EXPECT_EQ(c.owner, role.name());
  EXPECT_TRUE(c.populated);
  EXPECT_FALSE(c.can_refresh_concurrently);
}

TEST_F(DescribeMatviews, TellsTheCommentOfTheViewAndNotOfAColumn) {
  create_matview("v", "SELECT 1 AS id");
  db.execute("COMMENT ON COLUMN v.id IS 'a column'");
  EXPECT_EQ(describe_matviews().at(0).comment, "");
}

class MatviewRefreshTask : public views_test {
 protected:
  MatviewRefreshTask() {
    db.execute("CREATE TABLE t AS SELECT 1 AS id");
    create_matview("v", "SELECT id FROM t", {.indexes = {{.columns = {"id"}, .unique = true}}});
  }
  std::string file() { return db.query_one("SELECT pg_relation_filenode('v')"); }
};

TEST_F(MatviewRefreshTask, RefreshesConcurrentlyByDefault) {
  const std::function<void()> task = matview_refresh_task("v");
  const std::string before = file();
  db.execute("INSERT INTO t VALUES (2)");
  task();
  EXPECT_EQ(count("v"), "2");
  EXPECT_EQ(file(), before);  // A full refresh writes another file.
}

TEST_F(MatviewRefreshTask, RefreshesInFullWhenToldTo) {
  const std::string before = file();
  matview_refresh_task("v", {.concurrently = false})();
  EXPECT_NE(file(), before);
}

// Whoever sets another option writes the options anew; concurrently is then what refresh_options
// says.
TEST_F(MatviewRefreshTask, TakesGivenOptionsAsTheyAre) {
  const std::string before = file();
  matview_refresh_task("v", {.count_rows = false})();
  EXPECT_NE(file(), before);
}

TEST_F(MatviewRefreshTask, RefusesAWrongNameBeforeItRuns) {
  configure({{"default", "host=/nonexistent"}});
  for (const std::string name : {"", "v\n", "a.b.c", "v; DROP TABLE t"}) {
    EXPECT_EQ(failure_of([&] { return matview_refresh_task(name); }).code(),
              errc::invalid_identifier);
  }
}

TEST_F(MatviewRefreshTask, ConnectsOnlyWhenItRuns) {
  configure({{"default", "host=/nonexistent"}});
  const std::function<void()> task = matview_refresh_task("v");
  EXPECT_EQ(failure_of([&] { return task(), 0; }).code(), errc::connection_failed);
  configure({{"default", db.url()}});
  task();
}

TEST_F(MatviewRefreshTask, ThrowsAsRefreshMatviewDoes) {
  const std::function<void()> task = matview_refresh_task("missing");
  EXPECT_EQ(failure_of([&] { return task(), 0; }).code(), errc::view_not_found);
  drop_matview("v");
  create_matview("v", "SELECT id FROM t");
  EXPECT_EQ(failure_of([] { return matview_refresh_task("v")(), 0; }).code(),
            errc::needs_unique_index);
}

TEST_F(MatviewRefreshTask, CanBeCopied) {
  std::function<void()> copy;
  {
    const std::function<void()> task = matview_refresh_task(std::string("v"));
    copy = task;
  }
  db.execute("INSERT INTO t VALUES (2)");
  copy();
  EXPECT_EQ(count("v"), "2");
}

TEST_F(MatviewRefreshTask, RunsInSeveralThreadsAtOnce) {
  const std::function<void()> task = matview_refresh_task("v");
  db.execute("INSERT INTO t VALUES (2)");
  std::atomic<int> failed{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int round = 0; round < 5; ++round) failed += refusal([&] { return task(), 0; }) ? 1 : 0;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(failed, 0);
  EXPECT_EQ(count("v"), "2");
}

}  // namespace
}  // namespace matview::test
