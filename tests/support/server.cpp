#include "support/server.hpp"

#include <libpq-fe.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <sys/shm.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cctype>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <random>
#include <sstream>
#include <stdexcept>
#include <thread>

namespace matview::test {

namespace fs = std::filesystem;

namespace {

constexpr const char* script = MATVIEW_TEST_SERVER_SCRIPT;

std::string read_file(const fs::path& path) {
  const std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();  // A process of /proc may go meanwhile: then what there was.
  return text.str();
}

// What `test-server start` recorded; empty when no server was started.
std::map<std::string, std::string> recorded() {
  std::map<std::string, std::string> result;
  std::ifstream file(fs::path(MATVIEW_TEST_SERVER_DIR) / "env");
  for (std::string line; std::getline(file, line);) {
    const std::size_t equals = line.find('=');
    if (equals != std::string::npos) result[line.substr(0, equals)] = line.substr(equals + 1);
  }
  return result;
}

std::string percent_encoded(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '-' || c == '.') {
      out += c;
    } else {
      std::array<char, 4> code{};
      std::snprintf(code.data(), code.size(), "%%%02X", static_cast<unsigned char>(c));
      out += code.data();
    }
  }
  return out;
}

std::string socket_url(const fs::path& folder) {
  return "postgresql:///postgres?host=" + percent_encoded(folder.string()) +
         "&port=5432&user=postgres";
}

std::string unique_name() {
  static std::atomic<int> counter{0};
  std::ostringstream name;
  name << "test_" << ::getpid() << '_' << ++counter << '_' << std::hex << std::random_device{}();
  return name.str();
}

// PostgreSQL refuses to run as root.
const passwd* server_user() {
  if (::geteuid() != 0) return nullptr;
  const passwd* user = ::getpwnam("postgres");
  return user != nullptr ? user : ::getpwnam("nobody");
}

std::vector<std::string> as_server(const std::vector<std::string>& argv) {
  std::vector<std::string> result{"setpriv", "--pdeathsig", "QUIT"};
  if (const passwd* user = server_user()) {
    for (const std::string& word :
         {"--reuid=" + std::to_string(user->pw_uid), "--regid=" + std::to_string(user->pw_gid),
          std::string("--clear-groups")}) {
      result.push_back(word);
    }
  }
  result.insert(result.end(), argv.begin(), argv.end());
  return result;
}

void run_as_server(const std::vector<std::string>& argv) {
  const process_result done = run(as_server(argv), {.directory = "/"});
  if (done.exit_code != 0) throw std::runtime_error(argv[0] + " failed: " + done.out + done.err);
}

struct stat_line {
  char state = 'X';
  pid_t parent = 0;
};

stat_line stat_of(const std::string& pid) {
  const std::string text = read_file("/proc/" + pid + "/stat");
  stat_line result;
  const std::size_t after_name = text.rfind(')');
  if (after_name != std::string::npos) {
    std::istringstream(text.substr(after_name + 1)) >> result.state >> result.parent;
  }
  return result;
}

std::vector<pid_t> children_of(pid_t parent) {
  std::vector<pid_t> result;
  for (const fs::directory_entry& entry : fs::directory_iterator("/proc")) {
    const std::string name = entry.path().filename().string();
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    if (stat_of(name).parent == parent) result.push_back(std::stoi(name));
  }
  return result;
}

template <class Condition>
void poll_until(Condition condition, std::string_view what) {
  const auto until = std::chrono::steady_clock::now() + 60s;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > until) {
      throw std::runtime_error("gave up waiting for " + std::string(what));
    }
    std::this_thread::sleep_for(5ms);
  }
}

// A killed server leaves the System V segment that guards its folder; only a start of it, or this,
// takes it away.
void remove_shared_memory(const fs::path& postmaster_file) {
  std::ifstream file(postmaster_file);
  std::string line;
  for (int i = 0; i < 7; ++i) std::getline(file, line);
  unsigned long key = 0;
  int id = 0;
  if (std::istringstream(line) >> key >> id) ::shmctl(id, IPC_RMID, nullptr);
}

}  // namespace

std::string server_url() {
  if (const char* url = std::getenv("MATVIEW_TEST_URL"); url != nullptr && *url != '\0') return url;
  const auto server = recorded();
  if (!server.contains("socket")) {
    throw std::runtime_error(std::string("no test server runs. `make test` and `ctest` start one; "
                                         "for a test program on its own, run\n  ") +
                             script + " start " MATVIEW_TEST_SERVER_DIR +
                             "\nor set MATVIEW_TEST_URL to a server on which databases may be "
                             "created and dropped");
  }
  return socket_url(server.at("socket"));
}

