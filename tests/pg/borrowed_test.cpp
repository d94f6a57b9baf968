#include "views_fixture.hpp"

#include <gtest/gtest.h>
#include <libpq-fe.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace matview::test {
namespace {

/// What a caller does on a connection of its own.
class callers_connection final {
 public:
  explicit callers_connection(const std::string& url) : raw_(PQconnectdb(url.c_str())) {
    if (PQstatus(raw_.get()) != CONNECTION_OK) throw std::runtime_error(PQerrorMessage(raw_.get()));
    PQsetNoticeProcessor(
        raw_.get(),
        [](void* self, const char*) { ++static_cast<callers_connection*>(self)->notices; }, this);
  }
  callers_connection(const callers_connection&) = delete;
  callers_connection& operator=(const callers_connection&) = delete;

  [[nodiscard]] PGconn* get() const noexcept { return raw_.get(); }
  std::string run(const std::string& sql) {
    const std::unique_ptr<PGresult, decltype(&PQclear)> done(PQexec(raw_.get(), sql.c_str()),
                                                             &PQclear);
    const ExecStatusType status = PQresultStatus(done.get());
    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK) {
      throw std::runtime_error(sql + ": " + PQerrorMessage(raw_.get()));
    }
    return PQntuples(done.get()) == 1 ? PQgetvalue(done.get(), 0, 0) : "";
  }
  [[nodiscard]] PGTransactionStatusType status() const { return PQtransactionStatus(raw_.get()); }

  int notices = 0;

 private:
  struct deleter {
    void operator()(PGconn* raw) const noexcept { PQfinish(raw); }
  };
  std::unique_ptr<PGconn, deleter> raw_;
};

struct operation {
  std::string name;
  std::function<void(PGconn*)> run;
};

// Every function, as far as it succeeds on the database of the fixture.
std::vector<operation> operations() {
  return {
      {"create", [](PGconn* on) { create_matview(on, "made", "SELECT 1 AS id"); }},
      {"acreate", [](PGconn* on) { run_async(acreate_matview(on, "amade", "SELECT 1 AS id")); }},
      {"refresh", [](PGconn* on) { refresh_matview(on, "v"); }},
      {"arefresh", [](PGconn* on) { run_async(arefresh_matview(on, "v")); }},
      {"refresh concurrently",
       [](PGconn* on) { refresh_matview(on, "v", {.concurrently = true}); }},
      {"drop", [](PGconn* on) { drop_matview(on, "old", {.if_exists = false}); }},
      {"adrop", [](PGconn* on) { run_async(adrop_matview(on, "aold", {.if_exists = false})); }},
      {"list", [](PGconn* on) { list_matviews(on); }},
      {"alist", [](PGconn* on) { run_async(alist_matviews(on)); }},
      {"describe", [](PGconn* on) { describe_matviews(on); }},
      {"adescribe", [](PGconn* on) { run_async(adescribe_matviews(on)); }},
  };
}

// Every function, as far as the server refuses it.
std::vector<operation> refused_operations() {
  return {
      {"create", [](PGconn* on) { create_matview(on, "w", "SELECT nothing"); }},
      {"create with a bad index",
       [](PGconn* on) {
         create_matview(on, "w", "SELECT 1 AS id", {.indexes = {{.columns = {"no"}}}});
       }},
      {"create what is there", [](PGconn* on) { create_matview(on, "v", "SELECT 1 AS id"); }},
      {"refresh", [](PGconn* on) { refresh_matview(on, "missing"); }},
      {"refresh a table", [](PGconn* on) { refresh_matview(on, "t"); }},
      {"refresh concurrently",
       [](PGconn* on) { refresh_matview(on, "old", {.concurrently = true}); }},
      {"refresh too long",
       [](PGconn* on) {
         refresh_matview(on, "late", {.statement_timeout = interval::parse("20 milliseconds")});
       }},
      {"drop", [](PGconn* on) { drop_matview(on, "missing", {.if_exists = false}); }},
      {"drop what others need", [](PGconn* on) { drop_matview(on, "v"); }},
  };
}

