#include "trial/connection.hpp"
#include "trial/runtime.hpp"
#include <matview/matview.hpp>

#include <string>

namespace matview::trial {

runtime library_runtime() {
  runtime result;
  result.create = [](const std::string& url, const std::string& name,
                     const std::string& sql) -> creation {
    configure({{"default", url}});
    const refresh_report report = create_matview(name, sql, {.kind = view_kind::automatic});
    configure({});
    return {.incremental = report.incremental, .reason = report.reason};
  };
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
