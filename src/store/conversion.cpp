#include "store/conversion.hpp"

#include "pg/conninfo.hpp"
#include "pg/transaction.hpp"
#include "store/incremental.hpp"
#include "text/quote.hpp"
#include <matview/error.hpp>

#include <boost/algorithm/string/replace.hpp>
#include <boost/json/array.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <fmt/format.h>

#include <algorithm>
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

// What the owner has revoked from himself. NULL stands for all that he has by default.
constexpr std::string_view owner_lacks_sql = R"(
  SELECT d.privilege_type
    FROM pg_catalog.pg_class c
   CROSS JOIN LATERAL pg_catalog.aclexplode(pg_catalog.acldefault('r', c.relowner)) d
   WHERE c.oid = pg_catalog.to_regclass($1) AND c.relacl IS NOT NULL AND NOT EXISTS (
     SELECT FROM pg_catalog.aclexplode(c.relacl) a
      WHERE a.grantee = c.relowner AND a.privilege_type = d.privilege_type)
   ORDER BY 1)";

// Of an incremental view the indexes stand on its storage; the one that its program needs is not
// the user's. An index is plain if its definition ends after its columns: whatever else it has
// (another method, order, operator class or collation, INCLUDE, WHERE, ...) would stand there. The
// columns have to be the view's own ones, of names that an index_definition can hold; $3 says what
// stands for which in an index of the storage.
// It keeps its name where that is free in the schema of the new one. One that the server has made
// up of the table's name is made up of the view's, and of the names of the view's columns, and
// nobody misses it.
constexpr std::string_view indexes_sql = R"(
  SELECT i.indisunique, k.names,
         CASE WHEN t.spcname <> pg_catalog.current_setting('default_tablespace')
              THEN pg_catalog.format('index %I (in tablespace %I)', x.relname, t.spcname)
              WHEN k.plain IS NULL
                OR pg_catalog.right(d.definition, pg_catalog.length(k.plain)) <> k.plain
              THEN pg_catalog.format('index %I (not a plain btree index)', x.relname)
              WHEN NOT k.common
              THEN pg_catalog.format('index %I (on a column that cannot be named)', x.relname) END,
         CASE WHEN f.free THEN w.name ELSE '' END,
         CASE WHEN NOT f.free AND NOT m.made_up THEN pg_catalog.format(
              'the name of index %I (it is taken in schema %s)', x.relname, w.schema) END,
         coalesce(pg_catalog.obj_description(x.oid, 'pg_class'), ''), i.indisclustered
    FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_index i ON i.indrelid = CASE c.relkind WHEN 'v' THEN {} ELSE c.oid END
    JOIN pg_catalog.pg_class s ON s.oid = i.indrelid JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid
    LEFT JOIN pg_catalog.pg_tablespace t ON t.oid = x.reltablespace
   CROSS JOIN pg_catalog.pg_get_indexdef(i.indexrelid) d(definition)
   CROSS JOIN LATERAL (
     SELECT pg_catalog.to_json(pg_catalog.array_agg(y.name ORDER BY p.place)) AS names,
            CASE WHEN pg_catalog.bool_and(y.name IS NOT NULL)
                 THEN ' USING btree (' || pg_catalog.string_agg(p.key, ', ' ORDER BY p.place) || ')' END AS plain,
            pg_catalog.bool_and(y.name ~ '^[A-Za-z_][A-Za-z0-9_]*$') AS common,
            pg_catalog.bool_or(p.key <> pg_catalog.quote_ident(y.name)) AS computed,
            pg_catalog.string_agg(y.name, '_' ORDER BY p.place) AS joined
       FROM (SELECT place, pg_catalog.pg_get_indexdef(i.indexrelid, place, false) AS key
               FROM pg_catalog.generate_series(1, i.indnkeyatts) place) p
       LEFT JOIN LATERAL (
         SELECT s.name FROM pg_catalog.json_to_recordset($3::pg_catalog.json)
                              AS s(name pg_catalog.text, key pg_catalog.text)
          WHERE c.relkind = 'v' AND s.key = p.key
         UNION ALL
         SELECT a.attname FROM pg_catalog.pg_attribute a
          WHERE c.relkind <> 'v' AND a.attrelid = c.oid AND a.attnum = i.indkey[p.place - 1]
         LIMIT 1) y ON true) k
   CROSS JOIN LATERAL (
     SELECT CASE c.relkind WHEN 'v' THEN s.relname::pg_catalog.text ELSE $2 END) b(name)
   CROSS JOIN LATERAL (
     SELECT pg_catalog.starts_with(x.relname, b.name || '_') AND x.relname ~ '_idx[0-9]*$') m(made_up)
   CROSS JOIN LATERAL (
     SELECT CASE WHEN m.made_up AND k.computed
                 THEN pg_catalog.format('%s_%s_idx', $2, k.joined)
                 WHEN m.made_up
                 THEN $2 || pg_catalog.substr(x.relname::pg_catalog.text, pg_catalog.length(b.name) + 1)
                 ELSE x.relname END,
            CASE c.relkind WHEN 'v' THEN c.relnamespace::pg_catalog.regnamespace::pg_catalog.text
                 ELSE 'matview' END) w(name, schema)
   CROSS JOIN LATERAL (
     SELECT NOT EXISTS (
              SELECT FROM pg_catalog.pg_class o JOIN pg_catalog.pg_namespace n ON n.oid = o.relnamespace
               WHERE o.relname = w.name AND pg_catalog.quote_ident(n.nspname) = w.schema AND o.oid <> x.oid)
            -- Those are for the parts of views, and for indexes that are being made.
            AND NOT (c.relkind <> 'v' AND w.name ~
              '^(storage|core|source|core_source|definition|matview_new|log|copy|swap|swapped)_[0-9]')) f(free)
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
     WHERE (d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
              AND d.refobjid = pg_catalog.to_regclass($1)
            -- Its row type, or an array of that.
            OR d.refclassid = 'pg_catalog.pg_type'::pg_catalog.regclass AND d.refobjid IN (
              SELECT y.oid FROM pg_catalog.pg_class c JOIN pg_catalog.pg_type y
                  ON y.oid = c.reltype OR y.typelem = c.reltype AND y.typelem <> 0
               WHERE c.oid = pg_catalog.to_regclass($1)))
       AND d.deptype = 'n'
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
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_statistic_ext e
      ON e.stxrelid = CASE c.relkind WHEN 'v' THEN {} ELSE c.oid END
   WHERE c.oid = pg_catalog.to_regclass($1)
  UNION ALL
  SELECT 'lost', pg_catalog.format('that %s was granted to %s by %I (it will have been by the owner)',
           a.privilege_type, CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE pg_catalog.quote_ident(
             pg_catalog.pg_get_userbyid(a.grantee)) END, pg_catalog.pg_get_userbyid(a.grantor))
    FROM pg_catalog.pg_class c CROSS JOIN LATERAL pg_catalog.aclexplode(c.relacl) a
   WHERE c.oid = pg_catalog.to_regclass($1) AND a.grantor <> c.relowner
  UNION ALL
  SELECT 'lost', pg_catalog.format('rule %I', w.rulename)
    FROM pg_catalog.pg_rewrite w
   WHERE w.ev_class = pg_catalog.to_regclass($1) AND w.rulename <> '_RETURN'
  UNION ALL
  SELECT 'lost', pg_catalog.format('trigger %I', t.tgname)
    FROM pg_catalog.pg_trigger t
   WHERE t.tgrelid = pg_catalog.to_regclass($1) AND t.tgname <> 'matview_refuse'
  UNION ALL
  SELECT 'lost', pg_catalog.format('the default of column %I', a.attname)
    FROM pg_catalog.pg_attrdef d JOIN pg_catalog.pg_attribute a
      ON a.attrelid = d.adrelid AND a.attnum = d.adnum
   WHERE d.adrelid = pg_catalog.to_regclass($1)
  UNION ALL
  SELECT 'lost', pg_catalog.format('the option %s of its storage', o)
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_class s ON c.relkind = 'v' AND s.oid = {}
   CROSS JOIN pg_catalog.unnest(s.reloptions) o
   WHERE c.oid = pg_catalog.to_regclass($1)
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

