#include "views_fixture.hpp"

#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <vector>

namespace matview::test {
namespace {

class CreateMatviewRefuses : public views_test {
 protected:
  // Views of any kind, tables and so on that the library may have left.
  std::string relations() {
    return db.query_one(
        "SELECT coalesce(string_agg(c.relname, ' ' ORDER BY c.relname), '') "
        "FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace");
  }
};

TEST_F(CreateMatviewRefuses, ANameOutsideTheAllowlist) {
  const std::vector<std::string> names{"",
                                       "v\n",
                                       " v",
                                       "v ",
                                       "1v",
                                       "v-w",
                                       "a.b.c",
                                       ".v",
                                       "v.",
                                       "\"v\"",
                                       "v\"; DROP TABLE precious; --",
                                       "größe",
                                       std::string("v\0w", 3),
                                       std::string(64, 'x'),
                                       std::string(80, 'x'),
                                       "s." + std::string(64, 'x')};
  for (const std::string& name : names) {
    SCOPED_TRACE(name);
    const error failure = failure_of([&] { return create_matview(name, "SELECT 1 AS id"); });
    EXPECT_EQ(failure.code(), errc::invalid_identifier);
  }
  EXPECT_EQ(relations(), "");
}

TEST_F(CreateMatviewRefuses, WhatIsWrongBeforeAnyConnectionIsMade) {
  configure({{"default", "host=/nonexistent"}});
  EXPECT_EQ(failure_of([] { return create_matview("v", "SELECT 1"); }).code(),
            errc::connection_failed);
  EXPECT_EQ(failure_of([] { return create_matview("v\n", "SELECT 1"); }).code(),
            errc::invalid_identifier);
  EXPECT_EQ(failure_of([] { return create_matview("v", "SELECT FROM ("); }).code(),
            errc::invalid_select);
  EXPECT_EQ(failure_of([] { return refresh_matview("v\n"); }).code(), errc::invalid_identifier);
  EXPECT_EQ(failure_of([] { return drop_matview("v\n"), 0; }).code(), errc::invalid_identifier);
  EXPECT_EQ(failure_of([] {
              return create_matview("v", "SELECT 1", {.indexes = {{.columns = {"a b"}}}});
            }).code(),
            errc::invalid_identifier);
  EXPECT_EQ(failure_of([] { return create_matview("v", "SELECT 1", {.indexes = {{}}}); }).code(),
            errc::invalid_option);
}

TEST_F(CreateMatviewRefuses, WhatIsNotOneQuery) {
  db.execute("CREATE MATERIALIZED VIEW w AS SELECT 1 AS id; CREATE TABLE t (id int)");
  const std::vector<std::string> texts{
      "",
      "   ",
      ";",
      "-- nothing",
      "SELECT 1; DROP MATERIALIZED VIEW w; --",
      "SELECT 1; SELECT 2",
      "DROP MATERIALIZED VIEW w",
      "INSERT INTO t VALUES (1) RETURNING id",
      "WITH d AS (DELETE FROM t RETURNING id) SELECT * FROM d",
      "SELECT 1 AS id INTO u",
      "SELECT $1",
      "SELECT 1) AS x; DROP MATERIALIZED VIEW w; --",
      "EXPLAIN SELECT 1",
      "COMMIT",
      "; SELECT 1",
      std::string("SELECT 1\0; DROP MATERIALIZED VIEW w", 35),
  };
  const std::string before = relations();
  for (const std::string& text : texts) {
    SCOPED_TRACE(text);
    EXPECT_EQ(failure_of([&] { return create_matview("v", text); }).code(), errc::invalid_select);
  }
  EXPECT_EQ(relations(), before);
}

struct taken {
  std::string what;
  std::string statement;
  bool if_not_exists;
};

TEST_F(CreateMatviewRefuses, ANameThatIsTaken) {
  const std::vector<taken> table{
      {"materialized view", "CREATE MATERIALIZED VIEW v AS SELECT 1 AS id", false},
      {"table", "CREATE TABLE v (id int)", false},
      {"table", "CREATE TABLE v (id int)", true},
      {"plain view", "CREATE VIEW v AS SELECT 1 AS id", false},
      {"plain view", "CREATE VIEW v AS SELECT 1 AS id", true},
      {"sequence", "CREATE SEQUENCE v", true},
      {"index", "CREATE TABLE t (id int); CREATE INDEX v ON t (id)", true},
      {"composite type", "CREATE TYPE v AS (id int)", true},
      {"\"v\"", "CREATE DOMAIN v AS int", false},
      {"\"v\"", "CREATE TYPE v AS ENUM ('a')", true},
  };
  for (const taken& row : table) {
    SCOPED_TRACE(row.statement);
    db.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public; " + row.statement);
    const std::string before = relations();
    const error failure = failure_of(
        [&] { return create_matview("v", "SELECT 2", {.if_not_exists = row.if_not_exists}); });
    EXPECT_EQ(failure.code(), errc::view_exists);
    EXPECT_TRUE(failure.sqlstate() == "42P07" || failure.sqlstate() == "42710")
        << failure.sqlstate();
    EXPECT_TRUE(contains(failure.what(), row.what)) << failure.what();
    EXPECT_NE(failure.hint(), "");
    EXPECT_EQ(relations(), before);
  }
}

TEST_F(CreateMatviewRefuses, AnIndexThatCannotBeAndLeavesNoView) {
  struct row {
    std::string what;
    index_definition index;
    std::string sqlstate;
  };
  const std::vector<row> table{
      {"no such column", {.columns = {"nowhere"}}, "42703"},
      {"duplicates", {.columns = {"same"}, .unique = true}, "23505"},
      {"a type without an order", {.columns = {"spot"}}, "42704"},
  };
  for (const row& wrong : table) {
    SCOPED_TRACE(wrong.what);
    const error failure = failure_of([&] {
      return create_matview(
          "v", "SELECT g AS id, 1 AS same, point(g, g) AS spot FROM generate_series(1, 2) g",
          {.indexes = {{.columns = {"id"}, .unique = true}, wrong.index}, .comment = "c"});
    });
    EXPECT_EQ(failure.code(), errc::server_error);
    EXPECT_EQ(failure.sqlstate(), wrong.sqlstate);
    EXPECT_EQ(failure.position(), std::nullopt);
    EXPECT_FALSE(contains(failure.hint(), "search_path")) << failure.hint();
    EXPECT_EQ(relations(), "");
  }
}

struct misspelt {
  std::string what;
  std::string sql;
  std::string sqlstate;
  std::size_t position;
  std::string shown;
};

TEST_F(CreateMatviewRefuses, WhatTheServerDoesNotKnowAndShowsWhere) {
  db.execute("CREATE TABLE t (id int)");
  const std::vector<misspelt> table{
      {"table", "SELECT id FROM nowhere", "42P01", 16,
       "line 1: SELECT id FROM nowhere\n"
       "                       ^"},
      {"column", "SELECT idd FROM t", "42703", 8,
       "line 1: SELECT idd FROM t\n"
       "               ^"},
      {"function", "SELECT nofunction(1)", "42883", 8,
       "line 1: SELECT nofunction(1)\n"
       "               ^"},
      {"on the third line", "SELECT id\nFROM t\nWHERE idd = 1", "42703", 24,
       "line 3: WHERE idd = 1\n"
       "              ^"},
      {"behind UTF-8", "SELECT 'ä漢🙂', idd FROM t", "42703", 15,
       "line 1: SELECT 'ä漢🙂', idd FROM t\n"
       "                      ^"},
      {"behind a comment", "-- größer\nSELECT idd FROM t", "42703", 18,
       "line 2: SELECT idd FROM t\n"
       "               ^"},
  };
  for (const misspelt& row : table) {
    for (const bool if_not_exists : {false, true}) {
      SCOPED_TRACE(row.what);
      const error failure = failure_of([&] {
        return create_matview(
            "v", row.sql,
            {.if_not_exists = if_not_exists, .statement_timeout = interval::parse("1 minute")});
      });
      EXPECT_EQ(failure.code(), errc::server_error);
      EXPECT_EQ(failure.sqlstate(), row.sqlstate);
      EXPECT_EQ(failure.position(), row.position);
      EXPECT_TRUE(contains(failure.what(), row.shown)) << failure.what();
    }
  }
}

TEST_F(CreateMatviewRefuses, AFaultWhileTheQueryRunsAndLeavesNoView) {
  const error failure = failure_of([] { return create_matview("v", "SELECT 1 / 0 AS id"); });
  EXPECT_EQ(failure.code(), errc::server_error);
  EXPECT_EQ(failure.sqlstate(), "22012");
  EXPECT_EQ(relations(), "");
}

TEST_F(CreateMatviewRefuses, AMissingSchemaAndSaysHowToMakeIt) {
  const error failure = failure_of([] { return create_matview("Sales.v", "SELECT 1 AS id"); });
  EXPECT_EQ(failure.code(), errc::server_error);
  EXPECT_EQ(failure.sqlstate(), "3F000");
  EXPECT_EQ(failure.position(), std::nullopt);
  ASSERT_EQ(failure.hint(), "CREATE SCHEMA \"Sales\";");
  db.execute(failure.hint());
  EXPECT_EQ(create_matview("Sales.v", "SELECT 1 AS id").view, "Sales.v");
}

TEST_F(CreateMatviewRefuses, ARoleThatMayNotCreateHere) {
  const test_role role(db, "guest");
  db.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC");
  configure({{"default", role.url()}});
  const error failure = failure_of([] { return create_matview("v", "SELECT 1 AS id"); });
  EXPECT_EQ(failure.code(), errc::permission_denied);
  EXPECT_EQ(failure.sqlstate(), "42501");
  EXPECT_TRUE(contains(failure.hint(), "CREATE on the schema")) << failure.hint();
  EXPECT_EQ(relations(), "");
}

TEST_F(CreateMatviewRefuses, ARoleThatMayNotReadTheTable) {
  const test_role role(db, "guest");
  db.execute("GRANT CREATE ON SCHEMA public TO " + role.name() +
             "; CREATE TABLE t AS SELECT 1 AS id");
  configure({{"default", role.url()}});
  const error failure = failure_of([] { return create_matview("v", "SELECT id FROM t"); });
  EXPECT_EQ(failure.code(), errc::permission_denied);
  EXPECT_TRUE(contains(failure.what(), "table t")) << failure.what();
  EXPECT_TRUE(contains(failure.hint(), "SELECT")) << failure.hint();
  EXPECT_FALSE(exists("v"));
}

TEST_F(CreateMatviewRefuses, AQueryThatRunsTooLong) {
  const error failure = failure_of([] {
    return create_matview("v", "SELECT pg_sleep(60)::text AS id",
                          {.statement_timeout = interval::parse("50 milliseconds")});
  });
  EXPECT_EQ(failure.code(), errc::statement_timeout);
  EXPECT_EQ(failure.sqlstate(), "57014");
  EXPECT_TRUE(failure.may_retry());
  EXPECT_TRUE(contains(failure.what(), "50 ms")) << failure.what();
  EXPECT_EQ(relations(), "");
}

TEST_F(CreateMatviewRefuses, ATimeoutOfTheRoleToo) {
  const test_role role(db, "hasty");
  db.execute("GRANT CREATE ON SCHEMA public TO " + role.name() + "; ALTER ROLE " + role.name() +
             " SET statement_timeout = '300ms'");
  configure({{"default", role.url()}});
  EXPECT_EQ(
      failure_of([] { return create_matview("v", "SELECT pg_sleep(60)::text AS id"); }).code(),
      errc::statement_timeout);
  EXPECT_EQ(create_matview("v", "SELECT pg_sleep(0.5)::text AS id",
                           {.statement_timeout = interval::parse("0 seconds")})
                .rows,
            1);
}

TEST_F(CreateMatviewRefuses, ATimeoutThatTheServerCannotHold) {
  struct row {
    std::string text;
    bool accepted;
  };
  const std::vector<row> table{{"1 microsecond", true},
                               {"24 days", true},
                               {"2147483647 milliseconds", true},
                               {"2147483648 milliseconds", false},
                               {"25 days", false},
                               {"1 year", false}};
  for (const row& given : table) {
    SCOPED_TRACE(given.text);
    const interval length = interval::parse(given.text);
    const auto locked =
        refusal([&] { return create_matview("v", "SELECT 1 AS id", {.lock_timeout = length}); });
    EXPECT_EQ(!locked, given.accepted);
    if (locked) {
      EXPECT_EQ(locked->code(), errc::invalid_option);
    }
    drop_matview("v");
    const auto late = refusal(
        [&] { return create_matview("v", "SELECT 1 AS id", {.statement_timeout = length}); });
    // A microsecond is rounded up to a millisecond, in which it may or may not be done.
    if (!given.accepted) {
      ASSERT_TRUE(late);
      EXPECT_EQ(late->code(), errc::invalid_option);
      EXPECT_TRUE(contains(late->what(), "statement_timeout")) << late->what();
    } else if (late) {
      EXPECT_EQ(late->code(), errc::statement_timeout);
    }
    drop_matview("v");
  }
}

// Two at once: one makes it, the others are told as if they had come later.
TEST_F(CreateMatviewRefuses, AllButOneOfSeveralAtOnce) {
  std::vector<std::unique_ptr<background<refresh_report>>> all;
  for (int i = 0; i < 8; ++i) {
    all.push_back(std::make_unique<background<refresh_report>>(
        acreate_matview("v", "SELECT 1 AS id", {.comment = "c"})));
  }
  int made = 0;
  for (const auto& one : all) {
    const auto failure = refusal([&] { return one->get(); });
    made += failure ? 0 : 1;
    if (failure) {
      EXPECT_EQ(failure->code(), errc::view_exists) << failure->what();
    }
  }
  EXPECT_EQ(made, 1);
  EXPECT_EQ(count("v"), "1");
}

TEST_F(CreateMatviewRefuses, WithoutHarmToTheNextCall) {
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(failure_of([] { return create_matview("v", "SELECT id FROM nowhere"); }).code(),
              errc::server_error);
  }
  create_matview("v", "SELECT 1 AS id");
  EXPECT_EQ(count("v"), "1");
  EXPECT_EQ(idle_in_transaction(), 0);
  EXPECT_EQ(connections(), 1);
}

}  // namespace
}  // namespace matview::test
