#include "store/conversion.hpp"

#include "store/incremental.hpp"

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
  SELECT pg_catalog.format('GRANT %s ON {} TO %s%s', a.privilege_type,
           CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE pg_catalog.quote_ident(
             pg_catalog.pg_get_userbyid(a.grantee)) END,
           CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
    FROM pg_catalog.pg_class c CROSS JOIN LATERAL pg_catalog.aclexplode(c.relacl) a
   WHERE c.oid = pg_catalog.to_regclass($1) AND a.grantee <> c.relowner
   ORDER BY 1)";

// Of an incremental view the indexes stand on its storage; those on our own columns are not the
// user's.
constexpr std::string_view indexes_sql = R"(
  SELECT i.indisunique, x.relname,
         i.indpred IS NULL AND i.indexprs IS NULL AND m.amname = 'btree' AND i.indnatts = i.indnkeyatts,
         (SELECT pg_catalog.string_agg(a.attname, ',' ORDER BY k.place)
            FROM pg_catalog.unnest(i.indkey::pg_catalog.int2[]) WITH ORDINALITY k(attnum, place)
            JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum)
    FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_index i ON i.indrelid = CASE c.relkind WHEN 'v' THEN {} ELSE c.oid END
    JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid JOIN pg_catalog.pg_am m ON m.oid = x.relam
   WHERE c.oid = pg_catalog.to_regclass($1)
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
    FROM pg_catalog.pg_statistic_ext e WHERE e.stxrelid = pg_catalog.to_regclass($1))";

std::vector<std::string> words(std::string_view list) {
  std::vector<std::string> out;
  while (!list.empty()) {
    const std::size_t comma = list.find(',');
    out.emplace_back(list.substr(0, comma));
    list = comma == std::string_view::npos ? std::string_view() : list.substr(comma + 1);
  }
  return out;
}

void add_index(relation_traits& to, const pg::result& from, int row) {
  const std::vector<std::string> columns = words(from.text(row, 3));
  for (const std::string& column : columns) {
    if (column.starts_with("__mv")) return;
  }
  if (from.boolean(row, 2)) {
    to.indexes.push_back({.columns = columns, .unique = from.boolean(row, 0)});
  } else {
    to.lost.push_back(fmt::format("index {} (not a plain btree index)", from.text(row, 1)));
  }
}

}  // namespace

asio::awaitable<relation_traits> read_traits(pg::connection& on, std::string quoted,
                                             bool incremental) {
  std::vector<pg::parameter> one;
  one.emplace_back(quoted);
  const pg::result seen = co_await on.query(std::string(traits_sql), one);
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
  const pg::result grants = co_await on.query(std::string(grants_sql), one);
  out.grants.reserve(static_cast<std::size_t>(grants.rows()));
  for (int row = 0; row < grants.rows(); ++row) out.grants.push_back(grants.string(row, 0));
  const pg::result indexes =
      co_await on.query(fmt::format(fmt::runtime(indexes_sql), storage_of), one);
  for (int row = 0; row < indexes.rows(); ++row) add_index(out, indexes, row);
  const pg::result others = co_await on.query(std::string(others_sql), one);
  for (int row = 0; row < others.rows(); ++row) {
    std::vector<std::string>& list = others.text(row, 0) == "lost" ? out.lost : out.dependents;
    list.push_back(others.string(row, 1));
  }
  co_return out;
}

}  // namespace matview::store