class BorrowedConnection : public views_test {
 protected:
  // The alias must not matter.
  BorrowedConnection() {
    configure({{"default", "host=/nonexistent"}});
    set_up();
  }
  void set_up() {
    db.execute(
        "DROP SCHEMA public CASCADE; CREATE SCHEMA public; "
        "CREATE TABLE t AS SELECT 1 AS id; "
        "CREATE MATERIALIZED VIEW v AS SELECT id FROM t; CREATE UNIQUE INDEX ON v (id); "
        "CREATE MATERIALIZED VIEW above AS SELECT id FROM v; "
        "CREATE MATERIALIZED VIEW old AS SELECT 1 AS id; "
        "CREATE MATERIALIZED VIEW aold AS SELECT 1 AS id; "
        "CREATE MATERIALIZED VIEW late AS SELECT pg_sleep(60)::text AS id WITH NO DATA; "
        "INSERT INTO t VALUES (2)");
  }
  std::string views() {
    return db.query_one(
        "SELECT string_agg(matviewname, ' ' ORDER BY matviewname) FROM pg_matviews");
  }
};

TEST_F(BorrowedConnection, ServesEveryFunctionOutsideATransaction) {
  callers_connection mine(db.url());
  for (const operation& each : operations()) {
    SCOPED_TRACE(each.name);
    each.run(mine.get());
    EXPECT_EQ(mine.status(), PQTRANS_IDLE);
    EXPECT_EQ(mine.run("SELECT 'usable'"), "usable");
  }
  EXPECT_EQ(views(), "above amade late made v");
  EXPECT_EQ(count("v"), "2");
}

TEST_F(BorrowedConnection, GivesTheSameReports) {
  callers_connection mine(db.url());
  const refresh_report created = create_matview(mine.get(), "w", "SELECT id FROM t");
  EXPECT_EQ(created.view, "public.w");
  EXPECT_EQ(created.rows, 2);
  EXPECT_EQ(refresh_matview(mine.get(), "w").rows, 2);
  EXPECT_EQ(list_matviews(mine.get()),
            (std::vector<std::string>{"above", "aold", "late", "old", "v", "w"}));
  EXPECT_EQ(describe_matviews(mine.get()).at(5).name, "w");
}

TEST_F(BorrowedConnection, WorksInsideTheCallersTransactionWhichDecides) {
  for (const bool commit : {true, false}) {
    SCOPED_TRACE(commit ? "COMMIT" : "ROLLBACK");
    set_up();
    callers_connection mine(db.url());
    mine.run("BEGIN; INSERT INTO t VALUES (3)");
    for (const operation& each : operations()) {
      SCOPED_TRACE(each.name);
      each.run(mine.get());
      EXPECT_EQ(mine.status(), PQTRANS_INTRANS);
    }
    EXPECT_EQ(mine.run("SELECT count(*) FROM v"), "3");
    EXPECT_FALSE(exists("made"));  // Nobody else sees it yet.
    mine.run(commit ? "COMMIT" : "ROLLBACK");
    EXPECT_EQ(views(), commit ? "above amade late made v" : "above aold late old v");
    EXPECT_EQ(count("v"), commit ? "3" : "1");
    EXPECT_EQ(count("t"), commit ? "3" : "2");
  }
}

TEST_F(BorrowedConnection, CountsTheRowsOfEveryRefreshOfOneTransaction) {
  callers_connection mine(db.url());
  mine.run("BEGIN");
  EXPECT_EQ(create_matview(mine.get(), "w", "SELECT id FROM t").rows, 2);
  for (const int expected : {5, 5, 0, 1}) {
    mine.run("DELETE FROM t; INSERT INTO t SELECT generate_series(1, " + std::to_string(expected) +
             ")");
    EXPECT_EQ(refresh_matview(mine.get(), "w").rows, expected);
    EXPECT_EQ(refresh_matview(mine.get(), "v", {.concurrently = true}).rows, expected);
    EXPECT_EQ(refresh_matview(mine.get(), "v").rows, expected);
  }
  mine.run("ROLLBACK");
}

