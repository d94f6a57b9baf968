#include "fake_servers.hpp"
#include "pg/conninfo.hpp"
#include "views_fixture.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <fstream>
#include <string>
#include <vector>

namespace matview::test {
namespace {

class ConnectionFailure : public views_test {
 protected:
  static error of(const std::string& url) {
    configure({{"default", url}});
    return failure_of([] { return refresh_matview("v"); });
  }
};

struct unreachable {
  std::string what;
  std::string url;
  std::string says;
};

TEST_F(ConnectionFailure, SaysWhyThereIsNoConnection) {
  const std::vector<unreachable> table{
      {"no socket", "host=/nonexistent", "/nonexistent"},
      {"no listener", "postgresql://127.0.0.1:1/db", "127.0.0.1"},
      {"no such host", "postgresql://no-such-host.invalid/db", "no-such-host.invalid"},
      {"no such database", with_parameter(db.url(), "dbname", "no_such_database"),
       "no_such_database"},
      {"no such role", with_parameter(db.url(), "user", "no_such_role"), "no_such_role"},
  };
  for (const unreachable& row : table) {
    SCOPED_TRACE(row.what);
    const error failure = of(row.url);
    EXPECT_EQ(failure.code(), errc::connection_failed);
    EXPECT_TRUE(contains(failure.what(), row.says)) << failure.what();
    EXPECT_FALSE(contains(failure.what(), "\n")) << failure.what();
    EXPECT_TRUE(failure.may_retry());
    EXPECT_FALSE(failure.may_have_happened());
    EXPECT_FALSE(failure.connection_usable());
  }
}

TEST_F(ConnectionFailure, IsOverWithTheNextGoodUrl) {
  static_cast<void>(of("host=/nonexistent"));
  configure({{"default", db.url()}});
  EXPECT_EQ(list_matviews(), std::vector<std::string>{});
}

TEST_F(ConnectionFailure, TriesEveryHostOfTheUrl) {
  const std::string socket = db.query_one("SHOW unix_socket_directories");
  configure({{"default", with_parameter(with_parameter(db.url(), "host", "/nonexistent," + socket),
                                        "port", "5432," + db.query_one("SHOW port"))}});
  EXPECT_EQ(list_matviews(), std::vector<std::string>{});
}

TEST_F(ConnectionFailure, EndsTheWaitForASilentServerAtTheTimeout) {
  silent_server nobody;
  configure_databases({{"default",
                        {.url = "postgresql://u:s3cret@127.0.0.1:" + nobody.port() + "/db",
                         .connect_timeout = interval::parse("100 milliseconds")}}});
  const auto began = std::chrono::steady_clock::now();
  const error failure = failure_of([] { return refresh_matview("v"); });
  const auto waited = std::chrono::steady_clock::now() - began;
  EXPECT_GE(waited, 100ms);
  EXPECT_LT(waited, 5s);
  EXPECT_EQ(failure.code(), errc::connection_failed);
  EXPECT_TRUE(contains(failure.what(), "host=127.0.0.1")) << failure.what();
  EXPECT_TRUE(contains(failure.what(), "timeout")) << failure.what();
  EXPECT_FALSE(contains(failure.what(), "s3cret")) << failure.what();
}

TEST_F(ConnectionFailure, NamesTheAliasesThatThereAre) {
  configure({{"sales", db.url()}, {"books", db.url()}});
  for (const std::string alias : {"sale", "", "Sales", "books\n"}) {
    SCOPED_TRACE(alias);
    const error failure = failure_of([&] { return list_matviews({.database = alias}); });
    EXPECT_EQ(failure.code(), errc::unknown_database);
    EXPECT_TRUE(contains(failure.hint(), "books, default, sales")) << failure.hint();
    EXPECT_FALSE(contains(failure.what(), "\n")) << failure.what();
  }
}

TEST_F(ConnectionFailure, OfAnotherKindOfDatabaseIsToldAtOnceAndChangesNothing) {
  configure({{"before", db.url()}});
  for (const std::string url :
       {"sqlite:///x.db", "sqlite:x.db", "mysql://u:s3cret@h/d", "mariadb://h/d",
        "postgresql+psycopg2://u:s3cret@h/d", "http://h/", "jdbc:postgresql://h/d"}) {
    SCOPED_TRACE(url);
    const error failure = failure_of([&] {
      return configure({{"fine", db.url()}, {"other", url}}), 0;
    });
    EXPECT_EQ(failure.code(), errc::unsupported_backend);
    EXPECT_TRUE(contains(failure.what(), "PostgreSQL-only")) << failure.what();
    EXPECT_TRUE(contains(failure.what(), "\"other\"")) << failure.what();
    EXPECT_FALSE(contains(failure.what(), "s3cret")) << failure.what();
    EXPECT_EQ(database_aliases(), (std::vector<std::string>{"before", "default"}));
  }
}

// Whatever is wrong with a connection string, nobody reads the password in a message or a log.
TEST_F(ConnectionFailure, NeverTellsAPassword) {
  const std::string socket = db.query_one("SHOW unix_socket_directories");
  const std::vector<std::string> urls{
      "postgresql://u:s3cret@127.0.0.1:1/d",
      "postgresql://u:s3cret@no-such-host.invalid/d",
      "postgres://u:s3cret@127.0.0.1:1/d",
      "postgresql://u:s3cret@127.0.0.1:port/d",
      "postgresql://u:s3cret@127.0.0.1:99999/d",
      "postgresql://u:s3cret@[::1/d",
      "postgresql://u:s3cret%zz@h/d",
      "postgresql://u:s3cret@h/d?bogus=1",
      "postgresql://u@127.0.0.1:1/d?password=s3cret",
      "postgresql://u@127.0.0.1:1/d?sslpassword=s3cret",
      "postgresql://u:s3cret@127.0.0.1:1/d?sslmode=bogus",
      "postgresql:/u:s3cret@h/d",
      "postgresql//u:s3cret@h/d",
      "POSTGRESQL://u:s3cret@h/d",
      "//u:s3cret@h/d",
      "u:s3cret@h/d",
      "mysql://u:s3cret@h/d",
      "host=127.0.0.1 port=1 password=s3cret",
      "host=127.0.0.1 password='s3cret",
      "host=127.0.0.1 password = s3cret bogus",
      "password=s3cret bogus=1",
      "password=s3cret",
      "service=nowhere password=s3cret",
      // What a password needs to have escaped, and has not.
      "postgresql://u:x@s3cret@127.0.0.1:1/d",
      "postgresql://u:x/s3cret@127.0.0.1:1/d",
      "postgresql://u:s3cret/x@127.0.0.1:1/d",
      "postgresql://u:x?s3cret@127.0.0.1:1/d",
      "postgresql://u:x#s3cret@127.0.0.1:1/d",
      "postgresql://u:x s3cret@127.0.0.1:1/d",
      with_parameter(with_parameter(db.url(), "user", "no_such_role"), "password", "s3cret"),
  };
  for (const std::string& url : urls) {
    SCOPED_TRACE(url);
    std::string told;
    const auto failure = refusal([&] {
      configure_databases(
          {{"default", {.url = url, .connect_timeout = interval::parse("2 seconds")}}});
      return refresh_matview("v", {.log = [&](log_level, std::string_view line) {
                               told += std::string(line) + '\n';
                             }});
    });
    ASSERT_TRUE(failure);
    told += std::string(failure->what()) + '\n' + failure->hint();
    EXPECT_FALSE(contains(told, "s3cret")) << told;
  }
}

TEST_F(ConnectionFailure, LooksNamesUpOnlyWhereThereIsAName) {
  struct row {
    std::string conninfo;
    bool needed;
  };
  for (const row& given :
       {row{"postgresql://db.example/d", true}, row{"host=localhost", true},
        row{"postgresql://127.0.0.1/d", false}, row{"postgresql://[::1]/d", false},
        row{"host=/tmp", false}, row{"postgresql:///d?host=%2Ftmp", false},
        row{"host=@abstract", false}, row{"host=localhost hostaddr=127.0.0.1", false},
        row{"host=/tmp,db.example", true}, row{"host=10.0.0.1,db.example", true},
        row{"host=10.0.0.1,10.0.0.2", false}}) {
    EXPECT_EQ(pg::needs_name_lookup(given.conninfo), given.needed) << given.conninfo;
  }
}

class PasswordServer : public testing::Test {
 protected:
  PasswordServer() {
    server.start();
    session(server.url())
        .execute(
            "CREATE ROLE ann LOGIN PASSWORD 's3cret'; "
            "CREATE MATERIALIZED VIEW v AS SELECT 1 AS id");
    std::ofstream(server.folder() / "data" / "pg_hba.conf")
        << "local all postgres trust\nlocal all all scram-sha-256\n";
    server.restart();
  }
  ~PasswordServer() override { configure({}); }

