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

TEST_F(IncrementalCapture, ViewsRefreshedTogetherShowOneMomentWhateverIsWrittenMeanwhile) {
  create("sums", "SELECT p, count(*) AS n, sum(x) AS total FROM child GROUP BY p");
  create("rows", "SELECT id, x FROM child WHERE x > 0");
  // Held up when the first of them has been written, and the second not yet.
  db.execute(
      "CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM "
      "pg_advisory_xact_lock(4712); RETURN NULL; END'; CREATE TRIGGER hold AFTER INSERT OR UPDATE "
      "OR DELETE ON " +
      db.query_one("SELECT storage FROM matview.incremental WHERE view = 'sums'::regclass") +
      " FOR EACH STATEMENT EXECUTE FUNCTION hold()");
  const std::string totals =
      "SELECT (SELECT sum(total) FROM sums) || ' ' || (SELECT sum(x) FROM rows)";
  db.execute("UPDATE child SET x = x + 1");
  const std::string then =
      db.query_one("SELECT sum(x) || ' ' || sum(x) FILTER (WHERE x > 0) FROM child");
  session gate(db.url());
  gate.execute("SELECT pg_advisory_lock(4712)");
  background refreshing(arefresh_together({"sums", "rows"}));
  EXPECT_TRUE(eventually([&] {
    return db.query_one(
               "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 4712 AND NOT "
               "granted") == "1";
  }));
  db.execute("UPDATE child SET x = x + 100");
  gate.execute("SELECT pg_advisory_unlock(4712)");
  EXPECT_EQ(refreshing.get().size(), 2U);
  EXPECT_EQ(db.query_one(totals), then);
  static_cast<void>(refresh_together({"sums", "rows"}));
  EXPECT_EQ(db.query_one(totals),
            db.query_one("SELECT sum(x) || ' ' || sum(x) FILTER (WHERE x > 0) FROM child"));
}

// Rows of one transaction go all at once, or stay while a transaction goes on that is older, in
// whatever database: those of other tests.
TEST_F(IncrementalCapture, ARefreshPrunesAllThatItTookIn) {
  create("v", "SELECT p, count(*) AS n FROM child GROUP BY p");
  const std::string log =
      "matview.log_" +
      db.query_one("SELECT id FROM matview.change_log WHERE base = 'child'::regclass");
  db.execute("INSERT INTO child SELECT i, 1, 5, i FROM generate_series(100, 35000) i");
  std::int64_t left = 0;
  EXPECT_TRUE(eventually([&] {
    db.execute("UPDATE child SET p = 2 WHERE id = 1");
    EXPECT_EQ(refresh_matview("v", {.mode = refresh_mode::incremental}).mode,
              refresh_mode::incremental);
    left = std::stoll(count(log));
    return left < 34'000;
  }));
  EXPECT_LT(left, 1'000) << "no batch of it stays";
}

TEST_F(IncrementalCapture, WhateverWritesIsCaptured) {
  db.execute(
      "CREATE TABLE parts (k int, x int, PRIMARY KEY (k, x)) PARTITION BY RANGE (k); CREATE TABLE "
      "low PARTITION OF parts FOR VALUES FROM (0) TO (10); CREATE TABLE high PARTITION OF parts "
      "FOR "
      "VALUES FROM (10) TO (20); INSERT INTO parts SELECT i, i FROM generate_series(1, 15) i");
  create("kept", "SELECT id, p, x FROM child WHERE x > 3");
  create("totals", "SELECT k % 3 AS r, count(*) AS n, sum(x) AS total FROM parts GROUP BY 1");
  const auto expect_same = [&](const std::string& view, const std::string& query,
                               const std::string& change) {
    db.execute(change);
    const refresh_report done = refresh_matview(view);
    EXPECT_EQ(done.mode, refresh_mode::incremental) << change << ": " << done.reason;
    EXPECT_EQ(db.query_one("SELECT count(*) FROM ((TABLE " + view + " EXCEPT ALL " + query +
                           ") UNION ALL (" + query + " EXCEPT ALL TABLE " + view + ")) AS d"),
              "0")
        << change;
  };
  const auto child = [&](const std::string& change) {
    expect_same("kept", "SELECT id, p, x FROM child WHERE x > 3", change);
  };
  const auto parts = [&](const std::string& change) {
    expect_same("totals", "SELECT k % 3 AS r, count(*) AS n, sum(x) AS total FROM parts GROUP BY 1",
                change);
  };
  child("COPY child (id, p, q, x) FROM PROGRAM 'printf \"900\\t1\\t5\\t9\\n901\\t2\\t5\\t1\\n\"'");
  child(
      "INSERT INTO child VALUES (900, 1, 5, 10), (902, 3, 6, 7) ON CONFLICT (id) DO UPDATE SET x = "
      "excluded.x + 1");
  child("INSERT INTO child VALUES (902, 3, 6, 70), (904, 3, 6, 70) ON CONFLICT DO NOTHING");
  parts("UPDATE parts SET k = k + 10 WHERE k BETWEEN 3 AND 5");  // From one partition to the other.
  parts("INSERT INTO high VALUES (19, 7)");
  if (server_version() >= 150000) {
    child(
        "MERGE INTO child c USING (VALUES (900, 0), (902, 5), (903, 8)) AS v (id, x) ON c.id = "
        "v.id "
        "WHEN MATCHED AND v.x = 0 THEN DELETE WHEN MATCHED THEN UPDATE SET x = v.x WHEN NOT "
        "MATCHED THEN INSERT VALUES (v.id, 1, 5, v.x)");
    parts(
        "MERGE INTO parts p USING (VALUES (1), (2)) AS v (k) ON p.k = v.k WHEN MATCHED THEN UPDATE "
        "SET k = p.k + 15");
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
