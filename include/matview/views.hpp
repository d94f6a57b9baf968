#pragma once

#include <matview/options.hpp>
#include <matview/report.hpp>

#include <boost/asio/awaitable.hpp>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

// libpq's own name for a connection; whoever has one has its header.
struct pg_conn;
using PGconn = pg_conn;

namespace matview {

// The life of a view. What holds for every function here:
//
// Effect: each create, refresh and drop is one transaction: it happens whole or not at all. To
// create an incremental view takes two, as does a refresh that has to compile it anew: what
// captures its tables is committed first, then it is filled. Should the second not happen, there is
// no view, or the old one; what was made for it is discarded, or after a kill left to be discarded
// by a later create or drop.
//
// Errors: `error`, and nothing else but std::bad_alloc. Names and SELECTs are checked before any
// connection is made (invalid_identifier, invalid_select, invalid_option). Then
// unknown_database, unsupported_backend, connection_failed; then what the server says
// (permission_denied, lock_timeout, statement_timeout, server_error, ...); connection_lost when the
// connection broke and nothing happened, in_doubt when it broke during the commit. After an error
// the next call on the same alias works.
//
// Cancellation: the asynchronous forms honour every type of per-operation cancellation that the
// caller's coroutine lets through; co_spawn's default is terminal alone. The statement is cancelled
// in the server, its answer is awaited, the transaction is rolled back, and errc::cancelled is
// thrown. A commit that is under way is not cancelled any more.
//
// Threads: all functions may be called from any thread. The synchronous forms run the asynchronous
// ones to their end on a private io_context; they block, so do not call them from a coroutine.
//
// Connections: by default one is leased from the pool of the alias in the options. The forms that
// take a `PGconn*` use that one instead, never close it, and leave its settings as they were. If a
// transaction is open on it they run inside it, under a savepoint: an error undoes what they did
// and leaves the transaction usable. Otherwise they begin and commit one. Unqualified names are
// then looked up by that session's own search_path. Nobody else may use the connection until the
// call returns.

/// Creates a view from a query, native or incremental, with its indexes and comment.
///
/// @param name        the view, `view` or `schema.view`; see identifier.
/// @param select_sql  one SELECT, VALUES, TABLE or WITH query; reaches the server as it is written,
///                    but for a trailing semicolon.
/// @return what was done. If the view was there and `if_not_exists` is set: mode none and a reason.
/// @throws error  besides the common ones: view_exists; server_error, with the position in
///                `select_sql`, when the server refuses the query.
refresh_report create_matview(std::string_view name, std::string_view select_sql,
                              const create_options& options = {});
refresh_report create_matview(PGconn* connection, std::string_view name,
                              std::string_view select_sql, const create_options& options = {});

/// Computes the contents of a view anew.
///
/// @throws error  besides the common ones: view_not_found; with `concurrently` also not_populated
///                and needs_unique_index, whose hint is a CREATE UNIQUE INDEX to run.
refresh_report refresh_matview(std::string_view name, const refresh_options& options = {});
refresh_report refresh_matview(PGconn* connection, std::string_view name,
                               const refresh_options& options = {});

/// Sees to it that a view's data is not older than `max_age`: returns at once if it is not, joins a
/// refresh that is running if that began late enough, and else refreshes. However many ask at once,
/// one refreshes.
///
/// @param max_age  longest time since the refresh began that made the data.
/// @return what was done: mode none and a reason if it was fresh or was joined.
/// @throws error  as refresh_matview(); permission_denied where no history can be kept, which is
///                what the age is known from.
refresh_report ensure_fresh(std::string_view view, const interval& max_age,
                            const refresh_options& options = {});

/// Asks the server to stop the refreshes of a view that are running now, whoever began them and
/// wherever: this library or anybody's REFRESH. The view stays as it was.
///
/// @return how many sessions were asked; 0 if it is not being refreshed.
/// @throws error  permission_denied if one of them runs as a role that this one must not stop.
int cancel_refresh(std::string_view name, std::string_view database = "default");

/// Drops a view.
///
/// @throws error  besides the common ones: view_not_found unless `if_exists`; dependents_exist,
///                which names them, unless `cascade`.
void drop_matview(std::string_view name, const drop_options& options = {});
void drop_matview(PGconn* connection, std::string_view name, const drop_options& options = {});

/// The names of the materialized and incremental views of one schema, sorted by byte.
std::vector<std::string> list_matviews(const list_options& options = {});
std::vector<std::string> list_matviews(PGconn* connection, const list_options& options = {});

/// What the catalog says of one view. Plain data.
struct matview_info {
  std::string schema = {};                 ///< Exactly as the server has it.
  std::string name = {};                   ///< Exactly as the server has it.
  std::string owner = {};                  ///< The role that owns it.
  bool populated = false;                  ///< Whether it holds data and so can be read.
  bool can_refresh_concurrently = false;   ///< Populated, with a usable unique index.
  std::optional<std::int64_t> bytes = {};  ///< Size on disk with indexes and TOAST; unset while the
                                           ///< view is locked, as by a full refresh.
  std::string comment = {};                ///< Its COMMENT, or empty.
  view_kind kind = view_kind::native;      ///< native or incremental.
};

/// What list_matviews() names, with what the catalog says of each. Takes no lock on the views.
std::vector<matview_info> describe_matviews(const list_options& options = {});
std::vector<matview_info> describe_matviews(PGconn* connection, const list_options& options = {});

// The asynchronous forms: the same arguments, results and errors, on the caller's executor. The
// arguments are copied in the call itself; a `PGconn*` must stay open until the end.
//
// g++ 12 destroys a braced temporary in a co_await statement twice, when it holds a std::string:
// give options a name there, `co_await arefresh_matview("v", options)`. The defaults are written as
// calls, not as `{}`, for the same reason.

boost::asio::awaitable<refresh_report> acreate_matview(std::string_view name,
                                                       std::string_view select_sql,
                                                       create_options options = create_options());
boost::asio::awaitable<refresh_report> acreate_matview(PGconn* connection, std::string_view name,
                                                       std::string_view select_sql,
                                                       create_options options = create_options());
boost::asio::awaitable<refresh_report> arefresh_matview(
    std::string_view name, refresh_options options = refresh_options());
boost::asio::awaitable<refresh_report> arefresh_matview(
    PGconn* connection, std::string_view name, refresh_options options = refresh_options());
boost::asio::awaitable<refresh_report> aensure_fresh(std::string_view view, interval max_age,
                                                     refresh_options options = refresh_options());
boost::asio::awaitable<void> adrop_matview(std::string_view name,
                                           drop_options options = drop_options());
boost::asio::awaitable<void> adrop_matview(PGconn* connection, std::string_view name,
                                           drop_options options = drop_options());
boost::asio::awaitable<std::vector<std::string>> alist_matviews(
    list_options options = list_options());
boost::asio::awaitable<std::vector<std::string>> alist_matviews(
    PGconn* connection, list_options options = list_options());
boost::asio::awaitable<std::vector<matview_info>> adescribe_matviews(
    list_options options = list_options());
boost::asio::awaitable<std::vector<matview_info>> adescribe_matviews(
    PGconn* connection, list_options options = list_options());

/// A callable that refreshes the view, for whatever runs tasks. It keeps no state and no
/// connection, may be copied, and may be called from any thread, also at the same time.
///
/// @throws error with errc::invalid_identifier at once, not when the task runs. The callable throws
///         as refresh_matview() does.
std::function<void()> matview_refresh_task(std::string name,
                                           refresh_options options = {.concurrently = true});

}  // namespace matview
