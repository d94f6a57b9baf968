#pragma once

#include "pg/connection.hpp"
#include <matview/graph.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace matview::store {

// A materialized view before, while and after somebody refreshes it.

/// What a view is now.
struct view_state {
  std::uint32_t oid = 0;
  std::string schema;
  std::string name;
  /// Another one after each refresh of it that was committed, also a concurrent one: REFRESH always
  /// writes the view's row of pg_class. Of an incremental view each that has changed something.
  std::string version;
  bool being_refreshed = false;            ///< A session holds the lock of a refresh.
  std::optional<std::int64_t> bytes = {};  ///< Without indexes; unset while it is being refreshed.
};

/// The view that has the name that it had when the graph was read; if none has, the one that has
/// been renamed since; if there is none either, nothing.
/// @param turn_class  the first half of the advisory lock that a refresh of ours holds.
asio::awaitable<std::optional<view_state>> look_at(pg::connection& on, const graph_node& view,
                                                   int turn_class);

/// A refresh that is going on.
struct watched_refresh {
  std::uint32_t oid = 0;
  std::string activity;  ///< The application_name of its session.
};

/// What can be seen of one from outside.
struct refresh_sight {
  std::optional<std::int64_t> new_bytes;  ///< Written so far of what will take the view's place.
  std::vector<std::string> blocked_by;    ///< Sessions whose locks it waits for, at most three.
};

/// Whether this role may see the size of a file that no other session knows a relation of.
asio::awaitable<bool> may_see_files(pg::connection& on);

/// What each of the refreshes does now, in their order.
asio::awaitable<std::vector<refresh_sight>> watch(pg::connection& on,
                                                  const std::vector<watched_refresh>& refreshes,
                                                  bool sees_files);

}  // namespace matview::store
