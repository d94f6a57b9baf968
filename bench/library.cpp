#include "library.hpp"

#include <matview/databases.hpp>
#include <matview/views.hpp>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>

#include <exception>
#include <stdexcept>
#include <utility>

namespace matview::bench {

void use_server(const std::string& conninfo, std::size_t pool_size) {
  configure_databases({{"default", {.url = conninfo, .pool_size = pool_size}}});
}

recording record(const std::string& conninfo, const std::string& view, refresh_options options) {
  recording seen;
  options.log = [&seen](log_level, std::string_view line) {
    const bool transaction = !seen.refresh.empty() || line.starts_with("BEGIN");
    (transaction ? seen.refresh : seen.session).emplace_back(line);
  };
  use_server(conninfo, 1);
  refresh_matview(view, options);
  if (seen.refresh.empty() || !seen.refresh.back().ends_with("COMMIT")) {
    throw std::runtime_error("the library's log does not show a whole transaction");
  }
  return seen;
}

namespace {

asio::awaitable<void> refresh_repeatedly(const std::string& view, std::size_t times) {
  const refresh_options options;  // By name: see CONTRIBUTING.md on g++ 12 and co_await.
  for (std::size_t i = 0; i < times; ++i) co_await arefresh_matview(view, options);
}

}  // namespace

void fly(const std::vector<std::string>& views, std::size_t times) {
  asio::io_context context(1);
  for (const std::string& view : views) {
    asio::co_spawn(context, refresh_repeatedly(view, times), [](const std::exception_ptr& failed) {
      if (failed) std::rethrow_exception(failed);
    });
  }
  context.run();
}

}  // namespace matview::bench
