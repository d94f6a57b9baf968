#include "views/statements.hpp"

#include "support/refusal.hpp"

#include <gtest/gtest.h>

#include <string>

namespace matview::views {
namespace {

using test::refusal;

const identifier view = identifier::parse("sales.Daily");

TEST(Create, PutsWithDataBehindATrailingComment) {
  const auto query = text::select_query::parse("SELECT 1 -- c");
  EXPECT_EQ(create(view, query, true).sql,
            "CREATE MATERIALIZED VIEW \"sales\".\"Daily\" AS SELECT 1 -- c\nWITH DATA");
  const create_statement empty = create(view, query, false);
  EXPECT_EQ(empty.sql,
            "CREATE MATERIALIZED VIEW \"sales\".\"Daily\" AS SELECT 1 -- c\nWITH NO DATA");
  EXPECT_EQ(empty.sql.substr(empty.query_offset, 8), "SELECT 1");
}

TEST(Refresh, NamesTheMode) {
  EXPECT_EQ(refresh(view, false), "REFRESH MATERIALIZED VIEW \"sales\".\"Daily\"");
  EXPECT_EQ(refresh(view, true), "REFRESH MATERIALIZED VIEW CONCURRENTLY \"sales\".\"Daily\"");
}

TEST(Drop, NamesItsOptions) {
  EXPECT_EQ(drop(view, true, true), "DROP MATERIALIZED VIEW IF EXISTS \"sales\".\"Daily\" CASCADE");
  EXPECT_EQ(drop(view, false, false), "DROP MATERIALIZED VIEW \"sales\".\"Daily\"");
}

TEST(Comment, IsALiteralWhateverIsInIt) {
  EXPECT_EQ(comment(view.quoted(), "it's a \\ b"),
            "COMMENT ON MATERIALIZED VIEW \"sales\".\"Daily\" IS E'it''s a \\\\ b'");
}

TEST(Index, QuotesItsColumns) {
  EXPECT_EQ(checked_index({.columns = {"day", "Airport"}, .unique = true}).create_on(view.quoted()),
            "CREATE UNIQUE INDEX ON \"sales\".\"Daily\" (\"day\", \"Airport\")");
}

TEST(Index, RefusesWhatIsNoColumn) {
  const auto none = refusal([] { return checked_index({}); });
  ASSERT_TRUE(none);
  EXPECT_EQ(none->code(), errc::invalid_option);
  for (const std::string column : {"a.b", "lower(a)", "a desc", "", "a\""}) {
    const auto refused = refusal([&] { return checked_index({.columns = {column}}); });
    ASSERT_TRUE(refused) << column;
    EXPECT_EQ(refused->code(), errc::invalid_identifier) << column;
  }
}

TEST(Settings, RoundTimeoutsUpToWholeMilliseconds) {
  const statement_settings settings("matview refresh v", interval::parse("1500 microseconds"),
                                    interval::parse("0 seconds"));
  EXPECT_EQ(settings.set_local(false),
            "SET LOCAL application_name = 'matview refresh v'; SET LOCAL statement_timeout = 2; "
            "SET LOCAL lock_timeout = 0; ");
  EXPECT_EQ(settings.set_local(true),
            "SET LOCAL statement_timeout = 2; SET LOCAL lock_timeout = 0; ");
}

TEST(Settings, RefuseATimeoutThatTheServerCannotHold) {
  EXPECT_FALSE(refusal(
      [] { return statement_settings("x", interval::parse("2147483647 milliseconds"), {}); }));
  const auto refused = refusal(
      [] { return statement_settings("x", {}, interval::parse("2147483648 milliseconds")); });
  ASSERT_TRUE(refused);
  EXPECT_EQ(refused->code(), errc::invalid_option);
}

}  // namespace
}  // namespace matview::views
