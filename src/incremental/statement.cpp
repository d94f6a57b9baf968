#include "incremental/statement.hpp"

#include "incremental/syntax.hpp"
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <string_view>

namespace matview::incremental {

namespace {

using texts = std::vector<std::string>;

texts numbered(std::string_view name, std::size_t count) {
  texts out;
  for (std::size_t i = 1; i <= count; ++i) out.push_back(fmt::format("{}{}", name, i));
  return out;
}

texts on(std::string_view alias, const texts& columns) {
  texts out;
  out.reserve(columns.size());
  for (const std::string& one : columns) out.push_back(fmt::format("{}.{}", alias, one));
  return out;
}

texts quoted_all(const texts& names) {
  texts out;
  out.reserve(names.size());
  for (const std::string& one : names) out.push_back(quoted(one));
  return out;
}

std::string list(const texts& items) {
  return fmt::format("{}", fmt::join(items, ", "));
}

// `(k1)::integer AS k1, ...`; the last ones may have no type.
std::string cast_keys(std::size_t count, const texts& types) {
  texts out;
  for (std::size_t i = 0; i < count; ++i) {
    out.push_back(i < types.size() && !types[i].empty()
                      ? fmt::format("(k{0})::{1} AS k{0}", i + 1, types[i])
                      : fmt::format("k{}", i + 1));
  }
  return list(out);
}

texts chosen(const texts& items, const std::vector<std::size_t>& places) {
  texts out;
  out.reserve(places.size());
  for (const std::size_t place : places) out.push_back(items[place]);
  return out;
}

// Whether the row `alias` of the storage is the one that `of_other`, of the row `other`, tell.
std::string identified(const identified_storage& of, std::string_view alias, const texts& of_other,
                       std::string_view other) {
  const texts own = on(alias, chosen(quoted_all(of.columns), of.identity));
  if (!of.hashed()) return agree(own, of_other);
  return agree(own, of_other, fmt::format("{}.__mv_hash", alias),
               fmt::format("{}.__mv_hash", other));
}

// Whether equal values of the type are the same in all that can be computed from them. Not so 1.0
// and 1.00, 0 and -0, '1 mon' and '30 days': an update of one to the other is a change, too.
bool equal_means_same(std::string_view type) {
  static constexpr std::array exact{"smallint", "integer", "bigint", "boolean", "text",
                                    "date",     "uuid",    "bytea",  "oid",     "name"};
  static constexpr std::array exact_with_length{"character", "timestamp", "time", "numeric("};
  return std::ranges::find(exact, type) != exact.end() ||
         (!is_array(type) && std::ranges::any_of(exact_with_length, [type](std::string_view one) {
           return type.starts_with(one);
         }));
}

// Columns of the storage beside its keys.
texts state_columns(const keyed_storage& of) {
  texts out = numbered("__mv_n", of.counters);
  for (std::size_t i = 0; i < of.sums.size(); ++i) {
    if (!of.sums[i].empty()) out.push_back(fmt::format("__mv_s{}", i + 1));
    out.push_back(fmt::format("__mv_c{}", i + 1));
  }
  for (std::size_t i = 0; i < of.extremes.size(); ++i)
    out.push_back(fmt::format("__mv_m{}", i + 1));
  if (of.hashed()) out.emplace_back("__mv_hash");
  return out;
}

std::string storage_matches(const keyed_storage& of, std::string_view left, std::string_view right,
                            bool right_is_storage) {
  const texts l = on(left, quoted_all(of.keys));
  const texts r =
      right_is_storage ? on(right, quoted_all(of.keys)) : on(right, numbered("k", of.keys.size()));
  if (!of.hashed()) return agree(l, r);
  return agree(l, r, fmt::format("{}.__mv_hash", left), fmt::format("{}.__mv_hash", right));
}

// Whether group d of `old`, whose least or greatest value may have gone, has to be looked at anew.
std::string extreme_lost(const keyed_storage& of, std::size_t i) {
  const char* reaches = of.extremes[i] ? "<=" : ">=";
  return fmt::format("(d.o{0} {1} d.__mv_m{0} AND (d.i{0} {1} d.o{0}) IS NOT TRUE)", i + 1,
                     reaches);
}

// The columns of `delta`: keys, hash, counters, totals, extremes.
std::string delta(const keyed_storage& of) {
  const texts keys = numbered("k", of.keys.size());
  texts out = keys;
  if (of.hashed()) out.push_back(hash_of(keys) + " AS __mv_hash");
  for (std::size_t i = 1; i <= of.counters; ++i) {
    out.push_back(
        of.counters == 1
            ? fmt::format("coalesce(sum(w), 0)::bigint AS n{}", i)
            : fmt::format("coalesce(sum(w) FILTER (WHERE leaf = {0}), 0)::bigint AS n{0}", i));
  }
  for (std::size_t i = 0; i < of.sums.size(); ++i) {
    if (!of.sums[i].empty()) {
      out.push_back(fmt::format("coalesce(sum(w * t{0}), 0)::{1} AS s{0}", i + 1, of.sums[i]));
    }
    out.push_back(
        fmt::format("coalesce(sum(w){1}, 0)::bigint AS c{0}", i + 1,
                    of.is_counted_by_rows(i)
                        ? ""
                        : fmt::format(" FILTER (WHERE t{} IS DISTINCT FROM NULL)", i + 1)));
  }
  for (std::size_t i = 0; i < of.extremes.size(); ++i) {
    const char* function = of.extremes[i] ? "min" : "max";
    out.push_back(
        fmt::format("{1}(e{0}) FILTER (WHERE w > 0) AS i{0}, "
                    "{1}(e{0}) FILTER (WHERE w < 0) AS o{0}",
                    i + 1, function));
  }
  std::string sql =
      fmt::format("SELECT {} FROM {}", list(out), of.extremes.empty() ? "changes" : "net");
  if (!keys.empty()) sql += fmt::format(" GROUP BY {}", list(keys));
  return sql;
}

// Rows that cancel each other out would make it seem that an extreme value has come or gone.
std::string net(const keyed_storage& of) {
  texts columns = numbered("k", of.keys.size());
  for (const std::string& one : numbered("t", of.sums.size())) columns.push_back(one);
  for (const std::string& one : numbered("e", of.extremes.size())) columns.push_back(one);
  if (of.counters > 1) columns.emplace_back("leaf");
  // w is 1 or -1; the sum of an int is a bigint, that of a bigint a numeric.
  return fmt::format(
      "net AS MATERIALIZED (SELECT {0}, sum(w::int) AS w FROM changes "
      "GROUP BY {0} HAVING sum(w::int) <> 0),\n",
      list(columns));
}

// `delta` with what is stored of its keys now, and where: the storage is searched once for each.
std::string stored_before(const keyed_storage& of, const std::string& storage) {
  texts columns{"d.*", "st.ctid AS __mv_at"};
  for (const std::string& one : numbered("st.__mv_n", of.counters)) columns.push_back(one);
  for (const std::string& one : numbered("st.__mv_m", of.extremes.size())) columns.push_back(one);
  return fmt::format("old AS MATERIALIZED (SELECT {} FROM delta AS d LEFT JOIN {} AS st ON {}),\n",
                     list(columns), storage, storage_matches(of, "st", "d", false));
}

std::string lost_groups(const keyed_storage& of, const std::string& rows) {
  texts lost;
  texts values;
  for (std::size_t i = 0; i < of.extremes.size(); ++i) {
    lost.push_back(extreme_lost(of, i));
    values.push_back(fmt::format("{}(e{}) AS m{}", of.extremes[i] ? "min" : "max", i + 1, i + 1));
  }
  const texts keys = numbered("k", of.keys.size());
  std::string select = list(on("d", keys));
  if (keys.empty()) select = "1 AS one";
  std::string sql = fmt::format("hit AS MATERIALIZED (SELECT {} FROM old AS d WHERE {}),\n", select,
                                fmt::join(lost, " OR "));
  texts columns = keys;
  if (of.hashed()) columns.push_back(hash_of(keys) + " AS __mv_hash");
  columns.insert(columns.end(), values.begin(), values.end());
  // The test that is the same for all rows spares the scan when no group was hit, as is usual.
  sql += fmt::format(
      "again AS MATERIALIZED (SELECT {} FROM (SELECT * FROM ({}) AS q WHERE "
      "(SELECT count(*) FROM hit) > 0{}) AS q{}),\n",
      list(columns), rows, keys.empty() ? "" : " AND " + among(on("q", keys), of.traits, "hit"),
      keys.empty() ? "" : " GROUP BY " + list(keys));
  return sql;
}

// The WITH item `compared`: what differs between the storage, st, and its rows anew, f.
std::string compared(const view_parts& parts, const std::string& same, const std::string& differs) {
  return fmt::format(
      "compared AS MATERIALIZED (SELECT st.ctid AS __mv_at, f.* FROM (SELECT true AS "
      "__mv_there, r.* FROM {} AS r) AS f FULL JOIN {} AS st ON {} "
      "WHERE f.__mv_there IS NULL OR st.ctid IS NULL OR {})",
      fresh_rows(parts.source), parts.storage, same, differs);
}

// A WITH item that nobody reads would not be computed: `refused` is read by draft::apply_by().
std::string guard_totals(const keyed_storage& of) {
  texts wild;
  for (std::size_t i = 0; i < of.unbounded.size(); ++i) {
    if (of.unbounded[i]) {
      wild.push_back(fmt::format("s{} IN ('NaN', 'Infinity', '-Infinity')", i + 1));
    }
  }
  if (wild.empty()) return "refused AS (SELECT 0 WHERE false),\n";
  return fmt::format(
      "refused AS (SELECT CASE WHEN bool_or({}) THEN matview.refuse_total() END FROM delta),\n",
      fmt::join(wild, " OR "));
}

}  // namespace

std::string storage_source(const keyed_storage& of, const std::string& rows) {
  texts out;
  const texts keys = numbered("k", of.keys.size());
  for (std::size_t i = 0; i < keys.size(); ++i) {
    out.push_back(fmt::format("{} AS {}", keys[i], quoted(of.keys[i])));
  }
  for (std::size_t i = 1; i <= of.counters; ++i) {
    out.push_back(of.counters == 1
                      ? fmt::format("count(*) AS __mv_n{}", i)
                      : fmt::format("count(*) FILTER (WHERE leaf = {0}) AS __mv_n{0}", i));
  }
  for (std::size_t i = 0; i < of.sums.size(); ++i) {
    if (!of.sums[i].empty()) {
      out.push_back(fmt::format("coalesce(sum(t{0}), 0)::{1} AS __mv_s{0}", i + 1, of.sums[i]));
    }
    out.push_back(of.is_counted_by_rows(i) ? fmt::format("count(*) AS __mv_c{}", i + 1)
                                           : fmt::format("count(t{0}) AS __mv_c{0}", i + 1));
  }
  for (std::size_t i = 0; i < of.extremes.size(); ++i) {
    out.push_back(fmt::format("{}(e{}) AS __mv_m{}", of.extremes[i] ? "min" : "max", i + 1, i + 1));
  }
  if (of.hashed()) out.push_back(hash_of(keys) + " AS __mv_hash");
  texts below;
  if (!keys.empty()) below.push_back(cast_keys(keys.size(), of.types));
  for (const std::string& one : numbered("t", of.sums.size())) below.push_back(one);
  for (const std::string& one : numbered("e", of.extremes.size())) below.push_back(one);
  below.emplace_back("leaf");
  std::string sql =
      fmt::format("SELECT {} FROM (SELECT {} FROM ({}) AS r) AS q", list(out), list(below), rows);
  if (!keys.empty()) sql += fmt::format(" GROUP BY {}", list(keys));
  return sql;
}

std::string add_changes(const keyed_storage& of, const std::string& storage,
                        const std::string& changes, const std::string& rows) {
  const texts keys = numbered("k", of.keys.size());
  texts through;
  if (!keys.empty()) through.push_back(cast_keys(keys.size(), of.types));
  for (const std::string& one : numbered("t", of.sums.size())) through.push_back(one);
  for (const std::string& one : numbered("e", of.extremes.size())) through.push_back(one);
  through.emplace_back("leaf");
  through.emplace_back("w");
  std::string sql = fmt::format("changes AS (SELECT {} FROM ({}) AS c),\n", list(through), changes);
  if (!of.extremes.empty()) sql += net(of);
  sql += fmt::format("delta AS MATERIALIZED ({}),\n", delta(of));
  sql += stored_before(of, storage);
  if (!of.extremes.empty()) sql += lost_groups(of, rows);

  texts alive;
  texts set;
  texts insert = quoted_all(of.keys);
  texts values = on("d", keys);
  texts nothing;
  const auto add = [&](const std::string& column, const std::string& of_delta) {
    set.push_back(fmt::format("{0} = st.{0} + d.{1}", column, of_delta));
    insert.push_back(column);
    values.push_back("d." + of_delta);
    nothing.push_back(fmt::format("d.{} = 0", of_delta));
  };
  for (std::size_t i = 1; i <= of.counters; ++i) {
    alive.push_back(fmt::format("d.__mv_n{0} + d.n{0} <> 0", i));
    add(fmt::format("__mv_n{}", i), fmt::format("n{}", i));
  }
  for (std::size_t i = 0; i < of.sums.size(); ++i) {
    if (!of.sums[i].empty()) add(fmt::format("__mv_s{}", i + 1), fmt::format("s{}", i + 1));
    add(fmt::format("__mv_c{}", i + 1), fmt::format("c{}", i + 1));
  }
  for (std::size_t i = 0; i < of.extremes.size(); ++i) {
    set.push_back(
        fmt::format("__mv_m{0} = CASE WHEN {1} THEN a.m{0} ELSE {2}(d.__mv_m{0}, d.i{0}) END",
                    i + 1, extreme_lost(of, i), of.extremes[i] ? "least" : "greatest"));
    insert.push_back(fmt::format("__mv_m{}", i + 1));
    values.push_back(fmt::format("d.i{}", i + 1));
  }
  if (of.hashed()) {
    insert.emplace_back("__mv_hash");
    values.emplace_back("d.__mv_hash");
  }
  std::string again;
  if (!of.extremes.empty()) {
    texts left = on("d", keys);
    texts right = on("a", keys);
    again = fmt::format(
        " LEFT JOIN again AS a ON {}",
        of.hashed() ? agree(left, right, "d.__mv_hash", "a.__mv_hash") : agree(left, right));
  }
  const std::string lives = of.one_row() ? "true" : fmt::format("({})", fmt::join(alive, " OR "));
  sql += fmt::format(
      "changed AS (UPDATE {} AS st SET {} FROM old AS d{} WHERE st.ctid = d.__mv_at AND {}{} "
      "RETURNING 1),\n",
      storage, list(set), again, lives,
      of.extremes.empty() ? fmt::format(" AND NOT ({})", fmt::join(nothing, " AND ")) : "");
  sql += guard_totals(of);
  if (of.one_row()) return sql + "gone AS (SELECT 1 WHERE false),\nadded AS (SELECT 1 WHERE false)";
  sql += fmt::format(
      "gone AS (DELETE FROM {} AS st USING old AS d WHERE st.ctid = d.__mv_at AND NOT {} "
      "RETURNING 1),\n",
      storage, lives);
  texts fresh;
  for (std::size_t i = 1; i <= of.counters; ++i) fresh.push_back(fmt::format("d.n{} <> 0", i));
  sql += fmt::format(
      "added AS (INSERT INTO {} ({}) SELECT {} FROM old AS d WHERE d.__mv_at IS NULL AND ({}) "
      "RETURNING 1)",
      storage, list(insert), list(values), fmt::join(fresh, " OR "));
  return sql;
}

std::string keyed_diff(const keyed_storage& of, const view_parts& parts) {
  const texts state = state_columns(of);
  texts set;
  for (const std::string& one : state) set.push_back(fmt::format("{0} = f.{0}", one));
  const std::string differs = fmt::format("ROW({})::record *<> ROW({})::record",
                                          list(on("st", state)), list(on("f", state)));
  constexpr std::string_view count =
      "/*watermark*/\nSELECT (SELECT count(*) FROM gone) + (SELECT count(*) FROM changed) + "
      "(SELECT count(*) FROM added)";
  if (of.one_row()) {
    return fmt::format(
        "WITH changed AS (UPDATE {} AS st SET {} FROM {} AS f WHERE {} RETURNING 1),\n"
        "gone AS (SELECT 1 WHERE false),\nadded AS (SELECT 1 WHERE false),\n{}",
        parts.storage, list(set), fresh_rows(parts.source), differs, count);
  }
  texts columns = quoted_all(of.keys);
  columns.insert(columns.end(), state.begin(), state.end());
  return fmt::format(
      "WITH {0},\n"
      "gone AS (DELETE FROM {1} AS st USING compared AS f WHERE st.ctid = f.__mv_at AND "
      "f.__mv_there IS NULL RETURNING 1),\n"
      "changed AS (UPDATE {1} AS st SET {2} FROM compared AS f WHERE st.ctid = f.__mv_at AND "
      "f.__mv_there RETURNING 1),\n"
      "added AS (INSERT INTO {1} ({3}) SELECT {3} FROM compared AS f WHERE f.__mv_at IS NULL "
      "RETURNING 1),\n{4}",
      compared(parts, storage_matches(of, "st", "f", true), differs), parts.storage, list(set),
      list(columns), count);
}

std::string storage_source(const identified_storage& of, const std::string& rows) {
  const texts keys = numbered("k", of.columns.size());
  texts out;
  for (std::size_t i = 0; i < keys.size(); ++i) {
    out.push_back(fmt::format("{} AS {}", keys[i], quoted(of.columns[i])));
  }
  if (of.hashed()) out.push_back(hash_of(chosen(keys, of.identity)) + " AS __mv_hash");
  return fmt::format("SELECT {} FROM (SELECT {} FROM ({}) AS r) AS q", list(out),
                     cast_keys(keys.size(), of.types), rows);
}

std::string add_changes(const identified_storage& of, const std::string& storage,
                        const std::string& changes) {
  const texts keys = numbered("k", of.columns.size());
  texts found = keys;
  texts columns = quoted_all(of.columns);
  if (of.hashed()) {
    found.push_back(hash_of(chosen(keys, of.identity)) + " AS __mv_hash");
    columns.emplace_back("__mv_hash");
  }
  texts values = on("d", keys);
  if (of.hashed()) values.emplace_back("d.__mv_hash");
  texts alike = keys;
  for (std::size_t i = 0; i < of.columns.size(); ++i) {
    if (i >= of.types.size() || !equal_means_same(of.types[i])) {
      alike.push_back(fmt::format("(k{})::text", i + 1));
    }
  }
  return fmt::format(
      "changes AS (SELECT {0}, w FROM ({1}) AS c),\n"
      "delta AS MATERIALIZED (SELECT {2}, sum(w::int) AS w FROM changes GROUP BY {3} "
      "HAVING sum(w::int) <> 0),\n"
      "changed AS (SELECT 1 WHERE false),\n"
      "refused AS (SELECT 0 WHERE false),\n"
      "gone AS (DELETE FROM {4} AS st USING delta AS d WHERE d.w < 0 AND {5} RETURNING 1),\n"
      // Counting what is gone comes first, so that a unique index does not see both.
      "added AS (INSERT INTO {4} ({6}) SELECT {7} FROM delta AS d WHERE d.w > 0 "
      "AND (SELECT count(*) FROM gone) >= 0 RETURNING 1)",
      cast_keys(keys.size(), of.types), changes, list(found), list(alike), storage,
      identified(of, "st", chosen(on("d", keys), of.identity), "d"), list(columns), list(values));
}

std::string keyed_diff(const identified_storage& of, const view_parts& parts) {
  texts columns = quoted_all(of.columns);
  const std::string differs = fmt::format("ROW({})::record *<> ROW({})::record",
                                          list(on("st", columns)), list(on("f", columns)));
  const std::string same = identified(of, "st", chosen(on("f", columns), of.identity), "f");
  if (of.hashed()) columns.emplace_back("__mv_hash");
  return fmt::format(
      "WITH {0},\n"
      "gone AS (DELETE FROM {1} AS st USING compared AS f WHERE st.ctid = f.__mv_at RETURNING "
      "1),\n"
      "added AS (INSERT INTO {1} ({2}) SELECT {2} FROM compared AS f WHERE f.__mv_there AND "
      "(SELECT count(*) FROM gone) >= 0 RETURNING 1),\n"
      "/*watermark*/\nSELECT (SELECT count(*) FROM gone) + (SELECT count(*) FROM added)",
      compared(parts, same, differs), parts.storage, list(columns));
}

// A branch of a set operation may have other types than the rows, and other hashes then.
std::string touched_keys(const replaced_storage& of) {
  return fmt::format(
      "/*deltas*/keys AS MATERIALIZED (SELECT DISTINCT {} FROM (/*section 1*/) AS q),\n",
      cast_keys(of.keys.size(), of.types));
}

std::string replace_keys(const replaced_storage& of, const std::string& gone,
                         const std::string& added, const std::string& returning,
                         const std::string& from) {
  const texts there = on("st", quoted_all(of.keys));
  const texts fresh = on("q", quoted_all(of.keys));
  const std::string new_rows =
      from == of.source ? among(fresh, of.traits, "keys") : all_among(fresh, of.traits, "keys");
  const std::string old_rows = of.hash.empty()
                                   ? among(there, of.traits, "keys")
                                   : among_by_hash("st." + quoted(of.hash), there, "keys");
  return fmt::format(
      "{0} AS (DELETE FROM {1} AS st WHERE {2} RETURNING {3}),\n"
      // Counting what is gone comes first, so that a unique index does not see both.
      "{4} AS (INSERT INTO {1} SELECT * FROM {5} AS q WHERE (SELECT count(*) FROM {0}) >= 0 AND "
      "{6} "
      "RETURNING {3})",
      gone, of.storage, old_rows, returning, added, from, new_rows);
}

// What differs is found in one pass: with signs, equal rows of both cancel each other out.
std::string differing_keys(const replaced_storage& of) {
  texts keys;
  for (std::size_t i = 0; i < of.keys.size(); ++i) {
    keys.push_back(fmt::format("{} AS k{}", quoted(of.keys[i]), i + 1));
  }
  return fmt::format(
      "fresh AS MATERIALIZED (SELECT * FROM {0} AS r),\n"
      "keys AS MATERIALIZED (SELECT DISTINCT {1} FROM (SELECT {2} FROM (SELECT {2}, 1 AS __mv_w "
      "FROM fresh UNION ALL SELECT {2}, -1 FROM {3}) AS both_sides GROUP BY {2} "
      "HAVING sum(__mv_w) <> 0) AS q)",
      fresh_rows(of.source), list(keys), list(of.columns), of.storage);
}

std::string keyed_diff(const replaced_storage& of) {
  return fmt::format(
      "WITH {},\n{},\n/*watermark*/\n"
      "SELECT (SELECT count(*) FROM gone) + (SELECT count(*) FROM added)",
      differing_keys(of), replace_keys(of, "gone", "added", "1", "fresh"));
}

std::string replace_all(const std::string& storage, const std::string& source,
                        const std::string& gone, const std::string& added) {
  return fmt::format(
      "{0} AS (DELETE FROM {1} RETURNING 1),\n"
      "{2} AS (INSERT INTO {1} SELECT * FROM {3} AS q WHERE (SELECT count(*) FROM {0}) >= 0 "
      "RETURNING 1)",
      gone, storage, added, source);
}

}  // namespace matview::incremental
