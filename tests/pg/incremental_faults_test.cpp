// What befalls incremental views: rights that are missing or go, full disks, locks, other
// refreshes, tables that go. The old contents stay, the error says what to do, and the next refresh
// is right. Servers that are killed: incremental_crash_test.cpp.
#include "pg/incremental_fixture.hpp"
#include <matview/doctor.hpp>
#include <matview/history.hpp>

#include <fmt/format.h>

#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace matview::test {

namespace {

class IncrementalFaults : public incremental_test {
 protected:
  IncrementalFaults() {
    db.execute(
        "SET client_min_messages = warning;"
        "CREATE TABLE r (id int PRIMARY KEY, a int, x int);"
        "CREATE TABLE s (id int PRIMARY KEY, a int);"
        "INSERT INTO r SELECT i, i % 10, i FROM generate_series(1, 500) i;"
        "INSERT INTO s SELECT i, i % 10 FROM generate_series(1, 20) i");
  }

  static refresh_report make(const std::string& name, const std::string& sql,
                             const std::string& database = "default") {
    return create_matview(name, sql, {.database = database, .kind = view_kind::incremental});
  }
  static refresh_report make_sums() {
    return make("v", "SELECT a, count(*) AS n, sum(x) AS sx FROM r GROUP BY a");
  }

  std::string contents(const std::string& view = "v") {
    return db.query_one("SELECT string_agg(q::text, ' ' ORDER BY q) FROM " + view + " AS q");
  }
  std::string storage() {
    return db.query_one("SELECT min(storage::text) FROM matview.incremental");
  }

  // For each statement, or row, that changes the storage.
  void hook_storage(const char* when, const char* each, const std::string& body) {
    db.execute(
        fmt::format("CREATE FUNCTION hooked() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
                    "{} RETURN NULL; END $$;"
                    "CREATE TRIGGER hook {} INSERT OR UPDATE OR DELETE ON {} "
                    "FOR EACH {} EXECUTE FUNCTION hooked()",
                    body, when, storage(), each));
  }

