#include "trial/runtime.hpp"

#include <fmt/format.h>

namespace matview::trial {

namespace {

// The query is kept as a view, so that it follows what is renamed. The update of the view's row
// comes first: of two refreshes one waits, and under REPEATABLE READ fails with 40001, also when
// the view is empty.
constexpr const char* functions = R"(
CREATE SCHEMA matview;
CREATE TABLE matview.incremental (view regclass PRIMARY KEY, query regclass, refreshes int DEFAULT 0,
  right_text text DEFAULT '', wrong_text text DEFAULT '');
CREATE FUNCTION matview.program(matview.incremental) RETURNS text LANGUAGE sql AS $$
  SELECT replace(format('INSERT INTO %s SELECT * FROM (%s) AS computed', $1.view,
    rtrim(pg_get_viewdef($1.query), ';')), $1.right_text, $1.wrong_text) $$;
CREATE FUNCTION matview.refresh(regclass, text DEFAULT 'auto', boolean DEFAULT false, boolean DEFAULT false)
RETURNS TABLE (mode text, reason text) LANGUAGE plpgsql AS $$
DECLARE
  row matview.incremental;
BEGIN
  UPDATE matview.incremental SET refreshes = refreshes + 1 WHERE view = $1 RETURNING * INTO STRICT row;
  EXECUTE format('DELETE FROM %s', $1);
  EXECUTE matview.program(row);
  RETURN QUERY SELECT 'full', 'nothing else is known here';
END $$;
CREATE FUNCTION matview.prune() RETURNS bigint LANGUAGE sql AS 'SELECT 0::bigint')";

}  // namespace

runtime recomputing_runtime() {
  runtime result;
  result.prepare = [](const std::string& url) { connection(url).execute(functions); };
  result.create = [](const std::string& url, const std::string& name,
                     const std::string& sql) -> creation {
    connection on(url);
    on.execute(fmt::format("CREATE TABLE {} AS {}", name, sql));
    on.execute(fmt::format("CREATE VIEW {}_program AS {}", name, sql));
    on.execute(fmt::format("INSERT INTO matview.incremental VALUES ('{0}', '{0}_program')", name));
    return {.incremental = true};
  };
  result.program = [](connection& on, const std::string& view) {
    return on.query_one(fmt::format(
        "SELECT matview.program(i) FROM matview.incremental AS i WHERE view = '{}'::regclass",
        view));
  };
  return result;
}

}  // namespace matview::trial
