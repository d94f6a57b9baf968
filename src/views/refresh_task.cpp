#include <matview/identifier.hpp>
#include <matview/views.hpp>

#include <functional>
#include <string>
#include <utility>

namespace matview {

std::function<void()> matview_refresh_task(std::string name, refresh_options options) {
  static_cast<void>(identifier::parse(name));  // A wrong name is refused now, not every night.
  return [name = std::move(name), options = std::move(options)] { refresh_matview(name, options); };
}

}  // namespace matview
