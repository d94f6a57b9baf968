#include "incremental/refusal.hpp"

namespace matview::incremental {

const std::vector<construct_text>& refused_constructs() {
  static const std::vector<construct_text> all{
      {construct::volatile_function, "volatile_function",
       "its result changes from call to call, so that a delta cannot know what the old rows held",
       "compute the value when the row is written, or take it out of the view"},
      {construct::clock, "clock", "it changes with time although no row changes",
       "leave it out of the view and compare when the view is read: WHERE day >= current_date - 7"},
      {construct::session, "session",
       "it depends on who asks, on settings or on the state of the server, and the contents of a "
       "view do not",
       "leave it out of the view and apply it when the view is read"},
      {construct::stable_function, "stable_function",
       "a STABLE function may read tables that nobody captures",
       "declare it IMMUTABLE if it uses nothing but its arguments; else write its query in its "
       "place"},
      {construct::text_to_time, "text_to_time",
       "a text may say 'today', and then the result changes with time",
       "store the value as a date or timestamp, or use make_date() or to_date() with a format"},
      {construct::recursive_cte, "recursive_cte",
       "a change may reach any number of levels of WITH RECURSIVE",
       "write the levels out as joins, or keep the closure in a table"},
      {construct::window_without_partition, "window_without_partition",
       "without PARTITION BY each row's result depends on all rows",
       "add PARTITION BY, or compute the window function when the view is read"},
      {construct::limit_inside, "limit_inside", "which rows LIMIT keeps depends on all others",
       "put LIMIT at the end of the whole query, or use LATERAL (... LIMIT n) for each row of "
       "another table"},
      {construct::foreign_table, "foreign_table",
       "its changes happen elsewhere, where no trigger sees them",
       "copy it into a table, or make the view native"},
      {construct::system_table, "system_table",
       "PostgreSQL has no triggers on its own catalogs, so that their changes are not captured",
       "copy what is needed into a table, or make the view native"},
      {construct::subscribed_table, "subscribed_table",
       "the rows that logical replication writes into it are only captured if the creator of the "
       "view owns the table",
       "let the owner of the table make the view"},
      {construct::only, "only",
       "a table and those that inherit from it or are its partitions are captured together",
       "leave ONLY out, or name the children that are meant"},
      {construct::temporary_table, "temporary_table", "it ends with the session",
       "use an ordinary table"},
      {construct::materialized_view, "materialized_view",
       "REFRESH fires no trigger, so that its changes are not captured",
       "make the materialized view incremental first: matview convert NAME --to incremental"},
      {construct::row_security, "row_security",
       "what the view's owner may see is not what is in the table",
       "let a role own the view to which the policies do not apply (BYPASSRLS)"},
      {construct::system_column, "system_column",
       "system columns such as ctid and xmin change with every update and are not captured",
       "use a column of your own"},
      {construct::whole_row, "whole_row", "a whole row changes its type when a column is added",
       "name the columns that are needed"},
      {construct::virtual_column, "virtual_column",
       "PostgreSQL shows triggers no value of a VIRTUAL generated column",
       "write its expression in its place, or make the column STORED"},
      {construct::tablesample, "tablesample", "a sample is chosen anew each time",
       "leave TABLESAMPLE out"},
      {construct::locking, "locking", "a view locks no rows", "leave FOR UPDATE/SHARE out"},
      {construct::join_alias, "join_alias", "an alias of a whole join is not followed",
       "give aliases to the tables instead"},
      {construct::mixed_types, "mixed_types",
       "PostgreSQL brings the branches of a set operation to one type two by two, which loses "
       "digits where one is real",
       "cast the column to one type in each branch"},
      {construct::values_only, "values_only", "it reads no table, so that nothing can change",
       "make the view native"},
      {construct::table_function, "table_function",
       "this kind of table function (XMLTABLE, JSON_TABLE, ROWS FROM with a column list) is not "
       "followed",
       "use jsonb_array_elements() or unnest() in FROM"},
      {construct::no_key, "no_key",
       "there is no column by which the rows that a change affects can be found",
       "add to the output, or to GROUP BY, a column of the table that decides which rows there are "
       "(of the preserved side of an outer join)"},
      {construct::no_path, "no_path",
       "no condition ties it to the rows of the view, so that any change of it affects all of them",
       "join it by a condition with the view's other tables; or make an incremental view of the "
       "rest, and a plain view that joins both when it is read"},
      {construct::uncorrelated_subquery, "uncorrelated_subquery",
       "no condition ties it to the rest of the query, so that any change of its tables may affect "
       "all rows",
       "make it an incremental view of its own and the rest of the query another one; a plain view "
       "over both compares them when it is read"},
      {construct::no_group, "no_group",
       "without GROUP BY one row depends on everything, and not every aggregate in it can be "
       "updated from changes alone",
       "use count, sum, avg, min, max, bool_and and bool_or, or add GROUP BY"},
      {construct::grouping_sets, "grouping_sets",
       "its totals depend on all rows, and not every aggregate in it can be updated from changes "
       "alone",
       "use count, sum, avg, min, max, bool_and and bool_or over inner joins, or keep the finest "
       "groups in a view and add them up in one on it"},
      {construct::null_in_subquery, "null_in_subquery",
       "one NULL among what the subquery yields changes the result for all rows",
       "use EXISTS or NOT EXISTS with a condition, or declare the compared columns NOT NULL"},
      {construct::type_without_hash, "type_without_hash",
       "rows are found by its values, and these cannot be compared by hashing (as bit and "
       "tsvector), by an operator of PostgreSQL's own (as citext and hstore), or equal ones are "
       "not the same (as with a nondeterministic collation)",
       "cast it to text, with COLLATE \"C\" if it is text; lower(x::text) for citext"},
      {construct::hidden_operator, "hidden_operator",
       "USING, IN (SELECT ...), NULLIF, CASE x WHEN, IS DISTINCT FROM and comparisons of rows do "
       "not show which operator they mean, and that of a type from an extension (citext) is not "
       "PostgreSQL's own",
       "write the comparisons out with =: JOIN ... ON, EXISTS, CASE WHEN x = y; or compare "
       "lower(x::text)"},
      {construct::unknown_syntax, "unknown_syntax",
       "this part of SQL is newer than the compiler's parser (PostgreSQL 15)",
       "write it in SQL of PostgreSQL 15"},
      {construct::too_large, "too_large",
       "the compiler ends at 30 tables, 7 times the same one in one FROM, 64 branches of set "
       "operations, 200 levels of nesting and 1,500 operators in a row",
       "divide it: keep a part of it in a view of its own"},
      {construct::reserved_name, "reserved_name",
       "names that begin with __mv are for the columns that the view keeps beside yours, and "
       "texts as /*deltas*/ for what a refresh puts in their place",
       "choose another name for the column, or write the text in two parts"},
  };
  return all;
}

const construct_text& text_of(construct what) {
  return refused_constructs().at(static_cast<std::size_t>(what));
}

}  // namespace matview::incremental
