#pragma once

#include "incremental/algebra.hpp"

#include <map>
#include <optional>
#include <string>
#include <vector>

namespace matview::incremental {

// What a column of a set operation is made of, in the type that it has above. PostgreSQL casts at
// each UNION on the way, and a cast may change the value: a text that stands below a char(n) has no
// blanks at its end.

/// The types of set operations, which are asked for once each. Not thread-safe.
class branch_types final {
 public:
  explicit branch_types(const query_context& in) : in_(in) {}

  /// Column `place` of the last of `path` as the first of it yields it: `path` leads from a set
  /// operation to one of its branches. Nothing if the server cannot be asked, as the operation
  /// names columns of outer subqueries.
  /// @throws unknown_types, not_incremental
  [[nodiscard]] node* cast(node* expression, const std::vector<const relation*>& path,
                           std::size_t place);

 private:
  using types = std::optional<std::vector<std::string>>;
  const types& types_of_alone(const relation& query);

  const query_context& in_;
  std::map<const relation*, types> known_;
};

}  // namespace matview::incremental
