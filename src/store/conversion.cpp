#include "store/conversion.hpp"

#include "pg/conninfo.hpp"
#include "store/incremental.hpp"
#include "text/quote.hpp"
#include <matview/error.hpp>

#include <boost/json/array.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>
#include <fmt/format.h>

#include <utility>

namespace matview::store {

namespace {

constexpr std::string_view traits_sql = R"(
  SELECT c.oid::pg_catalog.int8, n.nspname, c.relname, pg_catalog.pg_get_userbyid(c.relowner),
         c.relowner = (SELECT r.oid FROM pg_catalog.pg_roles r WHERE r.rolname = current_user),
         coalesce(pg_catalog.obj_description(c.oid, 'pg_class'), '')
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
   WHERE c.oid = pg_catalog.to_regclass($1))";

constexpr std::string_view grants_sql = R"(
  SELECT a.privilege_type, CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE pg_catalog.quote_ident(
           pg_catalog.pg_get_userbyid(a.grantee)) END, a.is_grantable
    FROM pg_catalog.pg_class c CROSS JOIN LATERAL pg_catalog.aclexplode(c.relacl) a
   WHERE c.oid = pg_catalog.to_regclass($1) AND a.grantee <> c.relowner
   ORDER BY 2, 1, 3)";

// Of an incremental view the indexes stand on its storage; the one that its program needs is not
// the user's. An index is plain if its definition ends after its columns: whatever else it has
// (another method, order, operator class or collation, INCLUDE, WHERE, ...) would stand there. The
// columns have to be the view's own ones, of names that an index_definition can hold.
constexpr std::string_view indexes_sql = R"(
  SELECT i.indisunique, k.names,
         CASE WHEN t.spcname <> pg_catalog.current_setting('default_tablespace')
              THEN pg_catalog.format('index %I (in tablespace %I)', x.relname, t.spcname)
              WHEN k.plain IS NULL
                OR pg_catalog.right(d.definition, pg_catalog.length(k.plain)) <> k.plain
              THEN pg_catalog.format('index %I (not a plain btree index)', x.relname)
              WHEN NOT k.common
              THEN pg_catalog.format('index %I (on a column that cannot be named)', x.relname) END
    FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_index i ON i.indrelid = CASE c.relkind WHEN 'v' THEN {} ELSE c.oid END
    JOIN pg_catalog.pg_class s ON s.oid = i.indrelid JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid
    LEFT JOIN pg_catalog.pg_tablespace t ON t.oid = x.reltablespace
   CROSS JOIN pg_catalog.pg_get_indexdef(i.indexrelid) d(definition)
   CROSS JOIN LATERAL (
     SELECT pg_catalog.to_json(pg_catalog.array_agg(a.attname ORDER BY p.place)) AS names,
            ' USING btree (' || pg_catalog.string_agg(pg_catalog.quote_ident(a.attname), ', '
              ORDER BY p.place) || ')' AS plain,
            pg_catalog.bool_and(a.attname ~ '^[A-Za-z_][A-Za-z0-9_]*$' AND EXISTS (
              SELECT FROM pg_catalog.pg_attribute v
               WHERE v.attrelid = c.oid AND v.attname = a.attname AND v.attnum > 0)) AS common
       FROM pg_catalog.unnest(i.indkey::pg_catalog.int2[]) WITH ORDINALITY p(attnum, place)
       JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = p.attnum) k
   WHERE c.oid = pg_catalog.to_regclass($1)
     AND NOT (c.relkind = 'v' AND x.relname = s.relname || '_own')
   ORDER BY x.relname)";

constexpr std::string_view others_sql = R"(
  SELECT 'dependent', pg_catalog.pg_describe_object(v.classid, v.objid, 0) FROM (
    SELECT DISTINCT CASE WHEN w.oid IS NULL THEN d.classid
             ELSE 'pg_catalog.pg_class'::pg_catalog.regclass::pg_catalog.oid END AS classid,
           coalesce(w.ev_class, d.objid) AS objid
      FROM pg_catalog.pg_depend d
      LEFT JOIN pg_catalog.pg_rewrite w
        ON w.oid = d.objid AND d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass
     WHERE d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
       AND d.refobjid = pg_catalog.to_regclass($1) AND d.deptype = 'n'
       AND coalesce(w.ev_class, 0) <> pg_catalog.to_regclass($1)) v
  UNION ALL
  SELECT 'lost', pg_catalog.format('the comment of column %I', a.attname)
    FROM pg_catalog.pg_description s JOIN pg_catalog.pg_attribute a
      ON a.attrelid = s.objoid AND a.attnum = s.objsubid
   WHERE s.classoid = 'pg_catalog.pg_class'::pg_catalog.regclass
     AND s.objoid = pg_catalog.to_regclass($1) AND s.objsubid > 0
  UNION ALL
  SELECT 'lost', pg_catalog.format('the grants on column %I', a.attname)
    FROM pg_catalog.pg_attribute a
   WHERE a.attrelid = pg_catalog.to_regclass($1) AND a.attacl IS NOT NULL
  UNION ALL
  SELECT 'lost', pg_catalog.format('statistics object %I', e.stxname)
    FROM pg_catalog.pg_statistic_ext e WHERE e.stxrelid = pg_catalog.to_regclass($1)
  UNION ALL
  SELECT 'lost', 'the option ' || o
    FROM pg_catalog.pg_class c CROSS JOIN pg_catalog.unnest(c.reloptions) o
   WHERE c.oid = pg_catalog.to_regclass($1)
  UNION ALL
  SELECT 'lost', pg_catalog.format('tablespace %I', t.spcname)
    FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_class s ON s.oid = CASE c.relkind WHEN 'v' THEN {} ELSE c.oid END
    JOIN pg_catalog.pg_tablespace t ON t.oid = s.reltablespace
   WHERE c.oid = pg_catalog.to_regclass($1)
     AND t.spcname <> pg_catalog.current_setting('default_tablespace'))";

