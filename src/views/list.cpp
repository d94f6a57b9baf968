#include "store/catalog.hpp"
#include "views/session.hpp"
#include <matview/views.hpp>

#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace matview {

namespace views {

namespace {

asio::awaitable<std::vector<matview_info>> describe_anywhere(std::optional<PGconn*> borrowed,
                                                             list_options options) {
  session where{borrowed, options.database, options.log};
  const auto work = [&](pg::connection& on) { return store::list_matviews(on, options.schema); };
  co_return co_await on_session(std::move(where), work);
}

asio::awaitable<std::vector<std::string>> names_of(
    asio::awaitable<std::vector<matview_info>> described) {
  std::vector<matview_info> views = co_await std::move(described);
  std::vector<std::string> out;
  out.reserve(views.size());
  for (matview_info& view : views) out.push_back(std::move(view.name));
  co_return out;
}

}  // namespace

}  // namespace views

asio::awaitable<std::vector<matview_info>> adescribe_matviews(list_options options) {
  return views::isolated(views::describe_anywhere(std::nullopt, std::move(options)));
}

asio::awaitable<std::vector<matview_info>> adescribe_matviews(PGconn* connection,
                                                              list_options options) {
  return views::isolated(views::describe_anywhere(connection, std::move(options)));
}

asio::awaitable<std::vector<std::string>> alist_matviews(list_options options) {
  return views::names_of(adescribe_matviews(std::move(options)));
}

asio::awaitable<std::vector<std::string>> alist_matviews(PGconn* connection, list_options options) {
  return views::names_of(adescribe_matviews(connection, std::move(options)));
}

std::vector<matview_info> describe_matviews(const list_options& options) {
  return pg::run_sync(adescribe_matviews(options));
}

std::vector<matview_info> describe_matviews(PGconn* connection, const list_options& options) {
  return pg::run_sync(adescribe_matviews(connection, options));
}

std::vector<std::string> list_matviews(const list_options& options) {
  return pg::run_sync(alist_matviews(options));
}

std::vector<std::string> list_matviews(PGconn* connection, const list_options& options) {
  return pg::run_sync(alist_matviews(connection, options));
}

}  // namespace matview
