#include "cli_fixture.hpp"

#include <gtest/gtest.h>

#include <regex>

namespace matview::test {
namespace {

// The database refuses: exit code 1, and what to do about it.
class CliRefusal : public cli_test {
 protected:
  CliRefusal() {
    db.execute(
        "CREATE TABLE t AS SELECT 1 AS id, 2 AS \"Zwei\"; "
        "CREATE MATERIALIZED VIEW v AS SELECT * FROM t");
  }
  static std::string hint_of(const process_result& refused) {
    std::smatch found;
    const bool any = std::regex_search(refused.err, found, std::regex("  hint: (.*)\n"));
    return any ? found[1].str() : "";
  }
};

TEST_F(CliRefusal, OfAViewThatIsThere) {
  expect_refusal(matview({"create", "v", "--sql", "SELECT 1 AS a"}), 1,
                 {"public.v is there already", "a materialized view", "--if-not-exists"});
}

TEST_F(CliRefusal, OfANameThatATableHas) {
  for (const auto& more : std::vector<std::vector<std::string>>{{}, {"--if-not-exists"}}) {
    std::vector<std::string> arguments{"create", "t", "--sql", "SELECT 1 AS a"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    expect_refusal(matview(arguments), 1, {"public.t is there already", "a table"});
  }
}

TEST_F(CliRefusal, OfAViewThatIsNot) {
  expect_refusal(matview({"refresh", "nope"}), 1,
                 {"no materialized view \"nope\"", "matview list"});
}

TEST_F(CliRefusal, OfAPlainView) {
  db.execute("CREATE VIEW plain AS SELECT * FROM t");
  expect_refusal(matview({"refresh", "plain"}), 1,
                 {"public.plain", "a plain view", "not a materialized view"});
}

TEST_F(CliRefusal, OfASchemaThatIsNotThere) {
  const auto refused = matview({"create", "sales.v", "--sql", "SELECT 1 AS a"});
  expect_refusal(refused, 1, {"schema \"sales\" does not exist"});
  db.execute(hint_of(refused));
  EXPECT_EQ(matview({"create", "sales.v", "--sql", "SELECT 1 AS a"}).exit_code, 0);
}

TEST_F(CliRefusal, OfARefreshWithoutAUniqueIndexHasAHintThatCanBeRun) {
  const auto refused = matview({"refresh", "v", "--concurrently"});
  expect_refusal(refused, 1, {"without a unique index", "CREATE UNIQUE INDEX ON public.v"});
  db.execute(hint_of(refused));
  EXPECT_EQ(matview({"refresh", "v", "--concurrently"}).exit_code, 0);
}

TEST_F(CliRefusal, OfAConcurrentRefreshOfAViewWithoutData) {
  db.execute("REFRESH MATERIALIZED VIEW v WITH NO DATA; CREATE UNIQUE INDEX ON v (id)");
  const auto refused = matview({"refresh", "v", "--concurrently"});
  expect_refusal(refused, 1, {"public.v holds no data yet", "--concurrently"});
}

TEST_F(CliRefusal, OfARoleWithoutTheRightNamesTheOwner) {
  const std::string role = db.name() + "_guest";
  db.execute("CREATE ROLE " + role + " LOGIN");
  const std::string url = with_parameter(db.url(), "user", role);
  expect_refusal(matview({"--url", url, "refresh", "v"}), 1,
                 {"public.v belongs to postgres", "hint: run as postgres"});
  expect_refusal(matview({"--url", url, "drop", "v"}), 1, {"public.v belongs to postgres"});
  expect_refusal(matview({"--url", url, "create", "w", "--sql", "SELECT * FROM t"}), 1,
                 {"permission denied", "hint: "});
  EXPECT_TRUE(exists("v"));
  db.execute("DROP OWNED BY " + role + "; DROP ROLE " + role);
}

TEST_F(CliRefusal, OfALockSaysWhoHoldsIt) {
  session holder(db.url());
  holder.execute("BEGIN; SELECT * FROM v");
  const auto refused = matview({"refresh", "v", "--lock-timeout", "50 milliseconds"});
  expect_refusal(refused, 1,
                 {"is locked", "lock_timeout", std::to_string(holder.backend_pid()), "hint: "});
}

TEST_F(CliRefusal, OfAStatementThatRanTooLong) {
  create_gated_view("slow");
  const session gate = close_gate();
  const auto refused = matview({"refresh", "slow", "--statement-timeout", "100 milliseconds"});
  expect_refusal(refused, 1, {"statement_timeout of 100 ms", "as it was"});
  EXPECT_EQ(db.query_one("SELECT id FROM slow"), "1");
}

TEST_F(CliRefusal, OfRowsThatAUniqueIndexForbids) {
  db.execute("CREATE UNIQUE INDEX ON v (id); INSERT INTO t VALUES (1, 3)");
  expect_refusal(matview({"refresh", "v"}), 1, {"unique index", "as it was"});
}

TEST_F(CliRefusal, OfAQueryThatDoesNotRunAnyMore) {
  db.execute(
      "CREATE FUNCTION half(int) RETURNS int LANGUAGE sql AS 'SELECT 10 / $1'; "
      "CREATE MATERIALIZED VIEW w AS SELECT half(id) AS h FROM t; UPDATE t SET id = 0");
  expect_refusal(matview({"refresh", "w"}), 1, {"division by zero"});
}

TEST_F(CliRefusal, OfSomebodyElsesCancelIsNotAnInterruption) {
  create_gated_view("slow");
  const session gate = close_gate();
  process refresh = start({"refresh", "slow"});
  ASSERT_TRUE(at_gate());
  db.execute(
      "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND "
      "application_name LIKE 'matview%'");
  expect_refusal(refresh.wait(), 1, {"asked to cancel", "as it was"});
}

TEST_F(CliRefusal, OfAReadOnlyServerSaysWhereToGo) {
  const auto refused =
      matview({"refresh", "v"}, {.env = {{"PGOPTIONS", "-c default_transaction_read_only=on"}}});
  expect_refusal(refused, 1, {"read-only", "hint: "});
}

}  // namespace
}  // namespace matview::test
