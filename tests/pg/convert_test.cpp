// The conversion of views from one kind to the other: what the new one is given, what is said to be
// lost, and what happens when somebody changes the view meanwhile. That it works at all:
// incremental_test.cpp.
#include "pg/views_fixture.hpp"
#include <matview/incremental.hpp>

#include <fmt/format.h>

#include <stdexcept>
#include <string>
#include <vector>

namespace matview::test {

namespace {

class Convert : public views_test {
 protected:
  Convert() {
    db.execute(
        "SET client_min_messages = warning;"
        "CREATE TABLE r (id int PRIMARY KEY, a int, c text);"
        "INSERT INTO r SELECT i, i % 10, 'c' || i % 3 FROM generate_series(1, 100) i");
  }

  static constexpr const char* sums = "SELECT a, count(*) AS n FROM r GROUP BY a";

  static convert_report to_incremental(bool accept_losses = false,
                                       const std::string& database = "default") {
    return convert_matview("v", {.database = database, .accept_losses = accept_losses});
  }
  static convert_report to_native(bool accept_losses = false) {
    return convert_matview("v", {.to = view_kind::native, .accept_losses = accept_losses});
  }

  std::string kind() {
    return db.query_one("SELECT relkind FROM pg_class WHERE oid = to_regclass('public.v')");
  }
  // What conversions have left in the user's schema.
  std::string leftovers() {
    return count("pg_class WHERE relname ~ '^matview_convert' AND relkind IN ('v', 'm')");
  }
  std::string leftover_name() {
    return db.query_one("SELECT 'matview_convert_' || 'v'::regclass::oid");
  }
  // How many wait for a lock on it.
  std::string running_into(const std::string& relation) {
    return count(fmt::format("pg_locks WHERE NOT granted AND relation = '{}'::regclass", relation));
  }
  std::string may_read(const std::string& role) {
    return db.query_one(fmt::format("SELECT has_table_privilege('{}', 'v', 'SELECT')", role));
  }

  // What is said to be lost when `v` is converted.
  std::string loss(view_kind to) {
    const error refusal = failure_of([to] { static_cast<void>(convert_matview("v", {.to = to})); });
    EXPECT_EQ(refusal.code(), errc::invalid_option) << refusal.what();
    EXPECT_EQ(leftovers(), "0");
    return refusal.what();
  }

  // Makes the schema, and lets the role do all that it may in it, except to own something there.
  void let_work(const test_role& role) {
    create_matview("first", "SELECT id FROM r", {.kind = view_kind::incremental});
    drop_matview("first");
    db.execute(
        fmt::format("GRANT ALL ON SCHEMA public TO {0}; GRANT USAGE ON SCHEMA matview TO {0};"
                    "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA matview TO {0};"
                    "GRANT ALL ON ALL SEQUENCES IN SCHEMA matview TO {0};"
                    "GRANT SELECT ON r TO {0}",
                    role.name()));
  }
  void make_native_of(const test_role& owner) {
    create_matview("v", sums);
    db.execute("ALTER MATERIALIZED VIEW v OWNER TO " + owner.name());
  }
  std::string owners_of_parts() {
    return db.query_one(
        "SELECT string_agg(DISTINCT pg_get_userbyid(relowner), ',') FROM pg_class WHERE "
        "relnamespace = 'matview'::regnamespace AND relname ~ "
        "'^(storage|core|source|core_source|definition)_[0-9]+$'");
  }

  // Holds up a conversion to incremental where its tables are captured: after it has read what the
  // view has, before the two change places.
  struct held_conversion {
    explicit held_conversion(Convert& test)
        : writer(test.db.url()), running((begin(), aconvert_matview("v"))) {
      const bool waits = eventually([&] {
        return test.count(
                   "pg_locks WHERE NOT granted AND database = (SELECT oid FROM pg_database "
                   "WHERE datname = current_database())") != "0";
      });
      if (!waits) throw std::runtime_error("the conversion did not come to its table");
    }
    convert_report finish() {
      writer.execute("COMMIT");
      return running.get();
    }
    error failure() {
      return failure_of([this] { static_cast<void>(finish()); });
    }

   private:
    void begin() { writer.execute("BEGIN; UPDATE r SET c = c WHERE id = 1"); }

