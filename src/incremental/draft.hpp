#pragma once

#include "incremental/algebra.hpp"
#include "incremental/compile.hpp"
#include "incremental/operators.hpp"
#include "incremental/resolve.hpp"
#include "incremental/statement.hpp"

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace matview::incremental {

// What the stages of the compiler share.

/// A program while it is being made. Not thread-safe.
class draft final {
 public:
  explicit draft(const compile_input& from);
  draft(const draft&) = delete;
  draft& operator=(const draft&) = delete;

  /// `rows`, a projection, with the counter that they belong to.
  [[nodiscard]] const relation* with_leaf(const relation& rows, std::size_t leaf) const;

  /// Maintains a storage by mechanism L: it holds the rows of `queries` together. `always` is what
  /// else is in it, and never changes.
  void maintain(const keyed_storage& storage, const std::vector<const relation*>& queries,
                std::string_view always);
  void maintain(const identified_storage& storage, const std::vector<const relation*>& queries);

  /// The statements that apply changes and fill anew, of WITH items.
  void apply_by(const std::string& items);
  void fill_by(const std::string& items);

  void add_index(const keyed_storage& storage);
  void add_index(const identified_storage& storage);
  void add_index(const replaced_storage& storage);

  /// What is left to the view that users read; see explained_residue().
  void explain_residue(const relation* grouped, const std::string& stored);

  const compile_input& input;
  arena memory;
  resolved_query query;
  query_context in;
  std::map<std::int64_t, int> bits;  ///< By a table's oid: its bit in masks.
  std::map<std::int64_t, int> logs;  ///< The same: the number of its log.
  const relation* whole;             ///< What the query computes.
  const relation* top = nullptr;     ///< The same without ORDER BY and LIMIT.
  maintenance how = {};              ///< What the stage that had it has decided, for explain.
  compiled_view out = {};

 private:
  std::string read_changes(const std::vector<const relation*>& queries);
  void add_index(const std::string& on, std::string_view unique, bool hashed,
                 const std::vector<std::string>& columns);
};

}  // namespace matview::incremental
