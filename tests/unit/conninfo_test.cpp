#include "pg/conninfo.hpp"

#include "support/refusal.hpp"

#include <gtest/gtest.h>

#include <string>
#include <variant>
#include <vector>

namespace matview::pg {
namespace {

using test::refusal;

TEST(Target, IsLibpqsForUrisAndKeywords) {
  for (const std::string url :
       {"", "postgresql://ann@db.example/sales", "postgres:///sales?host=/run/pg",
        "host=/run/pg dbname=sales", "service=reports", "dbname='a b' user=ann"}) {
    const target read = parse_target(url);
    ASSERT_TRUE(std::holds_alternative<libpq_target>(read)) << url;
    EXPECT_EQ(std::get<libpq_target>(read).conninfo, url);
  }
}

TEST(Target, IsAPrivateServerWithItsPath) {
  EXPECT_EQ(std::get<embedded_target>(parse_target("embedded:/srv/play")).path, "/srv/play");
  EXPECT_EQ(std::get<embedded_target>(parse_target("embedded:")).path, "");
}

TEST(Target, IsRefusedForOtherBackends) {
  for (const std::string url : {"sqlite:///x.db", "sqlite:x", "mysql://u:secret@h/d", "oracle:x",
                                "postgresql+psycopg2://u:secret@h/d", "http://u:secret@h"}) {
    const auto refused = refusal([&] { return parse_target(url); });
    ASSERT_TRUE(refused) << url;
    EXPECT_EQ(refused->code(), errc::unsupported_backend) << url;
    EXPECT_NE(std::string(refused->what()).find("PostgreSQL-only"), std::string::npos);
    EXPECT_EQ(std::string(refused->what()).find("secret"), std::string::npos);
  }
}

TEST(Target, IsRefusedWithoutRepeatingWhatMayBeAPassword) {
  for (const std::string url :
       {"postgresql://u:se%zzcret@h/d", "postgresql://u:secret@[::1/d", "host=h secret",
        "password=secret nonsense=1", "postgresql://u:secret@h/d?passwort=secret"}) {
    const auto refused = refusal([&] { return parse_target(url); });
    ASSERT_TRUE(refused) << url;
    EXPECT_EQ(refused->code(), errc::invalid_option) << url;
    EXPECT_EQ((refused->what() + refused->hint()).find("cret"), std::string::npos) << url;
  }
}

TEST(Describe, NamesTheServerWithoutThePassword) {
  const std::string told =
      describe(parse_target("postgresql://ann:secret@db.example:6543/sales?sslpassword=secret"));
  for (const std::string part : {"host=db.example", "port=6543", "dbname=sales", "user=ann"}) {
    EXPECT_NE(told.find(part), std::string::npos) << told;
  }
  EXPECT_EQ(told.find("secret"), std::string::npos);
  EXPECT_EQ(describe(embedded_target{"/srv/x"}), "the private server in /srv/x");
}

TEST(NameLookup, IsNeededForHostNamesAlone) {
  EXPECT_TRUE(needs_name_lookup("postgresql://db.example/d"));
  EXPECT_TRUE(needs_name_lookup("host=localhost"));
  for (const std::string local : {"host=/run/pg", "host=127.0.0.1", "host=::1", "host=@abstract",
                                  "host=db.example hostaddr=10.0.0.1"}) {
    EXPECT_FALSE(needs_name_lookup(local)) << local;
  }
}

TEST(QuoteName, DoublesQuotes) {
  EXPECT_EQ(quote_name("odd\"name"), "\"odd\"\"name\"");
  EXPECT_EQ(quote_name(""), "\"\"");
}

}  // namespace
}  // namespace matview::pg
