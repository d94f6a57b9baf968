// The end of incremental views: what goes with them, what is left, and for how long.

#include "pg/incremental_fixture.hpp"

#include <gtest/gtest.h>

#include <string>

namespace matview::test {
namespace {

class IncrementalDrop : public incremental_test {
 protected:
  IncrementalDrop() {
    db.execute(
        "SET client_min_messages = warning;"
        "CREATE TABLE t (id int PRIMARY KEY, g int, x int); CREATE TABLE other (i int PRIMARY KEY);"
        "INSERT INTO t SELECT i, i % 3, i FROM generate_series(1, 9) i");
  }

  /// What views consist of, and what captures the changes of their tables.
  std::string left_behind() {
    return db.query_one(
        "SELECT coalesce(string_agg(name, ' ' ORDER BY name), '') FROM ("
        "SELECT relname FROM pg_class WHERE relnamespace = 'matview'::regnamespace AND relkind IN "
        "('r', 'v') AND relname ~ '_[0-9]+$' "
        "UNION ALL SELECT tgname || ' on ' || tgrelid::regclass FROM pg_trigger WHERE tgname LIKE "
        "'matview\\_%' UNION ALL SELECT 'row ' || id FROM matview.incremental "
        "UNION ALL SELECT 'log ' || id FROM matview.change_log) AS l (name)");
  }
};

// ---- What others still stand on

TEST_F(IncrementalDrop, AnOrphanThatViewsStandOnIsInNobodysWay) {
  create("low", "SELECT id, g, x FROM t");
  create("up1", "SELECT g, sum(x) AS s FROM low GROUP BY g");
  create("up2", "SELECT g, max(x) AS s FROM low GROUP BY g");
  create("un", "SELECT i FROM other");
  db.execute("DROP VIEW low CASCADE");

  create("made", "SELECT i FROM other WHERE i > 0");
  db.execute("ALTER TABLE other DROP CONSTRAINT other_pkey");
  EXPECT_EQ(refresh_matview("un").mode, refresh_mode::full) << "made once more beside itself";
  static_cast<void>(convert_matview("un", {.to = view_kind::native}));
  drop_matview("un");
  drop_matview("made");
  EXPECT_EQ(count("pg_trigger WHERE tgrelid = 't'::regclass"), "0") << "nobody reads this log";
  for (const std::string up : {"up1", "up2"}) {
    const error gone = failure_of([&] { return refresh_matview(up), 0; });
    EXPECT_TRUE(contains(gone.what(), "the query of public." + up + " is gone")) << gone.what();
    EXPECT_EQ(count(up), "3") << "it shows what it held";
  }
  drop_matview("up1");
  EXPECT_TRUE(exists("matview.storage_1")) << "up2 still stands on it";
  drop_matview("up2");
  EXPECT_EQ(left_behind(), "");
}

TEST_F(IncrementalDrop, AnOrphanIsDiscardedWhenNothingStandsOnItAnyMore) {
  struct footing {
    const char* made;
    const char* gone;
  };
  for (const footing& one : std::vector<footing>{
           {"CREATE VIEW on_it AS SELECT * FROM matview.storage_1", "DROP VIEW on_it"},
           {"CREATE TABLE on_it (r matview.storage_1)", "DROP TABLE on_it"},
           {"CREATE TABLE on_it (id int REFERENCES matview.storage_1 (id))", "DROP TABLE on_it"},
           {"CREATE FUNCTION on_it(matview.storage_1) RETURNS int LANGUAGE sql RETURN 1",
            "DROP FUNCTION on_it"}}) {
    SCOPED_TRACE(one.made);
    if (exists("matview.incremental")) {
      db.execute("ALTER SEQUENCE matview.incremental_id_seq RESTART WITH 1");
    }
    create_matview(
        "v", "SELECT id, g FROM t",
        {.indexes = {{.columns = {"id"}, .unique = true}}, .kind = view_kind::incremental});
    db.execute(one.made);
    const error refused = failure_of([] { drop_matview("v"); });
    EXPECT_EQ(refused.code(), errc::dependents_exist) << refused.what();
    db.execute("DROP VIEW v");
    create("un", "SELECT i FROM other");
    EXPECT_TRUE(exists("matview.storage_1"));
    db.execute(one.gone);
    drop_matview("un");
    EXPECT_EQ(left_behind(), "");
  }
}

TEST_F(IncrementalDrop, TellsOnlyOfWhatIsTheUsers) {
  std::string said;
  const log_sink note = [&](log_level level, std::string_view line) {
    if (level >= log_level::info) said += std::string(line) + '\n';
  };
  create("v", "SELECT id, g FROM t");
  drop_matview("v", {.log = note});
  create("v", "SELECT id, g FROM t");
  static_cast<void>(convert_matview("v", {.to = view_kind::native, .log = note}));
  static_cast<void>(convert_matview("v", {.log = note}));
  EXPECT_EQ(said, "");
}

// ---- While it is refreshed

TEST_F(IncrementalDrop, WaitsForTheRefreshThatRunsAndLeavesNothing) {
  create("low", "SELECT id, g, x FROM t");
  create("v", "SELECT g, sum(x) AS s FROM low GROUP BY g");
  session refresher(db.url());
  const auto refresh_in_a_transaction = [&](const std::string& view) {
    db.execute("UPDATE t SET x = x + 1");
    if (view == "v") refresh_matview("low");
    refresher.execute("BEGIN; SELECT matview.refresh('" + view + "')");
  };
  const auto waits = [this] {
    return eventually([this] {
      return count(
                 "pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = "
                 "current_database()") == "1";
    });
  };

  refresh_in_a_transaction("v");
  const error refused =
      failure_of([] { drop_matview("v", {.lock_timeout = interval::parse("50 milliseconds")}); });
  EXPECT_EQ(refused.code(), errc::lock_timeout) << refused.what();
  {
    background running(aconvert_matview("v", {.to = view_kind::native}));
    ASSERT_TRUE(waits());
    refresher.execute("COMMIT");
    static_cast<void>(running.get());
  }
  EXPECT_EQ(count("matview.incremental"), "1");
  EXPECT_EQ(count("matview.change_log"), "1");
  drop_matview("v");

  refresh_in_a_transaction("low");
  {
    background running(adrop_matview("low", {}));
    ASSERT_TRUE(waits());
    refresher.execute("COMMIT");
    running.get();
  }
  EXPECT_EQ(left_behind(), "");
}

TEST_F(IncrementalDrop, WithCascadeWaitsForTheRefreshesOfAllThatGo) {
  create("low", "SELECT id, g, x FROM t");
  create("v", "SELECT g, sum(x) AS s FROM low GROUP BY g");
  // Made once more it has the higher number, and still has to go last.
  db.execute("ALTER TABLE t DROP CONSTRAINT t_pkey");
  refresh_matview("low");
  refresh_matview("v");
  db.execute("UPDATE t SET x = x + 1");
  refresh_matview("low");
  session refresher(db.url());
  refresher.execute("BEGIN; SELECT matview.refresh('v')");
  background running(adrop_matview("low", {.cascade = true}));
  ASSERT_TRUE(eventually([this] {
    return count(
               "pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = "
               "current_database()") == "1";
  }));
  refresher.execute("COMMIT");
  running.get();
  EXPECT_EQ(left_behind(), "");
}

}  // namespace
}  // namespace matview::test