// What the owner of an incremental view, $2, needs. To read it: the tables that it reads. To
// refresh it: its parts, which can become the owner's where that role may own something in the
// schema; and the logs, which may be other views' too and stay with whoever made them. A log shows
// the rows of its table, so it is only for those who may read that.
constexpr std::string_view parts_sql = R"(
  SELECT pg_catalog.format('GRANT SELECT ON matview.%I TO %I', c.relname, $2::pg_catalog.text)
    FROM pg_catalog.pg_class c
   WHERE c.relnamespace = 'matview'::pg_catalog.regnamespace AND c.relkind = 'r' AND c.oid IN (
     SELECT d.refobjid FROM pg_catalog.pg_rewrite w JOIN pg_catalog.pg_depend d
         ON d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass AND d.objid = w.oid
        AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
      WHERE w.ev_class = pg_catalog.to_regclass($1))
  UNION ALL
  SELECT pg_catalog.format('GRANT SELECT, DELETE ON matview.%I TO %I', c.relname, $2)
    FROM matview.incremental i JOIN matview.capture k ON k.view = i.id
    JOIN matview.change_log l ON l.id = k.log
    JOIN pg_catalog.pg_class c ON c.relname = pg_catalog.format('log_%s', l.id)
     AND c.relnamespace = 'matview'::pg_catalog.regnamespace
   WHERE i.view::pg_catalog.oid = pg_catalog.to_regclass($1)
     AND pg_catalog.pg_has_role(c.relowner, 'USAGE')
     AND pg_catalog.has_schema_privilege($2, 'matview', 'USAGE')
     AND pg_catalog.has_table_privilege($2, l.base::pg_catalog.oid, 'SELECT')
  UNION ALL
  SELECT pg_catalog.format('ALTER %s matview.%I OWNER TO %I',
           CASE c.relkind WHEN 'v' THEN 'VIEW' ELSE 'TABLE' END, c.relname, $2)
    FROM matview.incremental i
   CROSS JOIN pg_catalog.unnest('{storage,core,source,core_source,definition}'::pg_catalog.text[]) p
    JOIN pg_catalog.pg_class c ON c.relname = pg_catalog.format('%s_%s', p, i.id)
     AND c.relnamespace = 'matview'::pg_catalog.regnamespace
   WHERE i.view::pg_catalog.oid = pg_catalog.to_regclass($1)
     AND (pg_catalog.has_schema_privilege($2, 'matview', 'CREATE')
          OR (SELECT r.rolsuper FROM pg_catalog.pg_roles r WHERE r.rolname = current_user)))";

// The first half of an advisory lock: "mvcv".
constexpr int conversion_class = 1'836'475'254;

// g++ 12 cannot compile a braced list inside a co_await expression.
std::vector<pg::parameter> one_value(std::string value) {
  std::vector<pg::parameter> out;
  out.emplace_back(std::move(value));
  return out;
}

std::vector<std::string> texts_of(std::string_view array) {
  std::vector<std::string> out;
  const boost::json::value texts = boost::json::parse(array);
  for (const auto& text : texts.as_array()) out.emplace_back(text.as_string());
  return out;
}

void add_index(relation_traits& to, const pg::result& from, int row) {
  if (!from.is_null(row, 2)) {
    to.lost.push_back(from.string(row, 2));
  } else {
    to.indexes.push_back({.columns = texts_of(from.text(row, 1)), .unique = from.boolean(row, 0)});
  }
}

asio::awaitable<std::vector<relation_grant>> read_grants(pg::connection& on, std::string quoted) {
  const pg::result found = co_await on.query(std::string(grants_sql), one_value(std::move(quoted)));
  std::vector<relation_grant> out;
  out.reserve(static_cast<std::size_t>(found.rows()));
  for (int row = 0; row < found.rows(); ++row) {
    out.push_back({.privilege = found.string(row, 0),
                   .grantee = found.string(row, 1),
                   .grantable = found.boolean(row, 2)});
  }
  co_return out;
}

