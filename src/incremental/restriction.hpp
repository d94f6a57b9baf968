#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace matview::incremental {

// Finding rows by keys that may be NULL, in a form for which PostgreSQL uses an index or a hash.

/// A key column, as far as comparing goes.
struct key_traits {
  bool nullable = true;
  bool fixed = false;  ///< Short, so that a btree index on it never fails.
  bool array = false;  ///< Of which PostgreSQL makes no array.
};

/// Of a type as the server writes it.
[[nodiscard]] inline bool is_array(std::string_view type) {
  return type.ends_with("[]") || type == "int2vector" || type == "oidvector";
}

/// Whether a hash of all of them stands for them: a btree index on the columns themselves neither
/// finds NULL together with others nor takes a value of any length.
[[nodiscard]] bool need_hash(const std::vector<key_traits>& keys);

/// `hash_record_extended(ROW(a, b), 0)`.
[[nodiscard]] std::string hash_of(const std::vector<std::string>& expressions);

/// Whether the values of `expressions` are among the rows (k1, k2, ...) of `set`, NULLs being
/// equal. Written so that PostgreSQL pushes it down into subqueries and finds an index for it: the
/// first column alone, as = ANY, and then all together.
[[nodiscard]] std::string among(const std::vector<std::string>& expressions,
                                const std::vector<key_traits>& keys, std::string_view set);

/// The same for rows that are there already: by a hash alone.
[[nodiscard]] std::string all_among(const std::vector<std::string>& expressions,
                                    const std::vector<key_traits>& keys, std::string_view set);

/// The same for a table that has the hash in a column of its own.
[[nodiscard]] std::string among_by_hash(std::string_view hash,
                                        const std::vector<std::string>& expressions,
                                        std::string_view set);

/// Whether two rows agree in their keys. `hashes`: the columns with the hashes, or empty.
[[nodiscard]] std::string agree(const std::vector<std::string>& left,
                                const std::vector<std::string>& right,
                                std::string_view left_hash = {}, std::string_view right_hash = {});

}  // namespace matview::incremental
