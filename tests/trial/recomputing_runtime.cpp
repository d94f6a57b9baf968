#include "trial/runtime.hpp"

#include <fmt/format.h>

namespace matview::trial {

namespace {

// The update of the view's row comes first: of two refreshes one waits, and under REPEATABLE READ
// fails with 40001, also when the view is empty.
constexpr const char* functions = R"(
CREATE SCHEMA matview;
CREATE TABLE matview.incremental (view regclass PRIMARY KEY, program text, refreshes int DEFAULT 0);
CREATE FUNCTION matview.refresh(regclass, text DEFAULT 'auto', boolean DEFAULT false, boolean DEFAULT false)
RETURNS TABLE (mode text, reason text) LANGUAGE plpgsql AS $$
DECLARE
  todo text;
BEGIN
  UPDATE matview.incremental SET refreshes = refreshes + 1 WHERE view = $1 RETURNING program
    INTO STRICT todo;
  EXECUTE format('DELETE FROM %s', $1);
  EXECUTE todo;
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
    on.execute(fmt::format(
        "INSERT INTO matview.incremental VALUES ('{0}'::regclass, $program$INSERT INTO {0} SELECT "
        "* FROM ({1}) AS computed$program$)",
        name, sql));
    return {.incremental = true};
  };
  result.program = [](connection& on, const std::string& view) {
    return on.query_one(
        fmt::format("SELECT program FROM matview.incremental WHERE view = '{}'::regclass", view));
  };
  return result;
}

}  // namespace matview::trial