// Of an incremental view those of its storage, where it has the view's column under its own name.
constexpr std::string_view settings_sql = R"(
  SELECT pg_catalog.quote_ident(a.attname), k.sql, k.words, EXISTS (
           SELECT FROM pg_catalog.pg_attribute v
            WHERE v.attrelid = c.oid AND v.attname = a.attname AND v.attnum > 0)
    FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_attribute a ON a.attrelid = CASE c.relkind WHEN 'v' THEN {} ELSE c.oid END
     AND a.attnum > 0 AND NOT a.attisdropped
    JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
   CROSS JOIN LATERAL (
     SELECT pg_catalog.format('SET STATISTICS %s', a.attstattarget),
            pg_catalog.format('statistics target %s', a.attstattarget) WHERE a.attstattarget >= 0
     UNION ALL
     SELECT pg_catalog.format('SET (%s)', o), o FROM pg_catalog.unnest(a.attoptions) o
     UNION ALL
     SELECT 'SET ' || o, pg_catalog.lower(o) FROM (SELECT 'STORAGE ' || CASE a.attstorage
         WHEN 'p' THEN 'PLAIN' WHEN 'e' THEN 'EXTERNAL' WHEN 'm' THEN 'MAIN' ELSE 'EXTENDED' END) s(o)
      WHERE a.attstorage <> t.typstorage
     UNION ALL
     SELECT 'SET ' || o, pg_catalog.lower(o) FROM (SELECT 'COMPRESSION ' || CASE a.attcompression
         WHEN 'p' THEN 'pglz' ELSE 'lz4' END) s(o)
      WHERE a.attcompression <> '') k(sql, words)
   WHERE c.oid = pg_catalog.to_regclass($1)
   ORDER BY a.attnum, k.sql)";