TEST_F(BorrowedConnection, AnErrorLeavesTheTransactionUsableAndItsEarlierWorkIntact) {
  for (const operation& each : refused_operations()) {
    SCOPED_TRACE(each.name);
    callers_connection mine(db.url());
    mine.run("BEGIN; SAVEPOINT of_the_caller; CREATE TABLE work AS SELECT 7 AS id");
    const error failure = failure_of([&] { return each.run(mine.get()), 0; });
    EXPECT_TRUE(failure.connection_usable());
    EXPECT_NE(failure.sqlstate(), "");
    ASSERT_EQ(mine.status(), PQTRANS_INTRANS);
    EXPECT_EQ(mine.run("SELECT id FROM work"), "7");
    mine.run("CREATE MATERIALIZED VIEW after AS SELECT 1 AS id; RELEASE of_the_caller; COMMIT");
    EXPECT_EQ(views(), "above after aold late old v");
    EXPECT_EQ(count("work"), "1");
    db.execute("DROP TABLE work; DROP MATERIALIZED VIEW after");
  }
}

TEST_F(BorrowedConnection, AnErrorOutsideATransactionLeavesNone) {
  callers_connection mine(db.url());
  for (const operation& each : refused_operations()) {
    SCOPED_TRACE(each.name);
    EXPECT_TRUE(refusal([&] { return each.run(mine.get()), 0; }));
    EXPECT_EQ(mine.status(), PQTRANS_IDLE);
  }
  EXPECT_EQ(views(), "above aold late old v");
}

TEST_F(BorrowedConnection, GivesTheErrorsOfAnAlias) {
  callers_connection mine(db.url());
  configure({{"default", db.url()}});
  struct row {
    std::string name;
    std::function<void()> alias;
    std::function<void()> borrowed;
  };
  const refresh_options concurrently{.concurrently = true};
  const std::vector<row> table{
      {"no view", [] { refresh_matview("missing"); },
       [&] { refresh_matview(mine.get(), "missing"); }},
      {"no index", [&] { refresh_matview("old", concurrently); },
       [&] { refresh_matview(mine.get(), "old", concurrently); }},
      {"unknown column", [] { create_matview("w", "SELECT\nnothing"); },
       [&] { create_matview(mine.get(), "w", "SELECT\nnothing"); }},
      {"dependents", [] { drop_matview("v"); }, [&] { drop_matview(mine.get(), "v"); }},
      {"wrong name", [] { drop_matview("v\n"); }, [&] { drop_matview(mine.get(), "v\n"); }},
  };
  for (const std::string begin : {"SELECT 1", "BEGIN"}) {
    mine.run(begin);
    for (const row& each : table) {
      SCOPED_TRACE(begin + ": " + each.name);
      const error expected = failure_of([&] { return each.alias(), 0; });
      const error failure = failure_of([&] { return each.borrowed(), 0; });
      EXPECT_EQ(failure.code(), expected.code());
      EXPECT_STREQ(failure.what(), expected.what());
      EXPECT_EQ(failure.hint(), expected.hint());
      EXPECT_EQ(failure.position(), expected.position());
    }
  }
}

TEST_F(BorrowedConnection, KeepsItsSettings) {
  callers_connection mine(with_parameter(db.url(), "application_name", "my program"));
  const std::vector<std::pair<std::string, std::string>> settings{
      {"statement_timeout", "7min"},
      {"lock_timeout", "8min"},
      {"search_path", "public, pg_catalog"},
      {"client_connection_check_interval", "0"}};
  for (const auto& [name, value] : settings)
    mine.run("SET " + name + " = " + (name == "search_path" ? value : "'" + value + "'"));
  const create_options create{.statement_timeout = interval::parse("1 minute"),
                              .lock_timeout = interval::parse("2 minutes")};
  const refresh_options refresh{.statement_timeout = interval::parse("3 minutes"),
                                .lock_timeout = interval::parse("4 minutes")};
  const drop_options drop{.if_exists = false,
                          .statement_timeout = interval::parse("5 minutes"),
                          .lock_timeout = interval::parse("6 minutes")};
  const std::vector<operation> all{
      {"create", [&](PGconn* on) { create_matview(on, "w", "SELECT 1 AS id", create); }},
      {"refresh", [&](PGconn* on) { refresh_matview(on, "w", refresh); }},
      {"drop", [&](PGconn* on) { drop_matview(on, "w", drop); }},
      {"drop what is not there",
       [&](PGconn* on) { EXPECT_TRUE(refusal([&] { return drop_matview(on, "w", drop), 0; })); }},
      {"refresh what is not there",
       [&](PGconn* on) {
         EXPECT_TRUE(refusal([&] { return refresh_matview(on, "w", refresh); }));
       }},
  };
  for (const std::string begin : {"SELECT 1", "BEGIN", "SET LOCAL lock_timeout = '8min'"}) {
    mine.run(begin);
    for (const operation& each : all) {
      SCOPED_TRACE(begin + ": " + each.name);
      each.run(mine.get());
      for (const auto& [name, value] : settings) EXPECT_EQ(mine.run("SHOW " + name), value);
      EXPECT_EQ(mine.run("SHOW application_name"), "my program");
    }
  }
  mine.run("COMMIT");
  for (const auto& [name, value] : settings) EXPECT_EQ(mine.run("SHOW " + name), value);
}