std::string with_parameter(const std::string& url, std::string_view keyword,
                           std::string_view value) {
  char* problem = nullptr;
  const std::unique_ptr<PQconninfoOption, decltype(&PQconninfoFree)> options(
      PQconninfoParse(url.c_str(), &problem), &PQconninfoFree);
  if (!options) {
    const std::string words = problem != nullptr ? problem : "out of memory";
    PQfreemem(problem);
    throw std::runtime_error(words);
  }
  std::map<std::string, std::string> parameters;
  for (const PQconninfoOption* o = options.get(); o->keyword != nullptr; ++o) {
    if (o->val != nullptr) parameters[o->keyword] = o->val;
  }
  parameters[std::string(keyword)] = value;
  std::string result = "postgresql:///" + percent_encoded(parameters["dbname"]);
  parameters.erase("dbname");
  char separator = '?';
  for (const auto& [name, text] : parameters) {
    result += separator + name + '=' + percent_encoded(text);
    separator = '&';
  }
  return result;
}

void session::deleter::operator()(pg_conn* connection) const noexcept {
  PQfinish(connection);
}

session::session(const std::string& url) : connection_(PQconnectdb(url.c_str())) {
  if (PQstatus(connection_.get()) != CONNECTION_OK) {
    throw std::runtime_error(PQerrorMessage(connection_.get()));
  }
  PQsetNoticeProcessor(
      connection_.get(), [](void*, const char*) {}, nullptr);
}

rows session::query(const std::string& sql) {
  const std::unique_ptr<PGresult, decltype(&PQclear)> result(PQexec(connection_.get(), sql.c_str()),
                                                             &PQclear);
  const ExecStatusType status = PQresultStatus(result.get());
  if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK) {
    throw std::runtime_error(sql + "\n" + PQerrorMessage(connection_.get()));
  }
  rows all;
  for (int row = 0; row < PQntuples(result.get()); ++row) {
    std::vector<std::string>& fields = all.emplace_back();
    for (int field = 0; field < PQnfields(result.get()); ++field) {
      fields.emplace_back(PQgetisnull(result.get(), row, field) != 0
                              ? "NULL"
                              : PQgetvalue(result.get(), row, field));
    }
  }
  return all;
}

std::string session::query_one(const std::string& sql) {
  const rows all = query(sql);
  if (all.size() != 1 || all[0].size() != 1) {
    throw std::runtime_error("not one value: " + sql);
  }
  return all[0][0];
}

int session::backend_pid() const {
  return PQbackendPID(connection_.get());
}

test_database::test_database()
    : name_(unique_name()), url_(with_parameter(server_url(), "dbname", name_)) {
  session(server_url()).execute("CREATE DATABASE " + name_ + " TEMPLATE template0");
}

test_database::~test_database() {
  session_.reset();
  if (std::getenv("MATVIEW_KEEP_DB") != nullptr) {
    std::fprintf(stderr, "kept: psql '%s'\n", url_.c_str());
    return;
  }
  try {
    session(server_url()).execute("DROP DATABASE IF EXISTS " + name_ + " WITH (FORCE)");
  } catch (const std::exception& failure) {
    std::fprintf(stderr, "database %s is left behind: %s\n", name_.c_str(), failure.what());
  }
}

session& test_database::own() {
  if (!session_) session_ = std::make_unique<session>(url_);
  return *session_;
}

private_server::private_server(std::vector<std::string> settings) {
  const auto shared = recorded();
  const fs::path base = shared.contains("root") ? fs::path(shared.at("root")) : fs::path("/tmp");
  std::string pattern = (base / "private.XXXXXX").string();
  if (::mkdtemp(pattern.data()) == nullptr) {
    throw std::system_error(errno, std::generic_category(), pattern);
  }
  folder_ = pattern;
  if (const passwd* user = server_user()) {
    if (::chown(folder_.c_str(), user->pw_uid, user->pw_gid) != 0) {
      throw std::system_error(errno, std::generic_category(), pattern);
    }
  }
  if (shared.contains("bindir")) {
    bindir_ = shared.at("bindir");
  } else {
    const process_result found = run({script, "bindir"});
    if (found.exit_code != 0) throw std::runtime_error(found.err);
    bindir_ = found.out.substr(0, found.out.find('\n'));
  }

  const fs::path data = folder_ / "data";
  if (fs::exists(base / "template")) {
    run_as_server({"cp", "-a", base / "template", data});
  } else {
    run_as_server({bindir_ + "/initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8",
                   "--locale=C", "-N"});
  }
  std::ofstream conf(data / "postgresql.conf", std::ios::app);
  conf << "listen_addresses = ''\nport = 5432\nunix_socket_directories = '" << folder_.string()
       << "'\nfsync = off\ndynamic_shared_memory_type = mmap\ntimezone = 'UTC'\n";
  for (const std::string& line : settings) conf << line << '\n';
}

