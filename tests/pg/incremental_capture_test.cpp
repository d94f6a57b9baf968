// What is captured of whatever is written, and who waits for a refresh: nobody who reads.

#include "pg/incremental_fixture.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <stdexcept>
#include <string>

namespace matview::test {
namespace {

class IncrementalCapture : public incremental_test {
 protected:
  IncrementalCapture() {
    db.execute(
        "CREATE TABLE parent (id int PRIMARY KEY, name text); "
        "CREATE TABLE child (id int PRIMARY KEY, p int REFERENCES parent ON DELETE CASCADE ON "
        "UPDATE CASCADE, q int REFERENCES parent ON DELETE SET NULL, x int); "
        "INSERT INTO parent SELECT i, 'n' || i FROM generate_series(1, 9) i; "
        "INSERT INTO child SELECT i, 1 + i % 4, 5 + i % 5, i FROM generate_series(1, 40) i");
  }
  void refresh(const std::string& view) {
    const refresh_report done = refresh_matview(view);
    EXPECT_EQ(done.mode, refresh_mode::incremental) << view << ": " << done.reason;
    expect_right(view);
  }
};

TEST_F(IncrementalCapture, WhatForeignKeysCascade) {
  create("sums", "SELECT p, q, count(*) AS n, sum(x) AS total FROM child GROUP BY p, q");
  create("pairs",
         "SELECT c.id, o.name FROM child c LEFT JOIN parent o ON o.id = c.q WHERE c.x > 2");
  for (const char* const change :
       {"DELETE FROM parent WHERE id = 2", "UPDATE parent SET id = 100 WHERE id = 3",
        "DELETE FROM parent WHERE id IN (6, 7)", "DELETE FROM parent"}) {
    db.execute(change);
    refresh("sums");
    refresh("pairs");
  }
  EXPECT_EQ(count("sums"), "0");
}

TEST_F(IncrementalCapture, OneLogServesViewsOfDifferentColumns) {
  create("narrow", "SELECT p, count(*) AS n FROM child GROUP BY p");
  db.execute("UPDATE child SET x = x + 1, p = 1 WHERE id < 5");  // Before x is captured.
  create("wide", "SELECT q, sum(x) AS total FROM child GROUP BY q");
  EXPECT_EQ(db.query_one("SELECT count(*) FROM matview.change_log"), "1");
  EXPECT_EQ(refresh_matview("wide").mode, refresh_mode::none) << "it was filled after the change";
  refresh_matview("narrow");
  expect_right("narrow");
  db.execute("UPDATE child SET x = 7, q = 5 WHERE id % 3 = 0");
  refresh("wide");
  refresh("narrow");
}

TEST_F(IncrementalCapture, ReadersNeitherWaitForARefreshNorHoldItUp) {
  const std::string sums = "SELECT p, count(*) AS n, sum(x) AS total FROM child GROUP BY p";
  create("v", sums);
  // A refresh is held up in the middle, when it has written into the storage.
  db.execute(
      "CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM "
      "pg_advisory_xact_lock(4711); RETURN NULL; END'; CREATE TRIGGER hold AFTER INSERT OR UPDATE "
      "OR DELETE ON " +
      db.query_one("SELECT storage FROM matview.incremental") +
      " FOR EACH STATEMENT EXECUTE FUNCTION hold()");
  session reader(db.url());
  reader.execute("BEGIN; SET statement_timeout = '3s'; SELECT * FROM v");
  for (const refresh_mode mode :
       {refresh_mode::incremental, refresh_mode::diff, refresh_mode::full}) {
    const std::string before = reader.query_one("SELECT sum(total) FROM v");
    db.execute("UPDATE child SET x = x + 1");
    session gate(db.url());
    gate.execute("SELECT pg_advisory_lock(4711)");
    background refreshing(
        arefresh_matview("v", {.lock_timeout = interval::parse("20 seconds"), .mode = mode}));
    EXPECT_TRUE(eventually([&] {
      return db.query_one(
                 "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = "
                 "4711 AND NOT granted") == "1";
    }));
    EXPECT_EQ(reader.query_one("SELECT sum(total) FROM v"), before) << to_string(mode);
    gate.execute("SELECT pg_advisory_unlock(4711)");
    EXPECT_EQ(refreshing.get().mode, mode);
    EXPECT_NE(reader.query_one("SELECT sum(total) FROM v"), before) << "it is READ COMMITTED";
  }
}

TEST_F(IncrementalCapture, ATimeoutAndACancellationLeaveTheOldContents) {
  db.execute(
      "CREATE FUNCTION slow(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN IF $1 > 1000 "
      "THEN PERFORM pg_sleep(60); END IF; RETURN $1; END'");
  create("v", "SELECT slow(x) AS x, count(*) AS n FROM child GROUP BY slow(x)");
  db.execute("UPDATE child SET x = x + 2000 WHERE id < 4");
  EXPECT_EQ(failure_of([] {
              refresh_matview("v", {.statement_timeout = interval::parse("200 milliseconds")});
            }).code(),
            errc::statement_timeout);
  EXPECT_EQ(db.query_one("SELECT max(x) FROM v"), "40");
  background refreshing(arefresh_matview("v"));
  EXPECT_TRUE(eventually([&] { return running("%matview.refresh(%") > 0; }));
  refreshing.cancel();
  EXPECT_EQ(failure_of([&] { refreshing.get(); }).code(), errc::cancelled);
  EXPECT_EQ(db.query_one("SELECT max(x) FROM v"), "40");
  db.execute("UPDATE child SET x = 50 WHERE x > 1000");
  // The images that were slow are still in the log.
  db.execute(
      "CREATE OR REPLACE FUNCTION slow(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT "
      "$1'");
  refresh_matview("v");
  expect_right("v");
}

}  // namespace
}  // namespace matview::test
