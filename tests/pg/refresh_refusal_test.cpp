#include "views_fixture.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace matview::test {
namespace {

class RefreshMatviewRefuses : public views_test {
 protected:
  RefreshMatviewRefuses() { db.execute("CREATE TABLE t AS SELECT 1 AS id, 1 AS same"); }

  static error concurrently(const std::string& view) {
    return failure_of([&] { return refresh_matview(view, {.concurrently = true}); });
  }
};

TEST_F(RefreshMatviewRefuses, AViewThatIsNotThere) {
  struct row {
    std::string name;
    std::string says;
  };
  db.execute(
      "CREATE VIEW plain AS SELECT 1 AS id; CREATE SEQUENCE numbers; "
      "CREATE MATERIALIZED VIEW v AS SELECT 1 AS id; CREATE INDEX v_index ON v (id)");
  const std::vector<row> table{
      {"missing", "\"missing\""}, {"nowhere.v", "\"nowhere\".\"v\""}, {"V", "\"V\""},
      {"t", "a table"},           {"plain", "a plain view"},          {"numbers", "a sequence"},
      {"v_index", "an index"},
  };
  for (const row& wrong : table) {
    for (const bool concurrent : {false, true}) {
      SCOPED_TRACE(wrong.name + (concurrent ? " concurrently" : ""));
      const error failure =
          failure_of([&] { return refresh_matview(wrong.name, {.concurrently = concurrent}); });
      EXPECT_EQ(failure.code(), errc::view_not_found);
      EXPECT_EQ(failure.sqlstate().size(), 5U);
      EXPECT_TRUE(contains(failure.what(), wrong.says)) << failure.what();
      EXPECT_FALSE(failure.may_retry());
    }
  }
}

TEST_F(RefreshMatviewRefuses, ConcurrencyForAViewThatHoldsNoData) {
  create_matview("v", "SELECT id FROM t",
                 {.with_data = false, .indexes = {{.columns = {"id"}, .unique = true}}});
  const error failure = concurrently("v");
  EXPECT_EQ(failure.code(), errc::not_populated);
  EXPECT_EQ(failure.sqlstate().size(), 5U);
  EXPECT_TRUE(contains(failure.what(), "public.v")) << failure.what();
  EXPECT_TRUE(contains(failure.hint(), "without CONCURRENTLY")) << failure.hint();
  refresh_matview("v");
  EXPECT_EQ(refresh_matview("v", {.concurrently = true}).rows, 1);
}

struct hinted {
  std::string what;
  std::string query;
  std::string index;
};

TEST_F(RefreshMatviewRefuses, ConcurrencyWithoutAUniqueIndexAndSaysWhichOneToMake) {
  const std::vector<hinted> table{
      {"the first column", "SELECT g AS id, 1 AS same FROM generate_series(1, 9) g", "(id)"},
      {"another column", "SELECT 1 AS same, g AS id FROM generate_series(1, 9) g", "(id)"},
      {"two columns", "SELECT a, b, 1 AS c FROM generate_series(1, 3) a, generate_series(1, 3) b",
       "(a, b)"},
      {"a column that has to be quoted", "SELECT 1 AS \"Order Id\"", "(\"Order Id\")"},
      {"a column without NULL", "SELECT nullif(g, 1) AS gap, g AS id FROM generate_series(1, 9) g",
       "(id)"},
      {"beside a type that cannot be compared",
       "SELECT point(g, g) AS spot, g AS id FROM generate_series(1, 9) g", "(id)"},
  };
  for (const hinted& row : table) {
    SCOPED_TRACE(row.what);
    create_matview("v", row.query);
    const error failure = concurrently("v");
    EXPECT_EQ(failure.code(), errc::needs_unique_index);
    EXPECT_EQ(failure.sqlstate(), "55000");
    ASSERT_TRUE(contains(failure.hint(), "CREATE UNIQUE INDEX ON public.v " + row.index))
        << failure.hint();
    db.execute(failure.hint());
    EXPECT_EQ(refresh_matview("v", {.concurrently = true}).mode, refresh_mode::concurrently);
    drop_matview("v");
  }
}

TEST_F(RefreshMatviewRefuses, ConcurrencyWithoutAUniqueIndexWhereNoneCanBeMade) {
  create_matview("v", "SELECT 1 AS same FROM generate_series(1, 2)");
  const error failure = concurrently("v");
  EXPECT_EQ(failure.code(), errc::needs_unique_index);
  EXPECT_TRUE(contains(failure.hint(), "CREATE UNIQUE INDEX ON public.v")) << failure.hint();
  EXPECT_FALSE(contains(failure.hint(), "(same)")) << failure.hint();
}

TEST_F(RefreshMatviewRefuses, ConcurrencyWithAnIndexThatDoesNotServe) {
  struct row {
    std::string what;
    std::string statements;
  };
  const std::vector<row> table{
      {"not unique", "CREATE INDEX ON v (id)"},
      {"partial", "CREATE UNIQUE INDEX ON v (id) WHERE id > 0"},
      {"on an expression", "CREATE UNIQUE INDEX ON v ((id + 0))"},
      {"partly on an expression", "CREATE UNIQUE INDEX ON v (id, (id + 0))"},
      {"deferred",
       "CREATE UNIQUE INDEX i ON v (id); "
       "UPDATE pg_index SET indimmediate = false WHERE indexrelid = 'i'::regclass"},
      {"invalid",
       "CREATE UNIQUE INDEX i ON v (id); "
       "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'i'::regclass"},
  };
  for (const row& useless : table) {
    SCOPED_TRACE(useless.what);
    create_matview("v", "SELECT id FROM t");
    db.execute(useless.statements);
    EXPECT_FALSE(describe_matviews().at(0).can_refresh_concurrently);
    const error failure = concurrently("v");
    EXPECT_EQ(failure.code(), errc::needs_unique_index) << failure.what();
    db.execute(failure.hint());
    EXPECT_EQ(refresh_matview("v", {.concurrently = true}).rows, 1);
    EXPECT_TRUE(describe_matviews().at(0).can_refresh_concurrently);
    drop_matview("v");
  }
}

TEST_F(RefreshMatviewRefuses, NewRowsThatTheUniqueIndexForbidsAndKeepsTheOld) {
  create_matview("v", "SELECT id FROM t", {.indexes = {{.columns = {"id"}, .unique = true}}});
  db.execute("INSERT INTO t VALUES (1, 2), (2, 3)");
  for (const bool concurrent : {false, true}) {
    SCOPED_TRACE(concurrent ? "concurrently" : "full");
    const error failure =
        failure_of([&] { return refresh_matview("v", {.concurrently = concurrent}); });
    EXPECT_EQ(failure.code(), errc::server_error);
    EXPECT_EQ(failure.sqlstate(), concurrent ? "21000" : "23505");
    EXPECT_TRUE(contains(failure.hint(), "the view is as it was")) << failure.hint();
    EXPECT_EQ(db.query("SELECT id FROM v"), (rows{{"1"}}));
  }
}

TEST_F(RefreshMatviewRefuses, SomebodyElsesView) {
  const test_role role(db, "stranger");
  create_matview("v", "SELECT id FROM t", {.indexes = {{.columns = {"id"}, .unique = true}}});
  const std::string owner = db.query_one("SELECT current_user");
  configure({{"default", role.url()}});
  for (const bool concurrent : {false, true}) {
    SCOPED_TRACE(concurrent ? "concurrently" : "full");
    const error failure =
        failure_of([&] { return refresh_matview("v", {.concurrently = concurrent}); });
    EXPECT_EQ(failure.code(), errc::permission_denied);
    EXPECT_EQ(failure.sqlstate(), "42501");
    EXPECT_TRUE(contains(failure.hint(), "run as " + owner)) << failure.hint();
    EXPECT_EQ(contains(failure.hint(), "GRANT MAINTAIN ON public.v"), server_version() >= 170000)
        << failure.hint();
  }
}

// The right to refresh is not the right to read: the rows cannot be counted then.
TEST_F(RefreshMatviewRefuses, NobodyWhoHasMaintain) {
  if (server_version() < 170000) GTEST_SKIP() << "MAINTAIN is there since 17";
  const test_role role(db, "maintainer");
  create_matview("v", "SELECT id FROM t", {.indexes = {{.columns = {"id"}, .unique = true}}});
  db.execute("GRANT MAINTAIN ON v TO " + role.name());
  configure({{"default", role.url()}});
  EXPECT_EQ(refresh_matview("v").mode, refresh_mode::full);
  EXPECT_EQ(refresh_matview("v", {.concurrently = true}).mode, refresh_mode::concurrently);
  EXPECT_EQ(refresh_matview("v", {.concurrently = true}).rows, std::nullopt);
}

TEST_F(RefreshMatviewRefuses, AnOwnerWhoMayNoLongerReadTheTable) {
  const test_role role(db, "owner");
  db.execute("CREATE MATERIALIZED VIEW v AS SELECT id FROM t; ALTER MATERIALIZED VIEW v OWNER TO " +
             role.name());
  configure({{"default", role.url()}});
  const error failure = failure_of([] { return refresh_matview("v"); });
  EXPECT_EQ(failure.code(), errc::permission_denied);
  EXPECT_TRUE(contains(failure.what(), "table t")) << failure.what();
  EXPECT_TRUE(contains(failure.hint(), "owner needs SELECT")) << failure.hint();
}

TEST_F(RefreshMatviewRefuses, ToWaitForALockAndSaysWhoHoldsIt) {
  create_matview("v", "SELECT id FROM t", {.indexes = {{.columns = {"id"}, .unique = true}}});
  session holder(with_parameter(db.url(), "application_name", "nightly report"));
  holder.execute("BEGIN; REFRESH MATERIALIZED VIEW v");
  for (const bool concurrent : {false, true}) {
    SCOPED_TRACE(concurrent ? "concurrently" : "full");
    const error failure = failure_of([&] {
      return refresh_matview(
          "v", {.concurrently = concurrent, .lock_timeout = interval::parse("50 milliseconds")});
    });
    EXPECT_EQ(failure.code(), errc::lock_timeout);
    EXPECT_EQ(failure.sqlstate(), "55P03");
    EXPECT_TRUE(failure.may_retry());
    const std::string said = failure.what();
    EXPECT_TRUE(contains(said, "pid " + std::to_string(holder.backend_pid()))) << said;
    EXPECT_TRUE(contains(said, "nightly report")) << said;
    EXPECT_TRUE(contains(said, "idle in transaction")) << said;
  }
  holder.execute("ROLLBACK");
  EXPECT_EQ(refresh_matview("v", {.lock_timeout = interval::parse("10 seconds")}).rows, 1);
}

TEST_F(RefreshMatviewRefuses, ToRunLongerThanItsTimeout) {
  create_matview("v", "SELECT id FROM t");
  db.execute("CREATE MATERIALIZED VIEW slow AS SELECT pg_sleep(60)::text AS id WITH NO DATA");
  const error failure = failure_of([] {
    return refresh_matview("slow", {.statement_timeout = interval::parse("50 milliseconds")});
  });
  EXPECT_EQ(failure.code(), errc::statement_timeout);
  EXPECT_EQ(failure.sqlstate(), "57014");
  EXPECT_TRUE(failure.may_retry());
  EXPECT_EQ(running("%REFRESH%"), 0);
}

TEST_F(RefreshMatviewRefuses, ToGoOnAfterAnAdministratorsCancel) {
  gate slow(db.url());
  db.execute("CREATE MATERIALIZED VIEW v AS SELECT id FROM t WHERE " + gate::condition() +
             " WITH NO DATA");
  for (const bool with_timeout : {false, true}) {
    SCOPED_TRACE(with_timeout ? "with a timeout" : "without a timeout");
    refresh_options options;
    if (with_timeout) options.statement_timeout = interval::parse("1 hour");
    background refresh(arefresh_matview("v", options));
    slow.await();
    db.execute(
        "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE "
        "datname = current_database() AND application_name = 'matview refresh v'");
    const error failure = failure_of([&] { return refresh.get(); });
    EXPECT_EQ(failure.code(), errc::cancelled);
    EXPECT_EQ(failure.sqlstate(), "57014");
    EXPECT_TRUE(failure.may_retry());
  }
}

// Since 17 a REFRESH looks names up in pg_catalog only.
TEST_F(RefreshMatviewRefuses, AFunctionThatDoesNotFindItsTableAndSaysWhy) {
  if (server_version() < 170000) GTEST_SKIP() << "the search_path of REFRESH is safe since 17";
  db.execute(
      "CREATE FUNCTION total() RETURNS bigint LANGUAGE plpgsql AS "
      "$$BEGIN RETURN (SELECT sum(id) FROM t); END$$; "
      "CREATE MATERIALIZED VIEW v AS SELECT total() AS id WITH NO DATA");
  const error failure = failure_of([] { return refresh_matview("v"); });
  EXPECT_EQ(failure.code(), errc::server_error);
  EXPECT_EQ(failure.sqlstate(), "42P01");
  EXPECT_TRUE(contains(failure.hint(), "SET search_path")) << failure.hint();
  const error at_birth =
      failure_of([] { return create_matview("w", "SELECT public.total() AS id"); });
  EXPECT_EQ(at_birth.sqlstate(), "42P01");
  EXPECT_TRUE(contains(at_birth.hint(), "SET search_path")) << at_birth.hint();
  db.execute("ALTER FUNCTION total() SET search_path = public");
  EXPECT_EQ(refresh_matview("v").rows, 1);
}

TEST_F(RefreshMatviewRefuses, AReadOnlySessionAndPointsToThePrimary) {
  create_matview("v", "SELECT id FROM t", {.indexes = {{.columns = {"id"}, .unique = true}}});
  configure(
      {{"default", with_parameter(db.url(), "options", "-c default_transaction_read_only=on")}});
  const std::vector<error> failures{
      failure_of([] { return refresh_matview("v"); }), concurrently("v"),
      failure_of([] { return create_matview("w", "SELECT 1 AS id"); }),
      failure_of([] { return drop_matview("v"), 0; })};
  for (const error& failure : failures) {
    EXPECT_EQ(failure.code(), errc::server_error);
    EXPECT_EQ(failure.sqlstate(), "25006");
    EXPECT_TRUE(contains(failure.hint(), "primary")) << failure.hint();
  }
  EXPECT_EQ(list_matviews(), (std::vector<std::string>{"v"}));
}

TEST_F(RefreshMatviewRefuses, WithoutHarmToTheNextCall) {
  create_matview("v", "SELECT id FROM t");
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(concurrently("v").code(), errc::needs_unique_index);
    EXPECT_EQ(concurrently("missing").code(), errc::view_not_found);
    EXPECT_EQ(refresh_matview("v").rows, 1);
  }
  EXPECT_EQ(idle_in_transaction(), 0);
  EXPECT_EQ(connections(), 1);
}

}  // namespace
}  // namespace matview::test
