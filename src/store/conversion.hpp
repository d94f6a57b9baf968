#pragma once

#include "pg/connection.hpp"
#include <matview/options.hpp>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace matview::store {

/// What a view has beside its contents, as far as another one can be given it. Plain data.
struct relation_traits {
  std::int64_t oid = 0;
  std::string schema;
  std::string name;
  std::string owner;
  bool owned_by_me = false;
  std::string query;
  std::string comment;
  std::vector<std::string> grants;        ///< `GRANT SELECT ON {} TO ann`
  std::vector<index_definition> indexes;  ///< On plain columns.
  std::vector<std::string> lost;          ///< What cannot be given to another one, as words.
  std::vector<std::string> dependents;    ///< Quoted names.
};

asio::awaitable<relation_traits> read_traits(pg::connection& on, std::string quoted,
                                             bool incremental);

}  // namespace matview::store
