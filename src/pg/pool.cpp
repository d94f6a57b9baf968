#include "pg/pool.hpp"

#include "pg/conninfo.hpp"
#include <matview/error.hpp>

#include <boost/asio/experimental/concurrent_channel.hpp>
#include <boost/asio/steady_timer.hpp>
#include <fmt/format.h>
#include <poll.h>

#include <algorithm>
#include <new>
#include <utility>

namespace matview::pg {

namespace {

// An idle connection has nothing to say. If its socket is readable, the server has closed it (a
// restart, an idle timeout) or is about to say so; asking costs no round trip.
bool silent(PGconn* raw) {
  pollfd socket{.fd = PQsocket(raw), .events = POLLIN, .revents = 0};
  return PQstatus(raw) == CONNECTION_OK && poll(&socket, 1, 0) == 0;
}

bool healthy(PGconn* raw) {
  return PQstatus(raw) == CONNECTION_OK && PQtransactionStatus(raw) == PQTRANS_IDLE;
}

// Whether the connection string itself sets the search_path.
bool sets_search_path(PGconn* raw) {
  struct free_options {
    void operator()(PQconninfoOption* options) const noexcept { PQconninfoFree(options); }
  };
  const std::unique_ptr<PQconninfoOption, free_options> options(PQconninfo(raw));
  for (const auto* o = options.get(); o != nullptr && o->keyword != nullptr; ++o) {
    if (std::string_view(o->keyword) == "options" && o->val != nullptr) {
      return std::string_view(o->val).find("search_path") != std::string_view::npos;
    }
  }
  return false;
}

}  // namespace

// Someone in line. The channel holds the one connection (or the bare place: null) it is handed.
struct pool::waiter {
  explicit waiter(const asio::any_io_executor& executor) : handed(executor, 1) {}
  asio::experimental::concurrent_channel<void(boost::system::error_code)> handed;
  connection_handle handle;  // Written before the message is sent, read after it is received.
};

// A place in line that is given up whatever happens to the coroutine that waits.
class pool::ticket final {
 public:
  ticket(pool& home, std::shared_ptr<waiter> mine) : home_(home), mine_(std::move(mine)) {}
  ticket(const ticket&) = delete;
  ticket& operator=(const ticket&) = delete;
  ~ticket() {
    if (settled_) return;
    if (leave()) return;
    home_.give_back(std::move(mine_->handle));  // It was handed a place while it gave up.
  }

  // Steps out of the line; false if a connection has been handed over already.
  bool leave() {
    const std::lock_guard guard(home_.mutex_);
    settled_ = std::erase(home_.line_, mine_) > 0;
    return settled_;
  }

  connection_handle receive() {
    settled_ = true;
    return std::move(mine_->handle);
  }

 private:
  pool& home_;
  std::shared_ptr<waiter> mine_;
  bool settled_ = false;
};

lease::lease(std::shared_ptr<pool> home, connection_handle handle,
             const asio::any_io_executor& executor, log_sink log)
    : home_(std::move(home)),
      handle_(std::move(handle)),
      wrapped_(
          std::make_unique<connection>(handle_.get(), executor, std::move(log), notices_to::log)) {}

lease::~lease() {
  if (!home_) return;  // Moved from.
  wrapped_.reset();
  if (!healthy(handle_.get())) handle_.reset();
  home_->give_back(std::move(handle_));
}

// An idle connection, or null for the right to open one; nothing if all places are taken.
std::optional<connection_handle> pool::take_idle_or_place() {
  while (!idle_.empty()) {
    connection_handle handle = std::move(idle_.back());
    idle_.pop_back();
    if (!silent(handle.get())) continue;
    ++taken_;
    return handle;
  }
  if (taken_ >= options_.size) return std::nullopt;
  ++taken_;
  return connection_handle{};
}

asio::awaitable<lease> pool::acquire(log_sink log) {
  co_await refuse_if_cancelled();
  const auto executor = co_await asio::this_coro::executor;
  std::shared_ptr<waiter> mine;
  std::optional<connection_handle> got;
  {
    const std::lock_guard guard(mutex_);
    got = take_idle_or_place();
    if (!got) {
      mine = std::make_shared<waiter>(executor);
      line_.push_back(mine);
    }
  }
  if (mine) {
    ticket place(*this, mine);
    asio::steady_timer timer(executor, options_.acquire_timeout);
    const auto [first, failed] = co_await first_of(mine->handed.async_receive(asio::deferred),
                                                   timer.async_wait(asio::deferred));
    const bool received = first == 0 && !failed;
    if (!received && place.leave()) {
      co_await refuse_if_cancelled();
      throw error(errc::connection_failed,
                  fmt::format("all {} connections of the pool are in use", options_.size),
                  {.hint = "raise pool_size or acquire_timeout, or run fewer operations at once"});
    }
    got = place.receive();
  }
  // From here on the place is ours, and must come back if the connection cannot be made.
  if (!*got) got = co_await open_one(log);
  co_return lease(shared_from_this(), std::move(*got), executor, std::move(log));
}

asio::awaitable<connection_handle> pool::open_one(const log_sink& log) {
  struct place_guard {
    pool* home;
    ~place_guard() {
      if (home != nullptr) home->give_back(nullptr);
    }
  } guard{this};
  const deadline until = std::chrono::steady_clock::now() + options_.connect_timeout;
  connection_handle handle = co_await establish(options_.conninfo, until);
  co_await prepare_session(handle.get(), log);
  guard.home = nullptr;
  co_return handle;
}

// Unqualified names must mean the same whoever runs this; and the server must notice that its
// client is gone, or the refresh of a killed process goes on and blocks the next one.
asio::awaitable<void> pool::prepare_session(PGconn* raw, const log_sink& log) {
  connection session(raw, co_await asio::this_coro::executor, log, notices_to::log);
  if (session.server_version() >= 140000) {
    try {
      co_await session.run("SET client_connection_check_interval = '2s'");
    } catch (const error& refused) {
      // A server on a platform that cannot do it, or a proxy that does not let it through.
      if (!refused.connection_usable()) throw;
      if (log) log(log_level::debug, refused.what());
    }
  }
  // The check of a query (text/select_query) reads it as with this setting.
  std::string settings = "SET standard_conforming_strings = on";
  if (!sets_search_path(raw)) {
    settings += "; SET search_path = ";
    for (const std::string& schema : options_.search_path) settings += quote_name(schema) + ", ";
    // Last, or a temporary table could take the place of a table that a view is made of.
    settings += "pg_temp";
  }
  co_await session.run(std::move(settings));
}

void pool::give_back(connection_handle handle) noexcept {
  const std::lock_guard guard(mutex_);
  if (!line_.empty()) {
    const std::shared_ptr<waiter> next = std::move(line_.front());
    line_.pop_front();
    next->handle = std::move(handle);
    next->handed.try_send(boost::system::error_code{});
    return;
  }
  --taken_;
  if (handle) idle_.push_back(std::move(handle));
}

}  // namespace matview::pg