// An incremental view may have had its columns renamed, its definition not.
constexpr std::string_view renamed_sql = R"(
  SELECT d.attname, v.attname
    FROM matview.incremental i
    JOIN pg_catalog.pg_attribute v ON v.attrelid = i.view::pg_catalog.oid AND v.attnum > 0
    JOIN pg_catalog.pg_attribute d ON d.attrelid = i.definition::pg_catalog.oid AND d.attnum = v.attnum
   WHERE i.view::pg_catalog.oid = pg_catalog.to_regclass($1) AND d.attname <> v.attname
   ORDER BY v.attnum)";

constexpr std::string_view stored_columns_sql = R"(
  SELECT pg_catalog.quote_ident(a.attname)
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_attribute a ON a.attrelid = {}
   WHERE c.oid = pg_catalog.to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped)";

// Where the user's indexes of a view are, as SQL takes it, and they, in the order of their making.
constexpr std::string_view made_indexes_sql = R"(
  SELECT pg_catalog.format('%I.%I', n.nspname, s.relname), pg_catalog.quote_ident(n.nspname),
         x.relname
    FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_class s ON s.oid = CASE c.relkind WHEN 'v' THEN {} ELSE c.oid END
    JOIN pg_catalog.pg_namespace n ON n.oid = s.relnamespace
    LEFT JOIN (pg_catalog.pg_index i JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid)
      ON i.indrelid = s.oid AND (c.relkind <> 'v' OR x.relname <> s.relname || '_own')
   WHERE c.oid = pg_catalog.to_regclass($1)
   ORDER BY x.oid)";

