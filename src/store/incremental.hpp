#pragma once

#include "pg/connection.hpp"
#include <matview/error.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace matview::store {

// The tables and functions of migration 3: what incremental views consist of.

/// SQL, a boolean expression on `c`, a row of pg_class: whether it is an incremental view. From the
/// catalog alone, so that it can be asked without the schema matview and without rights.
inline constexpr std::string_view is_incremental = R"((c.relkind = 'v' and exists (
    select from pg_catalog.pg_trigger it
      join pg_catalog.pg_proc ip on ip.oid = it.tgfoid
      join pg_catalog.pg_namespace inn on inn.oid = ip.pronamespace
     where it.tgrelid = c.oid and inn.nspname = 'matview' and ip.proname = 'refuse_change')))";

/// SQL, an expression on `c`: the storage of that incremental view, an oid.
inline constexpr std::string_view storage_of = R"((
    select d.refobjid from pg_catalog.pg_rewrite w
      join pg_catalog.pg_depend d on d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass
       and d.objid = w.oid and d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
      join pg_catalog.pg_class st on st.oid = d.refobjid and st.relkind = 'r'
      join pg_catalog.pg_namespace sn on sn.oid = st.relnamespace and sn.nspname = 'matview'
     where w.ev_class = c.oid and st.relname like 'storage\_%' limit 1))";

/// SQL, a boolean expression on `c` and its schema `n`: whether it is a part of an incremental view
/// rather than something of a user's, or a view that is just being made.
inline constexpr std::string_view is_helper = R"((n.nspname = 'matview' and c.relname ~
    '^(storage|core|definition|source|core_source|matview_new)_[0-9]+$'))";

/// The number under which a view's parts are made: matview.storage_<id>, ...
asio::awaitable<int> next_incremental_id(pg::connection& on);

/// Makes the row of a view whose parts are not there yet, so that its tables can be captured.
asio::awaitable<void> begin_incremental(pg::connection& on, int id);

/// Captures these columns of a table for the view; the number of the log.
asio::awaitable<int> capture(pg::connection& on, int id, std::int64_t table,
                             std::vector<std::string> columns);

/// The row, now that its parts are there. `view` and `storage`: as SQL takes them. `program`,
/// `settings`: JSON.
asio::awaitable<void> finish_incremental(pg::connection& on, int id, std::string view,
                                         std::string storage, std::string program,
                                         std::string settings, std::string layout);

/// Another program for the same parts. False, and nothing is done, if those were made by another
/// layout than this one.
asio::awaitable<bool> replace_program(pg::connection& on, int id, std::string program,
                                      std::string layout);

/// Gives a view that is made once more what the old one was filled with.
asio::awaitable<void> copy_settings(pg::connection& on, int from, int to);

/// Makes matview.definition_<to>, with the query of the view `from`. Needs an empty search_path.
asio::awaitable<void> copy_definition(pg::connection& on, int from, int to);

/// Puts the parts of `made`, a view made by make_parts and filled, in the place of those of `old`.
asio::awaitable<void> take_over(pg::connection& on, int old, int made);

/// Drops all parts of a view but the user's own; also that if it was never given its name.
asio::awaitable<void> discard_incremental(pg::connection& on, int id);

/// Discards what views have left that were dropped without this library, or with CASCADE, or whose
/// creation was cut off an hour ago or earlier. What something else still stands on is left to a
/// later call, when nothing does. With them go the logs of this role that no view reads.
asio::awaitable<void> discard_orphans(pg::connection& on);

/// The numbers of the incremental view of this name, quoted, and with `above` of all that are made
/// from it, as far as their parts are this role's; none of them is refreshed until the transaction
/// ends, and those that were are done. Needs READ COMMITTED.
asio::awaitable<std::vector<int>> hold_for_the_end(pg::connection& on, std::string quoted,
                                                   bool above);

/// Takes the triggers for these views off their tables, waiting for all who use these. To be called
/// before the views are dropped, and discard_all() then.
asio::awaitable<void> release_tables(pg::connection& on, std::vector<int> ids);

/// Drops all parts of these views, whose own views are gone.
/// @throws error  dependents_exist if something of others stands on them.
asio::awaitable<void> discard_all(pg::connection& on, std::vector<int> ids);

/// The views, as SQL takes them, whose query is gone: what it reads was dropped with CASCADE.
asio::awaitable<std::vector<std::string>> without_definition(pg::connection& on);

/// `text` with each matview.definition_<id> called by the view that it is the query of.
asio::awaitable<std::string> named_by_users(pg::connection& on, std::string text);

/// Whether all changes of its tables are captured since it was last filled.
asio::awaitable<bool> is_captured(pg::connection& on, int id);

/// Whether the view reads its storage, and has not been given another query.
asio::awaitable<bool> shows_storage(pg::connection& on, int id);

/// The columns of an incremental view, as lists of SQL.
struct compared_columns {
  std::string names;
  std::string compared;  ///< The same, as text where the type has no equality (json).
};
/// By what rows of the view's query and of its storage can be compared.
asio::awaitable<compared_columns> columns_to_compare(pg::connection& on, int id);

/// An SQL expression: the query of the view with this oid, an expression too, with constants as
/// every session reads them in the same way. Its settings stay until the transaction ends. Pure.
[[nodiscard]] std::string view_text_sql(std::string_view oid);

/// Of two that make a view anew at once the second has nothing to go by.
[[nodiscard]] error made_anew_meanwhile();

/// A view whose query is gone cannot be refreshed, verified or converted any more.
[[nodiscard]] error definition_gone(std::string_view quoted);

/// The number of the incremental view of this name, quoted, if it is one.
asio::awaitable<std::optional<int>> incremental_id(pg::connection& on, std::string quoted);

/// What matview.refresh() answers.
struct incremental_refresh {
  std::string mode;  ///< none, incremental, full, diff, recompile.
  std::string reason;
  std::int64_t rows = 0;
  std::optional<std::int64_t> log_rows = {};
};

/// The oid of a relation of this library's schema.
asio::awaitable<std::int64_t> oid_in_schema(pg::connection& on, std::string name);

/// What a refresh has to set, so that functions that read settings mean what they meant when the
/// view was made: a JSON object.
asio::awaitable<std::string> settings_now(pg::connection& on);

/// Runs matview.refresh() as the connection's next statement. `locked`: the transaction is
/// REPEATABLE READ, and its tables were locked before its snapshot was taken.
asio::awaitable<incremental_refresh> run_refresh(pg::connection& on, std::string quoted,
                                                 std::string wish, bool locked = false);

/// Removes what all views have taken in from the logs, in batches that are transactions of their
/// own, as long as there is something left, but for no more than some seconds; how many rows.
asio::awaitable<std::int64_t> prune_logs(pg::connection& on);

}  // namespace matview::store
