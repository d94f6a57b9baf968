#include "trial/connection.hpp"
#include "trial/runtime.hpp"
#include <matview/matview.hpp>

#include <string>

namespace matview::trial {

namespace {

void recompile(connection& on, const std::string& view) {
  const std::string full_name = on.query_one(
      "SELECT relnamespace::regnamespace || '.' || relname FROM pg_class WHERE oid = '" + view +
      "'::regclass");
  try {
    refresh_matview(on.native(), full_name,
                    {.lock_timeout = interval::parse("1 second"),
                     .max_duration = interval::parse("10 seconds")});
  } catch (const error& refused) {
    const bool others_are_in_the_way = refused.may_retry();
    throw sql_error(others_are_in_the_way ? "40001" : refused.sqlstate(), refused.what());
  }
}

}  // namespace

runtime library_runtime() {
  runtime result;
  result.create = [](const std::string& url, const std::string& name,
                     const std::string& sql) -> creation {
    configure({{"default", url}});
    const refresh_report report = create_matview(name, sql, {.kind = view_kind::automatic});
    configure({});
    return {.incremental = report.incremental, .reason = report.reason};
  };
  result.recompile = recompile;
  result.program = [](connection& on, const std::string& view) -> std::string {
    return on.query_one(
        "SELECT (program ->> 'mechanism') || E'\\n' || (program ->> 'apply') || E'\\n' || "
        "(SELECT string_agg((p ->> 'mask') || ': ' || (p ->> 'sql'), E'\\n') FROM "
        "jsonb_array_elements(program -> 'pieces') p) FROM matview.incremental "
        "WHERE view::oid = to_regclass('" +
        view + "')");
  };
  return result;
}

}  // namespace matview::trial
