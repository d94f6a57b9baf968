#pragma once

#include "pg/connection.hpp"
#include <matview/graph.hpp>

#include <chrono>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace matview::store {

/// Durations of refreshes, by schema and name of the view.
using duration_map = std::map<std::pair<std::string, std::string>, std::chrono::microseconds>;

/// How long the refreshes of these views (nodes of the graph) usually take: of each the median of
/// the last 20 that were done. Without those that have no history; empty where there is no history
/// at all or the role may not read it.
asio::awaitable<duration_map> usual_durations(pg::connection& on,
                                              const std::vector<graph_node>& views);

}  // namespace matview::store
