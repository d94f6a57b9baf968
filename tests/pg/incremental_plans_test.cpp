// What a session keeps from one refresh to the next, and that a refresh which asks only once
// whether its tables are what they were applies nothing if they are not.
#include "pg/incremental_fixture.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <stdexcept>
#include <string>

namespace matview::test {
namespace {

class IncrementalPlans : public incremental_test {
 protected:
  IncrementalPlans() {
    db.execute(
        "CREATE TABLE r (id int PRIMARY KEY, a int NOT NULL, x int); "
        "INSERT INTO r SELECT i, i % 10, i FROM generate_series(1, 100) i");
    create("v", "SELECT a, count(*) AS n, sum(x) AS total FROM r GROUP BY a");
  }

  static std::string refreshed(session& on, const std::string& view = "v") {
    return on.query_one(
        fmt::format("SELECT mode FROM matview.refresh('{}', 'auto', false, true)", view));
  }
  static int kept(session& on) {
    return std::stoi(on.query_one(
        "SELECT count(*) FROM pg_prepared_statements WHERE name LIKE 'matview\\_kept\\_%'"));
  }
  void change() { db.execute(fmt::format("INSERT INTO r VALUES ({0}, {0} % 10, 1)", ++id_)); }

 private:
  int id_ = 1000;
};

TEST_F(IncrementalPlans, AreKeptForTheNextRefresh) {
  session on(db.url());
  for (int i = 0; i < 5; ++i) {
    change();
    EXPECT_EQ(refreshed(on), "incremental");
    EXPECT_EQ(kept(on), 2) << "one counts, one applies";
  }
  expect_right();
  // As a pooler does between two clients.
  on.execute("DISCARD ALL");
  change();
  EXPECT_EQ(refreshed(on), "incremental");
  expect_right();
}

TEST_F(IncrementalPlans, AreNotKeptWithoutLimit) {
  session on(db.url());
  constexpr int views = 34;
  for (int i = 0; i < views; ++i) {
    create(fmt::format("v{}", i), fmt::format("SELECT id, x + {} AS y FROM r", i));
  }
  int most = 0;
  for (int round = 0; round < 2; ++round) {
    change();
    for (int i = 0; i < views; ++i) {
      EXPECT_EQ(refreshed(on, fmt::format("v{}", i)), "incremental");
      most = std::max(most, kept(on));
    }
  }
  EXPECT_EQ(most, 32);
  for (int i = 0; i < views; ++i) expect_right(fmt::format("v{}", i));
}

// The names in a plan mean other tables then.
TEST_F(IncrementalPlans, FollowAStorageThatWasSwapped) {
  session on(db.url());
  change();
  EXPECT_EQ(refreshed(on), "incremental");
  EXPECT_EQ(refresh_matview("v", {.mode = refresh_mode::swap}).mode, refresh_mode::swap);
  change();
  EXPECT_EQ(refreshed(on), "incremental");
  expect_right();
}

TEST_F(IncrementalPlans, AreNotThoseOfAViewThatHadTheSameNumber) {
  session on(db.url());
  for (const char* query : {"SELECT a, count(*) AS n, sum(x) AS total FROM r GROUP BY a",
                            "SELECT a, count(*) AS n, max(x) AS most FROM r GROUP BY a"}) {
    change();
    EXPECT_EQ(refreshed(on), "incremental");
    db.execute("DROP SCHEMA matview CASCADE");
    create("v", query);
    EXPECT_EQ(db.query_one("SELECT id FROM matview.incremental"), "1");
    change();
    EXPECT_EQ(refreshed(on), "incremental");
    expect_right();
  }
}

TEST_F(IncrementalPlans, NothingIsAppliedToATableThatWasAltered) {
  session on(db.url());
  const auto contents = [&] {
    return db.query_one("SELECT string_agg(v::text, ';' ORDER BY a) FROM v");
  };
  change();
  db.execute("ALTER TABLE r RENAME x TO y; ALTER TABLE r RENAME y TO x");
  EXPECT_EQ(refreshed(on), "diff") << "what was logged in between may lack the column";
  expect_right();
  const std::string before = contents();
  change();
  db.execute("ALTER TABLE r DROP CONSTRAINT r_pkey");
  change();
  EXPECT_EQ(refreshed(on), "recompile");
  EXPECT_EQ(contents(), before);
  refresh_matview("v");
  expect_right();
}

TEST_F(IncrementalPlans, AnErrorThatHasOtherCausesIsTold) {
  db.execute(
      "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE 'not today'; END$$; "
      "CREATE TRIGGER no BEFORE UPDATE ON matview.storage_1 FOR EACH ROW EXECUTE FUNCTION no()");
  session on(db.url());
  change();
  try {
    refreshed(on);
    FAIL() << "the trigger has not fired";
  } catch (const std::runtime_error& failed) {
    EXPECT_TRUE(contains(failed.what(), "not today")) << failed.what();
  }
  db.execute("DROP TRIGGER no ON matview.storage_1");
  EXPECT_EQ(refreshed(on), "incremental");
  expect_right();
}

}  // namespace
}  // namespace matview::test