// What a role has to have for a refresh of an incremental view whose parts are its own.
constexpr std::string_view may_refresh_sql = R"(
  SELECT r.rolsuper OR EXISTS (
           SELECT FROM pg_catalog.pg_namespace n
             JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = 'incremental'
            WHERE n.nspname = 'matview'
              AND pg_catalog.has_schema_privilege(r.oid, n.oid, 'USAGE')
              AND pg_catalog.has_table_privilege(r.oid, c.oid, 'SELECT')
              AND pg_catalog.has_table_privilege(r.oid, c.oid, 'UPDATE'))
    FROM pg_catalog.pg_roles r WHERE r.rolname = $1)";

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
          OR (SELECT r.rolsuper FROM pg_catalog.pg_roles r WHERE r.rolname = current_user))
  UNION ALL
  -- The capture goes with it that is for no other view, to whom it can work with the rights of.
  SELECT pg_catalog.format('ALTER %s matview.%s OWNER TO %I', p.word, p.name, $2)
    FROM matview.incremental i JOIN matview.capture k ON k.view = i.id
    JOIN matview.change_log l ON l.id = k.log
    JOIN pg_catalog.pg_class c ON c.relname = pg_catalog.format('log_%s', k.log)
     AND c.relnamespace = 'matview'::pg_catalog.regnamespace
   CROSS JOIN LATERAL (
     SELECT 'FUNCTION', pg_catalog.format('%I()', f.proname) FROM pg_catalog.pg_proc f
      WHERE f.pronamespace = 'matview'::pg_catalog.regnamespace AND f.pronargs = 0
        AND f.proname ~ pg_catalog.format('^log_%s_[a-z]+$', k.log)
     UNION ALL SELECT 'TABLE', c.relname::pg_catalog.text) p(word, name)
   WHERE i.view::pg_catalog.oid = pg_catalog.to_regclass($1)
     AND pg_catalog.pg_has_role(c.relowner, 'USAGE')
     AND pg_catalog.has_schema_privilege($2, 'matview', 'USAGE')
     AND pg_catalog.has_table_privilege($2, 'matview.mark', 'INSERT')
     AND pg_catalog.has_table_privilege($2, l.base::pg_catalog.oid, 'SELECT')
     AND (pg_catalog.has_schema_privilege($2, 'matview', 'CREATE')
          OR (SELECT r.rolsuper FROM pg_catalog.pg_roles r WHERE r.rolname = current_user))
     AND NOT EXISTS (SELECT FROM matview.capture o WHERE o.log = k.log AND o.view <> k.view))";

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
    to.indexes.push_back(
        {.definition = {.columns = texts_of(from.text(row, 1)), .unique = from.boolean(row, 0)},
         .name = from.string(row, 3),
         .comment = from.string(row, 5),
         .clustered = from.boolean(row, 6)});
    if (!from.is_null(row, 4)) to.lost.push_back(from.string(row, 4));
  }
}

void add_setting(relation_traits& to, const pg::result& from, int row) {
  if (from.boolean(row, 3)) {
    to.settings.push_back(
        {.column = from.string(row, 0), .sql = from.string(row, 1), .words = from.string(row, 2)});
  } else {
    to.lost.push_back(
        fmt::format("{} of column {} of its storage", from.text(row, 2), from.text(row, 0)));
  }
}

