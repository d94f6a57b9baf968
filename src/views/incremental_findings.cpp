#include "text/quote.hpp"
#include "views/findings.hpp"

#include <fmt/format.h>

#include <chrono>
#include <utility>

namespace matview::views {

namespace {

using store::incremental_state;

// Fewer rows wait in a log until the next refresh without anybody's noticing.
constexpr std::int64_t least_changed = 10'000;
constexpr std::chrono::hours long_ago{24};

std::string discard(int id) {
  return fmt::format("SELECT matview.discard({});", id);
}

finding leftover(severity level, std::string object, std::string what, std::string why,
                 std::string mend) {
  return {level,           finding_kind::leftovers, std::move(object),
          std::move(what), std::move(why),          std::move(mend)};
}

std::string part_name(int id) {
  return fmt::format("matview.incremental {}", id);
}

// A view that is not there, or not whole; then nothing else can be said of it.
std::vector<finding> judge_parts(const incremental_state& view) {
  std::vector<finding> out;
  if (!view.view) {
    out.push_back(leftover(
        severity::warning, part_name(view.id),
        fmt::format("its view was dropped without this library, and has left its storage "
                    "(matview.storage_{}) behind",
                    view.id),
        "its tables' changes go on being written into logs that nobody reads; the next matview "
        "drop or create of an incremental view clears it away, too",
        discard(view.id)));
  } else if (!view.has_definition) {
    out.push_back(
        leftover(severity::error, view.quoted,
                 "its definition is gone: something that it is made from was dropped with CASCADE",
                 "it shows what it held then and cannot be refreshed any more",
                 fmt::format("DROP VIEW {};\n{}", view.quoted, discard(view.id))));
  } else if (view.cut_off) {
    out.push_back(leftover(
        severity::warning, part_name(view.id),
        fmt::format("its creation began over an hour ago and has not ended ({})", view.quoted),
        "if nobody is creating it any more, its tables' changes are captured for nothing; the next "
        "matview drop or create of an incremental view clears it away, too",
        fmt::format("DROP VIEW {};\n{}", view.quoted, discard(view.id))));
  }
  return out;
}

std::string refresh_of(const incremental_state& view) {
  return fmt::format("SELECT * FROM matview.refresh({}, 'full');", text::sql_literal(view.quoted));
}

// The rows that wait, as the beginning of a sentence.
std::string waiting(const incremental_state& view) {
  return fmt::format("{}{} changed rows wait for its refresh, most of them of {}",
                     view.more ? "at least " : "", view.changed, view.changed_in);
}

bool forgotten(const incremental_state& view) {
  if (view.changed < least_changed) return false;
  const bool near_limit = view.changed >= view.log_limit / 10;
  const bool long_since = view.since_refresh && *view.since_refresh >= long_ago;
  return near_limit || long_since;
}

}  // namespace

finding unknown_to_its_schema(const std::string& quoted) {
  return leftover(severity::error, quoted, "the schema matview has no row for it",
                  "it shows what it held when those rows were lost (a restore without data, as of "
                  "pg_dump -s, or rows deleted by hand) and cannot be refreshed; drop the schema, "
                  "which takes all incremental views with it, and create them again",
                  "DROP SCHEMA matview CASCADE;");
}

std::vector<finding> findings_of(const incremental_state& view) {
  std::vector<finding> out = judge_parts(view);
  if (!out.empty() || view.being_made) return out;
  if (!view.shut_out.empty()) {
    out.push_back({severity::error, finding_kind::owner_cannot_refresh, view.quoted,
                   fmt::format("its owner, {}, may not read the table behind it", view.shut_out),
                   "a view reads with the rights of its owner: whoever reads it is refused; the "
                   "next refresh by the role that made it mends it, too",
                   fmt::format("GRANT SELECT ON {} TO {};", view.storage, view.shut_out)});
  }
  if (!view.shows_storage) {
    out.push_back(
        {severity::error, finding_kind::altered_view, view.quoted,
         "it was given another query (CREATE OR REPLACE VIEW)",
         "it shows what that query finds, and not what its refreshes keep up in " + view.storage +
             "; matview verify --repair gives it back its own query, matview drop ends it",
         ""});
  } else if (view.by_invoker) {
    out.push_back({severity::warning, finding_kind::altered_view, view.quoted,
                   "it reads with the rights of who reads it (security_invoker)",
                   "whoever has no right to read " + view.storage + " is refused",
                   fmt::format("ALTER VIEW {} RESET (security_invoker);", view.quoted)});
  }
  if (!view.barred_writer.empty()) {
    out.push_back(
        {severity::error, finding_kind::capture_incomplete, view.quoted,
         fmt::format("all who write into one of its tables fail: the functions that "
                     "capture changes run as {}, who may not use schema matview or not write "
                     "into matview.mark",
                     view.barred_writer),
         "no INSERT, UPDATE or DELETE there succeeds until that role has the right again",
         fmt::format("GRANT USAGE ON SCHEMA matview TO {0};\nGRANT INSERT ON "
                     "matview.mark TO {0};",
                     view.barred_writer)});
  }
  if (view.lost_log) {
    out.push_back({severity::error, finding_kind::capture_incomplete, view.quoted,
                   "all who write into one of its tables fail: the log of its changes was dropped",
                   "no INSERT, UPDATE or DELETE there succeeds until its next refresh (matview "
                   "refresh) has made it again",
                   ""});
  } else if (!view.fault.empty()) {
    out.push_back({severity::warning, finding_kind::capture_incomplete, view.quoted,
                   fmt::format("changes of its tables are not captured completely: {}", view.fault),
                   "its next refresh (matview refresh) captures them anew and has to compute all "
                   "of it; until then what is missed is not in the view",
                   ""});
  }
  if (!view.detached.empty()) {
    out.push_back({severity::warning, finding_kind::detached, view.quoted,
                   fmt::format("changes are not kept for it any more: {}", view.detached),
                   "its next refresh computes all of it, and then it is kept up again; if it is "
                   "not needed, matview drop ends the capture",
                   refresh_of(view)});
  } else if (forgotten(view)) {
    out.push_back(
        {severity::warning, finding_kind::growing_log, view.quoted, waiting(view),
         fmt::format("the log grows with each change until it is refreshed; beyond {} "
                     "rows it is let go, and has to be computed anew",
                     view.log_limit),
         fmt::format("SELECT * FROM matview.refresh({});", text::sql_literal(view.quoted))});
  }
  return out;
}

}  // namespace matview::views
