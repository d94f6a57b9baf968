#include "views/refresh_task.hpp"

#include <matview/identifier.hpp>
#include <matview/views.hpp>

#include <functional>
#include <string>
#include <utility>

namespace matview {

void views::refresh_task::operator()() const {
  refresh_matview(name, options);
}

std::function<void()> matview_refresh_task(std::string name, refresh_options options) {
  static_cast<void>(identifier::parse(name));  // A wrong name is refused now, not every night.
  return views::refresh_task{std::move(name), std::move(options)};
}

}  // namespace matview
