#include "tasks/refresh_check.hpp"

#include "store/catalog.hpp"
#include "tasks/session.hpp"
#include <matview/error.hpp>
#include <matview/identifier.hpp>

#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <fmt/format.h>

#include <utility>

namespace matview::tasks {

namespace json = boost::json;

namespace {

identifier view_of(const std::string& args) {
  const json::value parsed = json::parse(args);
  const json::value* view = parsed.as_object().if_contains("view");
  if (view != nullptr && view->is_string()) {
    return identifier::parse(std::string_view(view->as_string()));
  }
  throw error(errc::invalid_option, "a refresh needs the name of its view",
              {.hint = R"(arguments such as {"view": "sales.daily"})"});
}

}  // namespace

asio::awaitable<void> check_refresh(pg::connection& on, std::string args) {
  const identifier name = view_of(args);
  const auto found = co_await store::find_relation(on, name);
  if (found && found->is_view()) co_return;
  throw error(store::no_such_view(name, found));
}

asio::awaitable<void> acheck_refresh(std::string database, std::string args) {
  static_cast<void>(view_of(args));  // Before any connection is made.
  const auto work = [args = std::move(args)](pg::connection& on) -> asio::awaitable<bool> {
    co_await check_refresh(on, args);
    co_return true;
  };
  co_await views::isolated(on_store(std::move(database), no_schema::refuse, work));
}

}  // namespace matview::tasks
