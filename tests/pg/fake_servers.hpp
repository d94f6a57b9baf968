#pragma once

#include "support/server.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace matview::test {

namespace asio = boost::asio;

/// Accepts connections and never says a word.
class silent_server final {
 public:
  silent_server() : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)) {
    sockaddr_in where{};
    where.sin_family = AF_INET;
    where.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof where;
    auto* address = reinterpret_cast<sockaddr*>(&where);
    if (::bind(socket_, address, size) != 0 || ::listen(socket_, 8) != 0 ||
        ::getsockname(socket_, address, &size) != 0) {
      throw std::runtime_error("the silent server cannot listen");
    }
    port_ = ntohs(where.sin_port);
  }
  silent_server(const silent_server&) = delete;
  silent_server& operator=(const silent_server&) = delete;
  ~silent_server() {
    if (client_ >= 0) ::close(client_);
    ::close(socket_);
  }
  [[nodiscard]] std::string url(const std::string& host) const {
    return fmt::format("postgresql://{}:{}/db", host, port_);
  }
  [[nodiscard]] std::string port() const { return std::to_string(port_); }
  /// Whether somebody has connected and asked to be let in.
  bool was_asked() {
    if (client_ < 0) client_ = ::accept(socket_, nullptr, nullptr);
    char first = 0;
    return ::recv(client_, &first, 1, MSG_PEEK | MSG_DONTWAIT) == 1;
  }

 private:
  int socket_;
  int client_ = -1;
  int port_ = 0;
};

/// Stands between the library and the server, and knows what passes.
///
/// The first message that begins with `statement` meets its fate; all else passes. Or all stands
/// still from a moment on: before a request, or after a message of it that makes the server work.
class proxy final {
 public:
  enum class fate {
    pass,
    lose_request,  ///< It does not reach the server: both sides find the connection closed.
    lose_reply,    ///< The server carries it out; its answer does not come back.
    hold_reply,    ///< As lose_reply, but release() lets the answer through.
  };

  /// @param url of the server, which must listen on a Unix socket.
  explicit proxy(const std::string& url) : url_(url) {
    session server(url);
    where_ = server.query_one(
        "SELECT split_part(current_setting('unix_socket_directories'), ',', "
        "1) || '/.s.PGSQL.' || current_setting('port')");
    asio::co_spawn(context_, accept(), asio::detached);
    thread_ = std::thread([this] { context_.run(); });
  }
  proxy(const proxy&) = delete;
  proxy& operator=(const proxy&) = delete;
  ~proxy() {
    context_.stop();
    thread_.join();
  }

  [[nodiscard]] std::string url() const {
    std::string url = with_parameter(url_, "host", "127.0.0.1");
    url = with_parameter(url, "port", std::to_string(acceptor_.local_endpoint().port()));
    return with_parameter(with_parameter(url, "sslmode", "disable"), "gssencmode", "disable");
  }

  /// The next message that begins with `statement`: a query, or a prepared statement of this name.
  void arrange(std::string statement, fate its_fate) {
    asio::post(context_, [this, statement = std::move(statement), its_fate] {
      statement_ = statement;
      fate_ = its_fate;
    });
  }
  /// Whether the server has answered the message that is held or lost.
  [[nodiscard]] bool answered() const { return answered_; }
  /// From now on nothing passes on the connections that there are, and nobody is told: as when a
  /// firewall has forgotten them. New ones work.
  void forget_connections() {
    asio::post(context_, [this] {
      for (const auto& one : links_) {
        if (const auto open = one.lock()) open->forgotten = true;
      }
      links_.clear();
    });
  }
  /// Counts moments from now on. From the `moment`-th on nothing passes in either direction, and
  /// nobody is told; 0: all passes. While nobody is connected.
  void stand_still_at(int moment) {
    moments_ = 0;
    last_moment_ = moment;
    still_ = false;
  }
  [[nodiscard]] bool stands_still() const { return still_; }
  [[nodiscard]] int moments() const { return moments_; }
  /// Lets a held answer through.
  void release() {
    asio::post(context_, [this] { asio::co_spawn(context_, let_through(), asio::detached); });
  }

