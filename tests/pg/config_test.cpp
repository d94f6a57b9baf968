#include "views_fixture.hpp"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <vector>

namespace matview::test {
namespace {

namespace fs = std::filesystem;

/// An environment variable for the length of a test.
class scoped_env final {
 public:
  scoped_env(std::string name, const std::optional<std::string>& value) : name_(std::move(name)) {
    if (const char* old = std::getenv(name_.c_str())) old_ = old;
    set(value);
  }
  scoped_env(const scoped_env&) = delete;
  scoped_env& operator=(const scoped_env&) = delete;
  ~scoped_env() { set(old_); }

 private:
  void set(const std::optional<std::string>& value) const {
    value ? ::setenv(name_.c_str(), value->c_str(), 1) : ::unsetenv(name_.c_str());
  }
  std::string name_;
  std::optional<std::string> old_;
};

using aliases = std::vector<std::string>;

class Config : public views_test {
 protected:
  Config() {
    std::string pattern = (fs::temp_directory_path() / "matview-config.XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr) throw std::runtime_error(pattern);
    folder = pattern;
    configure({});
  }
  ~Config() override { fs::remove_all(folder); }

  [[nodiscard]] fs::path file(const std::string& text) const {
    std::ofstream(folder / "matview.toml") << text;
    return folder / "matview.toml";
  }

  fs::path folder;
};

TEST_F(Config, NamesDatabases) {
  load_config(file("[databases]\ndefault = '" + db.url() + "'\n\"other one\" = 'embedded:/x'\n"));
  EXPECT_EQ(database_aliases(), (aliases{"default", "other one"}));
  EXPECT_EQ(list_matviews(), std::vector<std::string>{});
}

TEST_F(Config, TakesEverySetting) {
  db.execute("CREATE SCHEMA first");
  load_config(file("# a comment\n[databases.main]\nurl = '" + db.url() +
                   "'\npool_size = 1\nconnect_timeout = '3 seconds'\n"
                   "acquire_timeout = '20 milliseconds'\nsearch_path = ['first', 'public']\n"));
  EXPECT_EQ(database_aliases(), (aliases{"default", "main"}));
  EXPECT_EQ(create_matview("v", "SELECT 1 AS id", {.database = "main"}).view, "first.v");

  gate slow(db.url());
  create_matview("w", "SELECT 1 AS id WHERE " + gate::condition(),
                 {.database = "main", .with_data = false});
  background holder(arefresh_matview("w", {.database = "main"}));
  slow.await();
  const error failure = failure_of([] { return list_matviews({.database = "main"}); });
  EXPECT_TRUE(contains(failure.what(), "all 1 connections")) << failure.what();
  slow.open();
  holder.get();
}

TEST_F(Config, ReplacesWhatWasConfiguredBefore) {
  configure({{"before", db.url()}});
  load_config(file("[databases]\nafter = '" + db.url() + "'\n"));
  EXPECT_EQ(database_aliases(), (aliases{"after", "default"}));
}

TEST_F(Config, MayBeEmpty) {
  for (const std::string text : {"", "# nothing\n", "[databases]\n"}) {
    load_config(file(text));
    EXPECT_EQ(database_aliases(), aliases{"default"});
  }
}

struct wrong_file {
  std::string text;
  std::string where;
  std::string says;
};

TEST_F(Config, SaysWhereItIsWrongAndChangesNothing) {
  const std::vector<wrong_file> table{
      {"[database]\ndefault = ''\n", ":1:1: ", "database"},
      {"[databases]\n[extra]\n", ":2:1: ", "extra"},
      {"colour = 1\n", ":1:", "colour"},
      {"databases = 1\n", ":1:", "table"},
      {"[databases]\ndefault = 1\n", ":2:", "default"},
      {"[databases]\ndefault = ['a']\n", ":2:", "default"},
      {"[databases.main]\ncolour = 'red'\n", ":2:", "colour"},
      {"[databases.main]\nurl = 1\n", ":2:", "url"},
      {"[databases.main]\npool_size = '3'\n", ":2:", "pool_size"},
      {"[databases.main]\npool_size = 2.5\n", ":2:", "pool_size"},
      {"[databases.main]\npool_size = 0\n", ":2:", "pool_size"},
      {"[databases.main]\npool_size = -1\n", ":2:", "pool_size"},
      {"[databases.main]\npool_size = 10001\n", ":2:", "pool_size"},
      {"[databases.main]\nconnect_timeout = 5\n", ":2:", "connect_timeout"},
      {"[databases.main]\nconnect_timeout = 'soon'\n", ":2:", "connect_timeout"},
      {"[databases.main]\nacquire_timeout = '5 parsecs'\n", ":2:", "acquire_timeout"},
      {"[databases.main]\nsearch_path = 'public'\n", ":2:", "search_path"},
      {"[databases.main]\nsearch_path = []\n", ":2:", "search_path"},
      {"[databases.main]\nsearch_path = [1]\n", ":2:", "search_path"},
      {"[databases]\ndefault = 'postgresql:///\n", ":2:", ""},
      {"[databases]\n\n  default = = 1\n", ":3:", ""},
      {"[databases]\ndefault = 'a'\ndefault = 'b'\n", ":3:", ""},
  };
  configure({{"before", db.url()}});
  for (const wrong_file& row : table) {
    SCOPED_TRACE(row.text);
    const fs::path path = file(row.text);
    const error failure = failure_of([&] { return load_config(path), 0; });
    EXPECT_EQ(failure.code(), errc::invalid_option);
    EXPECT_EQ(std::string(failure.what()).find(path.string() + row.where), 0U) << failure.what();
    EXPECT_TRUE(contains(failure.what(), row.says)) << failure.what();
    EXPECT_EQ(database_aliases(), (aliases{"before", "default"}));
  }
}

TEST_F(Config, SaysWhichAliasHasAUrlThatMakesNoSense) {
  const error backend =
      failure_of([&] { return load_config(file("[databases]\nbooks = 'sqlite:///x'\n")), 0; });
  EXPECT_EQ(backend.code(), errc::unsupported_backend);
  EXPECT_TRUE(contains(backend.what(), "books")) << backend.what();
  const error malformed =
      failure_of([&] { return load_config(file("[databases]\nbooks = 'postgresql://['\n")), 0; });
  EXPECT_EQ(malformed.code(), errc::invalid_option);
  EXPECT_TRUE(contains(malformed.what(), "books")) << malformed.what();
}

TEST_F(Config, SaysWhichFileCannotBeRead) {
  struct row {
    fs::path path;
    std::string says;
  };
  for (const row& wrong :
       {row{folder / "missing.toml", "No such file"}, row{folder, "directory"}}) {
    SCOPED_TRACE(wrong.path);
    const error failure = failure_of([&] { return load_config(wrong.path), 0; });
    EXPECT_EQ(failure.code(), errc::invalid_option);
    EXPECT_TRUE(contains(failure.what(), wrong.path.string())) << failure.what();
    EXPECT_TRUE(contains(failure.what(), wrong.says)) << failure.what();
  }
}

TEST_F(Config, RepeatsNoPasswordOfAFileThatIsWrong) {
  for (const std::string text : {"[databases]\ndefault = 'postgresql://u:s3cret@h/d\n",
                                 "[databases]\ndefault = postgresql://u:s3cret@h/d\n",
                                 "[databases]\ndefault = 'postgresql://u:s3cret@[/d'\n",
                                 "[databases]\ndefault = ['postgresql://u:s3cret@h/d']\n",
                                 "[databases.main]\npassword = 's3cret'\n",
                                 "[databases]\ndefault = \"host=h password=\\s3cret\"\n"}) {
    SCOPED_TRACE(text);
    const error failure = failure_of([&] { return load_config(file(text)), 0; });
    EXPECT_FALSE(contains(failure.what(), "s3cret")) << failure.what();
    EXPECT_FALSE(contains(failure.hint(), "s3cret")) << failure.hint();
  }
}

TEST_F(Config, WithoutItTheDefaultIsTheUrlOfTheEnvironment) {
  const test_database other;
  const scoped_env elsewhere("PGDATABASE", "nowhere");
  {
    const scoped_env url("MATVIEW_URL", db.url());
    create_matview("v", "SELECT 1 AS id");
    EXPECT_TRUE(exists("v"));
  }
  const scoped_env url("MATVIEW_URL", other.url());
  EXPECT_EQ(list_matviews(), std::vector<std::string>{});
}

TEST_F(Config, WithoutThatTheDefaultIsLibpqsEnvironment) {
  session probe(db.url());
  const scoped_env no_url("MATVIEW_URL", std::nullopt);
  const scoped_env host("PGHOST", probe.query_one("SHOW unix_socket_directories"));
  const scoped_env port("PGPORT", probe.query_one("SHOW port"));
  const scoped_env user("PGUSER", probe.query_one("SELECT current_user"));
  const scoped_env database("PGDATABASE", db.name());
  create_matview("v", "SELECT 1 AS id");
  EXPECT_TRUE(exists("v"));
  EXPECT_EQ(connections(), 1);
}

TEST_F(Config, OfTheDefaultWinsOverTheEnvironment) {
  const scoped_env url("MATVIEW_URL", "host=/nonexistent");
  load_config(file("[databases]\ndefault = '" + db.url() + "'\n"));
  EXPECT_EQ(list_matviews(), std::vector<std::string>{});
}

TEST_F(Config, OfOthersLeavesTheDefaultToTheEnvironment) {
  const scoped_env url("MATVIEW_URL", db.url());
  load_config(file("[databases]\nother = 'host=/nonexistent'\n"));
  EXPECT_EQ(list_matviews(), std::vector<std::string>{});
}

TEST_F(Config, AWrongUrlInTheEnvironmentIsRefusedWithoutRepeatingIt) {
  const scoped_env url("MATVIEW_URL", "mysql://u:s3cret@h/d");
  const error failure = failure_of([] { return list_matviews(); });
  EXPECT_EQ(failure.code(), errc::unsupported_backend);
  EXPECT_FALSE(contains(failure.what(), "s3cret")) << failure.what();
}

}  // namespace
}  // namespace matview::test
