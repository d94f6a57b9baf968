#include "cli_fixture.hpp"

#include <boost/json/parse.hpp>
#include <stdlib.h>
#include <unistd.h>

#include <fstream>
#include <regex>
#include <stdexcept>
#include <utility>

namespace matview::test {

namespace fs = std::filesystem;
namespace json = boost::json;

namespace {

void check_keys(const json::value& value) {
  static const std::regex snake_case("[a-z][a-z0-9_]*");
  if (const json::array* items = value.if_array()) {
    for (const json::value& item : *items) check_keys(item);
  } else if (const json::object* object = value.if_object()) {
    for (const auto& [key, child] : *object) {
      EXPECT_TRUE(std::regex_match(std::string(key), snake_case)) << key;
      if (key.ends_with("_seconds")) {
        EXPECT_TRUE(child.is_number()) << key;
      }
      check_keys(child);
    }
  }
}

bool is_zombie(const fs::path& entry) {
  const std::string stat = read_file(entry / "stat");
  const std::size_t name_end = stat.rfind(") ");
  return name_end == std::string::npos || stat[name_end + 2] == 'Z';
}

}  // namespace

scratch_folder::scratch_folder() {
  std::string name = (fs::temp_directory_path() / "matview-cli-XXXXXX").string();
  if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("mkdtemp " + name);
  path_ = name;
  fs::permissions(path_, static_cast<fs::perms>(0755));
}

scratch_folder::~scratch_folder() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

std::string scratch_folder::write(const std::string& name, std::string_view text) const {
  const fs::path file = path_ / name;
  fs::create_directories(file.parent_path());
  std::ofstream(file, std::ios::binary) << text;
  return file.string();
}

bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

std::string read_file(const fs::path& path) {
  const std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();  // A process of /proc may go meanwhile: then what there was.
  return text.str();
}

std::vector<pid_t> processes_about(const std::string& text) {
  std::vector<pid_t> found;
  std::error_code gone;
  for (const fs::directory_entry& entry : fs::directory_iterator("/proc")) {
    const std::string pid = entry.path().filename().string();
    if (pid.find_first_not_of("0123456789") != std::string::npos) continue;
    if (pid == std::to_string(::getpid()) || is_zombie(entry.path())) continue;
    const std::string folder = fs::read_symlink(entry.path() / "cwd", gone).string();
    if (contains(read_file(entry.path() / "cmdline"), text) || contains(folder, text) ||
        contains(read_file(entry.path() / "environ"), text)) {
      found.push_back(std::stoi(pid));
    }
  }
  return found;
}

std::vector<std::string> program(const std::vector<std::string>& arguments) {
  std::vector<std::string> argv{MATVIEW_PROGRAM};
  argv.insert(argv.end(), arguments.begin(), arguments.end());
  return argv;
}

std::string shell_line(const std::vector<std::string>& words) {
  std::string line;
  for (const std::string& word : words) {
    line += line.empty() ? "'" : " '";
    for (const char c : word) line += c == '\'' ? std::string("'\\''") : std::string(1, c);
    line += '\'';
  }
  return line;
}

void expect_refusal(const process_result& result, int exit_code,
                    const std::vector<std::string>& said) {
  EXPECT_EQ(result.exit_code, exit_code) << result.err;
  EXPECT_EQ(result.out, "");
  EXPECT_TRUE(result.err.starts_with("matview: error: ")) << result.err;
  EXPECT_TRUE(result.err.ends_with('\n')) << result.err;
  EXPECT_FALSE(contains(result.err, "\x1b")) << result.err;
  for (const std::string& part : said) {
    EXPECT_TRUE(contains(result.err, part)) << "not said: " << part << '\n' << result.err;
  }
}

json::value json_of(const process_result& result) {
  json::error_code failed;
  json::value value = json::parse(result.out, failed);
  EXPECT_FALSE(failed) << failed.message() << " in " << result.out << result.err;
  check_keys(value);
  return value;
}

process cli_test::start_other(const std::vector<std::string>& argv, process_options more) const {
  std::map<std::string, std::optional<std::string>> env{{"MATVIEW_URL", db.url()},
                                                        {"HOME", folder.path().string()},
                                                        {"LC_ALL", "C.UTF-8"},
                                                        {"TERM", "xterm"}};
  for (const char* name : {"XDG_CONFIG_HOME", "XDG_DATA_HOME", "NO_COLOR", "PGHOST", "PGPORT",
                           "PGUSER", "PGDATABASE", "PGPASSWORD", "PGPASSFILE", "PGSERVICE"}) {
    env[name] = std::nullopt;
  }
  more.env.merge(std::move(env));  // What the test says comes first.
  if (more.directory.empty()) more.directory = folder.path();
  return process(argv, std::move(more));
}

process_result cli_test::run_other(const std::vector<std::string>& argv,
                                   process_options more) const {
  return start_other(argv, std::move(more)).wait();
}

process cli_test::start(const std::vector<std::string>& arguments, process_options more) const {
  return start_other(program(arguments), std::move(more));
}

process_result cli_test::matview(const std::vector<std::string>& arguments,
                                 process_options more) const {
  return start(arguments, std::move(more)).wait();
}

bool cli_test::exists(const std::string& relation) {
  return db.query_one("SELECT to_regclass('" + relation + "') IS NOT NULL") == "t";
}

std::string cli_test::catalog() {
  return db.query_one(
      "SELECT coalesce(string_agg(format('%s %s %s %s', oid, relname, relkind, relfilenode), ', ' "
      "ORDER BY oid), '') FROM pg_class WHERE relnamespace = 'public'::regnamespace");
}

int cli_test::running() {
  return std::stoi(
      db.query_one("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
                   "AND application_name LIKE 'matview%' AND state <> 'idle'"));
}

std::string cli_test::gated_query() {
  return "SELECT id FROM t WHERE pg_advisory_xact_lock_shared(4711)::text IS NOT NULL";
}

void cli_test::create_gated_view(const std::string& name) {
  db.execute(
      "CREATE TABLE IF NOT EXISTS t AS SELECT 1 AS id; UPDATE t SET id = 1; "
      "CREATE MATERIALIZED VIEW " +
      name + " AS " + gated_query() + "; CREATE UNIQUE INDEX ON " + name +
      " (id); UPDATE t SET id = 2");
}

session cli_test::close_gate() const {
  session holder(db.url());
  holder.execute("SELECT pg_advisory_lock(4711)");
  return holder;
}

bool cli_test::at_gate() {
  return eventually([this] {
    return db.query_one(
               "SELECT count(*) > 0 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND "
               "database = (SELECT oid FROM pg_database WHERE datname = current_database())") ==
           "t";
  });
}

}  // namespace matview::test
