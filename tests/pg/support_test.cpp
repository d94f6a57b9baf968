#include "support/server.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <stdexcept>
#include <string>

namespace matview::test {
namespace {

TEST(TestDatabase, IsItsOwnAndGoesWithItsSessions) {
  std::string name;
  std::unique_ptr<session> left_open;
  {
    test_database database;
    name = database.name();
    EXPECT_EQ(database.query_one("SELECT current_database()"), name);
    database.execute("CREATE TABLE t AS SELECT 1 AS a; INSERT INTO t VALUES (NULL)");
    EXPECT_EQ(database.query("SELECT a FROM t ORDER BY a"), (rows{{"1"}, {"NULL"}}));
    EXPECT_THROW(database.execute("SELECT nothing"), std::runtime_error);
    left_open = std::make_unique<session>(database.url());
  }
  EXPECT_EQ(session(server_url())
                .query_one("SELECT count(*) FROM pg_database WHERE datname = '" + name + "'"),
            "0");
}

TEST(ServerUrl, TakesAnyParameter) {
  const std::string url = with_parameter(server_url(), "application_name", "a b'c");
  EXPECT_EQ(session(url).query_one("SHOW application_name"), "a b'c");
}

TEST(PrivateServer, KeepsItsDataOverAKill) {
  std::filesystem::path folder;
  {
    private_server server({"work_mem = '7MB'"});
    folder = server.folder();
    server.start();
    session before(server.url());
    EXPECT_EQ(before.query_one("SHOW work_mem"), "7MB");
    before.execute("CREATE TABLE t AS SELECT 1 AS a");
    server.kill_now();
    EXPECT_FALSE(server.running());
    EXPECT_THROW(before.execute("SELECT 1"), std::runtime_error);
    EXPECT_THROW(session{server.url()}, std::runtime_error);

    server.start();
    EXPECT_EQ(session(server.url()).query_one("SELECT a FROM t"), "1");
    server.restart();
    EXPECT_EQ(session(server.url()).query_one("SELECT a FROM t"), "1");
    EXPECT_NE(server.log().find("was not properly shut down"), std::string::npos);
    server.kill_now();
  }
  EXPECT_FALSE(std::filesystem::exists(folder));
}

}  // namespace
}  // namespace matview::test
