#include "views/incremental_parts.hpp"

#include "pg/conninfo.hpp"
#include "store/incremental.hpp"
#include "views/compilation.hpp"
#include "views/patience.hpp"
#include "views/session.hpp"
#include "views/statements.hpp"
#include <matview/error.hpp>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <chrono>
#include <utility>

namespace matview::views {

namespace {

void check_rights(const std::vector<incremental::captured_table>& tables, const std::string& role) {
  for (const incremental::captured_table& table : tables) {
    const store::table_facts& facts = *table.table;
    if (facts.may_trigger) continue;
    const std::string name = pg::quote_name(facts.schema) + "." + pg::quote_name(facts.name);
    throw error(
        errc::permission_denied,
        fmt::format("this role may not make triggers on {}, which an incremental view needs "
                    "to see its changes",
                    name),
        {.sqlstate = "42501",
         .hint = fmt::format("{} may run: GRANT TRIGGER, SELECT ON {} TO {}; or let {} make "
                             "the view, so that also what replication writes is captured",
                             facts.owner, name, pg::quote_name(role), facts.owner)});
  }
}

asio::awaitable<void> make_relations(pg::transaction& in, int id,
                                     const incremental::compiled_view& view,
                                     const incremental::view_parts& parts) {
  // Else a publication FOR ALL TABLES would forbid to change the rows.
  std::string sql = fmt::format(
      "CREATE VIEW {0} AS {1}; CREATE TABLE {2} AS SELECT * FROM {0} WITH NO DATA; "
      "ALTER TABLE {2} REPLICA IDENTITY FULL; ",
      parts.source, view.source, parts.storage);
  if (!view.core_source.empty()) {
    sql += fmt::format(
        "CREATE VIEW {0} AS {1}; CREATE TABLE {2} AS SELECT * FROM {0} WITH NO DATA; "
        "ALTER TABLE {2} REPLICA IDENTITY FULL; ",
        parts.core_source, view.core_source, parts.core);
  }
  for (const std::string& index : view.indexes) sql += index + "; ";
  sql += fmt::format(
      "CREATE VIEW matview.matview_new_{0} AS {1}; "
      "CREATE TRIGGER matview_refuse INSTEAD OF INSERT OR UPDATE OR DELETE ON "
      "matview.matview_new_{0} FOR EACH ROW EXECUTE FUNCTION matview.refuse_change()",
      id, view.view);
  co_await in.run(std::move(sql));
}

// All that make_relations() makes the parts by.
std::string layout_of(const incremental::compiled_view& view) {
  return fmt::format("{}\n{}\n{}\n{}", view.source, view.core_source, view.view,
                     fmt::join(view.indexes, "\n"));
}

}  // namespace

asio::awaitable<parts_made> make_parts(pg::transaction& in, int id, parts_to_make what) {
  pg::connection& on = in.on();
  const std::int64_t definition =
      co_await store::oid_in_schema(on, fmt::format("definition_{}", id));
  store::query_facts facts = co_await facts_of(on, definition);
  parts_made out;
  // Compiled once before anything is locked: most refusals need no lock.
  incremental::view_parts parts = parts_of(id);
  const compilation first = co_await compile_on(on, facts, parts);
  if (first.refusal() != nullptr) {
    out.refusal = *first.refusal();
    co_return out;
  }
  const std::vector<incremental::captured_table>& tables = first.view()->tables;
  check_rights(tables, on.user());
  if (what == parts_to_make::all) co_await store::begin_incremental(on, id);
  for (const incremental::captured_table& table : tables) {
    const int log =
        co_await store::capture(on, id, table.table->oid, std::vector<std::string>(table.columns));
    parts.logs[table.table->oid] = log;
    co_await in.run(hardly_wait);
  }
  const std::string settings = co_await store::settings_now(on);
  compilation compiled = co_await compile_on(on, std::move(facts), parts);
  const incremental::compiled_view& view = *compiled.view();
  if (what == parts_to_make::all) {
    const std::string used = compiled.facts.uses_settings ? settings : std::string("{}");
    co_await make_relations(in, id, view, parts);
    co_await store::finish_incremental(on, id, fmt::format("matview.matview_new_{}", id),
                                       std::string(parts.storage), program_json(view, parts),
                                       std::string(used), layout_of(view));
  } else {
    out.fit = co_await store::replace_program(on, id, program_json(view, parts), layout_of(view));
  }
  out.view = view;
  for (incremental::captured_table& table : out.view->tables) table.table = nullptr;
  co_return out;
}

asio::awaitable<store::incremental_refresh> fill_new(pg::transaction& in, int id) {
  store::incremental_refresh filled = co_await store::run_refresh(
      in.on(), fmt::format("matview.matview_new_{}", id), std::string("full"));
  if (filled.mode == "recompile") {
    throw error(errc::server_error, "a table of the view was changed meanwhile: " + filled.reason,
                {.sqlstate = "40001", .hint = "try again"});
  }
  co_return filled;
}

namespace {

// What fails in `work` is only logged; also a cancellation, which whoever comes next sees again:
// what came before may be committed, and must not look as if it had not happened.
template <class Work>
asio::awaitable<void> or_say_so(pg::connection& on, log_level level, std::string_view said,
                                Work work) {
  std::optional<error> failure;
  try {
    co_await work();
    co_return;
  } catch (const error& failed) {
    failure = failed;
  }
  if (on.log()) on.log()(level, fmt::format("{}: {}", said, failure->what()));
}

asio::awaitable<void> discard_patiently(pg::connection& on, int id) {
  const auto once = [&on, id](int tries) -> asio::awaitable<bool> {
    const auto work = [id, tries](pg::transaction& in) -> asio::awaitable<bool> {
      co_await in.run(give_way(tries));
      std::vector<int> ids(1, id);
      co_await store::release_tables(in.on(), std::move(ids));
      co_await store::discard_incremental(in.on(), id);
      co_return true;
    };
    return pg::in_transaction(on, work);
  };
  // Whoever has cancelled waits for this; what is left is an orphan, which others discard.
  constexpr std::chrono::seconds longest{10};
  co_await patiently(std::chrono::steady_clock::now() + longest, once);
}

asio::awaitable<void> discard_or_say_so(pg::connection& on, int id) {
  const auto work = [&on, id] { return discard_patiently(on, id); };
  co_await or_say_so(on, log_level::warning, "left behind, to be discarded later", work);
}

asio::awaitable<void> discard_orphans_once(pg::connection& on) {
  const auto work = [](pg::transaction& in) -> asio::awaitable<bool> {
    co_await in.run("SET LOCAL application_name = 'matview'; " + give_way());
    co_await store::discard_orphans(in.on());
    co_return true;
  };
  co_await pg::in_transaction(on, work);
}

}  // namespace

asio::awaitable<void> discard_parts(pg::connection& on, int id) {
  // Also if what came before was cancelled.
  co_await isolated(discard_or_say_so(on, id));
}

asio::awaitable<std::vector<int>> begin_the_end(pg::transaction& in, std::string quoted, bool above,
                                                std::string patience) {
  // Its refresh is waited for as long as it takes: meanwhile nobody has to wait for us.
  std::vector<int> ids = co_await store::hold_for_the_end(in.on(), std::move(quoted), above);
  if (!patience.empty()) co_await in.run(std::move(patience));
  if (!ids.empty()) {
    std::vector<int> same = ids;
    co_await store::release_tables(in.on(), std::move(same));
  }
  co_return ids;
}

asio::awaitable<void> tidy(pg::connection& on) {
  if (on.transaction_status() != PQTRANS_IDLE) co_return;
  const auto work = [&on] { return discard_orphans_once(on); };
  co_await or_say_so(on, log_level::debug, "not discarded yet", work);
}

namespace {

// Beside the old one; the first transaction of two, as of a new view.
asio::awaitable<int> make_again(pg::transaction& in, int old) {
  pg::connection& on = in.on();
  const int id = co_await store::next_incremental_id(on);
  co_await store::copy_definition(on, old, id);
  const parts_made made = co_await make_parts(in, id, parts_to_make::all);
  if (made.refusal) throw error(refused(*made.refusal, ""));
  co_await store::copy_settings(on, old, id);
  co_return id;
}

// What was filled for minutes is not to be filled again as a reader was in the way at the end.
asio::awaitable<void> take_over_patiently(pg::transaction& in, int old, int made) {
  pg::connection& on = in.on();
  const auto once = [&on, old, made](int) -> asio::awaitable<bool> {
    const auto work = [old, made](pg::transaction& savepoint) -> asio::awaitable<bool> {
      co_await savepoint.run("SELECT");
      co_await store::take_over(savepoint.on(), old, made);
      co_return true;
    };
    return pg::in_transaction(on, work);
  };
  const auto gives_way = co_await in.run(
      "SELECT pg_catalog.current_setting('matview.gives_way', true) = 'on', "
      "pg_catalog.set_config('idle_in_transaction_session_timeout', '0', true)");
  const bool patient = !gives_way.back().is_null(0, 0) && gives_way.back().boolean(0, 0);
  co_await patiently(last_try(patient), once, 0);
}

asio::awaitable<void> remake(pg::connection& on, int old, const std::string& preamble) {
  const auto make = [&](pg::transaction& in) -> asio::awaitable<int> {
    co_await in.run(preamble + "SET LOCAL search_path = ''");
    co_return co_await make_again(in, old);
  };
  co_await tidy(on);
  const int made = co_await pg::in_transaction(on, make);
  const auto fill = [&](pg::transaction& in) -> asio::awaitable<bool> {
    co_await in.run("SET TRANSACTION ISOLATION LEVEL READ COMMITTED; " + preamble);
    co_await fill_new(in, made);
    co_await take_over_patiently(in, old, made);
    co_return true;
  };
  std::optional<error> failure;
  try {
    co_await pg::in_transaction(on, fill);
  } catch (const error& failed) {
    failure = failed;
  }
  if (!failure) co_return;
  if (!failure->may_have_happened() && on.usable()) co_await discard_parts(on, made);
  throw error(*failure);
}

asio::awaitable<bool> recompile_once(pg::connection& on, const std::string& quoted,
                                     std::string preamble, views_of_others other,
                                     std::optional<int>& id) {
  preamble = "SET LOCAL application_name = 'matview recompile'; " + preamble;
  const auto work = [&](pg::transaction& in) -> asio::awaitable<bool> {
    co_await in.run(preamble + "SET LOCAL search_path = ''");
    id = co_await store::incremental_id(in.on(), std::string(quoted));
    if (!id)
      throw error(errc::view_not_found, fmt::format("{} is not an incremental view", quoted));
    const bool shown = co_await store::shows_storage(in.on(), *id);
    if (!shown && other == views_of_others::keep) {
      throw error(errc::server_error,
                  fmt::format("{} was given another query (CREATE OR REPLACE VIEW)", quoted),
                  {.sqlstate = "55000",
                   .hint = "matview verify --repair gives it back its own; or drop it, and create "
                           "it with the new one"});
    }
    const parts_made made = co_await make_parts(in, *id, parts_to_make::program);
    if (made.refusal) throw error(refused(*made.refusal, ""));
    const bool whole = made.fit && shown;
    co_return whole;
  };
  const bool fit = co_await pg::in_transaction(on, work);
  if (!fit) co_await remake(on, *id, preamble);
  co_return !fit;
}

}  // namespace

asio::awaitable<bool> recompile(pg::connection& on, std::string quoted, std::string preamble,
                                views_of_others other) {
  std::optional<int> id;
  std::optional<error> failure;
  bool filled = false;
  try {
    filled = co_await recompile_once(on, quoted, std::move(preamble), other, id);
  } catch (const error& failed) {
    failure = failed;
  }
  if (!failure) co_return filled;
  if (!id || !on.usable() || on.transaction_status() != PQTRANS_IDLE) throw error(*failure);
  const std::optional<int> now = co_await store::incremental_id(on, std::string(quoted));
  if (now == id) throw error(*failure);
  // Whatever it stumbled over was somebody else's, who has made the view anew.
  throw error(store::made_anew_meanwhile());
}

asio::awaitable<bool> fill_again(pg::connection& on, std::string quoted, std::string preamble) {
  const auto fill = [&](pg::transaction& in) -> asio::awaitable<bool> {
    co_await in.run("SET TRANSACTION ISOLATION LEVEL READ COMMITTED; " + preamble);
    const store::incremental_refresh made =
        co_await store::run_refresh(in.on(), std::string(quoted), std::string("full"));
    co_return made.mode == "full";
  };
  co_return co_await pg::in_transaction(on, fill);
}

}  // namespace matview::views