  static error failure(const std::string& url) {
    configure({{"default", url}});
    return failure_of([] { return list_matviews(); });
  }

  private_server server{{"password_encryption = 'scram-sha-256'", "max_connections = 5",
                         "superuser_reserved_connections = 1"}};
};

TEST_F(PasswordServer, LetsNobodyInWithoutTheRightPassword) {
  const std::string ann = with_parameter(server.url(), "user", "ann");
  const error wrong = failure(with_parameter(ann, "password", "wr0ng"));
  EXPECT_EQ(wrong.code(), errc::connection_failed);
  EXPECT_TRUE(contains(wrong.what(), "password authentication failed")) << wrong.what();
  EXPECT_TRUE(contains(wrong.what(), "ann")) << wrong.what();
  EXPECT_FALSE(contains(wrong.what(), "wr0ng")) << wrong.what();
  const error missing = failure(ann);
  EXPECT_EQ(missing.code(), errc::connection_failed);
  EXPECT_TRUE(contains(missing.what(), "password")) << missing.what();

  configure({{"default", with_parameter(ann, "password", "s3cret")}});
  EXPECT_EQ(list_matviews(), std::vector<std::string>{"v"});
}

TEST_F(PasswordServer, TellsNoPasswordInTheLogOfASuccess) {
  configure({{"default",
              with_parameter(with_parameter(server.url(), "user", "ann"), "password", "s3cret")}});
  std::string told;
  list_matviews({.log = [&](log_level, std::string_view line) { told += line; }});
  EXPECT_NE(told, "");
  EXPECT_FALSE(contains(told, "s3cret")) << told;
}

TEST_F(PasswordServer, ThatIsFullSaysSo) {
  const std::string ann =
      with_parameter(with_parameter(server.url(), "user", "ann"), "password", "s3cret");
  std::vector<std::unique_ptr<session>> full;
  for (int i = 0; i < 4; ++i) full.push_back(std::make_unique<session>(ann));
  const error failed = failure(ann);
  EXPECT_EQ(failed.code(), errc::connection_failed);
  EXPECT_TRUE(failed.may_retry());
  EXPECT_TRUE(contains(failed.what(), "connection")) << failed.what();
  full.pop_back();
  EXPECT_TRUE(eventually([] { return !refusal([] { return list_matviews(); }); }));
}

}  // namespace
}  // namespace matview::test
