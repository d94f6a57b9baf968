#pragma once

#include "pg/connection.hpp"
#include "store/query_facts.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace matview::store {

/// What the server says of the query of a plain view and of all that it reads. Needs an empty
/// search_path, so that every name is written with its schema.
asio::awaitable<query_facts> read_query_facts(pg::connection& on, std::int64_t view);

/// The columns that a query yields; it is planned, but not run.
asio::awaitable<std::vector<column_facts>> read_types(pg::connection& on, std::string query);

}  // namespace matview::store
