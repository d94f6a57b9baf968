// Those who read and write the tables of an incremental view while it is made, converted, made once
// more or dropped: none of them is ended by a deadlock, and none waits for longer than a moment.

#include "pg/incremental_fixture.hpp"

#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

namespace matview::test {
namespace {

class IncrementalLocks : public incremental_test {
 protected:
  IncrementalLocks() {
    db.execute(
        "CREATE TABLE t (id int PRIMARY KEY, g int NOT NULL, x int);"
        "INSERT INTO t SELECT i, i % 3, i FROM generate_series(1, 9) i");
  }

  void make(view_kind kind) {
    create_matview("v", "SELECT g, sum(x) AS s FROM t GROUP BY g", {.kind = kind});
  }
  /// Whether somebody waits for a lock on it, or soon will.
  bool awaited(const std::string& relation) {
    return eventually([&] {
      return count(fmt::format("pg_locks WHERE NOT granted AND relation = '{}'::regclass",
                               relation)) != "0";
    });
  }
  /// The statement of one who comes later, and does not wait for longer than a moment.
  void passes(const std::string& sql) {
    session other(db.url());
    other.execute("SET lock_timeout = '5s'; " + sql);
  }

  struct operation {
    const char* name;
    view_kind of;
    std::function<asio::awaitable<void>()> run;
    bool asks_for_table;
    std::string spoil = {};  ///< After which it is needed...
    std::string mend = {};   ///< ...and how that is undone.
  };
  template <class T>
  static asio::awaitable<void> without_result(asio::awaitable<T> work) {
    co_await std::move(work);
  }
  static std::vector<operation> all() {
    return {
        {"drop of a native one", view_kind::native, [] { return adrop_matview("v", {}); }, false},
        {"drop", view_kind::incremental, [] { return adrop_matview("v", {}); }, true},
        {"to native", view_kind::incremental,
         [] { return without_result(aconvert_matview("v", {.to = view_kind::native})); }, true},
        {"to incremental", view_kind::native,
         [] { return without_result(aconvert_matview("v", {})); }, false},
        {"remake", view_kind::incremental, [] { return without_result(arefresh_together({}, {})); },
         false, "ALTER TABLE t ALTER g DROP NOT NULL", "ALTER TABLE t ALTER g SET NOT NULL"}};
  }
  /// Runs `one` while `reading` is open in a transaction, which goes on to read `then`.
  void expect_reader_comes_through(const operation& one, const std::string& reading,
                                   const std::string& then, const std::string& held_up_at) {
    SCOPED_TRACE(std::string(one.name) + " behind a reader of " + reading);
    make(one.of);
    if (!one.spoil.empty()) db.execute(one.spoil);
    session reader(db.url());
    reader.execute("BEGIN; SELECT * FROM " + reading);
    {
      background running(one.run());
      ASSERT_TRUE(awaited(held_up_at));
      passes("SELECT * FROM " + held_up_at);
      ASSERT_TRUE(awaited(held_up_at)) << "it tries again";
      reader.execute("SELECT * FROM " + then);
      reader.execute("COMMIT");
      running.get();
    }
    if (exists("v")) drop_matview("v");
    EXPECT_EQ(count("pg_trigger WHERE tgrelid = 't'::regclass"), "0");
    if (!one.mend.empty()) db.execute(one.mend);
  }
};

TEST_F(IncrementalLocks, AReaderOfTheTableGoesOnToReadTheView) {
  for (const operation& one : all()) {
    if (one.asks_for_table) expect_reader_comes_through(one, "t", "v", "t");
  }
}

TEST_F(IncrementalLocks, AReaderOfTheViewGoesOnToReadTheTable) {
  for (const operation& one : all()) expect_reader_comes_through(one, "v", "t", "v");
}

TEST_F(IncrementalLocks, WritersPassACreationThatAnotherWriterHoldsUp) {
  db.execute("CREATE TABLE second (id int PRIMARY KEY, y int)");
  for (const std::string table : {"t", "second"}) {
    SCOPED_TRACE(table);
    session writer(db.url());
    writer.execute("BEGIN; DELETE FROM " + table + " WHERE id = 1");
    {
      background running(acreate_matview("v",
                                         "SELECT t.id, t.x, second.y FROM t JOIN second USING (id)",
                                         {.kind = view_kind::incremental}));
      ASSERT_TRUE(awaited(table));
      passes("INSERT INTO t VALUES ((SELECT max(id) + 1 FROM t), 1, 1)");
      passes("INSERT INTO second VALUES ((SELECT max(id) + 1 FROM t), 1)");
      ASSERT_TRUE(awaited(table)) << "it tries again";
      writer.execute("UPDATE t SET x = 0; UPDATE second SET y = 0; COMMIT");
      running.get();
    }
    expect_right();
    drop_matview("v");
  }
}

// Who waits for less than deadlock_timeout, 1 s, is given way to by no worker of autovacuum.
TEST_F(IncrementalLocks, SoonItWaitsLongEnoughForAutovacuumToGiveWay) {
  session writer(db.url());
  writer.execute("BEGIN; DELETE FROM t WHERE id = 1");
  background running(acreate_matview("v", "SELECT id, x FROM t", {.kind = view_kind::incremental}));
  EXPECT_TRUE(eventually([this] {
    return count(
               "pg_locks WHERE NOT granted AND relation = 't'::regclass AND "
               "clock_timestamp() - waitstart > interval '1.05 seconds'") != "0";
  }));
  writer.execute("COMMIT");
  running.get();
  expect_right();
}

TEST_F(IncrementalLocks, ARefreshThatFillsAViewAnewHoldsUpNoOtherView) {
  db.execute("CREATE TABLE second (id int PRIMARY KEY)");
  make(view_kind::incremental);
  session refresher(db.url());
  refresher.execute("BEGIN; SELECT matview.refresh('v', 'full')");
  const interval soon = interval::parse("100 milliseconds");
  create_matview("other", "SELECT id FROM second",
                 {.lock_timeout = soon, .kind = view_kind::incremental});
  drop_matview("other", {.lock_timeout = soon});
  refresher.execute("COMMIT");
  expect_right();
}

TEST_F(IncrementalLocks, ARefreshThatComesBeforeAVerificationMakesItLookAgain) {
  make(view_kind::incremental);
  db.execute("UPDATE t SET x = x + 1");
  session refresher(db.url());
  refresher.execute("BEGIN; SELECT matview.refresh('v')");
  background verifying(averify_matview("v"));
  ASSERT_TRUE(eventually(
      [&] { return count("pg_locks WHERE NOT granted AND locktype = 'transactionid'") != "0"; }));
  refresher.execute("COMMIT");
  EXPECT_TRUE(verifying.get().right());
}

TEST_F(IncrementalLocks, ASwapThatComesBeforeAVerificationDoesNotMakeItWrong) {
  make(view_kind::incremental);
  session refresher(db.url());
  refresher.execute("BEGIN; SELECT matview.refresh('v', 'swap')");
  background verifying(averify_matview("v"));
  ASSERT_TRUE(awaited("v"));
  refresher.execute("COMMIT");
  EXPECT_TRUE(verifying.get().right());
}

// Whoever comes second is told nothing untrue, as that the query is gone.
TEST_F(IncrementalLocks, RefreshesBesideOnesThatMakeTheViewAnewComeThrough) {
  make(view_kind::incremental);
  for (int round = 0; round < 12; ++round) {
    db.execute(round % 2 == 0 ? "ALTER TABLE t ALTER g DROP NOT NULL"
                              : "ALTER TABLE t ALTER g SET NOT NULL");
    db.execute("UPDATE t SET x = x + 1");
    background one(arefresh_matview("v", {}));
    background other(arefresh_matview("v", {}));
    background together(arefresh_together({}, {}));
    one.get();
    other.get();
    together.get();
    expect_right();
  }
}

// It is locked by its name, which is another one when the lock is granted.
TEST_F(IncrementalLocks, ATableThatIsRenamedMeanwhileIsFound) {
  make(view_kind::incremental);
  for (const bool together : {false, true}) {
    for (const std::string from_to : {"t RENAME TO u", "u RENAME TO t"}) {
      SCOPED_TRACE(from_to);
      const std::string table = from_to.substr(0, 1);
      db.execute("INSERT INTO " + table + " SELECT max(id) + 1, 1, 5 FROM " + table);
      session renames(db.url());
      renames.execute("BEGIN; ALTER TABLE " + from_to);
      background running(together ? without_result(arefresh_together({}, {}))
                                  : without_result(arefresh_matview("v")));
      ASSERT_TRUE(awaited(table));
      renames.execute("COMMIT");
      running.get();
      expect_right();
    }
  }
}

// Then it is not the table that was locked.
TEST_F(IncrementalLocks, ANameThatAnotherTableTakesMeanwhileIsNotTakenForIt) {
  make(view_kind::incremental);
  db.execute("INSERT INTO t VALUES (100, 1, 5)");
  session renames(db.url());
  renames.execute("BEGIN; ALTER TABLE t RENAME TO u; CREATE TABLE t (LIKE u)");
  background running(arefresh_matview("v"));
  ASSERT_TRUE(awaited("t"));
  renames.execute("COMMIT");
  EXPECT_EQ(running.get().mode, refresh_mode::full);
  expect_right();
  EXPECT_EQ(db.query_one("SELECT sum(s) FROM v"), "50");
}

TEST_F(IncrementalLocks, ATableThatIsDroppedMeanwhileIsToldOf) {
  make(view_kind::incremental);
  db.execute("INSERT INTO t VALUES (100, 1, 5)");
  session drops(db.url());
  drops.execute("BEGIN; DROP TABLE t CASCADE");
  background running(arefresh_matview("v"));
  ASSERT_TRUE(awaited("t"));
  drops.execute("COMMIT");
  const error told = failure_of([&] { static_cast<void>(running.get()); });
  EXPECT_TRUE(contains(told.what(), "the query of ")) << told.what();
  EXPECT_TRUE(contains(told.what(), "was dropped with CASCADE")) << told.what();
}

TEST_F(IncrementalLocks, ALockTimeoutOfTheCallersCountsAsItIs) {
  make(view_kind::incremental);
  session reader(db.url());
  reader.execute("BEGIN; SELECT * FROM t");
  const interval soon = interval::parse("50 milliseconds");
  const error dropped = failure_of([&] { drop_matview("v", {.lock_timeout = soon}); });
  EXPECT_EQ(dropped.code(), errc::lock_timeout) << dropped.what();
  const error converted = failure_of([&] {
    static_cast<void>(convert_matview("v", {.to = view_kind::native, .lock_timeout = soon}));
  });
  EXPECT_EQ(converted.code(), errc::lock_timeout) << converted.what();
  reader.execute("COMMIT");
  db.execute("INSERT INTO t VALUES (100, 1, 1)");
  EXPECT_EQ(refresh_matview("v").mode, refresh_mode::incremental) << "nothing was taken away";
}

}  // namespace
}  // namespace matview::test