 private:
  struct link {
    explicit link(asio::ip::tcp::socket from)
        : client(std::move(from)), server(client.get_executor()) {}
    void close() {
      boost::system::error_code ignored;
      client.close(ignored);
      server.close(ignored);
    }
    asio::ip::tcp::socket client;
    asio::local::stream_protocol::socket server;
    fate now = fate::pass;
    std::string held;
    bool forgotten = false;
    bool in_request = false;
  };

  // Who holds a link: its two coroutines, each until its side closes.
  asio::awaitable<void> accept() {
    for (;;) {
      auto made = std::make_shared<link>(co_await acceptor_.async_accept(asio::use_awaitable));
      made->server.connect(where_);
      links_.push_back(made);
      asio::co_spawn(context_, requests(made), asio::detached);
      asio::co_spawn(context_, replies(made), asio::detached);
    }
  }

  asio::awaitable<void> requests(std::shared_ptr<link> on) {
    try {
      co_await pass_message(*on, 0);  // The first has no type.
      for (;;) {
        const bool passed = co_await pass_message(*on, 1);
        if (!passed) break;
      }
    } catch (const boost::system::system_error&) {
      // One of them has gone; the other is told below.
    }
    on->close();
  }

  asio::awaitable<bool> pass_message(link& on, std::size_t type_size) {
    std::string message(type_size + 4, '\0');
    co_await asio::async_read(on.client, asio::buffer(message), asio::use_awaitable);
    std::uint32_t length = 0;
    for (std::size_t i = type_size; i < message.size(); ++i) {
      length = length << 8U | static_cast<unsigned char>(message[i]);
    }
    std::string body(length - 4, '\0');
    co_await asio::async_read(on.client, asio::buffer(body), asio::use_awaitable);
    if (type_size > 0 && fate_ != fate::pass && is_awaited(message[0], body)) {
      on.now = std::exchange(fate_, fate::pass);
      if (on.now == fate::lose_request) co_return false;
      holding_ = &on;
    }
    const char type = type_size > 0 ? message[0] : 'X';  // One that asks for nothing.
    const bool ends_request = type == 'Q' || type == 'S';
    if (type != 'X' && !std::exchange(on.in_request, !ends_request)) next_moment();
    if (on.forgotten || still_) co_return true;
    if (ends_request || type == 'E') next_moment();  // Its answer must not pass: hence before it.
    message += body;
    co_await asio::async_write(on.server, asio::buffer(message), asio::use_awaitable);
    co_return true;
  }

  void next_moment() {
    if (++moments_ == last_moment_) still_ = true;
  }

  // The text of a query, or the name of a prepared statement, which follows the portal's.
  [[nodiscard]] bool is_awaited(char type, std::string_view body) const {
    if (type == 'B') return body.substr(body.find('\0') + 1).starts_with(statement_);
    return type == 'Q' && body.starts_with(statement_);
  }

  asio::awaitable<void> replies(std::shared_ptr<link> on) {
    try {
      std::array<char, 8192> bytes{};
      for (;;) {
        const std::size_t size =
            co_await on->server.async_read_some(asio::buffer(bytes), asio::use_awaitable);
        if (on->forgotten || still_) continue;
        if (on->now != fate::pass) {
          answered_ = true;
          on->held.append(bytes.data(), size);
          if (on->now == fate::lose_reply) break;
          continue;
        }
        co_await asio::async_write(on->client, asio::buffer(bytes, size), asio::use_awaitable);
      }
    } catch (const boost::system::system_error&) {
      // As above.
    }
    on->close();
  }

  asio::awaitable<void> let_through() {
    link& on = *holding_;
    on.now = fate::pass;
    co_await asio::async_write(on.client, asio::buffer(on.held), asio::use_awaitable);
  }

  std::string url_;
  std::string where_;
  asio::io_context context_{1};
  asio::ip::tcp::acceptor acceptor_{context_, {asio::ip::address_v4::loopback(), 0}};
  std::string statement_;  // This and what follows: the loop's thread only.
  fate fate_ = fate::pass;
  link* holding_ = nullptr;
  std::vector<std::weak_ptr<link>> links_;
  std::atomic<int> last_moment_{0};
  std::atomic<int> moments_{0};
  std::atomic<bool> still_{false};
  std::atomic<bool> answered_{false};
  std::thread thread_;
};

}  // namespace matview::test
