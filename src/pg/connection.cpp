#include "pg/connection.hpp"

#include "pg/conninfo.hpp"
#include "pg/server_error.hpp"
#include <matview/error.hpp>

#include <boost/asio/steady_timer.hpp>
#include <fmt/format.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <new>
#include <utility>

namespace matview::pg {

namespace {

using wait_type = asio::posix::descriptor_base::wait_type;
constexpr wait_type readable = wait_type::wait_read;
constexpr wait_type writable = wait_type::wait_write;

constexpr std::chrono::seconds drain_limit{10};

enum class wait_end { ready, timed_out, cancelled };

asio::awaitable<wait_end> wait_until(asio::posix::stream_descriptor& socket, wait_type side,
                                     deadline until) {
  asio::steady_timer timer(socket.get_executor(), until);
  const auto [first, failed] =
      co_await first_of(socket.async_wait(side, asio::deferred), timer.async_wait(asio::deferred));
  if (failed) co_return wait_end::cancelled;
  co_return first == 1 ? wait_end::timed_out : wait_end::ready;
}

[[noreturn]] void fail_to_connect(const std::string& why) {
  throw error(errc::connection_failed, why,
              {.hint = "is this the right server, and does it run? Its address is the url of the "
                       "alias, $MATVIEW_URL, or libpq's environment (PGHOST ...)",
               .connection_usable = false});
}

void set_keepalives(std::vector<const char*>& keywords, std::vector<const char*>& values) {
  // A peer that vanishes is noticed within about a minute, not after two hours. What the connection
  // string says wins: it is expanded after these.
  for (const auto& [keyword, value] :
       {std::pair{"fallback_application_name", "matview"}, std::pair{"client_encoding", "UTF8"},
        std::pair{"keepalives_idle", "30"}, std::pair{"keepalives_interval", "10"},
        std::pair{"keepalives_count", "3"}, std::pair{"tcp_user_timeout", "60000"}}) {
    keywords.push_back(keyword);
    values.push_back(value);
  }
}

connection_handle start_connecting(const std::string& conninfo) {
  std::vector<const char*> keywords;
  std::vector<const char*> values;
  set_keepalives(keywords, values);
  if (!conninfo.empty()) {
    keywords.push_back("dbname");  // libpq expands a connection string that stands here.
    values.push_back(conninfo.c_str());
  }
  keywords.push_back(nullptr);
  values.push_back(nullptr);
  return connection_handle(PQconnectStartParams(keywords.data(), values.data(), 1));
}

// The server's words without libpq's line breaks.
std::string why_of(const PGconn* raw) {
  std::string words = PQerrorMessage(raw);
  while (!words.empty() && words.back() == '\n') words.pop_back();
  // libpq puts its question, and each address tried, on a line of its own.
  for (std::size_t at = 0; (at = words.find('\n', at)) != std::string::npos; at += 2) {
    words.replace(at, 1, "; ");
  }
  return one_line(words);
}

std::vector<const char*> pointers_to(const std::vector<parameter>& values) {
  std::vector<const char*> out;
  out.reserve(values.size());
  for (const parameter& value : values) out.push_back(value ? value->c_str() : nullptr);
  return out;
}

struct free_cancel {
  void operator()(PGcancel* cancel) const noexcept { PQfreeCancel(cancel); }
};

}  // namespace

std::string array_literal(const std::vector<std::string>& texts) {
  std::string out = "{";
  for (const std::string& text : texts) {
    out += out.size() == 1 ? "\"" : ",\"";
    for (const char c : text) {
      if (c == '"' || c == '\\') out += '\\';
      out += c;
    }
    out += '"';
  }
  return out + '}';
}

asio::thread_pool& helper_threads() {
  static asio::thread_pool threads(4);
  return threads;
}

asio::awaitable<void> shield_cancellation() {
  co_await asio::this_coro::reset_cancellation_state(asio::enable_total_cancellation());
  co_await asio::this_coro::throw_if_cancelled(false);
}

// g++ 12 miscompiles a co_await in a condition, and conditional or braced temporaries in a
// statement with a co_await: such values go through names, here and everywhere (see
// CONTRIBUTING.md).
asio::awaitable<void> refuse_if_cancelled() {
  const auto state = co_await asio::this_coro::cancellation_state;
  if (state.cancelled() != asio::cancellation_type::none) throw_cancelled();
}

void throw_cancelled() {
  throw error(errc::cancelled, "the operation was cancelled");
}

asio::awaitable<connection_handle> establish(std::string conninfo, deadline until) {
  const auto executor = co_await asio::this_coro::executor;
  connection_handle handle;
  if (needs_name_lookup(conninfo)) {
    const auto connect = [conninfo] { return start_connecting(conninfo); };
    handle = co_await on_helper_thread(connect);
    co_await refuse_if_cancelled();
  } else {
    handle = start_connecting(conninfo);
  }
  if (!handle) throw std::bad_alloc();
  auto next = PGRES_POLLING_WRITING;
  while (next != PGRES_POLLING_OK) {
    if (next == PGRES_POLLING_FAILED || PQstatus(handle.get()) == CONNECTION_BAD) {
      fail_to_connect(why_of(handle.get()));
    }
    // libpq may change the socket from one attempt (address, host) to the next.
    const wait_type side = next == PGRES_POLLING_READING ? readable : writable;
    wait_end end = wait_end::ready;
    {
      borrowed_socket socket(executor, PQsocket(handle.get()));
      end = co_await wait_until(*socket, side, until);
    }
    if (end == wait_end::cancelled) throw_cancelled();
    co_await refuse_if_cancelled();  // A socket that was ready at the same moment comes first.
    if (end == wait_end::timed_out) {
      fail_to_connect(fmt::format("no answer within the connect timeout from {}",
                                  describe(libpq_target{conninfo})));
    }
    next = PQconnectPoll(handle.get());
  }
  co_return handle;
}

connection::connection(PGconn* raw, const asio::any_io_executor& executor, log_sink log,
                       notices_to receiver)
    : raw_(raw),
      socket_(executor, PQsocket(raw)),
      log_(std::move(log)),
      receiver_(receiver),
      caller_nonblocking_(PQisnonblocking(raw)) {
  PQsetnonblocking(raw_, 1);
  if (receiver_ == notices_to::log) PQsetNoticeReceiver(raw_, &connection::receive_notice, this);
}

connection::~connection() {
  if (receiver_ == notices_to::log) {
    PQsetNoticeReceiver(
        raw_, [](void*, const PGresult*) {}, nullptr);
  }
  PQsetnonblocking(raw_, caller_nonblocking_);
}

void connection::hang_up() noexcept {
  ::shutdown(PQsocket(raw_), SHUT_RDWR);
}

PGTransactionStatusType connection::transaction_status() const noexcept {
  return PQtransactionStatus(raw_);
}

bool connection::reads_as_we_do(std::string_view sql) const noexcept {
  const auto says = [this](const char* setting, std::string_view value) {
    const char* reported = PQparameterStatus(raw_, setting);
    return reported != nullptr && reported == value;
  };
  const bool ascii = std::all_of(sql.begin(), sql.end(), [](char c) { return c > 0; });
  return says("standard_conforming_strings", "on") && (ascii || says("client_encoding", "UTF8"));
}

bool connection::usable() const noexcept {
  return PQstatus(raw_) == CONNECTION_OK;
}

void connection::receive_notice(void* self, const PGresult* raw) noexcept {
  auto& mine = *static_cast<connection*>(self);
  try {
    const auto field = [raw](int which) {
      const char* text = PQresultErrorField(raw, which);
      return std::string_view(text == nullptr ? "" : text);
    };
    std::string line = one_line(field(PG_DIAG_MESSAGE_PRIMARY));
    const std::string_view detail = field(PG_DIAG_MESSAGE_DETAIL);
    if (!detail.empty()) line += fmt::format(" ({})", one_line(detail));
    const bool warning = field(PG_DIAG_SEVERITY_NONLOCALIZED) == "WARNING";
    if (warning) mine.warning_ = line;
    if (mine.log_) mine.log_(warning ? log_level::warning : log_level::info, line);
  } catch (const std::exception&) {
    // libpq is a C library: nothing may be thrown through it, and a lost notice harms nobody.
    return;
  }
}

asio::awaitable<std::vector<result>> connection::run(std::string sql, interruptible mode) {
  check_idle();
  warning_.clear();
  if (mode == interruptible::yes) co_await refuse_if_cancelled();
  if (log_) log_(log_level::debug, one_line(sql));
  if (PQsendQuery(raw_, sql.c_str()) == 0) lose();
  co_return co_await finish(mode);
}

asio::awaitable<result> connection::query(std::string sql, std::vector<parameter> values) {
  check_idle();
  warning_.clear();
  co_await refuse_if_cancelled();
  if (log_) log_(log_level::debug, one_line(sql));
  const std::vector<const char*> pointers = pointers_to(values);
  if (PQsendQueryParams(raw_, sql.c_str(), static_cast<int>(pointers.size()), nullptr,
                        pointers.data(), nullptr, nullptr, 0) == 0) {
    lose();
  }
  std::vector<result> results = co_await finish(interruptible::yes);
  co_return std::move(results.at(0));
}

asio::awaitable<result> connection::execute(const named_statement& statement,
                                            const std::vector<parameter>& values) {
  check_idle();
  warning_.clear();
  co_await refuse_if_cancelled();
  if (!prepared_.contains(statement.name)) {
    if (log_) log_(log_level::debug, fmt::format("preparing {}", statement.name));
    if (PQsendPrepare(raw_, statement.name, statement.sql, 0, nullptr) == 0) lose();
    co_await finish(interruptible::yes);
    prepared_.insert(statement.name);
  }
  const std::vector<const char*> pointers = pointers_to(values);
  if (PQsendQueryPrepared(raw_, statement.name, static_cast<int>(pointers.size()), pointers.data(),
                          nullptr, nullptr, 0) == 0) {
    lose();
  }
  std::vector<result> results = co_await finish(interruptible::yes);
  co_return std::move(results.at(0));
}

asio::awaitable<std::vector<notification>> connection::notifications(deadline until) {
  check_idle();
  warning_.clear();
  std::vector<notification> told;
  for (;;) {
    if (PQconsumeInput(raw_) == 0) lose();
    while (PGnotify* one = PQnotifies(raw_)) {
      told.push_back({one->relname, one->extra});
      PQfreemem(one);
    }
    if (!told.empty()) co_return told;
    co_await refuse_if_cancelled();
    const wait_end end = co_await wait_until(*socket_, readable, until);
    if (end == wait_end::cancelled) throw_cancelled();
    if (end == wait_end::timed_out) co_return told;
  }
}

asio::awaitable<std::int64_t> connection::copy_in(std::string sql, std::string_view data) {
  constexpr std::size_t chunk = 65'536;
  check_idle();
  warning_.clear();
  co_await refuse_if_cancelled();
  if (log_) log_(log_level::debug, one_line(sql));
  if (PQsendQuery(raw_, sql.c_str()) == 0) lose();
  co_await flush(interruptible::yes);
  while (PQisBusy(raw_) != 0) {
    co_await wait(readable, interruptible::yes);
    if (PQconsumeInput(raw_) == 0) break;
  }
  std::optional<error> refusal;
  if (PGresult* ready = PQgetResult(raw_); PQresultStatus(ready) != PGRES_COPY_IN) {
    refusal = error_of(ready, usable());
    PQclear(ready);
  } else {
    PQclear(ready);
  }
  while (!refusal && !data.empty()) {
    const std::string_view piece = data.substr(0, chunk);
    data.remove_prefix(piece.size());
    if (PQputCopyData(raw_, piece.data(), static_cast<int>(piece.size())) < 0) lose();
    co_await flush(interruptible::yes);
  }
  if (!refusal && PQputCopyEnd(raw_, nullptr) < 0) lose();
  const std::vector<result> results = co_await finish(interruptible::yes);
  if (refusal) throw error(*refusal);
  co_return results.back().affected();
}

asio::awaitable<std::vector<result>> connection::finish(interruptible mode) {
  co_await flush(mode);
  std::vector<result> results;
  std::optional<error> failure;
  for (;;) {
    while (PQisBusy(raw_) != 0) {
      co_await wait(readable, mode);
      if (PQconsumeInput(raw_) == 0) break;  // PQgetResult tells what was still received.
    }
    PGresult* raw = PQgetResult(raw_);
    if (raw == nullptr) break;
    result held(raw);
    const ExecStatusType status = PQresultStatus(raw);
    if (status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK) {
      results.push_back(std::move(held));
    } else if (status == PGRES_COPY_IN || status == PGRES_COPY_OUT || status == PGRES_COPY_BOTH) {
      throw error(errc::server_error, "COPY cannot be run here", {.connection_usable = false});
    } else if (!failure && status != PGRES_EMPTY_QUERY) {
      failure = error_of(raw, true);
    }
  }
  if (!usable()) lose(failure);
  if (failure) throw error(*failure);
  co_return results;
}

asio::awaitable<void> connection::flush(interruptible mode) {
  for (;;) {
    const int left = PQflush(raw_);
    if (left < 0) lose();
    if (left == 0) co_return;
    co_await wait(writable, mode);
  }
}

asio::awaitable<void> connection::wait(wait_type side, interruptible mode) {
  for (;;) {
    const auto [failed] = co_await socket_->async_wait(side, as_value);
    // Not `failed` alone: a socket that was ready at the same moment swallows the cancellation.
    const auto state = co_await asio::this_coro::cancellation_state;
    const bool asked = state.cancelled() != asio::cancellation_type::none;
    if (asked && mode == interruptible::yes) {
      co_await cancel_and_drain();
      throw_cancelled();
    }
    if (!failed) co_return;
    // A second request to stop, while the first one is being carried out: go on.
  }
}

asio::awaitable<void> connection::cancel_and_drain() {
  if (log_) log_(log_level::debug, "cancelling the statement in the server");
  // Shared: the helper thread may outlive this coroutine.
  const std::shared_ptr<PGcancel> request(PQgetCancel(raw_), free_cancel{});
  const auto ask = [request] {
    std::array<char, 256> why{};
    const bool sent =
        request && PQcancel(request.get(), why.data(), static_cast<int>(why.size())) == 1;
    return std::string(sent ? "" : why.data());
  };
  const deadline until = std::chrono::steady_clock::now() + drain_limit;
  std::chrono::milliseconds pause{50};
  deadline again = std::chrono::steady_clock::now();
  for (;;) {
    while (PQisBusy(raw_) != 0) {
      const auto now = std::chrono::steady_clock::now();
      if (now >= until) {
        throw error(errc::cancelled,
                    "the operation was cancelled, but the server does not answer any more",
                    {.hint = "the connection is closed; the statement may still run in the server",
                     .connection_usable = false});
      }
      // More than once: the server ignores a request that overtakes the statement it is meant for.
      if (now >= again) {
        PQflush(raw_);
        const std::string refused = co_await on_helper_thread(ask);
        if (!refused.empty() && log_) log_(log_level::warning, one_line(refused));
        again = std::chrono::steady_clock::now() + pause;
        pause = std::min(2 * pause, std::chrono::milliseconds(1000));
      }
      const wait_end end = co_await wait_until(*socket_, readable, std::min(again, until));
      if (end == wait_end::timed_out) continue;
      if (PQconsumeInput(raw_) == 0) break;
    }
    PGresult* rest = PQgetResult(raw_);
    if (rest == nullptr) break;
    if (PQresultStatus(rest) == PGRES_COPY_IN) PQputCopyEnd(raw_, "cancelled");
    PQclear(rest);
  }
  if (!usable()) lose();
}

void connection::check_idle() const {
  if (transaction_status() == PQTRANS_ACTIVE) {
    throw error(errc::invalid_option, "another command is in progress on this connection",
                {.hint = "read its results to the end first"});
  }
}

void connection::lose(const std::optional<error>& last_words) const {
  const bool told = last_words && !last_words->sqlstate().empty();
  throw error(errc::connection_lost,
              "the connection to the server was lost: " +
                  (told ? std::string(last_words->what()) : why_of(raw_)),
              {.sqlstate = told ? last_words->sqlstate() : std::string(),
               .hint = "nothing was changed; try again when the server is back",
               .connection_usable = false});
}

}  // namespace matview::pg
