// What a view has beside its query and goes with it when it is converted, or is said to be lost
// before anything is done. Owners, grants and what happens meanwhile: convert_test.cpp.
#include "pg/views_fixture.hpp"
#include <matview/incremental.hpp>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace matview::test {
namespace {

using texts = std::vector<std::string>;

class ConvertTraits : public views_test {
 protected:
  ConvertTraits() {
    db.execute(
        "SET client_min_messages = warning;"
        "CREATE TABLE r (id int PRIMARY KEY, a int, c text);"
        "INSERT INTO r SELECT i, i % 10, 'c' || i % 3 FROM generate_series(1, 100) i");
  }

  static constexpr const char* sums = "SELECT a, count(*) AS n, avg(id) AS m FROM r GROUP BY a";

  static convert_report to(view_kind kind, bool accept_losses = false, log_sink log = {}) {
    return convert_matview("v",
                           {.to = kind, .accept_losses = accept_losses, .log = std::move(log)});
  }
  std::string storage() { return db.query_one("SELECT storage FROM matview.incremental"); }
  // Of `v`, or of the storage behind it: name, comment and what CLUSTER goes by.
  std::string indexes(const std::string& of) {
    return db.query_one(
        "SELECT string_agg(c.relname || coalesce(' ''' || obj_description(c.oid) || '''', '') || "
        "CASE WHEN indisclustered THEN ' clustered' ELSE '' END, ', ' ORDER BY c.relname) FROM "
        "pg_index JOIN pg_class c ON c.oid = indexrelid WHERE c.relname !~ '_own$' AND indrelid = "
        "'" +
        of + "'::regclass");
  }
  // Every column's settings.
  std::string settings(const std::string& of) {
    return db.query_one(
        "SELECT coalesce(string_agg(concat_ws(' ', attname, nullif(attstattarget, -1), "
        "attoptions::text, attstorage::text, attcompression::text), ', ' ORDER BY attnum), '') "
        "FROM pg_attribute WHERE attnum > 0 AND (attstattarget >= 0 OR attoptions IS NOT NULL OR "
        "attname = 'c') AND attrelid = '" +
        of + "'::regclass");
  }
  // What is said to be lost, nothing being done.
  std::string loss(view_kind kind) {
    const std::string before = db.query_one("SELECT 'v'::regclass::oid");
    const error refusal = failure_of([&] { static_cast<void>(to(kind)); });
    EXPECT_EQ(refusal.code(), errc::invalid_option) << refusal.what();
    EXPECT_EQ(db.query_one("SELECT 'v'::regclass::oid"), before);
    return refusal.what();
  }
};

// ---- Indexes

TEST_F(ConvertTraits, IndexesKeepNameCommentAndCluster) {
  create_matview("v", "SELECT a, c, count(*) AS n FROM r GROUP BY a, c");
  db.execute(
      "CREATE UNIQUE INDEX \"m pk\" ON v (a, c); CREATE INDEX by_c ON v (c, a); CREATE INDEX ON v "
      "(c);"
      "COMMENT ON INDEX \"m pk\" IS 'it''s the key'; ALTER MATERIALIZED VIEW v CLUSTER ON by_c");
  const std::string before = indexes("v");
  EXPECT_EQ(before, "by_c clustered, m pk 'it's the key', v_c_idx");
  EXPECT_EQ(to(view_kind::incremental).not_kept, texts{});
  EXPECT_EQ(indexes(storage()), before);
  EXPECT_EQ(to(view_kind::native).not_kept, texts{});
  EXPECT_EQ(indexes("v"), before);
}

TEST_F(ConvertTraits, AnIndexOfAnIncrementalViewIsNamedByTheView) {
  create_matview("v", "SELECT id, a FROM r",
                 {.indexes = {{.columns = {"a"}}}, .kind = view_kind::incremental});
  EXPECT_EQ(to(view_kind::native).not_kept, texts{});
  EXPECT_EQ(indexes("v"), "v_a_idx");
}

TEST_F(ConvertTraits, ANameThatIsTakenIsLost) {
  create_matview("other", "SELECT id FROM r");
  db.execute("CREATE INDEX mine ON other (id)");
  static_cast<void>(convert_matview("other"));
  create_matview("v", sums);
  db.execute("CREATE INDEX mine ON v (a); CREATE INDEX storage_1 ON v (n)");
  const std::string lost = loss(view_kind::incremental);
  EXPECT_TRUE(contains(lost, "the name of index mine (it is taken in schema matview)")) << lost;
  EXPECT_TRUE(contains(lost, "the name of index storage_1")) << lost;
  EXPECT_EQ(to(view_kind::incremental, true).kept, texts{"2 indexes"});
}

// Of such a column the storage has what it is computed from.
TEST_F(ConvertTraits, IndexesOnComputedColumnsAreKept) {
  create_matview("v",
                 "SELECT a, count(*) AS n, sum(id) AS total, avg(id) AS mean FROM r GROUP BY a",
                 {.indexes = {{.columns = {"a"}, .unique = true},
                              {.columns = {"n", "total"}},
                              {.columns = {"mean"}}},
                  .kind = view_kind::incremental});
  for (const view_kind kind : {view_kind::native, view_kind::incremental, view_kind::native}) {
    const convert_report done = to(kind);
    EXPECT_EQ(done.kept, texts{"3 indexes"});
    EXPECT_EQ(done.not_kept, texts{});
  }
  EXPECT_EQ(db.query_one("SELECT string_agg(pg_get_indexdef(indexrelid), '; ' ORDER BY "
                         "pg_get_indexdef(indexrelid)) FROM pg_index WHERE indrelid = "
                         "'v'::regclass"),
            "CREATE INDEX v_mean_idx ON public.v USING btree (mean); "
            "CREATE INDEX v_n_total_idx ON public.v USING btree (n, total); "
            "CREATE UNIQUE INDEX v_a_idx ON public.v USING btree (a)");
}

// ---- Columns

TEST_F(ConvertTraits, ColumnsKeepTheNamesThatTheyWereGiven) {
  create_matview("v", "SELECT id, a, c FROM r",
                 {.indexes = {{.columns = {"a"}}}, .kind = view_kind::incremental});
  db.execute(
      "ALTER VIEW v RENAME a TO other; ALTER VIEW v RENAME c TO a; ALTER VIEW v RENAME other TO c");
  const auto names = [this] {
    return db.query_one(
        "SELECT string_agg(attname, ' ' ORDER BY attnum) FROM pg_attribute WHERE attnum > 0 AND "
        "attrelid = 'v'::regclass");
  };
  EXPECT_EQ(names(), "id c a");
  for (const view_kind kind : {view_kind::native, view_kind::incremental, view_kind::native}) {
    EXPECT_EQ(to(kind).kept, texts{"1 indexes"});
    EXPECT_EQ(names(), "id c a");
    EXPECT_EQ(db.query_one("SELECT string_agg(a, ' ' ORDER BY id) FROM v WHERE id < 3"), "c1 c2");
  }
  EXPECT_EQ(db.query_one("SELECT pg_get_indexdef(indexrelid) FROM pg_index WHERE indrelid = "
                         "'v'::regclass"),
            "CREATE INDEX v_a_idx ON public.v USING btree (c)");
}

TEST_F(ConvertTraits, ColumnsKeepTheirSettings) {
  create_matview("v", "SELECT a, c, count(*) AS n FROM r GROUP BY a, c");
  db.execute(
      "ALTER MATERIALIZED VIEW v ALTER a SET STATISTICS 500;"
      "ALTER MATERIALIZED VIEW v ALTER a SET (n_distinct = 7);"
      "ALTER MATERIALIZED VIEW v ALTER c SET STORAGE EXTERNAL;"
      "ALTER MATERIALIZED VIEW v ALTER c SET COMPRESSION pglz");
  const std::string before = settings("v");
  EXPECT_EQ(before, "a 500 {n_distinct=7} p , c e p");
  const convert_report there = to(view_kind::incremental);
  EXPECT_EQ(there.kept, texts{"4 column settings"});
  EXPECT_EQ(there.not_kept, texts{});
  EXPECT_EQ(settings(storage()), before);
  EXPECT_EQ(to(view_kind::native).kept, texts{"4 column settings"});
  EXPECT_EQ(settings("v"), before);
}

TEST_F(ConvertTraits, SettingsOfColumnsThatAreNotStoredAreLost) {
  create_matview("v", sums);
  db.execute("ALTER MATERIALIZED VIEW v ALTER m SET STATISTICS 500");
  EXPECT_TRUE(contains(loss(view_kind::incremental),
                       "statistics target 500 of column m (it is computed when the view is read)"));
  EXPECT_EQ(to(view_kind::incremental, true).not_kept.size(), 1U);
  db.execute("ALTER TABLE " + storage() + " ALTER __mv_n1 SET STATISTICS 3");
  EXPECT_TRUE(
      contains(loss(view_kind::native), "statistics target 3 of column __mv_n1 of its storage"));
}

// ---- What nothing can be given

TEST_F(ConvertTraits, WhatAnIncrementalViewHasOfAPlainOneAndATableIsLost) {
  create_matview("v", "SELECT id, a, c FROM r", {.kind = view_kind::incremental});
  db.execute(fmt::format(
      "CREATE RULE note AS ON INSERT TO v DO ALSO NOTIFY v; ALTER VIEW v ALTER a SET DEFAULT 1;"
      "ALTER TABLE {0} SET (fillfactor = 80); CREATE STATISTICS matview.pair ON a, c FROM {0}",
      storage()));
  const convert_report done = to(view_kind::native, true);
  for (const std::string lost :
       {"rule note", "the default of column a", "the option fillfactor=80 of its storage",
        "statistics object pair"}) {
    EXPECT_NE(std::ranges::find(done.not_kept, lost), done.not_kept.end()) << lost;
  }
}

TEST_F(ConvertTraits, DependentsByRowTypeAreNamedBeforeAnythingIsDone) {
  create_matview("v", sums);
  struct dependent {
    const char* made;
    const char* named;
    const char* gone;
  };
  for (const dependent& one :
       std::vector<dependent>{{"CREATE FUNCTION f(v) RETURNS int LANGUAGE sql AS 'SELECT 1'",
                               "function f(v)", "DROP FUNCTION f"},
                              {"CREATE TABLE kept (rows v[])", "table kept", "DROP TABLE kept"}}) {
    db.execute(one.made);
    const error refusal = failure_of([] { static_cast<void>(to(view_kind::incremental)); });
    EXPECT_EQ(refusal.code(), errc::dependents_exist) << refusal.what();
    EXPECT_TRUE(contains(refusal.what(), one.named)) << refusal.what();
    EXPECT_FALSE(exists("matview.incremental")) << "it was filled before it was refused";
    db.execute(one.gone);
  }
}

// ---- Rights

TEST_F(ConvertTraits, WhatTheOwnerHasRevokedFromHimselfStaysRevoked) {
  const test_role ann(db, "ann");
  create_matview("v", sums);
  db.execute("ALTER MATERIALIZED VIEW v OWNER TO " + ann.name());
  db.execute("REVOKE INSERT, UPDATE ON v FROM " + ann.name());
  const auto rights = [this] {
    return db.query_one(
        "SELECT string_agg(privilege_type, ' ' ORDER BY privilege_type) FROM pg_class, "
        "aclexplode(relacl) WHERE relname = 'v' AND grantee = relowner AND privilege_type <> "
        "'MAINTAIN'");
  };
  const std::string before = rights();
  EXPECT_EQ(before, "DELETE REFERENCES SELECT TRIGGER TRUNCATE");
  static_cast<void>(to(view_kind::incremental, true));
  EXPECT_EQ(rights(), before);
  static_cast<void>(to(view_kind::native));
  EXPECT_EQ(rights(), before);
}

TEST_F(ConvertTraits, AGrantorOtherThanTheOwnerIsLost) {
  const test_role ann(db, "ann");
  const test_role bob(db, "bob");
  for (const view_kind kind : {view_kind::native, view_kind::incremental}) {
    create_matview("v", sums, {.kind = kind});
    db.execute("GRANT SELECT ON v TO " + ann.name() + " WITH GRANT OPTION");
    session(ann.url()).execute("GRANT SELECT ON v TO " + bob.name());
    const std::string lost =
        loss(kind == view_kind::native ? view_kind::incremental : view_kind::native);
    EXPECT_TRUE(
        contains(lost, fmt::format("that SELECT was granted to {} by {}", bob.name(), ann.name())))
        << lost;
    drop_matview("v");
  }
}

TEST_F(ConvertTraits, AnOwnerCanGoOnWithWhatAnotherRoleHasConverted) {
  const test_role ann(db, "ann");
  create_matview("first", "SELECT id FROM r", {.kind = view_kind::incremental});
  drop_matview("first");  // The schema stays.
  db.execute(fmt::format(
      "ALTER TABLE r OWNER TO {0}; GRANT CREATE ON SCHEMA public TO {0}; GRANT USAGE, CREATE ON "
      "SCHEMA matview TO {0}; GRANT ALL ON ALL TABLES IN SCHEMA matview TO {0}; GRANT ALL ON ALL "
      "SEQUENCES IN SCHEMA matview TO {0}",
      ann.name()));
  configure({{"default", db.url()}, {"ann", ann.url()}});
  create_matview("v", sums, {.database = "ann"});
  EXPECT_EQ(to(view_kind::incremental).not_kept, texts{});
  session(ann.url()).execute("DELETE FROM r WHERE id < 10");
  EXPECT_EQ(refresh_matview("v", {.database = "ann"}).mode, refresh_mode::incremental);
  session(ann.url()).execute("ALTER TABLE r RENAME a TO aa; INSERT INTO r VALUES (1000, 1, '')");
  refresh_matview("v", {.database = "ann"});
  EXPECT_EQ(db.query_one("SELECT sum(n) FROM v"), "92");
  drop_matview("v", {.database = "ann"});
  EXPECT_EQ(count("matview.change_log"), "0");
}

TEST_F(ConvertTraits, ThatAnOwnerMayNotRefreshAnIncrementalViewIsSaid) {
  const test_role ann(db, "ann");
  db.execute("GRANT SELECT ON r TO " + ann.name());
  create_matview("v", sums);
  db.execute("ALTER MATERIALIZED VIEW v OWNER TO " + ann.name());
  const std::string lost = loss(view_kind::incremental);
  EXPECT_TRUE(contains(lost, "that " + ann.name() + " may refresh it")) << lost;
  EXPECT_EQ(to(view_kind::incremental, true).not_kept.size(), 1U);
  EXPECT_EQ(to(view_kind::native).not_kept, texts{});
}

}  // namespace
}  // namespace matview::test
