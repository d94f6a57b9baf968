#include "store/migrations.hpp"

#include "pg/conninfo.hpp"
#include "pg/transaction.hpp"
#include "text/quote.hpp"

#include <boost/crc.hpp>
#include <fmt/format.h>

#include <array>
#include <string>
#include <string_view>

// The assembler takes the files in as they are; the build names their folder.
#define MATVIEW_MIGRATION(number, file)                                                 \
  asm(".section .rodata\n"                                                              \
      ".global matview_migration_" #number                                              \
      "_begin\n"                                                                        \
      ".global matview_migration_" #number                                              \
      "_end\n"                                                                          \
      ".hidden matview_migration_" #number                                              \
      "_begin\n"                                                                        \
      ".hidden matview_migration_" #number                                              \
      "_end\n"                                                                          \
      "matview_migration_" #number                                                      \
      "_begin:\n"                                                                       \
      ".incbin \"" MATVIEW_MIGRATIONS_FOLDER "/" file                                   \
      "\"\n"                                                                            \
      "matview_migration_" #number                                                      \
      "_end:\n"                                                                         \
      ".byte 0\n"                                                                       \
      ".text\n");                                                                       \
  extern "C" {                                                                          \
  [[gnu::visibility("hidden")]] extern const char matview_migration_##number##_begin[]; \
  [[gnu::visibility("hidden")]] extern const char matview_migration_##number##_end[];   \
  }

// NOLINTBEGIN(hicpp-no-assembler)
MATVIEW_MIGRATION(1, "0001_tasks.sql")
MATVIEW_MIGRATION(2, "0002_history.sql")
MATVIEW_MIGRATION(3, "0003_incremental.sql")
// NOLINTEND(hicpp-no-assembler)

#undef MATVIEW_MIGRATION

namespace matview::store {

namespace {

struct migration {
  int number;
  std::string_view name;
  std::string_view sql;
};

std::array<migration, 3> migrations() {
  return {{{1, "tasks", {matview_migration_1_begin, matview_migration_1_end}},
           {2, "history", {matview_migration_2_begin, matview_migration_2_end}},
           {3, "incremental", {matview_migration_3_begin, matview_migration_3_end}}}};
}

std::string checksum(std::string_view text) {
  boost::crc_32_type crc;
  crc.process_bytes(text.data(), text.size());
  return fmt::format("{:08x}", crc.checksum());
}

// One key for all programs, whatever their version. The number spells "matview" in ASCII.
constexpr std::string_view lock = "SELECT pg_catalog.pg_advisory_xact_lock(30787925292180855)";

// Not IF NOT EXISTS: that asks for the right to create even when there is nothing to create. Not
// to_regclass() either: it may answer from a cache that is older than the lock.
constexpr std::string_view exists =
    "SELECT EXISTS (SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n "
    "ON n.oid = c.relnamespace WHERE n.nspname = 'matview' AND c.relname = 'migration'), "
    "EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = 'matview')";

constexpr std::string_view begin_schema =
    "CREATE TABLE matview.migration ("
    "number integer PRIMARY KEY, name text NOT NULL, checksum text NOT NULL, "
    "applied_at timestamptz NOT NULL DEFAULT clock_timestamp(), "
    "applied_by text NOT NULL DEFAULT session_user)";

void check_recorded(const pg::result& recorded) {
  if (recorded.rows() == 0) {
    throw error(errc::server_error,
                "the matview schema of this database has tables without their rows, as after a "
                "dump without data (pg_dump --schema-only)",
                {.hint = "DROP SCHEMA matview CASCADE removes it with all incremental views, which "
                         "can then be created again"});
  }
  for (int row = 0; row < recorded.rows(); ++row) {
    const std::int64_t number = recorded.integer(row, 0);
    if (number > newest_migration()) {
      throw error(
          errc::server_error,
          fmt::format("the matview schema of this database has version {}, and this program "
                      "knows versions up to {}",
                      number, newest_migration()),
          {.hint = "use the program that is as new as the schema"});
    }
    const migration ours = migrations().at(static_cast<std::size_t>(number - 1));
    if (recorded.text(row, 1) != checksum(ours.sql)) {
      throw error(errc::server_error,
                  fmt::format("migration {} ({}) of this database's matview schema is not the one "
                              "that this program knows",
                              number, ours.name),
                  {.hint = "was it made by a development version? DROP SCHEMA matview CASCADE "
                           "removes it with all schedules and jobs"});
    }
  }
}

asio::awaitable<std::int64_t> version_of(pg::transaction& in) {
  const auto there = co_await in.run(std::string(exists));
  if (!there.back().boolean(0, 0)) co_return 0;
  const auto recorded =
      co_await in.run("SELECT number, checksum FROM matview.migration ORDER BY number");
  check_recorded(recorded.back());
  co_return recorded.back().rows();
}

// Applies what is missing; the number of the version that is there then.
asio::awaitable<std::int64_t> apply_missing(pg::transaction& in) {
  co_await in.run(std::string(lock));
  std::int64_t version = co_await version_of(in);
  if (version == 0) {
    const auto there = co_await in.run(std::string(exists));
    if (!there.back().boolean(0, 1)) co_await in.run("CREATE SCHEMA matview");
    co_await in.run(std::string(begin_schema));
  }
  for (const migration& next : migrations()) {
    if (next.number <= version) continue;
    std::string sql(next.sql);
    sql += fmt::format(
        "; INSERT INTO matview.migration (number, name, checksum) VALUES ({}, {}, {})", next.number,
        text::sql_literal(next.name), text::sql_literal(checksum(next.sql)));
    co_await in.run(std::move(sql));
    version = next.number;
  }
  co_return version;
}

asio::awaitable<void> migrate_unexplained(pg::connection& on) {
  const auto look = [](pg::transaction& in) { return version_of(in); };
  const std::int64_t version = co_await pg::in_transaction(on, look);
  if (version == newest_migration()) co_return;
  const auto apply = [](pg::transaction& in) { return apply_missing(in); };
  co_await pg::in_transaction(on, apply);
}

}  // namespace

int newest_migration() noexcept {
  return migrations().back().number;
}

asio::awaitable<void> migrate(pg::connection& on) {
  std::optional<error> failure;
  try {
    co_await migrate_unexplained(on);
  } catch (const error& failed) {
    failure = failed;
  }
  if (failure) throw error(explained(*failure, on.user()));
}

bool means_no_schema(const error& failed) noexcept {
  return failed.sqlstate() == "3F000" || failed.sqlstate() == "42P01";
}

error explained(const error& failed, std::string_view role) {
  const auto with_hint = [&failed](std::string hint) {
    return error(failed.code(), failed.what(),
                 {.sqlstate = failed.sqlstate(),
                  .hint = std::move(hint),
                  .position = failed.position(),
                  .connection_usable = failed.connection_usable()});
  };
  if (failed.sqlstate() == "42501") {
    const std::string grantee = pg::quote_name(role);
    return with_hint(
        fmt::format("where the schema matview is there, its owner may run: GRANT USAGE ON SCHEMA "
                    "matview TO {0}; "
                    "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA matview TO {0}; "
                    "for incremental views also GRANT CREATE ON SCHEMA matview TO {0}; "
                    "GRANT USAGE ON ALL SEQUENCES IN SCHEMA matview TO {0}. "
                    "To let {0} make it: GRANT CREATE ON DATABASE ... TO {0}",
                    grantee));
  }
  if (means_no_schema(failed)) {
    return with_hint(
        "matview's tables are not in this database yet: matview schedule set, matview "
        "enqueue and matview worker make them");
  }
  return failed;
}

}  // namespace matview::store
