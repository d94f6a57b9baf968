#pragma once

#include "incremental/affected_keys.hpp"
#include "incremental/aggregates.hpp"
#include "incremental/program.hpp"
#include "incremental/restriction.hpp"

#include <string>
#include <vector>

namespace matview::incremental {

// The statements of a program, from its shape. Text only.

/// The storage of mechanism L and D: a row for each key, with counters and the state of aggregates.
struct keyed_storage {
  std::vector<std::string> keys;   ///< Columns.
  std::vector<std::string> types;  ///< Of the keys, to cast them to; empty for as they come.
  std::vector<key_traits> traits;  ///< Of the keys.
  std::size_t counters = 1;        ///< __mv_n1, __mv_n2, ...
  std::vector<std::string> sums;   ///< The type of each total's sum; empty: it is only counted.
  /// Whether a total's argument is never NULL: then it is there as often as there are rows, and
  /// need not be computed once more to be counted.
  std::vector<bool> never_null = {};
  std::vector<bool> unbounded = {};  ///< Whether a total may be NaN or infinite.
  std::vector<bool> extremes = {};   ///< Whether it is the least.

  [[nodiscard]] bool is_counted_by_rows(std::size_t total) const {
    return counters == 1 && total < never_null.size() && never_null[total];
  }

  [[nodiscard]] bool hashed() const { return !keys.empty() && need_hash(traits); }
  [[nodiscard]] bool one_row() const { return keys.empty(); }
};

/// The query that yields the storage's rows anew, from `rows`, a query of k1, ..., t1, ..., e1, ...
/// and leaf, which counter a row belongs to.
[[nodiscard]] std::string storage_source(const keyed_storage& of, const std::string& rows);

/// Adds the change of the rows below, the query `changes` with these columns and the weight w, to
/// the storage: WITH items and what follows. `rows` is the new state of those rows.
[[nodiscard]] std::string add_changes(const keyed_storage& of, const std::string& storage,
                                      const std::string& changes, const std::string& rows);

/// Replaces the storage's contents by those of `source`, touching only rows that differ.
[[nodiscard]] std::string keyed_diff(const keyed_storage& of, const view_parts& parts);

/// The storage of mechanism L where no two rows can be the same: all columns, found by some.
struct identified_storage {
  std::vector<std::string> columns;
  std::vector<std::string> types;     ///< Of the first columns, to cast them to.
  std::vector<std::size_t> identity;  ///< The columns that tell rows apart; they are NOT NULL.
  std::vector<key_traits> traits;     ///< Of the identity.

  [[nodiscard]] bool hashed() const { return need_hash(traits); }
};

/// As above; `rows` and `changes` have no t and no e.
[[nodiscard]] std::string storage_source(const identified_storage& of, const std::string& rows);
[[nodiscard]] std::string add_changes(const identified_storage& of, const std::string& storage,
                                      const std::string& changes);
[[nodiscard]] std::string keyed_diff(const identified_storage& of, const view_parts& parts);

/// The storage of mechanism K, or the rows below of mechanism D.
struct replaced_storage {
  std::string storage;
  std::string source;
  std::vector<std::string> columns;  ///< All but the hash, quoted.
  std::vector<std::string> keys;
  std::vector<key_traits> traits;
  std::vector<std::string> types = {};  ///< Of the keys.
  std::string hash = {};                ///< The column with the keys' hash, if there is one.
};

/// The WITH item `keys`: those that a change has touched.
[[nodiscard]] std::string touched_keys(const replaced_storage& of);

/// WITH items: takes away the rows whose keys are in `keys` and adds what the source has for them;
/// `gone` and `added` return `returning`.
[[nodiscard]] std::string replace_keys(const replaced_storage& of, const std::string& gone,
                                       const std::string& added, const std::string& returning,
                                       const std::string& from);

/// WITH items: `fresh`, all rows anew, and `keys`, those whose rows differ in the storage.
[[nodiscard]] std::string differing_keys(const replaced_storage& of);

/// As keyed_diff above, touching only keys whose rows differ.
[[nodiscard]] std::string keyed_diff(const replaced_storage& of);

/// WITH items: all rows.
[[nodiscard]] std::string replace_all(const std::string& storage, const std::string& source,
                                      const std::string& gone, const std::string& added);

}  // namespace matview::incremental