  // What a role needs to make views, but nothing on tables.
  void let_make_views(const test_role& role) {
    make("first", "SELECT id FROM s");  // Makes the schema.
    drop_matview("first");
    db.execute(
        fmt::format("GRANT ALL ON SCHEMA public, matview TO {0};"
                    "GRANT ALL ON ALL TABLES IN SCHEMA matview TO {0};"
                    "GRANT ALL ON ALL SEQUENCES IN SCHEMA matview TO {0}",
                    role.name()));
    configure({{"default", db.url()}, {"role", role.url()}});
  }
  int waiting_for_tables() {
    return std::stoi(
        db.query_one("SELECT count(*) FROM pg_locks WHERE locktype = 'relation' AND NOT granted "
                     "AND database = (SELECT oid FROM pg_database WHERE datname = "
                     "current_database())"));
  }
};

// ---- Rights

TEST_F(IncrementalFaults, ATableWithoutTheRightToMakeTriggersLeavesNothingBehindAndAGrantMendsIt) {
  const test_role role(db, "maker");
  let_make_views(role);
  db.execute("GRANT SELECT ON r TO " + role.name());
  const error refusal = failure_of([] { make("v", "SELECT id FROM r", "role"); });
  EXPECT_EQ(refusal.code(), errc::permission_denied) << refusal.what();
  EXPECT_TRUE(contains(refusal.what(), "may not make triggers on \"public\".\"r\""))
      << refusal.what();
  const std::string grant =
      fmt::format("GRANT TRIGGER, SELECT ON \"public\".\"r\" TO \"{}\"", role.name());
  EXPECT_TRUE(contains(refusal.hint(), grant)) << refusal.hint();
  EXPECT_TRUE(contains(refusal.hint(), "let postgres make the view")) << refusal.hint();
  EXPECT_EQ(count("matview.incremental"), "0");
  EXPECT_EQ(count("matview.change_log"), "0");
  EXPECT_EQ(count("pg_trigger WHERE tgname LIKE 'matview%'"), "0");
  EXPECT_EQ(count("pg_class WHERE relname ~ '^(definition|storage|log|matview_new)_'"), "0");

  db.execute(grant);
  EXPECT_TRUE(make("v", "SELECT id FROM r", "role").incremental);
  db.execute("DELETE FROM r WHERE id < 10");
  EXPECT_EQ(refresh_matview("v", {.database = "role"}).mode, refresh_mode::incremental);
  expect_right();
}

TEST_F(IncrementalFaults, ARightThatIsTakenAwayIsToldAndAGrantMendsIt) {
  const test_role role(db, "maker");
  let_make_views(role);
  db.execute("GRANT TRIGGER, SELECT ON r TO " + role.name());
  make("v", "SELECT a, count(*) AS n FROM r GROUP BY a", "role");
  const std::string before = contents();
  db.execute("REVOKE SELECT ON r FROM " + role.name() + "; DELETE FROM r WHERE id < 100");
  // Whoever refreshes: the view reads its tables with the rights of its owner.
  for (const char* const who : {"role", "default"}) {
    for (const refresh_mode mode : {refresh_mode::automatic, refresh_mode::full}) {
      if (std::string(who) == "default" && mode == refresh_mode::automatic) continue;
      const error refusal =
          failure_of([&] { refresh_matview("v", {.database = who, .mode = mode}); });
      EXPECT_EQ(refusal.code(), errc::permission_denied) << refusal.what();
      EXPECT_TRUE(contains(refusal.what(), "permission denied for table r")) << refusal.what();
      EXPECT_NE(refusal.hint(), "");
      EXPECT_EQ(contents(), before);
    }
  }
  db.execute("GRANT SELECT ON r TO " + role.name());
  EXPECT_EQ(refresh_matview("v", {.database = "role"}).mode, refresh_mode::incremental);
  EXPECT_NE(contents(), before);
  expect_right();
}

// ALTER VIEW ... OWNER TO gives away the view, not what it is made of.
TEST_F(IncrementalFaults, TheOwnerOfAViewIsToldWhosePartsItHas) {
  make_sums();
  const test_role next(db, "next");
  db.execute("ALTER VIEW v OWNER TO " + next.name());
  configure({{"default", db.url()}, {"role", next.url()}});
  for (const error& refusal : {failure_of([] { refresh_matview("v", {.database = "role"}); }),
                               failure_of([] { drop_matview("v", {.database = "role"}); })}) {
    EXPECT_EQ(refusal.code(), errc::permission_denied) << refusal.what();
    EXPECT_TRUE(contains(refusal.what(), "in the schema matview belong to postgres"))
        << refusal.what();
    EXPECT_TRUE(contains(refusal.hint(), "run as postgres")) << refusal.hint();
  }
  const auto shut_out = [] {
    std::vector<finding> out = doctor();
    std::erase_if(
        out, [](const finding& one) { return one.kind != finding_kind::owner_cannot_refresh; });
    return out;
  };
  const std::vector<finding> findings = shut_out();
  ASSERT_EQ(findings.size(), 1U);
  EXPECT_TRUE(contains(findings[0].mend, "GRANT SELECT ON matview.storage_1 TO "))
      << findings[0].mend;
  refresh_matview("v");
  expect_right();
  EXPECT_TRUE(shut_out().empty());
}

TEST_F(IncrementalFaults, ATableOfAnotherOwnerGoesOnBeingCaptured) {
  const test_role maker(db, "maker");
  const test_role next(db, "next");
  let_make_views(maker);
  db.execute("ALTER TABLE r OWNER TO " + maker.name());
  make("v", "SELECT a, count(*) AS n FROM r GROUP BY a", "role");
  db.execute("ALTER TABLE r OWNER TO " + next.name());
  session theirs(next.url());
  theirs.execute("DELETE FROM r WHERE id < 100");
  const std::string before = contents();
  const error refusal = failure_of([] { refresh_matview("v", {.database = "role"}); });
  EXPECT_EQ(refusal.code(), errc::permission_denied) << refusal.what();
  EXPECT_EQ(contents(), before);
  theirs.execute("GRANT SELECT, TRIGGER ON r TO " + maker.name());
  refresh_matview("v", {.database = "role"});
  EXPECT_NE(contents(), before);
  expect_right();
  theirs.execute("INSERT INTO r VALUES (9000, 3, 3)");
  EXPECT_EQ(refresh_matview("v", {.database = "role"}).mode, refresh_mode::incremental);
  expect_right();
}

// The log of a table belongs to who made the first view on it.
TEST_F(IncrementalFaults, TheLastViewOnALogOfAnotherRoleIsDropped) {
  const test_role ann(db, "ann");
  const test_role bob(db, "bob");
  const test_role owner(db, "owner");
  let_make_views(ann);
  let_make_views(bob);
  configure({{"default", db.url()}, {"ann", ann.url()}, {"bob", bob.url()}});
  db.execute(fmt::format("ALTER TABLE r OWNER TO {0}; GRANT {0} TO {1}, {2}", owner.name(),
                         ann.name(), bob.name()));
  const auto captured = [this] {
    return count("pg_trigger WHERE tgrelid = 'r'::regclass") + " triggers, " +
           count("matview.change_log") + " logs";
  };
  for (const bool member : {true, false}) {
    SCOPED_TRACE(member);
    make("a", "SELECT id FROM r", "ann");
    db.execute("GRANT SELECT, DELETE ON ALL TABLES IN SCHEMA matview TO " + bob.name());
    make("b", "SELECT id FROM r WHERE id > 5", "bob");
    const error more = failure_of([] { make("more", "SELECT id, x FROM r", "bob"); });
    EXPECT_TRUE(contains(more.hint(), "Run as a member of " + ann.name())) << more.hint();
    if (!member) {
      // It keeps its own logs short, without a right on those of others.
      db.execute("GRANT SELECT, TRIGGER ON s TO " + bob.name());
      make("own", "SELECT id FROM s", "bob");
      const auto log_of = [this](const std::string& table) {
        return "matview.log_" + db.query_one("SELECT id FROM matview.change_log WHERE base = '" +
                                             table + "'::regclass");
      };
      db.execute(
          fmt::format("REVOKE DELETE ON {} FROM {}; INSERT INTO s SELECT i FROM "
                      "generate_series(100, 150) i",
                      log_of("r"), bob.name()));
      EXPECT_TRUE(eventually([&] {
        db.execute("INSERT INTO s SELECT max(id) + 1 FROM s");
        session(bob.url()).execute("SELECT matview.refresh('own')");
        session(bob.url()).execute("SELECT matview.prune()");
        return std::stoi(count(log_of("s"))) < 9;
      }));
      drop_matview("own");
    }
    drop_matview("a", {.database = "ann"});
    if (!member) {
      db.execute(fmt::format("REVOKE {} FROM {}", owner.name(), bob.name()));
      const error refusal = failure_of([] { drop_matview("b", {.database = "bob"}); });
      EXPECT_EQ(refusal.code(), errc::permission_denied) << refusal.what();
      EXPECT_TRUE(contains(refusal.hint(), ann.name())) << refusal.hint();
      EXPECT_TRUE(exists("b"));
      drop_matview("b");
      EXPECT_EQ(captured(), "0 triggers, 0 logs");
      continue;
    }
    drop_matview("b", {.database = "bob"});
    EXPECT_EQ(captured(), "0 triggers, 1 logs") << "nobody writes into it";
    make("b", "SELECT id FROM r", "bob");
    db.execute("DELETE FROM r WHERE id = 7");
    EXPECT_EQ(refresh_matview("b", {.database = "bob"}).mode, refresh_mode::incremental);
    expect_right("b");
    drop_matview("b", {.database = "bob"});
    db.execute("GRANT SELECT, TRIGGER ON s TO " + ann.name());
    make("other", "SELECT id FROM s", "ann");
    EXPECT_EQ(captured(), "0 triggers, 1 logs") << "that of s";
    drop_matview("other", {.database = "ann"});
  }
}

// ---- Writers that fire no usual trigger

TEST_F(IncrementalFaults, WritersOfSessionReplicationRoleAreCapturedForTheOwnerOfTheTable) {
  make_sums();
  session replica(db.url());
  replica.execute("SET session_replication_role = replica");
  replica.execute("INSERT INTO r VALUES (9000, 3, 3); DELETE FROM r WHERE id < 10");
  replica.execute("UPDATE r SET x = 0 WHERE id = 20");
  EXPECT_EQ(refresh_matview("v").mode, refresh_mode::incremental);
  expect_right();
  replica.execute("TRUNCATE r");
  EXPECT_EQ(refresh_matview("v").mode, refresh_mode::diff);
  EXPECT_EQ(count("v"), "0");
}

TEST_F(IncrementalFaults, WhatTheyWriteElsewhereIsFoundByVerifyAndMended) {
  const test_role role(db, "maker");
  let_make_views(role);
  db.execute("GRANT TRIGGER, SELECT ON r TO " + role.name());
  make("v", "SELECT a, count(*) AS n FROM r GROUP BY a", "role");
  session replica(db.url());
  replica.execute("SET session_replication_role = replica; DELETE FROM r WHERE a = 3");
  EXPECT_EQ(refresh_matview("v").mode, refresh_mode::none);
  const verify_report found = verify_matview("v");
  EXPECT_EQ(found.unexpected, 1) << "the group that is gone";
  EXPECT_EQ(found.missing, 0);
  EXPECT_TRUE(verify_matview("v", {.repair = true}).repaired);
  expect_right();
}

// ---- A refresh that fails or waits

TEST_F(IncrementalFaults, AFullDiskLeavesTheOldContentsAndTheNextRefreshIsRight) {
  make_sums();
  const std::string before = contents();
  db.execute("CREATE SEQUENCE touched; UPDATE r SET a = a + 5 WHERE id < 200");
  // The server's own error, in the middle of the change: at the fourth of at least ten rows.
  hook_storage(
      "AFTER", "ROW",
      "IF nextval('public.touched') % 4 = 0 THEN RAISE EXCEPTION 'could not extend file: No "
      "space left on device' USING ERRCODE = '53100'; END IF;");
  int failed = 0;
  for (const refresh_mode mode :
       {refresh_mode::incremental, refresh_mode::diff, refresh_mode::full}) {
    const error refusal = failure_of([&] { refresh_matview("v", {.mode = mode}); });
    EXPECT_EQ(refusal.sqlstate(), "53100") << refusal.what();
    EXPECT_TRUE(contains(refusal.what(), "No space left")) << refusal.what();
    EXPECT_TRUE(contains(refusal.hint(), "disk")) << refusal.hint();
    EXPECT_TRUE(refusal.connection_usable());
    EXPECT_EQ(contents(), before);
    ++failed;
  }
  EXPECT_EQ(count("matview.refresh WHERE outcome = 'failed' AND sqlstate = '53100'"),
            std::to_string(failed));
  db.execute("DROP FUNCTION hooked CASCADE");
  EXPECT_EQ(refresh_matview("v").mode, refresh_mode::incremental);
  EXPECT_NE(contents(), before);
  expect_right();
}

// Each has what the other waits for: the refresh gives way.
TEST_F(IncrementalFaults, AlterTableInAnotherSessionDoesNotDeadlockWithARefresh) {
  make("v", "SELECT r.a, count(*) AS n FROM r JOIN s ON s.a = r.a GROUP BY r.a");
  db.execute("DELETE FROM r WHERE id < 50");
  session other(db.url());
  other.execute("BEGIN; ALTER TABLE s ADD COLUMN more int");
  background refresh(arefresh_matview("v"));
  ASSERT_TRUE(eventually([this] { return waiting_for_tables() > 0; }));
  other.execute("ALTER TABLE r ADD COLUMN more int; DELETE FROM r WHERE id < 60; COMMIT");
  const refresh_report done = refresh.get();
  EXPECT_NE(done.mode, refresh_mode::none) << done.reason;
  EXPECT_GT(done.lock_waits, 0);
  expect_right();
}

TEST_F(IncrementalFaults, AColumnThatIsChangedMeanwhileIsTakenIn) {
  make_sums();
  db.execute("DELETE FROM r WHERE id < 50");
  session other(db.url());
  other.execute("BEGIN; ALTER TABLE r RENAME COLUMN x TO y; ALTER TABLE r ALTER a SET NOT NULL");
  background refresh(arefresh_matview("v"));
  ASSERT_TRUE(eventually([this] { return waiting_for_tables() > 0; }));
  other.execute("UPDATE r SET y = 1 WHERE id < 100; COMMIT");
  EXPECT_EQ(refresh.get().mode, refresh_mode::full);
  expect_right();
}

TEST_F(IncrementalFaults, OfTwoRefreshesAtOnceOneWaitsAndBothAreRight) {
  make_sums();
  hook_storage("BEFORE", "STATEMENT", "PERFORM pg_advisory_xact_lock_shared(4711);");
  gate slow(db.url());
  db.execute("DELETE FROM r WHERE id < 50");
  background first(arefresh_matview("v"));
  slow.await();
  const error running = failure_of([] { refresh_matview("v", {.if_running = if_running::fail}); });
  EXPECT_EQ(running.code(), errc::already_refreshing) << running.what();
  const refresh_report skipped = refresh_matview("v", {.if_running = if_running::skip});
  EXPECT_EQ(skipped.mode, refresh_mode::none);
  EXPECT_TRUE(contains(skipped.reason, "being refreshed")) << skipped.reason;
  db.execute("UPDATE r SET a = 1 WHERE id < 100");  // Too late for the first one.
  background second(arefresh_matview("v"));
  ASSERT_TRUE(eventually([&] { return slow.waiting() == 2; })) << "one at the gate, one for it";
  slow.open();
  EXPECT_EQ(first.get().mode, refresh_mode::incremental);
  EXPECT_EQ(second.get().mode, refresh_mode::incremental);
  expect_right();
}

TEST_F(IncrementalFaults, ARefreshBesideOneInPlainSqlWaitsForIt) {
  make_sums();
  db.execute("DELETE FROM r WHERE id < 50");
  session theirs(db.url());
  theirs.execute("BEGIN; SELECT * FROM matview.refresh('v')");
  background refresh(arefresh_matview("v"));
  ASSERT_TRUE(eventually([this] { return running("%matview.refresh%") > 0; }));
  db.execute("DELETE FROM r WHERE id < 60");
  theirs.execute("COMMIT");
  static_cast<void>(refresh.get());
  expect_right();
}

// ---- Tables that go

TEST_F(IncrementalFaults, AQueryThatIsGoneIsSaidByEverybody) {
  make_sums();
  make("w", "SELECT r.id FROM r JOIN s ON s.a = r.a");
  const std::string before = contents();
  db.execute("DROP TABLE r CASCADE");
  for (const char* const view : {"v", "w"}) {
    const std::string name = view;
    for (const auto& call : std::vector<std::function<void()>>{
             [&] { refresh_matview(name); },
             [&] { refresh_matview(name, {.mode = refresh_mode::full}); },
             [&] { static_cast<void>(refresh_together({name})); },
             [&] { static_cast<void>(verify_matview(name)); },
             [&] { static_cast<void>(explain_matview(name)); },
             [&] { static_cast<void>(convert_matview(name, {.to = view_kind::native})); }}) {
      const error refusal = failure_of(call);
      EXPECT_TRUE(contains(refusal.what(), "the query of") &&
                  contains(refusal.what(), "is gone: something that it reads was dropped"))
          << refusal.what();
      EXPECT_TRUE(contains(refusal.hint(), "create it again")) << refusal.hint();
    }
  }
  EXPECT_EQ(contents(), before);
  drop_matview("v");
  drop_matview("w");
  EXPECT_EQ(count("matview.incremental"), "0");
}

TEST_F(IncrementalFaults, AColumnThatIsDroppedWithCascadeIsSaidToo) {
  make_sums();
  db.execute("ALTER TABLE r DROP COLUMN x CASCADE");
  const error refusal = failure_of([] { refresh_matview("v"); });
  EXPECT_TRUE(contains(refusal.what(), "the query of public.v is gone")) << refusal.what();
}

TEST_F(IncrementalFaults, WhatDependsOnOneIsCalledByTheUsersName) {
  make_sums();
  make("above", "SELECT n % 2 AS odd, sum(sx) AS sx FROM v GROUP BY 1");
  const error kept = failure_of([] { drop_matview("v"); });
  EXPECT_EQ(kept.code(), errc::dependents_exist);
  EXPECT_TRUE(contains(kept.what(), "view public.above depends on view v")) << kept.what();
  EXPECT_FALSE(contains(kept.what(), "definition_")) << kept.what();
  const error kind =
      failure_of([] { static_cast<void>(convert_matview("v", {.to = view_kind::native})); });
  EXPECT_EQ(kind.code(), errc::dependents_exist);
  EXPECT_TRUE(contains(kind.what(), "public.above")) << kind.what();
  EXPECT_FALSE(contains(kind.what(), "definition_")) << kind.what();
}

TEST_F(IncrementalFaults, DroppedWithCascadeItTakesThoseMadeFromItAlong) {
  make("broken", "SELECT id FROM s");
  db.execute("ALTER TABLE s RENAME TO gone; DROP TABLE gone CASCADE");
  make_sums();
  make("above", "SELECT n % 2 AS odd, sum(sx) AS sx FROM v GROUP BY 1");
  make("top", "SELECT odd FROM above");
  drop_matview("v", {.cascade = true});
  for (const char* const view : {"v", "above", "top"}) EXPECT_FALSE(exists(view)) << view;
  EXPECT_TRUE(exists("broken")) << "it has nothing to do with it";
  EXPECT_EQ(count("matview.incremental"), "1");
  EXPECT_EQ(count("pg_trigger WHERE NOT tgisinternal AND tgrelid = 'r'::regclass"), "0");
}

TEST_F(IncrementalFaults, WhatFailsTogetherIsInTheHistoryOfEach) {
  make_sums();
  make("w", "SELECT id, 1 / a AS share FROM s WHERE a > 0");
  db.execute("DELETE FROM r WHERE id < 50; UPDATE s SET a = 3 WHERE id = 1");
  hook_storage("BEFORE", "STATEMENT", "RAISE EXCEPTION 'no';");
  const error refusal = failure_of([] { static_cast<void>(refresh_together({})); });
  EXPECT_TRUE(contains(refusal.what(), "public.v: no")) << refusal.what();
  for (const char* const view : {"v", "w"}) {
    const std::vector<refresh_record> history = list_history({.view = view});
    ASSERT_FALSE(history.empty());
    EXPECT_EQ(history[0].outcome, history_outcome::failed) << view;
    EXPECT_TRUE(contains(history[0].error, "no")) << history[0].error;
  }
}

// As when a partition is attached in its middle.
TEST_F(IncrementalFaults, AChangeThatComesInBetweenIsTriedAgain) {
  make_sums();
  db.execute(
      "CREATE SEQUENCE tried;"
      "DELETE FROM r WHERE id < 50");
  hook_storage("BEFORE", "STATEMENT",
               "IF nextval('public.tried') < 3 THEN RAISE EXCEPTION 'meanwhile' USING ERRCODE = "
               "'40001'; END IF;");
  EXPECT_EQ(refresh_matview("v").mode, refresh_mode::incremental);
  expect_right();
  db.execute("SELECT setval('tried', 1); DELETE FROM r WHERE id < 60");
  db.execute("ALTER SEQUENCE tried INCREMENT -1 MINVALUE -1000");
  EXPECT_EQ(failure_of([] { refresh_matview("v"); }).sqlstate(), "40001");
}

TEST_F(IncrementalFaults, ReportsHowLargeItIsAlsoWhenRefreshedTogether) {
  make_sums();
  db.execute("DELETE FROM r WHERE id < 50");
  EXPECT_EQ(std::to_string(refresh_together({"v"}).at(0).bytes),
            db.query_one("SELECT pg_total_relation_size(storage) FROM matview.incremental"));
}

}  // namespace

}  // namespace matview::test
