#pragma once

#include <matview/views.hpp>

#include <optional>
#include <string>

namespace matview::views {

/// adrop_matview(), which also tells whether there was anything to drop.
boost::asio::awaitable<bool> drop_if_there(std::optional<PGconn*> borrowed, std::string name,
                                           drop_options options);

}  // namespace matview::views