// The statements that give $2, the owner of an incremental view, what it consists of.
asio::awaitable<std::string> giving_parts(pg::connection& on, std::string quoted,
                                          std::string owner) {
  std::vector<pg::parameter> values = one_value(std::move(quoted));
  values.emplace_back(std::move(owner));
  const pg::result found = co_await on.query(std::string(parts_sql), std::move(values));
  std::string out;
  for (int row = 0; row < found.rows(); ++row) out += found.string(row, 0) + "; ";
  co_return out;
}

}  // namespace

asio::awaitable<relation_traits> read_traits(pg::connection& on, std::string quoted,
                                             bool incremental) {
  std::vector<pg::parameter> one;
  one.emplace_back(quoted);
  const pg::result seen = co_await on.query(std::string(traits_sql), one);
  if (seen.rows() == 0) {
    throw error(errc::view_not_found, fmt::format("{} is not there any more", quoted));
  }
  relation_traits out{.oid = seen.integer(0, 0),
                      .schema = seen.string(0, 1),
                      .name = seen.string(0, 2),
                      .owner = seen.string(0, 3),
                      .owned_by_me = seen.boolean(0, 4),
                      .query = {},
                      .comment = seen.string(0, 5),
                      .grants = {},
                      .indexes = {},
                      .lost = {},
                      .dependents = {}};
  const std::string query_sql =
      incremental
          ? "SELECT pg_catalog.pg_get_viewdef(i.definition::pg_catalog.oid) FROM "
            "matview.incremental i WHERE i.view::pg_catalog.oid = pg_catalog.to_regclass($1)"
          : "SELECT pg_catalog.pg_get_viewdef(pg_catalog.to_regclass($1)::pg_catalog.oid)";
  const pg::result query = co_await on.query(query_sql, one);
  if (query.rows() == 0 || query.is_null(0, 0)) throw error(definition_gone(quoted));
  out.query = query.string(0, 0);
  out.grants = co_await read_grants(on, std::string(quoted));
  const pg::result indexes =
      co_await on.query(fmt::format(fmt::runtime(indexes_sql), storage_of), one);
  for (int row = 0; row < indexes.rows(); ++row) add_index(out, indexes, row);
  const pg::result others =
      co_await on.query(fmt::format(fmt::runtime(others_sql), storage_of), one);
  for (int row = 0; row < others.rows(); ++row) {
    std::vector<std::string>& list = others.text(row, 0) == "lost" ? out.lost : out.dependents;
    list.push_back(others.string(row, 1));
  }
  co_return out;
}

asio::awaitable<std::int64_t> oid_of(pg::connection& on, std::string schema, std::string name) {
  std::vector<pg::parameter> values = one_value(std::move(schema));
  values.emplace_back(std::move(name));
  // Not to_regclass(): a session that waits in a transaction goes on to know what it knew.
  const pg::result found = co_await on.query(
      "SELECT c.oid::pg_catalog.int8 FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n "
      "ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2",
      std::move(values));
  co_return found.rows() == 0 ? 0 : found.integer(0, 0);
}

asio::awaitable<bool> take_turn(pg::connection& on, std::int64_t oid) {
  const pg::result taken =
      co_await on.query(fmt::format("SELECT pg_catalog.pg_try_advisory_xact_lock({}, "
                                    "$1::pg_catalog.oid::pg_catalog.int4)",
                                    conversion_class),
                        one_value(fmt::format("{}", oid)));
  co_return taken.boolean(0, 0);
}

asio::awaitable<void> give_traits(pg::connection& on, std::string quoted, bool incremental,
                                  const relation_traits& traits) {
  const char* word = incremental ? "VIEW" : "MATERIALIZED VIEW";
  // The owner first: a grant to whoever is the owner is lost with the change of the owner.
  std::string sql;
  if (!traits.owned_by_me) {
    if (incremental) {
      sql = co_await giving_parts(on, std::string(quoted), std::string(traits.owner));
    }
    sql += fmt::format("ALTER {} {} OWNER TO {}", word, quoted, pg::quote_name(traits.owner));
    co_await on.run(std::move(sql));
    sql.clear();
  }
  const std::vector<relation_grant> by_default = co_await read_grants(on, std::string(quoted));
  for (const relation_grant& grant : by_default) {
    sql += fmt::format("REVOKE {} ON {} FROM {} CASCADE; ", grant.privilege, quoted, grant.grantee);
  }
  for (const relation_grant& grant : traits.grants) {
    sql += fmt::format("GRANT {} ON {} TO {}{}; ", grant.privilege, quoted, grant.grantee,
                       grant.grantable ? " WITH GRANT OPTION" : "");
  }
  sql += fmt::format("COMMENT ON {} {} IS {}", word, quoted,
                     traits.comment.empty() ? "NULL" : text::sql_literal(traits.comment));
  co_await on.run(std::move(sql));
}

}  // namespace matview::store
