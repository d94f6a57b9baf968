#include "tasks_database.hpp"

#include "bare_libpq.hpp"

#include <fmt/format.h>
#include <libpq-fe.h>
#include <unistd.h>

#include <exception>
#include <memory>
#include <stdexcept>

namespace matview::bench {

namespace {

// What names a server to libpq, and the variable that does the same.
const std::map<std::string, std::string>& variable_names() {
  static const std::map<std::string, std::string> names{
      {"host", "PGHOST"}, {"hostaddr", "PGHOSTADDR"}, {"port", "PGPORT"},
      {"user", "PGUSER"}, {"password", "PGPASSWORD"}, {"dbname", "PGDATABASE"}};
  return names;
}

std::string quoted(std::string_view value) {
  std::string out = "'";
  for (const char one : value) {
    if (one == '\'' || one == '\\') out += '\\';
    out += one;
  }
  return out + '\'';
}

std::map<std::string, std::string> options_of(const PGconn* on) {
  const std::unique_ptr<PQconninfoOption, decltype(&PQconninfoFree)> all(
      PQconninfo(const_cast<PGconn*>(on)), PQconninfoFree);
  std::map<std::string, std::string> out;
  for (const PQconninfoOption* one = all.get(); one != nullptr && one->keyword != nullptr; ++one) {
    if (one->val != nullptr && variable_names().contains(one->keyword)) {
      out.emplace(one->keyword, one->val);
    }
  }
  return out;
}

}  // namespace

scratch_database::scratch_database(const std::string& server, const std::string& suffix)
    : server_(server), name_(fmt::format("matview_bench_{}_{}", getpid(), suffix)) {
  const auto connection = connect(server_);
  execute(connection.get(), fmt::format("CREATE DATABASE {}", name_));
  auto options = options_of(connection.get());
  options.insert_or_assign("dbname", name_);
  for (const auto& [keyword, value] : options) {
    conninfo_ += fmt::format("{}{}={}", conninfo_.empty() ? "" : " ", keyword, quoted(value));
    environment_.emplace(variable_names().at(keyword), value);
  }
}

scratch_database::~scratch_database() {
  try {
    const auto connection = connect(server_);
    execute(connection.get(), fmt::format("DROP DATABASE {} WITH (FORCE)", name_));
  } catch (const std::exception& fault) {
    fmt::print(stderr, "tasks_bench: database {} stays behind: {}\n", name_, fault.what());
  }
}

}  // namespace matview::bench