private_server::~private_server() {
  try {
    if (postmaster_) {
      postmaster_->send_signal(SIGQUIT);
      postmaster_->wait();
    } else {
      remove_shared_memory(folder_ / "data" / "postmaster.pid");
    }
  } catch (const std::exception& failure) {
    std::fprintf(stderr, "%s\n", failure.what());
  }
  postmaster_.reset();
  std::error_code ignored;
  fs::remove_all(folder_, ignored);
}

void private_server::start() {
  if (running()) return;
  std::vector<std::string> argv{"sh", "-c", "exec \"$@\" >>\"$0\" 2>&1", folder_ / "log"};
  for (std::string& word : as_server({bindir_ + "/postgres", "-D", folder_ / "data"})) {
    argv.push_back(std::move(word));
  }
  auto postmaster = std::make_unique<process>(argv, process_options{.directory = "/"});
  poll_until(
      [&] {
        if (postmaster->ended()) {
          throw std::runtime_error("the private server does not start:\n" + log());
        }
        return PQping(url().c_str()) == PQPING_OK;
      },
      "the private server to start");
  postmaster_ = std::move(postmaster);
}

void private_server::kill_now() {
  if (!running()) return;
  const pid_t postmaster = postmaster_->id();
  // Stopped first: it must not start another process while its children are listed.
  ::kill(postmaster, SIGSTOP);
  poll_until([&] { return stat_of(std::to_string(postmaster)).state == 'T'; }, "SIGSTOP");
  const std::vector<pid_t> children = children_of(postmaster);
  std::vector<pollfd> open;
  for (const pid_t child : children) {
    if (const int fd = watch_process(child); fd >= 0) open.push_back({fd, POLLIN, 0});
  }
  ::kill(postmaster, SIGKILL);
  for (const pid_t child : children) ::kill(child, SIGKILL);
  for (pollfd& fd : open) {
    ::poll(&fd, 1, 60'000);
    ::close(fd.fd);
  }
  postmaster_->wait();
  postmaster_.reset();
}

void private_server::stop() {
  if (!running()) return;
  postmaster_->send_signal(SIGINT);
  postmaster_->wait();
  postmaster_.reset();
}

void private_server::restart() {
  stop();
  start();
}

bool private_server::restore_dump_as(const std::string& name) {
  if (!fs::exists(bindir_ + "/pg_dump")) return false;
  session(url()).execute("CREATE DATABASE " + name + " TEMPLATE template0");
  run_as_server({"sh", "-ec",
                 "\"$0/pg_dump\" -h \"$1\" -U postgres -f \"$1/dump\" postgres; "
                 "\"$0/psql\" -h \"$1\" -U postgres -X -q -v ON_ERROR_STOP=1 -f \"$1/dump\" \"$2\"",
                 bindir_, folder_, name});
  return true;
}

bool private_server::dump_rows() {
  if (!fs::exists(bindir_ + "/pg_dump")) return false;
  run_as_server({bindir_ + "/pg_dump", "-h", folder_, "-U", "postgres", "-a", "-n", "matview", "-f",
                 folder_ / "rows", "postgres"});
  return true;
}

void private_server::load_rows() {
  session(url()).execute(
      "DO $$ BEGIN EXECUTE (SELECT 'TRUNCATE ' || string_agg(oid::regclass::text, ', ') FROM "
      "pg_class WHERE relnamespace = 'matview'::regnamespace AND relkind = 'r'); END $$");
  run_as_server({bindir_ + "/psql", "-h", folder_, "-U", "postgres", "-X", "-q", "-v",
                 "ON_ERROR_STOP=1", "-f", folder_ / "rows", "postgres"});
}

bool private_server::upgrade() {
  if (!fs::exists(bindir_ + "/pg_upgrade")) return false;
  stop();
  const fs::path data = folder_ / "data";
  const fs::path old = folder_ / "old";
  fs::rename(data, old);
  run_as_server({bindir_ + "/initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8",
                 "--locale=C", "-N"});
  fs::copy_file(old / "postgresql.conf", data / "postgresql.conf",
                fs::copy_options::overwrite_existing);
  // It leaves its logs where it is run.
  run_as_server({"sh", "-c", "cd \"$0\" && exec \"$@\"", folder_, bindir_ + "/pg_upgrade", "-b",
                 bindir_, "-B", bindir_, "-d", old, "-D", data, "-U", "postgres", "-s", folder_});
  fs::remove_all(old);
  start();
  return true;
}

std::string private_server::url() const {
  return socket_url(folder_);
}

std::string private_server::log() const {
  return read_file(folder_ / "log");
}

}  // namespace matview::test
