#include "trial/connection.hpp"

#include <libpq-fe.h>

namespace matview::trial {

bool sql_error::is_conflict() const {
  return sqlstate_ == "40001" || sqlstate_ == "40P01" || sqlstate_ == "55P03";
}

bool sql_error::mentions(std::string_view name) const {
  return std::string_view(what()).find(name) != std::string_view::npos;
}

void connection::deleter::operator()(pg_conn* connection) const noexcept {
  PQfinish(connection);
}

void connection::deleter::operator()(pg_result* result) const noexcept {
  PQclear(result);
}

connection::connection(const std::string& url) : connection_(PQconnectdb(url.c_str())) {
  if (PQstatus(connection_.get()) != CONNECTION_OK) {
    throw std::runtime_error(PQerrorMessage(connection_.get()));
  }
  PQsetNoticeProcessor(
      connection_.get(), [](void*, const char*) {}, nullptr);
  execute("SET statement_timeout = '30s'; SET timezone = 'UTC'");
}

connection::result connection::copy(const std::string& data) {
  const int sent = PQputCopyData(connection_.get(), data.data(), static_cast<int>(data.size()));
  if (sent != 1 || PQputCopyEnd(connection_.get(), nullptr) != 1) {
    throw sql_error("", PQerrorMessage(connection_.get()));
  }
  result ended(PQgetResult(connection_.get()));
  while (const result more{PQgetResult(connection_.get())}) {
  }
  return ended;
}

connection::result connection::run(const std::string& sql) {
  if (!sql.starts_with("COPY ")) return result(PQexec(connection_.get(), sql.c_str()));
  const std::size_t line = sql.find('\n');
  result started(PQexec(connection_.get(), sql.substr(0, line).c_str()));
  if (PQresultStatus(started.get()) != PGRES_COPY_IN) return started;
  const std::size_t end = sql.rfind("\\.");
  return copy(sql.substr(line + 1, end - line - 1));
}

rows connection::query(const std::string& sql) {
  const result done = run(sql);
  const ExecStatusType status = PQresultStatus(done.get());
  if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK) {
    const char* state = PQresultErrorField(done.get(), PG_DIAG_SQLSTATE);
    throw sql_error(state != nullptr ? state : "",
                    std::string(PQerrorMessage(connection_.get())) + "in: " + sql);
  }
  rows all;
  for (int row = 0; row < PQntuples(done.get()); ++row) {
    std::vector<std::string>& fields = all.emplace_back();
    for (int field = 0; field < PQnfields(done.get()); ++field) {
      const bool null = PQgetisnull(done.get(), row, field) != 0;
      fields.emplace_back(null ? "NULL" : PQgetvalue(done.get(), row, field));
    }
  }
  return all;
}

std::string connection::query_one(const std::string& sql) {
  const rows all = query(sql);
  if (all.size() != 1 || all[0].size() != 1) throw std::runtime_error("not one value: " + sql);
  return all[0][0];
}

void connection::roll_back() noexcept {
  try {
    if (in_transaction()) execute("ROLLBACK");
  } catch (const std::exception&) {
    // The connection is lost, and the transaction with it.
  }
}

bool connection::in_transaction() const noexcept {
  return PQtransactionStatus(connection_.get()) != PQTRANS_IDLE;
}

int connection::server_version() const noexcept {
  return PQserverVersion(connection_.get());
}

}  // namespace matview::trial