std::vector<std::string> column_of(const pg::result& from, int column) {
  std::vector<std::string> out;
  out.reserve(static_cast<std::size_t>(from.rows()));
  for (int row = 0; row < from.rows(); ++row) out.push_back(from.string(row, column));
  return out;
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
                                             std::string name, bool incremental,
                                             const std::vector<stored_column>& stored) {
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
                      .owner_lacks = {},
                      .indexes = {},
                      .settings = {},
                      .lost = {},
                      .dependents = {},
                      .renamed = {}};
  const std::string_view definition =
      incremental ? "(SELECT i.definition::pg_catalog.oid FROM matview.incremental i WHERE "
                    "i.view::pg_catalog.oid = pg_catalog.to_regclass($1))"
                  : "pg_catalog.to_regclass($1)::pg_catalog.oid";
  const pg::result query = co_await on.query("SELECT " + view_text_sql(definition), one);
  if (query.is_null(0, 0)) throw error(definition_gone(quoted));
  out.query = query.string(0, 0);
  out.grants = co_await read_grants(on, std::string(quoted));
  const pg::result lacks = co_await on.query(std::string(owner_lacks_sql), one);
  out.owner_lacks = column_of(lacks, 0);
  std::vector<pg::parameter> named = one;
  named.emplace_back(name.empty() ? out.name : name);
  boost::json::array keys;
  for (const stored_column& column : stored) {
    keys.push_back({{"name", column.name}, {"key", column.key}});
  }
  named.emplace_back(boost::json::serialize(keys));
  const pg::result indexes =
      co_await on.query(fmt::format(fmt::runtime(indexes_sql), storage_of), std::move(named));
  for (int row = 0; row < indexes.rows(); ++row) add_index(out, indexes, row);
  const pg::result others = co_await on.query(
      boost::algorithm::replace_all_copy(std::string(others_sql), "{}", std::string(storage_of)),
      one);
  for (int row = 0; row < others.rows(); ++row) {
    std::vector<std::string>& list = others.text(row, 0) == "lost" ? out.lost : out.dependents;
    list.push_back(others.string(row, 1));
  }
  const pg::result settings =
      co_await on.query(fmt::format(fmt::runtime(settings_sql), storage_of), one);
  for (int row = 0; row < settings.rows(); ++row) add_setting(out, settings, row);
  if (!incremental && !out.owned_by_me) {
    const pg::result may =
        co_await on.query(std::string(may_refresh_sql), one_value(std::string(out.owner)));
    if (may.rows() == 1 && !may.boolean(0, 0)) {
      out.lost.push_back(fmt::format(
          "that {} may refresh it (GRANT USAGE ON SCHEMA matview, and SELECT, INSERT, UPDATE, "
          "DELETE ON ALL TABLES IN SCHEMA matview TO that role)",
          out.owner));
    }
  }
  if (incremental) {
    const pg::result renamed = co_await on.query(std::string(renamed_sql), one);
    for (int row = 0; row < renamed.rows(); ++row) {
      out.renamed.push_back({.from = renamed.string(row, 0), .to = renamed.string(row, 1)});
    }
  }
  co_return out;
}

asio::awaitable<std::vector<stored_column>> read_keys(
    pg::connection& on, int id, const std::map<std::string, std::string>& stored) {
  co_await on.run(fmt::format("CREATE TEMPORARY TABLE matview_keys (LIKE matview.storage_{})", id));
  std::vector<stored_column> out;
  for (const auto& column : stored) {
    const auto index = [&](pg::transaction& in) -> asio::awaitable<std::string> {
      const auto made = co_await in.run(fmt::format(
          "CREATE INDEX matview_key ON pg_temp.matview_keys ({}); SELECT "
          "pg_catalog.pg_get_indexdef('pg_temp.matview_key'::pg_catalog.regclass, 1, false); "
          "DROP INDEX pg_temp.matview_key",
          column.second));
      co_return made.at(1).string(0, 0);
    };
    try {
      std::string key = co_await pg::in_transaction(on, index);
      out.push_back({.name = column.first, .key = std::move(key)});
    } catch (const error& failed) {
      if (failed.sqlstate() != "42704") throw;  // A type without an order: nobody has indexed it.
    }
  }
  co_return out;
}

