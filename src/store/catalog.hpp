#pragma once

#include "pg/connection.hpp"
#include <matview/error.hpp>
#include <matview/identifier.hpp>
#include <matview/views.hpp>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace matview::store {

// What PostgreSQL's catalog says. Reads only, takes no lock on the objects it tells about.

/// SQL, a boolean expression on `c`, a row of pg_class: whether it has an index that REFRESH ...
/// CONCURRENTLY can use, by PostgreSQL's own check (is_usable_unique_index in its matview.c):
/// unique, immediate, valid, without WHERE, on plain columns.
inline constexpr std::string_view usable_unique_index = R"(exists (
    select from pg_catalog.pg_index i
     where i.indrelid = c.oid and i.indisunique and i.indimmediate and i.indisvalid
       and i.indpred is null and i.indexprs is null))";

/// A relation as far as messages and decisions need it.
struct relation {
  std::string quoted;             ///< `"schema"."name"`, ready for SQL.
  char kind = 'r';                ///< pg_class.relkind: r, v, m, ...
  bool populated = false;         ///< As a materialized view: holds data.
  bool unique_index = false;      ///< Has one that REFRESH ... CONCURRENTLY can use.
  std::string owner;              ///< The role that owns it.
  bool may_act_as_owner = false;  ///< Whether the current role has the owner's rights.
  bool incremental = false;       ///< An incremental view of this library.
  /// The role that owns its parts in the schema matview, if the current one may not act as it.
  std::string parts_of_another = {};

  /// Whether it is one of those that this library refreshes.
  [[nodiscard]] bool is_view() const noexcept { return kind == 'm' || incremental; }

  /// `an incremental view`, or what kind_name() says.
  [[nodiscard]] std::string_view described() const noexcept;
};

/// The relation that the session means by `name`, if there is one.
asio::awaitable<std::optional<relation>> find_relation(pg::connection& on, const identifier& name);

/// What to throw where `name` means `found`, which is no view of ours or nothing. Pure.
[[nodiscard]] error no_such_view(const identifier& name, const std::optional<relation>& found);

/// What to throw where a right was missing on the parts of an incremental view, which belong to
/// `parts_of_another`. Pure.
[[nodiscard]] error parts_refused(const relation& view, const error& failed);

/// `a materialized view`, `a table`, ... for a relkind. Pure.
[[nodiscard]] std::string_view kind_name(char relkind) noexcept;

/// The materialized views of a schema, sorted by the bytes of their names.
asio::awaitable<std::vector<matview_info>> list_matviews(pg::connection& on, std::string schema);

/// Sessions that hold a lock on the relation, at most three, as text: `pid 42 (psql, ann): UPDATE
/// ...`.
asio::awaitable<std::vector<std::string>> lock_holders(pg::connection& on, const identifier& name);

/// Columns by which the rows of the view are now different and not null: the shortest prefix of
/// its columns, or one column, that is; quoted. Empty when there is none, or when `limit_ms` was
/// not enough to find out.
asio::awaitable<std::vector<std::string>> unique_columns(pg::connection& on, const relation& view,
                                                         int limit_ms);

}  // namespace matview::store
