#pragma once

#include "pg/transaction.hpp"
#include "store/incremental.hpp"

#include "incremental/program.hpp"
#include "incremental/refusal.hpp"

#include <optional>
#include <string>
#include <vector>

namespace matview::views {

/// Which parts of an incremental view are to be made.
enum class parts_to_make {
  all,      ///< Of a new one, whose definition is there.
  program,  ///< Capture and program alone; the storage stays, if it fits.
};

struct parts_made {
  std::optional<incremental::compiled_view> view;
  std::optional<incremental::refusal> refusal;
  bool fit = true;  ///< Of parts_to_make::program: else nothing but the capture was changed.
};

/// Compiles matview.definition_<id>, has its tables captured and makes what the view consists of;
/// the view that users read is matview.matview_new_<id>. Needs an empty search_path. To be
/// committed before the view is filled.
/// @throws error  permission_denied if this role may not capture a table.
asio::awaitable<parts_made> make_parts(pg::transaction& in, int id, parts_to_make what);

/// Fills a new view, for the first time, in a READ COMMITTED transaction.
/// @throws error  with sqlstate 40001 if its tables are not those any more that it was compiled
/// for.
asio::awaitable<store::incremental_refresh> fill_new(pg::transaction& in, int id);

/// Undoes make_parts of a new view that was not filled. What cannot be undone now is logged, and
/// left to store::discard_orphans.
asio::awaitable<void> discard_parts(pg::connection& on, int id);

/// Begins the end of an incremental view: waits for its refresh, and takes the triggers for it off
/// its tables. `above`: with all that is made from it. `patience`: give_way(), or nothing where
/// that wait is not to be cut short. The numbers are for store::discard_all().
asio::awaitable<std::vector<int>> begin_the_end(pg::transaction& in, std::string quoted, bool above,
                                                std::string patience);

/// Runs store::discard_orphans() in a transaction of its own, for which nobody waits long: what
/// fails is only logged, as the next call tries again. Does nothing inside a caller's transaction.
asio::awaitable<void> tidy(pg::connection& on);

/// What is done to a view that somebody has given another query.
enum class views_of_others {
  keep,     ///< Nothing: whoever has done so is told.
  replace,  ///< It gets back its own.
};

/// Makes the program of a view anew, since its tables were changed, and all its parts if they do
/// not fit it any more; in transactions of its own. It has to be filled then, unless it returns
/// true: a view that was made anew is filled when it takes its place.
/// `preamble`: what each of them has to set first, as SQL; with give_way() in it, the parts change
/// places patiently.
/// @throws error  permission_denied if this role may not capture a table; server_error if the view
/// was given another query, which is kept.
asio::awaitable<bool> recompile(pg::connection& on, std::string quoted, std::string preamble,
                                views_of_others other = views_of_others::keep);

/// Computes all of a view in a transaction of its own; false if it has to be compiled anew first.
asio::awaitable<bool> fill_again(pg::connection& on, std::string quoted, std::string preamble);

}  // namespace matview::views