asio::awaitable<void> rename_columns(pg::connection& on, std::string quoted,
                                     std::vector<renamed_column> columns) {
  // In two steps, as two may have changed their names with each other.
  std::string first;
  std::string second;
  for (std::size_t i = 0; i < columns.size(); ++i) {
    const std::string head = fmt::format("ALTER MATERIALIZED VIEW {} RENAME COLUMN ", quoted);
    const std::string between = fmt::format("matview_renamed_{}", i);
    first += fmt::format("{}{} TO {}; ", head, pg::quote_name(columns[i].from), between);
    second += fmt::format("{}{} TO {}; ", head, between, pg::quote_name(columns[i].to));
  }
  if (!columns.empty()) co_await on.run(first + second);
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

asio::awaitable<void> lose_what_is_not_stored(pg::connection& on, std::string quoted,
                                              relation_traits& traits) {
  if (traits.settings.empty()) co_return;
  const pg::result found = co_await on.query(
      fmt::format(fmt::runtime(stored_columns_sql), storage_of), one_value(std::move(quoted)));
  const std::vector<std::string> stored = column_of(found, 0);
  std::erase_if(traits.settings, [&](const column_setting& setting) {
    if (std::ranges::find(stored, setting.column) != stored.end()) return false;
    traits.lost.push_back(fmt::format("{} of column {} (it is computed when the view is read)",
                                      setting.words, setting.column));
    return true;
  });
}

namespace {

// `made`: the name that the server has given it.
std::string giving_to_index(const relation_index& index, std::string_view schema,
                            std::string_view made, std::string_view alter_table) {
  const std::string name = pg::quote_name(index.name.empty() ? made : std::string_view(index.name));
  std::string sql;
  if (index.name != made && !index.name.empty()) {
    sql += fmt::format("ALTER INDEX {}.{} RENAME TO {}; ", schema, pg::quote_name(made), name);
  }
  if (!index.comment.empty()) {
    sql += fmt::format("COMMENT ON INDEX {}.{} IS {}; ", schema, name,
                       text::sql_literal(index.comment));
  }
  if (index.clustered) sql += fmt::format("{} CLUSTER ON {}; ", alter_table, name);
  return sql;
}

// As long as all of it is this role's.
asio::awaitable<std::string> giving_to_table(pg::connection& on, std::string quoted,
                                             bool incremental, const relation_traits& traits) {
  const pg::result made = co_await on.query(fmt::format(fmt::runtime(made_indexes_sql), storage_of),
                                            one_value(std::move(quoted)));
  const std::string alter_table =
      fmt::format("ALTER {} {}", incremental ? "TABLE" : "MATERIALIZED VIEW", made.text(0, 0));
  std::string sql;
  for (std::size_t i = 0; i < traits.indexes.size(); ++i) {
    const int row = static_cast<int>(i);
    sql += giving_to_index(traits.indexes[i], made.text(row, 1), made.text(row, 2), alter_table);
  }
  for (const column_setting& setting : traits.settings) {
    sql += fmt::format("{} ALTER COLUMN {} {}; ", alter_table, setting.column, setting.sql);
  }
  co_return sql;
}

}  // namespace

asio::awaitable<void> give_traits(pg::connection& on, std::string quoted, bool incremental,
                                  const relation_traits& traits) {
  const char* word = incremental ? "VIEW" : "MATERIALIZED VIEW";
  std::string sql = co_await giving_to_table(on, std::string(quoted), incremental, traits);
  if (!sql.empty()) co_await on.run(std::move(sql));
  // The owner before grants: one to whoever is the owner is lost with the change of the owner.
  sql.clear();
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
  for (const std::string& privilege : traits.owner_lacks) {
    sql +=
        fmt::format("REVOKE {} ON {} FROM {}; ", privilege, quoted, pg::quote_name(traits.owner));
  }
  sql += fmt::format("COMMENT ON {} {} IS {}", word, quoted,
                     traits.comment.empty() ? "NULL" : text::sql_literal(traits.comment));
  co_await on.run(std::move(sql));
}

}  // namespace matview::store
