#pragma once

#include "bare_libpq.hpp"
#include <matview/options.hpp>

#include <cstddef>
#include <string>
#include <vector>

// This library, as its users call it.

namespace matview::bench {

/// Names the server for the library and forgets the connections there were before.
void use_server(const std::string& conninfo, std::size_t pool_size);

/// What the library sends, as its log tells.
struct recording {
  messages session;  ///< Once on a new connection.
  messages refresh;  ///< For one refresh.
};

/// Refreshes `view` on a new connection and writes down what is sent: bare libpq can then do
/// exactly the same, and does not fall behind when the library changes.
[[nodiscard]] recording record(const std::string& conninfo, const std::string& view,
                               refresh_options options);

/// Refreshes each view `times` times, all of them at once, with one io_context on this thread.
void fly(const std::vector<std::string>& views, std::size_t times);

}  // namespace matview::bench
