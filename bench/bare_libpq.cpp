#include "bare_libpq.hpp"

#include <sys/epoll.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <stdexcept>
#include <utility>

namespace matview::bench {

namespace {

[[noreturn]] void fail(const PGconn* on) {
  throw std::runtime_error(PQerrorMessage(on));
}

bool is_fine(const PGresult* raw) {
  const ExecStatusType status = PQresultStatus(raw);
  return status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK;
}

}  // namespace

pg::connection_handle connect(const std::string& conninfo, const messages& session) {
  pg::connection_handle made(PQconnectdb(conninfo.c_str()));
  if (PQstatus(made.get()) != CONNECTION_OK) fail(made.get());
  for (const std::string& sql : session) execute(made.get(), sql);
  return made;
}

pg::result execute(PGconn* on, const std::string& sql) {
  PGresult* raw = PQexec(on, sql.c_str());
  pg::result held(raw);
  if (!is_fine(raw)) fail(on);
  return held;
}

std::string value_of(PGconn* on, const std::string& sql) {
  return execute(on, sql).string(0, 0);
}

bare_flight::bare_flight(const std::string& conninfo, const messages& session,
                         std::vector<messages> work)
    : epoll_(epoll_create1(EPOLL_CLOEXEC)) {
  for (messages& one : work) {
    workers_.push_back({.handle = connect(conninfo, session), .work = std::move(one)});
  }
  for (worker& one : workers_) {
    PQsetnonblocking(one.handle.get(), 1);
    epoll_event wanted{.events = EPOLLIN, .data = {.ptr = &one}};
    epoll_ctl(epoll_, EPOLL_CTL_ADD, PQsocket(one.handle.get()), &wanted);
  }
}

bare_flight::~bare_flight() {
  close(epoll_);
}

void bare_flight::run(std::size_t times) {
  std::size_t busy = workers_.size();
  for (worker& one : workers_) {
    one.next = 0;
    send_next(one);
  }
  std::array<epoll_event, 64> ready{};
  while (busy > 0) {
    const int count = epoll_wait(epoll_, ready.data(), static_cast<int>(ready.size()), -1);
    if (count < 0 && errno != EINTR) throw std::runtime_error("epoll_wait failed");
    for (int i = 0; i < count; ++i) {
      worker& one = *static_cast<worker*>(ready.at(static_cast<std::size_t>(i)).data.ptr);
      if (!answered(one)) continue;
      if (one.next == times * one.work.size()) {
        --busy;
      } else {
        send_next(one);
      }
    }
  }
}

void bare_flight::send_next(worker& one) {
  PGconn* const raw = one.handle.get();
  const std::string& sql = one.work[one.next++ % one.work.size()];
  // A few hundred bytes always fit into an idle socket, so there is no waiting for it to be
  // writable.
  if (PQsendQuery(raw, sql.c_str()) == 0 || PQflush(raw) != 0) fail(raw);
}

// Reads what has come; true if that was the end of the answer.
bool bare_flight::answered(worker& one) {
  PGconn* const raw = one.handle.get();
  if (PQconsumeInput(raw) == 0) fail(raw);
  while (PQisBusy(raw) == 0) {
    PGresult* const next = PQgetResult(raw);
    if (next == nullptr) return true;
    const pg::result held(next);
    if (!is_fine(next)) fail(raw);
  }
  return false;
}

}  // namespace matview::bench
