#pragma once

#include "pg/connection.hpp"
#include "pg/result.hpp"

#include <string>
#include <vector>

// The other side of the comparison: libpq as its manual shows it, with nothing around it.

namespace matview::bench {

/// What is sent for one refresh, one string a message; a message may hold several statements.
using messages = std::vector<std::string>;

/// Connects and runs `session` there. Blocks.
/// @throws std::runtime_error with libpq's words, here and below.
[[nodiscard]] pg::connection_handle connect(const std::string& conninfo,
                                            const messages& session = {});

/// PQexec. Returns the last result.
pg::result execute(PGconn* on, const std::string& sql);

/// The one value that `sql` returns.
[[nodiscard]] std::string value_of(PGconn* on, const std::string& sql);

/// Many connections driven by one thread: non-blocking libpq calls around one epoll.
class bare_flight final {
 public:
  /// One connection for each of `work`.
  bare_flight(const std::string& conninfo, const messages& session, std::vector<messages> work);
  bare_flight(const bare_flight&) = delete;
  bare_flight& operator=(const bare_flight&) = delete;
  ~bare_flight();

  /// Has each connection do its work `times` times, all of them at once.
  void run(std::size_t times);

 private:
  struct worker {
    pg::connection_handle handle;
    messages work;
    std::size_t next = 0;  // Counts the messages of this run().
  };

  void send_next(worker& one);
  static bool answered(worker& one);

  std::vector<worker> workers_;
  int epoll_;
};

}  // namespace matview::bench