TEST_F(BorrowedConnection, TakesItsTimeoutsInsideATransactionToo) {
  callers_connection mine(db.url());
  session reader(db.url());
  reader.execute("BEGIN; SELECT * FROM old");
  mine.run("BEGIN");
  EXPECT_EQ(failure_of([&] {
              return refresh_matview(mine.get(), "old",
                                     {.lock_timeout = interval::parse("50 milliseconds")});
            }).code(),
            errc::lock_timeout);
  EXPECT_EQ(failure_of([&] {
              return refresh_matview(mine.get(), "late",
                                     {.statement_timeout = interval::parse("50 milliseconds")});
            }).code(),
            errc::statement_timeout);
  mine.run("COMMIT");
}

TEST_F(BorrowedConnection, KeepsItsBlockingModeAndNoticeProcessor) {
  for (const int nonblocking : {0, 1}) {
    for (const operation& each : operations()) {
      SCOPED_TRACE(each.name);
      set_up();
      callers_connection mine(db.url());
      PQsetnonblocking(mine.get(), nonblocking);
      each.run(mine.get());
      EXPECT_EQ(PQisnonblocking(mine.get()), nonblocking);
      PQsetnonblocking(mine.get(), 0);
      mine.run("DO $$BEGIN RAISE NOTICE 'heard'; END$$");
      EXPECT_EQ(mine.notices, 1);
    }
  }
}

TEST_F(BorrowedConnection, GetsItsNoticesItself) {
  callers_connection mine(db.url());
  int logged = 0;
  drop_matview(mine.get(), "missing", {.log = [&](log_level level, std::string_view) {
                 logged += level == log_level::debug ? 0 : 1;
               }});
  EXPECT_EQ(mine.notices, 1);
  EXPECT_EQ(logged, 0);
}

TEST_F(BorrowedConnection, LooksNamesUpByItsOwnSearchPath) {
  callers_connection mine(db.url());
  mine.run("CREATE SCHEMA first; CREATE SCHEMA second; SET search_path = first, second");
  EXPECT_EQ(create_matview(mine.get(), "w", "SELECT 1 AS id").view, "first.w");
  mine.run("SET search_path = second, first");
  EXPECT_EQ(refresh_matview(mine.get(), "w").view, "first.w");
  EXPECT_EQ(create_matview(mine.get(), "w", "SELECT 2 AS id", {.comment = "c"}).view, "second.w");
  EXPECT_EQ(refresh_matview(mine.get(), "w").view, "second.w");
}

TEST_F(BorrowedConnection, IsCancelledInTheServerAndStaysUsable) {
  gate slow(db.url());
  db.execute("CREATE MATERIALIZED VIEW slow AS SELECT 1 AS id WHERE " + gate::condition() +
             " WITH NO DATA");
  for (const std::string begin : {"SELECT 1", "BEGIN; CREATE TABLE work (id int)"}) {
    SCOPED_TRACE(begin);
    callers_connection mine(db.url());
    mine.run(begin);
    const PGTransactionStatusType before = mine.status();
    {
      background refresh(arefresh_matview(mine.get(), "slow"));
      slow.await();
      refresh.cancel(asio::cancellation_type::total);
      const error failure = failure_of([&] { return refresh.get(); });
      EXPECT_EQ(failure.code(), errc::cancelled);
      EXPECT_TRUE(failure.connection_usable());
    }
    EXPECT_EQ(mine.status(), before);
    EXPECT_EQ(mine.run("SELECT 'usable'"), "usable");
  }
}

}  // namespace
}  // namespace matview::test