    session writer;
    background<convert_report> running;
  };
};

// ---- Owners and grants

TEST_F(Convert, ASuperuserLeavesAViewToItsOwnerWhoReadsAndRefreshesIt) {
  const test_role ann(db, "ann");
  const test_role reader(db, "reader");
  let_work(ann);
  make_native_of(ann);
  db.execute("GRANT SELECT ON v TO " + reader.name());
  static_cast<void>(to_incremental());
  EXPECT_EQ(kind(), "v");
  EXPECT_EQ(owners_of_parts(), ann.name());
  for (const test_role* const role : {&ann, &reader}) {
    session theirs(role->url());
    EXPECT_EQ(theirs.query_one("SELECT sum(n) FROM v"), "100") << role->name();
  }
  configure({{"default", db.url()}, {"ann", ann.url()}});
  db.execute("DELETE FROM r WHERE id <= 10");
  EXPECT_EQ(refresh_matview("v", {.database = "ann"}).mode, refresh_mode::incremental);
  EXPECT_EQ(refresh_matview("v", {.database = "ann", .mode = refresh_mode::full}).mode,
            refresh_mode::full);
  EXPECT_EQ(session(reader.url()).query_one("SELECT sum(n) FROM v"), "90");
  EXPECT_TRUE(verify_matview("v").right());
  static_cast<void>(to_native());
  EXPECT_EQ(db.query_one("SELECT pg_get_userbyid(relowner) FROM pg_class WHERE relname = 'v'"),
            ann.name());
  EXPECT_EQ(session(reader.url()).query_one("SELECT sum(n) FROM v"), "90");
}

TEST_F(Convert, AViewOfTwoTablesGoesToItsOwnerWithBoth) {
  const test_role ann(db, "ann");
  let_work(ann);
  create_matview("v", "SELECT a, count(DISTINCT c) AS n FROM r GROUP BY a HAVING count(*) > 1");
  db.execute("ALTER MATERIALIZED VIEW v OWNER TO " + ann.name());
  static_cast<void>(to_incremental());
  EXPECT_EQ(owners_of_parts(), ann.name());
  EXPECT_EQ(session(ann.url()).query_one("SELECT count(*) FROM v"), "10");
}

TEST_F(Convert, AMemberOfItsOwnerLeavesAViewToReaders) {
  const test_role ann(db, "ann");
  const test_role bob(db, "bob");
  const test_role reader(db, "reader");
  let_work(ann);
  let_work(bob);
  make_native_of(ann);
  db.execute(
      fmt::format("GRANT {0} TO {1}; GRANT TRIGGER ON r TO {1};"
                  "GRANT CREATE ON SCHEMA matview TO {1};"
                  "GRANT SELECT ON v TO {1}, {2}",
                  ann.name(), bob.name(), reader.name()));
  configure({{"default", db.url()}, {"bob", bob.url()}});
  static_cast<void>(to_incremental(false, "bob"));
  EXPECT_EQ(owners_of_parts(), bob.name()) << "the owner may not own anything there";
  for (const test_role* const role : {&ann, &bob, &reader}) {
    session theirs(role->url());
    EXPECT_EQ(theirs.query_one("SELECT sum(n) FROM v"), "100") << role->name();
  }
  db.execute(fmt::format("REVOKE {} FROM {}", ann.name(), bob.name()));
  EXPECT_EQ(may_read(bob.name()), "t") << "a grant to the one who converts is kept, too";
}

TEST_F(Convert, AMemberGivesThePartsToAnOwnerWhoMayOwnThem) {
  const test_role ann(db, "ann");
  const test_role bob(db, "bob");
  let_work(ann);
  let_work(bob);
  make_native_of(ann);
  db.execute(
      fmt::format("GRANT {0} TO {1}; GRANT TRIGGER ON r TO {1};"
                  "GRANT CREATE ON SCHEMA matview TO {0}, {1}",
                  ann.name(), bob.name()));
  configure({{"default", db.url()}, {"ann", ann.url()}, {"bob", bob.url()}});
  static_cast<void>(to_incremental(false, "bob"));
  EXPECT_EQ(owners_of_parts(), ann.name());
  db.execute("DELETE FROM r WHERE id <= 10");
  EXPECT_EQ(refresh_matview("v", {.database = "ann"}).mode, refresh_mode::incremental);
  EXPECT_EQ(session(ann.url()).query_one("SELECT sum(n) FROM v"), "90");
}

TEST_F(Convert, ALogIsNotShownToAnOwnerWhoMayNotReadItsTable) {
  const test_role ann(db, "ann");
  let_work(ann);
  make_native_of(ann);
  db.execute("REVOKE SELECT ON r FROM " + ann.name());
  static_cast<void>(to_incremental());
  EXPECT_EQ(db.query_one(fmt::format("SELECT count(*) FROM pg_class WHERE relname ~ '^log_[0-9]+$' "
                                     "AND has_table_privilege('{}', oid, 'SELECT')",
                                     ann.name())),
            "0");
}

TEST_F(Convert, RolesOfAnyNameKeepTheirGrants) {
  create_matview("v", sums);
  for (const std::string purpose : {"a{b", "{}", "{0}", "a,b", "a\"\"b"}) {
    const std::string role = fmt::format("\"{}_{}\"", db.name(), purpose);
    db.execute(fmt::format("CREATE ROLE {0}; GRANT SELECT ON v TO {0} WITH GRANT OPTION", role));
  }
  const auto grants = [this] {
    return db.query_one(
        "SELECT string_agg(grantee::regrole || privilege_type || is_grantable, ' ' ORDER BY "
        "grantee) FROM pg_class, aclexplode(relacl) WHERE relname = 'v' AND grantee <> relowner");
  };
  const std::string before = grants();
  EXPECT_EQ(to_incremental().kept, std::vector<std::string>{"5 grants"});
  EXPECT_EQ(grants(), before);
  static_cast<void>(to_native());
  EXPECT_EQ(grants(), before);
  EXPECT_EQ(leftovers(), "0");
  drop_matview("v");
  for (const std::string purpose : {"a{b", "{}", "{0}", "a,b", "a\"\"b"}) {
    db.execute(fmt::format("DROP ROLE \"{}_{}\"", db.name(), purpose));
  }
}

TEST_F(Convert, DefaultPrivilegesAddNothing) {
  const test_role kept(db, "kept");
  const test_role fresh(db, "fresh");
  create_matview("v", sums);
  db.execute(
      fmt::format("GRANT SELECT ON v TO {0};"
                  "ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON TABLES TO {0}, {1};"
                  "ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO PUBLIC",
                  kept.name(), fresh.name()));
  const auto grants = [this] {
    return db.query_one(
        "SELECT string_agg(CASE grantee WHEN 0 THEN 'public' ELSE grantee::regrole::text END || "
        "' ' || privilege_type, ', ') FROM pg_class, aclexplode(relacl) WHERE relname = 'v' AND "
        "grantee <> relowner");
  };
  static_cast<void>(to_incremental());
  EXPECT_EQ(grants(), kept.name() + " SELECT");
  static_cast<void>(to_native());
  EXPECT_EQ(grants(), kept.name() + " SELECT");
  EXPECT_EQ(may_read(fresh.name()), "f");
}

// ---- Conversions that were killed, and those that run at once

TEST_F(Convert, WhatAKilledConversionLeftIsRemovedByTheNextOne) {
  create_matview("v", sums);
  create_matview(leftover_name(), sums, {.kind = view_kind::incremental});
  static_cast<void>(to_incremental());
  EXPECT_EQ(leftovers(), "0");
  EXPECT_EQ(count("matview.incremental"), "1");
  create_matview(leftover_name(), sums);
  static_cast<void>(to_native());
  EXPECT_EQ(leftovers(), "0");
  EXPECT_EQ(kind(), "m");
}

TEST_F(Convert, TwoAtOnceDoNotTakeTheNewOneFromEachOther) {
  create_matview("v", sums);
  held_conversion first(*this);
  const error refusal = failure_of([] { static_cast<void>(to_incremental()); });
  EXPECT_EQ(refusal.code(), errc::already_refreshing) << refusal.what();
  EXPECT_TRUE(contains(refusal.what(), "another conversion of public.v")) << refusal.what();
  static_cast<void>(first.finish());
  EXPECT_EQ(kind(), "v");
  EXPECT_EQ(leftovers(), "0");
  EXPECT_EQ(idle_in_transaction(), 0);
}

// ---- Views that are changed meanwhile

TEST_F(Convert, GrantsAndCommentAreThoseOfTheLastMoment) {
  const test_role gone(db, "gone");
  const test_role come(db, "come");
  const test_role owner(db, "owner");
  create_matview("v", sums, {.comment = "old"});
  db.execute("GRANT SELECT ON v TO " + gone.name());
  held_conversion running(*this);
  db.execute(
      fmt::format("REVOKE SELECT ON v FROM {0}; GRANT SELECT ON v TO {1};"
                  "COMMENT ON MATERIALIZED VIEW v IS 'it''s new';"
                  "GRANT USAGE ON SCHEMA matview TO {2};"
                  "GRANT ALL ON ALL TABLES IN SCHEMA matview TO {2};"
                  "ALTER MATERIALIZED VIEW v OWNER TO {2}",
                  gone.name(), come.name(), owner.name()));
  static_cast<void>(running.finish());
  EXPECT_EQ(kind(), "v");
  EXPECT_EQ(may_read(gone.name()), "f");
  EXPECT_EQ(session(come.url()).query_one("SELECT sum(n) FROM v"), "100");
  EXPECT_EQ(session(owner.url()).query_one("SELECT sum(n) FROM v"), "100");
  EXPECT_EQ(db.query_one("SELECT obj_description('v'::regclass)"), "it's new");
}

// Neither a GRANT nor a REVOKE waits for those who read the view, as the exchange does.
TEST_F(Convert, ARevokeWhileReadersHoldItUpIsNotUndone) {
  if (server_version() >= 180000) GTEST_SKIP() << "since PostgreSQL 18 they wait, too";
  const test_role gone(db, "gone");
  const test_role come(db, "come");
  create_matview("v", sums);
  db.execute("GRANT SELECT ON v TO " + gone.name());
  session reader(db.url());
  for (const view_kind to : {view_kind::incremental, view_kind::native}) {
    reader.execute("BEGIN; SELECT * FROM v");
    background running(aconvert_matview("v", {.to = to}));
    ASSERT_TRUE(eventually([&] { return running_into("v") == "1"; }));
    db.execute(fmt::format("REVOKE SELECT ON v FROM {}; GRANT SELECT ON v TO {}", gone.name(),
                           come.name()));
    reader.execute("COMMIT");
    static_cast<void>(running.get());
    EXPECT_EQ(kind(), to == view_kind::native ? "m" : "v");
    EXPECT_EQ(may_read(gone.name()), "f");
    EXPECT_EQ(may_read(come.name()), "t");
    db.execute(fmt::format("GRANT SELECT ON v TO {}; REVOKE SELECT ON v FROM {}", gone.name(),
                           come.name()));
  }
}

TEST_F(Convert, ACommentThatIsTakenAwayStaysAway) {
  create_matview("v", sums, {.comment = "old"});
  held_conversion running(*this);
  db.execute("COMMENT ON MATERIALIZED VIEW v IS NULL");
  static_cast<void>(running.finish());
  EXPECT_EQ(db.query_one("SELECT obj_description('v'::regclass) IS NULL"), "t");
}

TEST_F(Convert, AViewThatBecomesAnotherOneIsLeftAsItIs) {
  struct interference {
    const char* sql;
    errc code;
    const char* said;
  };
  const std::string again =
      fmt::format("DROP MATERIALIZED VIEW v; CREATE MATERIALIZED VIEW v AS {} HAVING a > 1", sums);
  for (const interference& other : std::vector<interference>{
           {again.c_str(), errc::server_error, "it was made anew"},
           {"ALTER MATERIALIZED VIEW v RENAME n TO m", errc::server_error, "its query"},
           {"CREATE INDEX ON v (a)", errc::server_error, "its indexes"},
           {"CREATE INDEX ON v (a DESC)", errc::invalid_option, "would lose: index v_a_idx"},
           {"CREATE VIEW above AS SELECT * FROM v", errc::dependents_exist, "view above"},
           {"DROP MATERIALIZED VIEW v", errc::view_not_found, "was dropped"}}) {
    db.execute("DROP MATERIALIZED VIEW IF EXISTS v CASCADE");
    create_matview("v", sums);
    held_conversion running(*this);
    db.execute(other.sql);
    const std::string before = db.query_one("SELECT coalesce(to_regclass('v')::oid::text, 'none')");
    const error refusal = running.failure();
    EXPECT_EQ(refusal.code(), other.code) << other.sql << ": " << refusal.what();
    EXPECT_TRUE(contains(refusal.what(), other.said)) << other.sql << ": " << refusal.what();
    EXPECT_EQ(db.query_one("SELECT coalesce(to_regclass('v')::oid::text, 'none')"), before);
    EXPECT_EQ(leftovers(), "0") << other.sql;
    EXPECT_EQ(count("matview.incremental"), "0") << other.sql;
  }
}

// ---- What is lost

TEST_F(Convert, IndexesThatCannotBeMadeAgainAreLost) {
  create_matview("v", "SELECT a, c, count(*) AS n FROM r GROUP BY a, c");
  db.execute("CREATE INDEX kept ON v (c, a)");
  for (const char* const index :
       {"(a DESC)", "(a NULLS FIRST)", "(c text_pattern_ops)", "(c COLLATE \"C\")",
        "(a) INCLUDE (c)", "(a) WHERE a > 3", "(a) WITH (fillfactor = 70)", "((a + 1))",
        "(a, (n + 1))", "USING hash (a)"}) {
    db.execute(fmt::format("CREATE INDEX lost ON v {}", index));
    EXPECT_TRUE(contains(loss(view_kind::incremental), "index lost (not a plain btree index)"))
        << index;
    db.execute("DROP INDEX lost");
  }
  db.execute(server_version() < 150000 ? "CREATE UNIQUE INDEX lost ON v (a, c DESC)"
                                       : "CREATE UNIQUE INDEX lost ON v (a, c) NULLS NOT DISTINCT");
  EXPECT_TRUE(contains(loss(view_kind::incremental), "index lost (not a plain btree index)"));
  const convert_report done = to_incremental(true);
  EXPECT_EQ(done.kept, std::vector<std::string>{"1 indexes"});
  EXPECT_EQ(done.not_kept, std::vector<std::string>{"index lost (not a plain btree index)"});
  const convert_report back = to_native();
  EXPECT_EQ(back.kept, std::vector<std::string>{"1 indexes"}) << "the program's own is not kept";
  EXPECT_EQ(db.query_one("SELECT string_agg(pg_get_indexdef(indexrelid, 1, true) || ' ' || "
                         "pg_get_indexdef(indexrelid, 2, true), ';') FROM pg_index WHERE indrelid "
                         "= 'v'::regclass"),
            "c a");
}

TEST_F(Convert, AnIndexOnAColumnOfAnyNameIsNotTakenForAnother) {
  create_matview("v", "SELECT a AS \"a,c\", c, id AS a FROM r");
  db.execute("CREATE INDEX odd ON v (\"a,c\")");
  EXPECT_TRUE(
      contains(loss(view_kind::incremental), "index odd (on a column that cannot be named)"));
  EXPECT_EQ(to_incremental(true).kept, std::vector<std::string>{});
}

TEST_F(Convert, IndexesOfAStorageAreLostIfNoColumnOfTheViewIsMeant) {
  create_matview("v", "SELECT a, avg(id) AS m FROM r GROUP BY a", {.kind = view_kind::incremental});
  EXPECT_EQ(to_native().not_kept, std::vector<std::string>{});
  static_cast<void>(to_incremental());
  const std::string storage = db.query_one("SELECT storage FROM matview.incremental");
  db.execute(fmt::format("CREATE INDEX mine_own ON {} (__mv_n1)", storage));
  EXPECT_TRUE(contains(loss(view_kind::native), "index mine_own (not a plain btree index)"));
}

TEST_F(Convert, OptionsAreLost) {
  create_matview("v", sums);
  db.execute("ALTER MATERIALIZED VIEW v SET (fillfactor = 70)");
  EXPECT_TRUE(contains(loss(view_kind::incremental), "the option fillfactor=70"));
  static_cast<void>(to_incremental(true));
  db.execute("ALTER VIEW v SET (security_barrier)");
  EXPECT_TRUE(contains(loss(view_kind::native), "the option security_barrier=true"));
  EXPECT_EQ(to_native(true).not_kept, std::vector<std::string>{"the option security_barrier=true"});
}

// A directory of the server's own: it is another one's where the server is.
TEST_F(Convert, ATablespaceIsLost) {
  const std::string place = db.name() + "_place";
  session admin(db.url());
  admin.execute("SET allow_in_place_tablespaces = on");
  admin.execute("CREATE TABLESPACE " + place + " LOCATION ''");
  create_matview("v", sums);
  db.execute("CREATE INDEX there ON v (a) TABLESPACE " + place);
  EXPECT_TRUE(
      contains(loss(view_kind::incremental), fmt::format("index there (in tablespace {})", place)));
  db.execute("DROP INDEX there; ALTER MATERIALIZED VIEW v SET TABLESPACE " + place);
  EXPECT_TRUE(contains(loss(view_kind::incremental), "tablespace " + place));
  static_cast<void>(to_incremental(true));
  const std::string storage = db.query_one("SELECT storage FROM matview.incremental");
  db.execute(fmt::format("ALTER TABLE {} SET TABLESPACE {}", storage, place));
  EXPECT_TRUE(contains(loss(view_kind::native), "tablespace " + place));
  drop_matview("v");
  admin.execute("DROP TABLESPACE " + place);
}

}  // namespace

}  // namespace matview::test
