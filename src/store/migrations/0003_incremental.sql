-- Incremental views: what was changed in their base tables, the programs that turn it into their change, and the
-- functions that capture, refresh and prune. Run by src/store/migrations.cpp, in one transaction.
--
-- Whether a row of a log was applied already is asked of a snapshot (the watermark), never of a clock, an LSN or a
-- sequence: those are given when a row is written, and transactions commit in another order.

-- One for each base table: ordinary, partitioned, or the storage of another incremental view. Its rows are in
-- matview.log_<id>. regclass, so that a dump writes names.
CREATE TABLE matview.change_log (
  id           integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  base         regclass NOT NULL UNIQUE,
  columns      name[] NOT NULL,              -- captured, in the order of matview.log_<id>
  -- The cluster and database whose xids the log holds. In a restored database those in the log mean nothing.
  origin       text
);

-- TRUNCATE of a base table, or of a partition or child of it. Without a foreign key: where a restore has left out the rows
-- of change_log, TRUNCATE must not fail for it.
CREATE TABLE matview.mark (
  log          integer NOT NULL,             -- a change_log
  xid          xid8 NOT NULL
);
ALTER TABLE matview.mark REPLICA IDENTITY FULL;

-- What a view is made from beside tables.
CREATE TYPE matview.dependencies AS (
  functions    oid[],                        -- that it calls, its operators' too, and what these call
  rules        oid[],                        -- its own, and those of the views that it reads through
  named        oid[],                        -- types, operators, collations and text search configurations of users
  enums        oid[]
);

CREATE TABLE matview.incremental (
  id           integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  view         regclass NOT NULL UNIQUE,     -- the plain view that has the user's name
  definition   regclass NOT NULL,            -- matview.definition_<id>: the user's query, verbatim
  storage      regclass NOT NULL,            -- matview.storage_<id>
  program      jsonb NOT NULL,
  program_hash text GENERATED ALWAYS AS (md5(program::text)) STORED,
  layout       text NOT NULL DEFAULT '',     -- a hash of all that the parts were made by; with another they do not fit
  settings     jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(settings) = 'object'),
  watermark    pg_snapshot,                  -- NULL: never filled
  watermark_xid xid8,                        -- the transaction that wrote watermark
  fingerprint  text,                         -- without its second part: capture was not complete when it was filled,
                                             -- or it was not filled yet
  depends      matview.dependencies,         -- as of when it was last filled: looking them up costs more than the rest
  detached     text,                         -- why changes are not kept for it any more
  full_seconds float8,                       -- moving averages
  rows_per_second float8,
  rated_rows   float8,                       -- how many rows a refresh had to take in that this was measured with
  hope         float8 NOT NULL DEFAULT 1,    -- how much faster than that more rows at once may be
  log_limit    bigint NOT NULL DEFAULT 10000000,
  last_refresh timestamptz
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);

-- A row that comes with a watermark is loaded from a dump of this schema's rows, which says nothing of the tables as they
-- are now. Not so a whole database that is restored: there the triggers come last, and matview.origin() tells.
CREATE FUNCTION matview.note_loaded() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  NEW.detached := 'the rows of the schema matview were restored from a dump';
  RETURN NEW;
END
$$;
CREATE TRIGGER note_loaded BEFORE INSERT ON matview.incremental FOR EACH ROW WHEN (NEW.watermark IS NOT NULL)
  EXECUTE FUNCTION matview.note_loaded();
ALTER TABLE matview.incremental ENABLE ALWAYS TRIGGER note_loaded;

CREATE TABLE matview.capture (
  view         integer REFERENCES matview.incremental ON DELETE CASCADE,
  log          integer REFERENCES matview.change_log,
  columns      name[] NOT NULL,
  PRIMARY KEY (view, log)
);
CREATE INDEX capture_of_log ON matview.capture (log);

-- xids mean something in one cluster only. The database is in it because CREATE DATABASE ... TEMPLATE copies a
-- database with all its oids and xids.
CREATE FUNCTION matview.origin() RETURNS text LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT s.system_identifier::text || '/' || d.oid::text FROM pg_control_system() AS s, pg_database AS d
   WHERE d.datname = current_database()
$$;

-- A snapshot in which this transaction counts as not finished. PostgreSQL leaves a transaction out of its own
-- snapshots, so what it writes after a refresh would look as if it were applied, and be lost.
CREATE FUNCTION matview.before(taken pg_snapshot, own xid8) RETURNS pg_snapshot LANGUAGE plpgsql IMMUTABLE
  SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF NOT pg_visible_in_snapshot(own, taken) THEN
    RETURN taken;
  END IF;
  RETURN (least(pg_snapshot_xmin(taken), own)::text || ':' || pg_snapshot_xmax(taken)::text || ':' ||
    (SELECT string_agg(x::text, ',' ORDER BY x) FROM
      (SELECT pg_snapshot_xip(taken) UNION SELECT own) AS running (x)))::pg_snapshot;
END
$$;

-- A table and all that its rows can be in: partitions of every level, children by inheritance. pg_partition_tree sees
-- an ATTACH that was committed after the snapshot of a REPEATABLE READ transaction, whose rows do show up in it.
CREATE FUNCTION matview.family(base oid) RETURNS SETOF oid LANGUAGE plpgsql STABLE
  SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_inherits AS i WHERE i.inhparent = family.base) THEN
    RETURN NEXT family.base;
  ELSIF EXISTS (SELECT FROM pg_class AS c WHERE c.oid = family.base AND c.relkind = 'p') THEN
    RETURN QUERY SELECT t.relid::oid FROM pg_partition_tree(family.base) AS t;
  ELSE
    RETURN QUERY WITH RECURSIVE f (relid) AS (
      SELECT family.base UNION SELECT i.inhrelid FROM f JOIN pg_inherits AS i ON i.inhparent = f.relid)
      SELECT f.relid FROM f;
  END IF;
END
$$;

CREATE FUNCTION matview.dependencies_of(definition oid) RETURNS matview.dependencies
  LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  WITH RECURSIVE v (rel, rule) AS (
    SELECT r.ev_class, r.oid FROM pg_rewrite AS r WHERE r.ev_class = definition
    UNION
    SELECT r.ev_class, r.oid FROM v
      JOIN pg_depend AS d ON d.classid = 'pg_rewrite'::regclass AND d.objid = v.rule
       AND d.refclassid = 'pg_class'::regclass
      JOIN pg_class AS c ON c.oid = d.refobjid AND c.relkind = 'v'
      JOIN pg_rewrite AS r ON r.ev_class = c.oid),
  u AS (
    SELECT DISTINCT d.refclassid, d.refobjid, d.refobjsubid FROM v
      JOIN pg_depend AS d ON d.classid = 'pg_rewrite'::regclass AND d.objid = v.rule),
  f (oid) AS (
    SELECT u.refobjid FROM u WHERE u.refclassid = 'pg_proc'::regclass
    UNION
    SELECT o.oprcode::oid FROM u JOIN pg_operator AS o ON o.oid = u.refobjid
     WHERE u.refclassid = 'pg_operator'::regclass
    UNION
    SELECT x.oid FROM f, LATERAL (
      SELECT d.refobjid FROM pg_depend AS d
       WHERE d.classid = 'pg_proc'::regclass AND d.objid = f.oid AND d.refclassid = 'pg_proc'::regclass
      UNION ALL
      SELECT p.p::oid FROM pg_aggregate AS a, unnest(ARRAY[a.aggtransfn, a.aggfinalfn, a.aggcombinefn, a.aggmtransfn,
        a.aggminvtransfn, a.aggmfinalfn]) AS p (p) WHERE a.aggfnoid::oid = f.oid AND p.p::oid <> 0) AS x (oid)),
  t (oid) AS (
    SELECT u.refobjid FROM u WHERE u.refclassid = 'pg_type'::regclass
    UNION
    SELECT a.atttypid FROM u JOIN pg_attribute AS a ON a.attrelid = u.refobjid AND a.attnum = u.refobjsubid
     WHERE u.refclassid = 'pg_class'::regclass
    UNION
    SELECT x.oid FROM t JOIN pg_type AS y ON y.oid = t.oid, LATERAL (
      SELECT y.typelem UNION ALL SELECT y.typbasetype
      UNION ALL SELECT a.atttypid FROM pg_attribute AS a WHERE y.typtype = 'c' AND a.attrelid = y.typrelid
      UNION ALL SELECT r.rngsubtype FROM pg_range AS r WHERE y.oid IN (r.rngtypid, r.rngmultitypid)) AS x (oid)
     WHERE x.oid <> 0)
  SELECT ROW(
    ARRAY(SELECT f.oid FROM f ORDER BY 1), ARRAY(SELECT v.rule FROM v ORDER BY 1),
    ARRAY(SELECT t.oid FROM t WHERE t.oid >= 16384  -- PostgreSQL's own have lower ones
          UNION SELECT u.refobjid FROM u WHERE u.refclassid IN ('pg_operator'::regclass, 'pg_collation'::regclass,
            'pg_ts_config'::regclass) ORDER BY 1),
    ARRAY(SELECT y.oid FROM t JOIN pg_type AS y ON y.oid = t.oid WHERE y.typtype = 'e' ORDER BY 1))::matview.dependencies
$$;

-- What a program calls types, operators, collations and text search configurations by, and what is in them that its
-- values are made of.
CREATE FUNCTION matview.meanings(named oid[]) RETURNS text LANGUAGE sql STABLE
  SET search_path = pg_catalog, pg_temp AS $$
  SELECT string_agg(concat_ws(',', x.oid, n.nspname, x.name, x.inside), ';' ORDER BY x.oid, n.nspname, x.name)
    FROM (
      SELECT y.oid, y.typnamespace, y.typname,
             -- xmin of a catalog row tells that it was changed and changed back
             (SELECT string_agg(concat_ws(' ', a.attname, a.atttypid, a.xmin), ' ' ORDER BY a.attnum)
                FROM pg_attribute AS a WHERE y.typtype = 'c' AND a.attrelid = y.typrelid)
        FROM pg_type AS y WHERE y.oid = ANY (named)
      UNION ALL
      SELECT o.oid, o.oprnamespace, o.oprname, NULL FROM pg_operator AS o WHERE o.oid = ANY (named)
      UNION ALL
      SELECT c.oid, c.collnamespace, c.collname, NULL FROM pg_collation AS c WHERE c.oid = ANY (named)
      UNION ALL
      SELECT t.oid, t.cfgnamespace, t.cfgname, (
        SELECT string_agg(concat_ws(' ', m.maptokentype, m.mapseqno, d.oid, d.xmin), ' ' ORDER BY m.maptokentype, m.mapseqno)
          FROM pg_ts_config_map AS m JOIN pg_ts_dict AS d ON d.oid = m.mapdict WHERE m.mapcfg = t.oid)
        FROM pg_ts_config AS t WHERE t.oid = ANY (named)) AS x (oid, namespace, name, inside)
    JOIN pg_namespace AS n ON n.oid = x.namespace
$$;

-- Two parts, "structure:state". When the structure differs the program may not fit any more and has to be compiled
-- anew; when only the state differs it fits, but what the log holds is not all that happened.
-- xmin of a catalog row tells that it was changed and changed back, and survives VACUUM FREEZE. Nothing in here may
-- depend on settings of the session: the next one that compares has others.
CREATE FUNCTION matview.fingerprint(view integer, depends matview.dependencies DEFAULT NULL) RETURNS text
  LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan
  SET quote_all_identifiers = off AS $$
#variable_conflict use_variable
DECLARE
  bases oid[];
  members oid[];
  parents boolean;
  unlogged boolean;
  touched text;
  structure text;
  state text;
BEGIN
  IF depends IS NULL THEN
    SELECT (i.depends).* INTO depends FROM matview.incremental AS i WHERE i.id = view;
    IF depends IS NULL THEN
      SELECT d.* INTO depends FROM matview.incremental AS i, matview.dependencies_of(i.definition) AS d WHERE i.id = view;
    END IF;
  END IF;
  SELECT array_agg(l.base::oid ORDER BY l.id),
         bool_or(k.relhassubclass), bool_or(k.relpersistence = 'u'),
         string_agg(a.touched, '|' ORDER BY l.id),
         md5(concat_ws('|', current_setting('server_version_num')::integer / 10000,
           (SELECT s.system_identifier FROM pg_control_system() AS s),
           (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database()),
           CASE WHEN bool_or(k.relrowsecurity) THEN (  -- through plain views it holds for their owners
             SELECT string_agg(concat_ws(' ', o.oid, o.rolsuper, o.rolbypassrls), ',' ORDER BY w.oid)
               FROM pg_rewrite AS w JOIN pg_class AS c ON c.oid = w.ev_class JOIN pg_roles AS o ON o.oid = c.relowner
              WHERE w.oid = ANY (depends.rules)) END,
           string_agg(concat_ws(',', l.base::oid, k.relnamespace::regnamespace, k.relname, k.relkind, k.relrowsecurity,
             -- for whom it holds
             CASE WHEN k.relrowsecurity THEN (
               SELECT concat_ws(' ', k.relforcerowsecurity, o.relowner, pg_has_role(o.relowner, k.relowner, 'USAGE'),
                        r.rolsuper, r.rolbypassrls)
                 FROM matview.incremental AS i JOIN pg_class AS o ON o.oid = i.view JOIN pg_roles AS r ON r.oid = o.relowner
                WHERE i.id = view) END,
             k.relpersistence, EXISTS (SELECT FROM pg_inherits AS i WHERE i.inhrelid = l.base),
             k.relhassubclass AND EXISTS (SELECT FROM pg_inherits AS i WHERE i.inhparent = l.base), a.columns,
             (SELECT x.indkey::text || x.indimmediate || x.indisvalid FROM pg_index AS x
               WHERE x.indrelid = l.base AND x.indisprimary)), '|' ORDER BY l.id),
           (SELECT string_agg(concat_ws(',', p.oid, p.xmin, n.nspname), ';' ORDER BY p.oid)
              FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace WHERE p.oid = ANY (depends.functions)),
           CASE WHEN cardinality(depends.named) > 0 THEN matview.meanings(depends.named) END,
           -- A program names labels, and what was computed with them before they were renamed is stored.
           (SELECT string_agg(e.oid || ',' || e.xmin, ';' ORDER BY e.oid) FROM pg_enum AS e
             WHERE e.enumtypid = ANY (depends.enums)),
           (SELECT string_agg(r.oid || ',' || r.xmin, ';' ORDER BY r.oid) FROM pg_rewrite AS r
             WHERE r.oid = ANY (depends.rules))))
    INTO bases, parents, unlogged, touched, structure
    FROM matview.capture AS c JOIN matview.change_log AS l ON l.id = c.log
    LEFT JOIN pg_class AS k ON k.oid = l.base
    -- A column that was renamed and renamed back was logged as NULL in between: hence xmin.
    LEFT JOIN LATERAL (
      SELECT string_agg(concat_ws(',', a.attnum, a.attname, a.atttypid, a.atttypmod, a.attcollation,
               a.attgenerated, a.attnotnull), ';' ORDER BY a.attnum) AS columns,
             string_agg(a.xmin::text, ',' ORDER BY a.attnum) AS touched
        FROM pg_attribute AS a WHERE a.attrelid = l.base AND a.attnum > 0 AND a.attname = ANY (c.columns)) AS a ON true
   WHERE c.view = fingerprint.view;
  IF parents THEN
    members := ARRAY(SELECT DISTINCT f.relid FROM unnest(bases) AS b (base), matview.family(b.base) AS f (relid)
                      ORDER BY f.relid);
  ELSE
    members := bases;
  END IF;
  SELECT concat_ws('|', touched, members::text,
           -- A child that another table has, too, is written into through that one.
           CASE WHEN parents THEN (SELECT string_agg(concat_ws(' ', i.inhrelid, i.inhparent), ',' ORDER BY i.inhrelid, i.inhparent)
             FROM pg_inherits AS i WHERE i.inhrelid = ANY (members)) END,
           string_agg(concat_ws(',', t.oid, t.xmin, t.tgenabled), ';' ORDER BY t.oid))
    INTO state FROM pg_trigger AS t JOIN pg_proc AS p ON p.oid = t.tgfoid
   WHERE t.tgrelid = ANY (members) AND starts_with(t.tgname, 'matview_')
     -- Views on a partition or a child have triggers there, too, which say nothing of ours. One of another function does.
     AND NOT (p.pronamespace = 'matview'::regnamespace AND p.proname ~ '^log_[0-9]+_' AND split_part(p.proname, '_', 2) <> ALL (
       ARRAY(SELECT c.log::text FROM matview.capture AS c WHERE c.view = fingerprint.view)));
  -- After a crash an unlogged table is empty, and no trigger says so.
  IF unlogged OR parents AND EXISTS (
      SELECT FROM pg_class AS k WHERE k.oid = ANY (members) AND k.relpersistence = 'u') THEN
    state := state || '|' || extract(epoch FROM pg_postmaster_start_time());
  END IF;
  -- What replication writes fires other triggers.
  IF EXISTS (SELECT FROM pg_subscription_rel AS s WHERE s.srrelid = ANY (members)) THEN
    state := state || '|subscribed';
  END IF;
  RETURN structure || ':' || md5(state);
END
$$;

-- The fingerprint of a view that was compiled now and not filled yet: the second part is to come.
CREATE FUNCTION matview.structure(view integer) RETURNS text LANGUAGE sql STABLE
  SET search_path = pg_catalog, pg_temp AS $$
  SELECT split_part(matview.fingerprint(view), ':', 1) || ':'
$$;

-- The query of a view, with constants as every session reads them in the same way.
CREATE FUNCTION matview.view_text(view oid) RETURNS text LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
  SET "DateStyle" = 'ISO, YMD' SET "IntervalStyle" = 'postgres' SET extra_float_digits = 1 AS $$
  SELECT pg_get_viewdef(view)
$$;

-- Whether other tables have rows of this one, too: its parents, or those of its children. A statement on such a table fires
-- its triggers alone.
CREATE FUNCTION matview.is_shared(base oid) RETURNS boolean LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT EXISTS (SELECT FROM matview.family(base) AS f (relid) JOIN pg_inherits AS i ON i.inhrelid = f.relid
                  WHERE i.inhparent NOT IN (SELECT o.relid FROM matview.family(base) AS o (relid)))
$$;

-- The trigger functions of a log, and the triggers on one table. Ordinary tables have statement triggers, as they cost
-- least. Tables with partitions have row triggers, as PostgreSQL 15 to 18 loses rows from transition tables when MERGE
-- moves them between partitions; partitions and children too, as a statement on the parent fires the parent's only.
-- Names carry the log's id where triggers of two logs can meet: on children, and on partitions, where PostgreSQL makes
-- triggers of the same name for the parent's.
CREATE FUNCTION matview.triggers(log integer, base oid, member oid)
  RETURNS TABLE (name text, function text, event text, mode "char", owned boolean) LANGUAGE sql STABLE
  SET search_path = pg_catalog, pg_temp AS $$
  WITH k AS (
    SELECT b.relkind = 'p' AS partitioned, p.child OR m.oid <> b.oid AS foreign_ground,
           b.relkind = 'p' OR matview.is_shared(b.oid) AS by_row,
           EXISTS (SELECT FROM matview.incremental AS i WHERE i.storage = b.oid) AS storage,
           pg_has_role(m.relowner, 'USAGE') AS owned
      FROM pg_class AS b, pg_class AS m, (
        SELECT EXISTS (SELECT FROM pg_inherits AS i WHERE i.inhrelid = triggers.base)) AS p (child)
     WHERE b.oid = triggers.base AND m.oid = triggers.member)
  SELECT CASE WHEN foreign_ground THEN format('matview_%s_%s', triggers.log, t.name) ELSE 'matview_' || t.name END,
         format('log_%s_%s', triggers.log, t.function), t.event,
         -- a refresh may itself run as replica
         (CASE WHEN NOT k.owned THEN 'O' WHEN k.storage THEN 'A' ELSE t.mode END)::"char", k.owned
    FROM k, (VALUES
      ('insert', 'insert', 'INSERT', 'O', false), ('update', 'update', 'UPDATE', 'O', false),
      ('delete', 'delete', 'DELETE', 'O', false), ('replica', 'replica', 'INSERT OR UPDATE OR DELETE', 'R', false),
      ('row', 'row', 'INSERT OR UPDATE OR DELETE', 'A', true), ('truncate', 'truncate', 'TRUNCATE', 'A', NULL))
      AS t (name, function, event, mode, by_row)
   WHERE (t.by_row IS NULL OR t.by_row = k.by_row)
     -- PostgreSQL itself makes the row triggers of the partitions
     AND NOT (t.by_row IS TRUE AND k.partitioned AND triggers.member <> triggers.base)
     -- to be enabled for replicas only needs an owner; enabled as usual it would count all twice
     AND NOT (t.name = 'replica' AND (k.storage OR NOT k.owned))
$$;

-- Triggers that a log has no more use for. They do harm: a table that is not a child any more goes on to be logged, and
-- one that has become a partition is logged twice.
CREATE FUNCTION matview.stray_triggers(log integer) RETURNS TABLE (name name, relid oid) LANGUAGE sql STABLE
  SET search_path = pg_catalog, pg_temp AS $$
  SELECT t.tgname, t.tgrelid
    FROM matview.change_log AS l
    JOIN pg_proc AS p ON p.pronamespace = 'matview'::regnamespace AND p.proname ~ format('^log_%s_[a-z]+$', l.id)
    JOIN pg_trigger AS t ON t.tgfoid = p.oid AND t.tgparentid = 0
   WHERE l.id = stray_triggers.log AND NOT EXISTS (
     SELECT FROM matview.family(l.base) AS f (relid), matview.triggers(l.id, l.base, f.relid) AS e
      WHERE f.relid = t.tgrelid AND e.name = t.tgname AND e.function = p.proname)
     -- made by an owner, whom somebody else cannot be told from
     AND NOT (p.proname LIKE E'%\\_replica' AND NOT pg_has_role((SELECT k.relowner FROM pg_class AS k
       WHERE k.oid = t.tgrelid), 'USAGE'))
$$;

-- The functions of a log's triggers. ours: this role may replace and drop them.
CREATE FUNCTION matview.log_functions(log integer)
  RETURNS TABLE (function regprocedure, owner regrole, ours boolean) LANGUAGE sql STABLE
  SET search_path = pg_catalog, pg_temp AS $$
  SELECT p.oid::regprocedure, p.proowner::regrole, pg_has_role(p.proowner, 'USAGE') FROM pg_proc AS p
   WHERE p.pronamespace = 'matview'::regnamespace AND p.pronargs = 0 AND p.proname ~ format('^log_%s_[a-z]+$', log)
   ORDER BY p.proname
$$;

-- The role because of which all fail who write into a table of the view: the triggers' functions run with its rights.
CREATE FUNCTION matview.barred_writer(view integer) RETURNS regrole LANGUAGE sql STABLE
  SET search_path = pg_catalog, pg_temp AS $$
  SELECT f.owner FROM matview.capture AS c, matview.log_functions(c.log) AS f
   WHERE c.view = barred_writer.view AND NOT (has_schema_privilege(f.owner, 'matview', 'USAGE')
                                              AND has_table_privilege(f.owner, 'matview.mark', 'INSERT')) LIMIT 1
$$;

-- NULL, or what is wrong with the capture for a view: then not all changes come into the log from now on.
CREATE FUNCTION matview.capture_fault(view integer) RETURNS text LANGUAGE sql STABLE
  SET search_path = pg_catalog, pg_temp AS $$
  SELECT CASE WHEN k.oid IS NULL THEN 'a table that it is made from was dropped'
              WHEN to_regclass(format('matview.log_%s', l.id)) IS NULL
              THEN format('the log of the changes of %s was dropped', f.relid::regclass)
              WHEN t.oid IS NULL THEN format('trigger %I of %s is missing', e.name, f.relid::regclass)
              WHEN t.tgfoid IS DISTINCT FROM to_regprocedure(format('matview.%I()', e.function))
              THEN format('trigger %I of %s is somebody else''s', t.tgname, f.relid::regclass)
              WHEN t.tgenabled = 'D' THEN format('trigger %I of %s is disabled', t.tgname, f.relid::regclass)
              ELSE format('trigger %I of %s is not enabled as it has to be', t.tgname, f.relid::regclass) END
    FROM matview.capture AS c
    JOIN matview.change_log AS l ON l.id = c.log
    LEFT JOIN pg_class AS k ON k.oid = l.base
    LEFT JOIN LATERAL matview.family(l.base) AS f (relid) ON k.oid IS NOT NULL
    LEFT JOIN LATERAL matview.triggers(l.id, l.base, f.relid) AS e ON true
    LEFT JOIN pg_trigger AS t ON t.tgrelid = f.relid AND t.tgname = e.name
   WHERE c.view = capture_fault.view
     AND (k.oid IS NULL OR e.name IS NOT NULL AND (
       to_regclass(format('matview.log_%s', l.id)) IS NULL OR t.oid IS NULL
       OR t.tgfoid IS DISTINCT FROM to_regprocedure(format('matview.%I()', e.function))
       OR t.tgenabled <> e.mode AND (e.owned OR t.tgenabled <> 'A')))
  UNION ALL
  SELECT format('trigger %I of %s is not enabled as it has to be', t.tgname, t.tgrelid::regclass)
    FROM matview.capture AS c
    JOIN matview.change_log AS l ON l.id = c.log
    JOIN pg_trigger AS p ON p.tgrelid = l.base AND starts_with(p.tgname, 'matview_')
    JOIN pg_trigger AS t ON t.tgparentid = p.oid AND t.tgenabled <> p.tgenabled
   WHERE c.view = capture_fault.view
  UNION ALL
  SELECT format('logical replication writes into %s, which is only captured for its owner', s.srrelid::regclass)
    FROM matview.capture AS c
    JOIN matview.change_log AS l ON l.id = c.log,
    LATERAL matview.family(l.base) AS f (relid)
    JOIN pg_subscription_rel AS s ON s.srrelid = f.relid
   WHERE c.view = capture_fault.view AND NOT EXISTS (
     SELECT FROM pg_trigger AS t WHERE t.tgrelid = f.relid AND t.tgenabled IN ('A', 'R')
        AND starts_with(t.tgname, 'matview_') AND t.tgtype & 1 = 1)  -- for each row
  UNION ALL
  SELECT format('trigger %I of %s should not be there any more', s.name, s.relid::regclass)
    FROM matview.capture AS c, matview.stray_triggers(c.log) AS s
   -- one for TRUNCATE only makes us fill the view anew
   WHERE c.view = capture_fault.view AND s.name NOT LIKE E'%\\_truncate'
   LIMIT 1
$$;

-- The other role to which the functions of a log's triggers belong, if it is another.
CREATE FUNCTION matview.writer_of(log integer) RETURNS regrole LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT f.owner FROM matview.log_functions(log) AS f WHERE NOT f.ours LIMIT 1
$$;

-- Makes the functions of a log's triggers, or makes them write other columns. by_row: see triggers().
-- A name that is not a column of the table any more is found in "gone", so that renaming a column does not make its
-- writers fail: they log NULL until the view is compiled anew. No operator and no function of a user is called here.
CREATE FUNCTION matview.write_log(log integer, by_row boolean, columns name[]) RETURNS void LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
  writer constant regrole := matview.writer_of(log);
  base_owner constant regrole := (SELECT k.relowner FROM matview.change_log AS l JOIN pg_class AS k ON k.oid = l.base
                                   WHERE l.id = log);
  names constant text := (SELECT string_agg(quote_ident(u.name), ', ' ORDER BY u.place)
                            FROM unnest(columns) WITH ORDINALITY AS u (name, place));
  -- By the log's own column: the name of a type may change.
  nulls constant text := (SELECT string_agg(format('(NULL::matview.log_%s).%I AS %2$I', log, u.name), ', ' ORDER BY u.place)
                            FROM unnest(columns) WITH ORDINALITY AS u (name, place));
  head constant text := format('INSERT INTO matview.log_%s (%s) SELECT ', log, concat_ws(', ', '__mv_w', names));
  tail constant text := CASE WHEN names IS NULL THEN ' FROM %s' ELSE
    format(', x.* FROM (SELECT %s) AS gone, LATERAL (SELECT %s FROM ', replace(nulls, '%', '%%'), replace(names, '%', '%%'))
    || '%s) AS x' END;
  of_row constant text := 'IF TG_OP <> ''INSERT'' THEN ' || head || '-1' || format(tail, '(SELECT OLD.*) AS o')
    || '; END IF; IF TG_OP <> ''DELETE'' THEN ' || head || '1' || format(tail, '(SELECT NEW.*) AS n') || '; END IF;';
  body record;
BEGIN
  IF writer IS NOT NULL THEN
    RAISE EXCEPTION 'what is captured of % has to be changed, and belongs to %',
      (SELECT l.base FROM matview.change_log AS l WHERE l.id = log), writer
      USING ERRCODE = '42501', HINT = format('Run as a member of %s.', writer);
  END IF;
  FOR body IN
    SELECT * FROM (VALUES
      ('insert', head || '1' || format(tail, 'matview_new') || ';'),
      ('delete', head || '-1' || format(tail, 'matview_old') || ';'),
      -- One statement: for a single row, to start another costs as much as to run it.
      ('update', head || '-1' || format(tail, 'matview_old') || ' UNION ALL SELECT 1' || format(tail, 'matview_new') || ';'),
      ('truncate', format('INSERT INTO matview.mark (log, xid) VALUES (%s, pg_catalog.pg_current_xact_id());', log)),
      ('row', of_row),
      -- ALTER TABLE ... ENABLE TRIGGER ALL makes it fire together with the statement triggers.
      ('replica',
       'IF pg_catalog.current_setting(''session_replication_role'') <> ''replica'' THEN RETURN NULL; END IF; ' || of_row))
      AS f (name, text)
     WHERE f.name = 'truncate' OR (f.name = 'row') = by_row
  LOOP
    EXECUTE format('CREATE OR REPLACE FUNCTION matview.log_%s_%s() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
      SET search_path = pg_catalog, pg_temp AS %L', log, body.name,
      E'\n#variable_conflict use_column\nBEGIN ' || body.text || E' RETURN NULL; END\n');
    -- On a table of his own somebody else could make it write what he likes. The owner of the table may: its rows are his.
    EXECUTE format('REVOKE ALL ON FUNCTION matview.log_%s_%s() FROM PUBLIC', log, body.name);
    IF base_owner IS NOT NULL THEN
      EXECUTE format('GRANT EXECUTE ON FUNCTION matview.log_%s_%s() TO %s', log, body.name, base_owner);
    END IF;
  END LOOP;
END
$$;

-- As what a log holds values of this type: of a domain that is NOT NULL as what it is made of, since a column of it cannot
-- be added to a log that has rows.
CREATE FUNCTION matview.logged_type(declared oid, with_modifier integer, OUT type oid, OUT modifier integer) RETURNS record
  LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  WITH RECURSIVE d (level, oid, modifier, forbids) AS (
    SELECT 0, $1, $2, false
    UNION ALL
    SELECT d.level + 1, y.typbasetype, CASE WHEN y.typtypmod <> -1 THEN y.typtypmod ELSE d.modifier END, y.typnotnull
      FROM d JOIN pg_type AS y ON y.oid = d.oid AND y.typtype = 'd')
  SELECT d.oid, d.modifier FROM d WHERE d.level = CASE WHEN (SELECT bool_or(x.forbids) FROM d AS x)
    THEN (SELECT max(x.level) FROM d AS x) ELSE 0 END
$$;

-- Locks tables by their names, which others may change or take while it waits. False if one of them is gone.
CREATE FUNCTION matview.lock_tables(bases regclass[], mode text) RETURNS boolean LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  names text;
BEGIN
  FOR attempt IN 1 .. 10 LOOP
    names := array_to_string(bases, ', ');
    BEGIN
      EXECUTE format('LOCK TABLE %s IN %s MODE', names, mode);
      IF names = array_to_string(bases, ', ') THEN
        RETURN true;
      END IF;
    EXCEPTION WHEN undefined_table OR invalid_schema_name OR syntax_error THEN  -- what is gone has a number for its name
      NULL;
    END;
    IF EXISTS (SELECT FROM unnest(bases) AS b (oid) WHERE NOT EXISTS (SELECT FROM pg_class AS c WHERE c.oid = b.oid)) THEN
      RETURN false;
    END IF;
  END LOOP;
  RAISE EXCEPTION '% is renamed again and again', names USING ERRCODE = '40001', HINT = 'Try again.';
END
$$;

-- Makes the log of a base table, or gives it more columns, and remembers that the view needs them. To be committed
-- before the view is filled. Waits for all transactions that write into the table: whoever calls sets lock_timeout.
CREATE FUNCTION matview.capture_changes(view integer, base regclass, columns name[]) RETURNS integer LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp SET client_min_messages = warning AS $$
#variable_conflict use_column
DECLARE
  kind "char";
  by_row boolean;
  known matview.change_log;
  wanted name[];               -- by this view or others
  wrong text;
  fresh boolean := false;
  changed boolean := false;
  replace boolean := false;
  missing text;
  member oid;
  t record;
  c record;
BEGIN
  SELECT k.relkind, k.relkind = 'p' OR matview.is_shared(k.oid)
    INTO kind, by_row FROM pg_class AS k
   WHERE k.oid = capture_changes.base;
  IF kind IS NULL OR kind NOT IN ('r', 'p') OR EXISTS (
      SELECT FROM matview.family(capture_changes.base) AS f (relid) JOIN pg_class AS k ON k.oid = f.relid
       WHERE k.relkind NOT IN ('r', 'p') OR k.relpersistence = 't') THEN
    RAISE EXCEPTION 'changes of % cannot be captured', capture_changes.base USING ERRCODE = '0A000',
      HINT = 'Only of ordinary and partitioned tables that are not temporary and have no foreign tables below them.';
  END IF;
  SELECT string_agg(quote_ident(w), ', ') INTO wrong FROM unnest(capture_changes.columns) AS w WHERE w IN ('__mv_w', '__mv_xid');
  IF wrong IS NOT NULL THEN
    RAISE EXCEPTION 'column % of % cannot be captured', wrong, capture_changes.base USING ERRCODE = '0A000',
      HINT = 'The log has columns __mv_xid and __mv_w of its own.';
  END IF;
  SELECT string_agg(quote_ident(w), ', ') INTO wrong FROM unnest(capture_changes.columns) AS w
    LEFT JOIN pg_attribute AS a ON a.attrelid = capture_changes.base AND a.attname = w AND a.attnum > 0
     AND NOT a.attisdropped AND a.attgenerated <> 'v'
   WHERE a.attname IS NULL;
  IF wrong IS NOT NULL THEN
    RAISE EXCEPTION 'no column % to be captured in %', wrong, capture_changes.base USING ERRCODE = '42703',
      HINT = 'Triggers see virtual generated columns as NULL: capture what they are computed from.';
  END IF;

  -- One at a time; a refresh and a writer take weaker locks and do not wait for this.
  LOCK TABLE matview.change_log IN SHARE ROW EXCLUSIVE MODE;
  SELECT * INTO known FROM matview.change_log AS l WHERE l.base = capture_changes.base;
  IF known.id IS NULL THEN
    INSERT INTO matview.change_log (base, columns, origin) VALUES (capture_changes.base, '{}', matview.origin())
      RETURNING * INTO known;
  END IF;
  -- The log belongs to who made it first, and DROP OWNED takes it from all.
  IF to_regclass(format('matview.log_%s', known.id)) IS NULL THEN
    known.columns := '{}';
    EXECUTE format('CREATE TABLE matview.log_%s (__mv_xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
      __mv_w smallint NOT NULL)
      WITH (fillfactor = 100, autovacuum_vacuum_scale_factor = 0.05)', known.id);
    -- A histogram is of xids that are gone: all that is new lies beyond it and would be taken for one row.
    EXECUTE format('ALTER TABLE matview.log_%s ALTER COLUMN __mv_xid SET STATISTICS 0', known.id);
    -- Else a publication FOR ALL TABLES would forbid to prune it. It costs WAL where wal_level is logical.
    EXECUTE format('ALTER TABLE matview.log_%s REPLICA IDENTITY FULL', known.id);
    EXECUTE format('CREATE INDEX log_%s_xid ON matview.log_%1$s (__mv_xid) WITH (fillfactor = 100)', known.id);
    EXECUTE format('GRANT SELECT, DELETE ON matview.log_%s TO %s', known.id,
      (SELECT k.relowner::regrole FROM pg_class AS k WHERE k.oid = capture_changes.base));
    fresh := true;
  ELSIF NOT has_table_privilege(format('matview.log_%s', known.id), 'SELECT') THEN
    RAISE EXCEPTION 'the changes of % are captured by %, whose log this role may not read', base,
      (SELECT k.relowner::regrole FROM pg_class AS k WHERE k.oid = to_regclass(format('matview.log_%s', known.id)))
      USING ERRCODE = '42501', HINT = format('That role, or the owner of %s, may run: GRANT SELECT, DELETE ON matview.log_%s TO %I',
        base, known.id, current_user);
  END IF;

  -- Columns that are gone from the table, or of another type, go from the log: who reads them has to compile anew.
  FOR c IN
    SELECT a.attname AS name FROM unnest(known.columns) AS n (name)
      JOIN pg_attribute AS a ON a.attrelid = format('matview.log_%s', known.id)::regclass AND a.attname = n.name
      LEFT JOIN pg_attribute AS b ON b.attrelid = capture_changes.base AND b.attname = n.name AND NOT b.attisdropped
      LEFT JOIN LATERAL matview.logged_type(b.atttypid, b.atttypmod) AS y ON true
     WHERE b.attname IS NULL
        OR (a.atttypid, a.atttypmod, a.attcollation) IS DISTINCT FROM (y.type, y.modifier, b.attcollation)
  LOOP
    known.columns := array_remove(known.columns, c.name);
    missing := concat_ws(', ', missing, format('DROP COLUMN %I', c.name));
  END LOOP;
  -- Those that only a view needed that is dropped are not written any more (see release_capture()), unless it is for
  -- another role to say so.
  wanted := ARRAY(
    SELECT n.name FROM (
        SELECT u.name, 0, NULL::bigint FROM matview.capture AS c, unnest(c.columns) AS u (name)
         WHERE c.log = known.id AND c.view <> capture_changes.view
        UNION ALL SELECT u.name, 0, NULL FROM unnest(known.columns) AS u (name) WHERE matview.writer_of(known.id) IS NOT NULL
        UNION ALL SELECT u.name, 1, u.place FROM unnest(capture_changes.columns) WITH ORDINALITY AS u (name, place))
        AS n (name, rank, place)
      JOIN pg_attribute AS a ON a.attrelid = capture_changes.base AND a.attname = n.name AND a.attnum > 0
       AND NOT a.attisdropped
     GROUP BY n.name
     ORDER BY array_position(known.columns, n.name), min(n.rank), min(n.place), n.name);
  FOR c IN
    SELECT b.attname AS name, format_type(y.type, y.modifier) AS type,
           (SELECT format(' COLLATE %I.%I', n.nspname, o.collname) FROM pg_collation AS o
              JOIN pg_namespace AS n ON n.oid = o.collnamespace WHERE o.oid = b.attcollation) AS collate
      FROM unnest(wanted) WITH ORDINALITY AS u (w, i)
      JOIN pg_attribute AS b ON b.attrelid = capture_changes.base AND b.attname = u.w,
           LATERAL matview.logged_type(b.atttypid, b.atttypmod) AS y ORDER BY u.i
  LOOP
    IF c.name <> ALL (known.columns) THEN
      missing := concat_ws(', ', missing, format('DROP COLUMN IF EXISTS %I', c.name),
        format('ADD COLUMN %I %s%s', c.name, c.type, c.collate));
    END IF;
  END LOOP;
  changed := missing IS NOT NULL;
  IF changed AND NOT fresh THEN
    -- A writer that is half way in a function as it was would leave the new columns NULL, and commit after the view was
    -- filled. The lock waits for it. Making the triggers again does too, but then every view on the table is filled
    -- anew.
    IF has_table_privilege(capture_changes.base, 'UPDATE, DELETE, TRUNCATE') THEN
      PERFORM matview.lock_tables(ARRAY[capture_changes.base], 'SHARE ROW EXCLUSIVE');
    ELSE
      replace := true;
    END IF;
  END IF;

  IF fresh OR changed OR wanted <> known.columns OR EXISTS (
      SELECT FROM unnest(CASE WHEN by_row THEN '{row,truncate}' ELSE '{insert,update,delete,truncate,replica}' END::text[]) AS f
       WHERE to_regproc(format('matview.log_%s_%s', known.id, f)) IS NULL) THEN
    PERFORM matview.write_log(known.id, by_row, wanted);
  END IF;

  FOR t IN SELECT g.name, g.relid FROM matview.stray_triggers(known.id) AS g LOOP
    EXECUTE format('DROP TRIGGER %I ON %s', t.name, t.relid::regclass);
  END LOOP;
  FOR member IN SELECT f.relid FROM matview.family(capture_changes.base) AS f (relid)
                 ORDER BY f.relid <> capture_changes.base, f.relid
  LOOP
    FOR t IN SELECT e.*, g.oid AS existing, g.tgenabled,
                    g.tgfoid <> to_regprocedure(format('matview.%I()', e.function)) AS not_ours
      FROM matview.triggers(known.id, capture_changes.base, member) AS e
      LEFT JOIN pg_trigger AS g ON g.tgrelid = member AND g.tgname = e.name
    LOOP
      IF t.not_ours THEN
        RAISE EXCEPTION 'trigger % of % is in the way: capture needs its name', quote_ident(t.name), member::regclass
          USING ERRCODE = '55000', HINT = format('ALTER TRIGGER %I ON %s RENAME TO ...', t.name, member::regclass);
      END IF;
      IF t.existing IS NULL OR replace THEN
        EXECUTE format('CREATE %sTRIGGER %I AFTER %s ON %s %s FOR EACH %s EXECUTE FUNCTION matview.%I()',
          CASE WHEN t.existing IS NOT NULL AND t.function NOT LIKE E'%\\_row' THEN 'OR REPLACE ' END,
          t.name, t.event, member::regclass,
          CASE t.event WHEN 'INSERT' THEN 'REFERENCING NEW TABLE AS matview_new'
                       WHEN 'DELETE' THEN 'REFERENCING OLD TABLE AS matview_old'
                       WHEN 'UPDATE' THEN 'REFERENCING OLD TABLE AS matview_old NEW TABLE AS matview_new' END,
          CASE WHEN t.event LIKE '% OR %' THEN 'ROW' ELSE 'STATEMENT' END, t.function);
        t.tgenabled := 'O';
      END IF;
      IF t.owned AND (t.tgenabled <> t.mode OR t.function LIKE E'%\\_row' AND EXISTS (
          SELECT FROM pg_trigger AS p JOIN pg_trigger AS g ON g.tgparentid = p.oid
           WHERE p.tgrelid = member AND p.tgname = t.name AND g.tgenabled <> t.mode)) THEN
        EXECUTE format('ALTER TABLE %s ENABLE %s TRIGGER %I', member::regclass,
          CASE t.mode WHEN 'A' THEN 'ALWAYS' WHEN 'R' THEN 'REPLICA' END, t.name);
      END IF;
    END LOOP;
  END LOOP;

  -- Last, as from here on writers wait for this transaction even if they wrote into the table before it began.
  IF missing IS NOT NULL THEN
    EXECUTE format('ALTER TABLE matview.log_%s %s', known.id, missing);
  END IF;
  IF wanted <> known.columns OR missing IS NOT NULL THEN
    UPDATE matview.change_log AS l SET columns = wanted WHERE l.id = known.id;
  END IF;
  INSERT INTO matview.capture (view, log, columns) VALUES (capture_changes.view, known.id, capture_changes.columns)
    ON CONFLICT (view, log) DO UPDATE SET columns = excluded.columns;
  RETURN known.id;
END
$$;

-- For a transaction that gives way (it has set matview.gives_way): it holds a lock now that others wait for, and may wait
-- for a further one so long only that no deadlock of the two is ever found, which would end theirs.
CREATE FUNCTION matview.hardly_wait() RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF current_setting('matview.gives_way', true) = 'on' THEN
    PERFORM set_config('lock_timeout', '100', true);
  END IF;
END
$$;

-- Those of a log, with their functions: dropping a function drops its triggers on all tables, also without ownership of
-- those.
CREATE FUNCTION matview.drop_triggers(log integer) RETURNS void LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp SET client_min_messages = warning AS $$
DECLARE
  f record;
  t record;
BEGIN
  FOR f IN SELECT * FROM matview.log_functions(drop_triggers.log) LOOP
    IF f.ours THEN
      EXECUTE format('DROP FUNCTION %s CASCADE', f.function);
      PERFORM matview.hardly_wait();
    END IF;
    -- Whoever made the log first has its functions. That role may have no use for it any more.
    FOR t IN SELECT g.tgname, g.tgrelid::regclass AS captured, pg_has_role(c.relowner, 'USAGE') AS ours
               FROM pg_trigger AS g JOIN pg_class AS c ON c.oid = g.tgrelid
              WHERE g.tgfoid = f.function::oid AND g.tgparentid = 0 ORDER BY g.tgrelid LOOP
      IF NOT t.ours THEN
        RAISE EXCEPTION 'nobody else needs the changes of % any more, and they are captured by functions of %',
          t.captured, f.owner
          USING ERRCODE = '42501',
          HINT = format('Run as a member of %s, or as the owner of %s.', f.owner, t.captured);
      END IF;
      EXECUTE format('DROP TRIGGER %I ON %s', t.tgname, t.captured);
      PERFORM matview.hardly_wait();
    END LOOP;
  END LOOP;
END
$$;

-- Ends the capture for a view, and with the last view on it a log. Columns that only this view needed are not written any
-- more: nothing would keep their types from being altered, which would make all writers fail. They stay in the log, where
-- a writer may be half way, until they are needed once more.
CREATE FUNCTION matview.release_capture(view integer) RETURNS void LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp SET client_min_messages = warning AS $$
#variable_conflict use_column
DECLARE
  logs integer[];
  l record;
  unused integer;
BEGIN
  LOCK TABLE matview.change_log IN SHARE ROW EXCLUSIVE MODE;
  WITH released AS (DELETE FROM matview.capture AS c WHERE c.view = release_capture.view RETURNING c.log)
    SELECT array_agg(r.log) INTO logs FROM released AS r;
  FOR l IN
    SELECT l.id, n.needed, to_regproc(format('matview.log_%s_row', l.id)) IS NOT NULL AS by_row
      FROM matview.change_log AS l,
      LATERAL (SELECT ARRAY(SELECT u.name FROM unnest(l.columns) WITH ORDINALITY AS u (name, place)
                             WHERE EXISTS (SELECT FROM matview.capture AS c WHERE c.log = l.id AND u.name = ANY (c.columns))
                             ORDER BY u.place)) AS n (needed)
     WHERE l.id = ANY (logs) AND n.needed <> l.columns AND matview.writer_of(l.id) IS NULL
       AND EXISTS (SELECT FROM matview.capture AS c WHERE c.log = l.id)
  LOOP
    PERFORM matview.write_log(l.id, l.by_row, l.needed);
    UPDATE matview.change_log AS m SET columns = l.needed WHERE m.id = l.id;
  END LOOP;
  FOR unused IN SELECT l.id FROM matview.change_log AS l
                 WHERE NOT EXISTS (SELECT FROM matview.capture AS c WHERE c.log = l.id) ORDER BY l.id
  LOOP
    PERFORM matview.drop_triggers(unused);
    -- That of another role stays until that makes or drops a view: nothing is written into it.
    CONTINUE WHEN EXISTS (SELECT FROM pg_class AS c WHERE c.oid = to_regclass(format('matview.log_%s', unused))
                             AND NOT pg_has_role(c.relowner, 'USAGE'));
    EXECUTE format('DROP TABLE IF EXISTS matview.log_%s', unused);
    DELETE FROM matview.mark AS m WHERE m.log = unused;
    DELETE FROM matview.change_log AS l WHERE l.id = unused;
  END LOOP;
END
$$;

-- Takes the triggers off all tables that are captured for these views alone, as their discarding would do. To be done
-- before any of their own relations is locked: a transaction that has read a table goes on to read the view on it more
-- often than the other way round, and comes through if we wait for it without holding the view.
CREATE FUNCTION matview.release_tables(views integer[]) RETURNS void LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp SET client_min_messages = warning AS $$
DECLARE
  unused integer;
BEGIN
  LOCK TABLE matview.change_log IN SHARE ROW EXCLUSIVE MODE;
  FOR unused IN
    SELECT l.id FROM matview.change_log AS l
     WHERE NOT EXISTS (SELECT FROM matview.capture AS c WHERE c.log = l.id AND c.view <> ALL (views))
       AND NOT EXISTS (SELECT FROM matview.incremental AS i WHERE i.storage = l.base AND i.id = ANY (views))
     ORDER BY l.id
  LOOP
    PERFORM matview.drop_triggers(unused);
  END LOOP;
END
$$;

-- Keeps the plan of a statement in this session, under this name: a refresh of a few rows takes less time than to plan for
-- it. Without parameters, or where plans are generic, it is then planned anew only if something that it reads was
-- changed, vacuumed or analyzed. The plan of a program takes about half a megabyte, so only the latest are kept.
CREATE FUNCTION matview.keep_plan(name text, parameters text, statement text) RETURNS void LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
  most constant integer := 32;
  old text;
BEGIN
  FOR old IN SELECT p.name FROM pg_prepared_statements AS p WHERE starts_with(p.name, 'matview_kept_')
              ORDER BY p.prepare_time DESC OFFSET most - 1 LOOP
    EXECUTE format('DEALLOCATE %I', old);
  END LOOP;
  EXECUTE format('PREPARE %I %s AS %s', name, parameters, statement);
END
$$;

-- How many rows of each log fulfil its condition, counted up to most.
CREATE FUNCTION matview.count_changes(logs integer[], conditions text[], watermark pg_snapshot, own xid8, most bigint)
  RETURNS bigint[] LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
  -- What is to be counted is at the end of the log, by xid, also if the log is kept long for another view.
  SET enable_seqscan = off SET plan_cache_mode = force_generic_plan AS $$
DECLARE
  kept constant text := 'matview_kept_' || md5(concat_ws(' ', logs, conditions));
  counts bigint[] := '{}';
BEGIN
  IF logs IS NOT NULL THEN
    IF NOT EXISTS (SELECT FROM pg_prepared_statements AS p WHERE p.name = kept) THEN
      PERFORM matview.keep_plan(kept, '(pg_snapshot, xid8, bigint)', (
        SELECT 'SELECT ARRAY[' || string_agg(format(
          '(SELECT count(*) FROM (SELECT FROM matview.log_%s AS l WHERE %s LIMIT $3) AS x)', l, c), ', ' ORDER BY place)
          || ']' FROM unnest(logs, conditions) WITH ORDINALITY AS u (l, c, place)));
    END IF;
    EXECUTE format('EXECUTE %I (%L, %L, %L)', kept, watermark, own, most) INTO counts;
  END IF;
  RETURN counts;
END
$$;

-- About how many they are, if that is surely more than most; NULL if they had better be counted, which takes a quarter of
-- the time of computing some views anew. Of a large log a hundred blocks or so are looked at.
CREATE FUNCTION matview.many_changes(logs integer[], conditions text[], watermark pg_snapshot, own xid8, most bigint)
  RETURNS bigint[] LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
  sampled constant float8 := 128;
  surely constant float8 := 1.5;  -- so many blocks are off by half once in a thousand times or less
  blocks float8;
  n float8;
  estimates bigint[] := '{}';
BEGIN
  IF most IS NULL THEN
    RETURN NULL;
  END IF;
  FOR i IN 1 .. coalesce(cardinality(logs), 0) LOOP
    blocks := pg_relation_size(format('matview.log_%s', logs[i])::regclass) / current_setting('block_size')::float8;
    n := 0;
    IF blocks > 4 * sampled THEN
      EXECUTE format('SELECT count(*) FROM matview.log_%s AS l TABLESAMPLE SYSTEM (%s) WHERE %s', logs[i],
        100 * sampled / blocks, conditions[i]) INTO n USING watermark, own;
    END IF;
    estimates := estimates || (n * blocks / sampled)::bigint;
  END LOOP;
  RETURN CASE WHEN (SELECT sum(e) FROM unnest(estimates) AS e) > surely * most THEN estimates END;
END
$$;

-- A statement of a program for the bases that changed. Bit i of a mask is the base logs[i + 1]; rooms is how many rows
-- each of these logs may have. That is told to the planner, which knows nothing of a log, by LIMIT; if there are more the
-- statement says that it met what was not expected. by_index: whether a log has a lot that was applied before. fresh:
-- what to read instead of the query of the rows anew, and the snapshot that it holds the rows of.
CREATE FUNCTION matview.compose(program jsonb, template text, view integer, logs integer[], conditions text[],
  mask integer, rooms bigint[] DEFAULT NULL, by_index boolean[] DEFAULT NULL, fresh text DEFAULT NULL,
  taken pg_snapshot DEFAULT NULL) RETURNS text
  LANGUAGE plpgsql STABLE
  SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  deltas text := '';
  unexpected text;
  s record;
BEGIN
  FOR i IN 1 .. coalesce(cardinality(logs), 0) LOOP
    IF mask & (1 << (i - 1)) <> 0 THEN
      deltas := deltas || format('d_%s AS (SELECT * FROM matview.log_%1$s AS l WHERE %2$s%3$s LIMIT %4$s), ', logs[i],
        conditions[i], CASE WHEN by_index[i] THEN ' ORDER BY l.__mv_xid' END, rooms[i] + 1);
      unexpected := concat_ws(' OR ', unexpected, format('(SELECT count(*) FROM d_%s) > %s', logs[i], rooms[i]));
    ELSE
      unexpected := concat_ws(' OR ', unexpected,
        format('(SELECT true FROM matview.log_%s AS l WHERE %s ORDER BY l.__mv_xid DESC LIMIT 1) IS NOT NULL', logs[i],
          conditions[i]));
    END IF;
  END LOOP;
  -- A piece of mask 0 has no rows, but gives the columns their types. A single query needs it only if no other takes part.
  FOR s IN
    SELECT p.section, string_agg(p.sql, E'\nUNION ALL\n' ORDER BY p.place)
             FILTER (WHERE p.mask <> 0 OR p.types_only > 1 OR p.others = 0) AS sql
      FROM (SELECT e.section, e.mask, e.sql, a.place,
                   count(*) FILTER (WHERE e.mask = 0) OVER (PARTITION BY e.section) AS types_only,
                   count(*) FILTER (WHERE e.mask <> 0) OVER (PARTITION BY e.section) AS others
              FROM jsonb_array_elements(program -> 'pieces') WITH ORDINALITY AS a (piece, place),
                   jsonb_to_record(a.piece) AS e (section integer, mask integer, sql text)
             WHERE e.mask & ~compose.mask = 0) AS p
     GROUP BY p.section
  LOOP
    template := replace(template, format('/*section %s*/', s.section), coalesce(s.sql, ''));
  END LOOP;
  -- Last: the texts of pieces are not to be searched for these, but may hold them.
  template := replace(replace(template, '/*deltas*/', deltas), '/*unexpected*/', coalesce(unexpected, 'false'));
  IF fresh IS NOT NULL THEN
    template := regexp_replace(template, E'/\\*source\\*/matview\\.\\w+', replace(fresh, E'\\', E'\\\\'), 'g');
  END IF;
  RETURN replace(template,
    '/*watermark*/', format('noted AS (UPDATE matview.incremental SET '
      'watermark = matview.before(%s, pg_current_xact_id()), watermark_xid = pg_current_xact_id(), '
      'last_refresh = clock_timestamp() WHERE id = %s RETURNING 1)',
      coalesce(quote_literal(taken::text) || '::pg_snapshot', 'pg_current_snapshot()'), view));
END
$$;

-- Fills a temporary table with what a statement would read as the query of the rows anew, if that goes by a parallel
-- plan: a statement that writes into a table has none, CREATE TABLE AS does. Its snapshot comes with the rows. NULL if
-- the statement had better read the query itself.
CREATE FUNCTION matview.fill_aside(template text, view integer, OUT fresh text, OUT taken pg_snapshot)
  LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  source constant text := substring(template FROM E'/\\*source\\*/(matview\\.\\w+)');
  name constant text := format('matview_fresh_%s', view);
  line text;
BEGIN
  IF source IS NULL OR NOT has_database_privilege(current_database(), 'TEMPORARY') THEN
    RETURN;
  END IF;
  FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) SELECT * FROM ' || source LOOP
    IF line ~ '^[ >-]*Gather' THEN
      EXECUTE format('CREATE TEMPORARY TABLE %s ON COMMIT DROP AS SELECT pg_current_snapshot() AS __mv_taken, '
        '(NULL::%s).* UNION ALL SELECT NULL, s.* FROM %2$s AS s', name, source);
      EXECUTE format('SELECT __mv_taken FROM pg_temp.%s WHERE __mv_taken IS NOT NULL LIMIT 1', name) INTO STRICT taken;
      fresh := (SELECT format('(SELECT %s FROM pg_temp.%s WHERE __mv_taken IS NULL)', string_agg(quote_ident(a.attname), ', '
                         ORDER BY a.attnum), name)
                  FROM pg_attribute AS a WHERE a.attrelid = source::regclass AND a.attnum > 0);
      RETURN;
    END IF;
  END LOOP;
END
$$;

-- What a view reads may have been dropped with CASCADE, which leaves the view itself as it was.
CREATE FUNCTION matview.need_definition(definition oid, view regclass) RETURNS void LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_class AS c WHERE c.oid = need_definition.definition) THEN
    IF NOT EXISTS (SELECT FROM matview.incremental AS i WHERE i.definition = need_definition.definition) THEN
      RAISE EXCEPTION '% was made anew by somebody else meanwhile', view USING ERRCODE = '40001', HINT = 'Try again.';
    END IF;
    RAISE EXCEPTION 'the query of % is gone: something that it reads was dropped with CASCADE', view
      USING ERRCODE = '55000',
      HINT = 'It still shows what it held; drop it, and create it again once its tables are there.';
  END IF;
END
$$;

CREATE FUNCTION matview.need_compiler(view regclass, reason text) RETURNS void LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RAISE EXCEPTION '% has to be made ready anew: %', view, reason USING ERRCODE = '55000',
    HINT = 'That is not done in SQL: matview refresh, a worker or the library does it.';
END
$$;

-- What was found out before a statement holds for it only if this is still the same after it: neither ATTACH PARTITION
-- nor DISABLE TRIGGER keep to its snapshot or wait for its locks.
CREATE FUNCTION matview.need_unchanged(seen text, now_seen text, view regclass) RETURNS void
  LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF now_seen <> seen THEN
    RAISE EXCEPTION 'a table of % was changed while it was refreshed', view
      USING ERRCODE = '40001', HINT = 'Try again.';
  END IF;
END
$$;

-- Called where a total of changes is no number that could be taken out of another one again.
CREATE FUNCTION matview.refuse_total() RETURNS integer LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RAISE EXCEPTION 'NaN and infinity cannot be taken out of a sum again' USING ERRCODE = '22003';
END
$$;

-- NULL, or why a view cannot be filled by matview.swap().
CREATE FUNCTION matview.swap_fault(view integer) RETURNS text LANGUAGE sql STABLE
  SET search_path = pg_catalog, pg_temp AS $$
  SELECT CASE WHEN EXISTS (SELECT FROM matview.change_log AS l WHERE l.base = i.storage)
              THEN 'it cannot be swapped: another incremental view is made from it'
              WHEN to_regclass(format('matview.core_%s', i.id)) IS NOT NULL
              THEN 'it cannot be swapped: it has two tables' END
    FROM matview.incremental AS i WHERE i.id = swap_fault.view
$$;

-- Where a relation is, if not in the tablespace of the database, and we may make others there.
CREATE FUNCTION matview.tablespace_of(relation oid) RETURNS text LANGUAGE sql STABLE
  SET search_path = pg_catalog, pg_temp AS $$
  SELECT s.spcname FROM pg_class AS c JOIN pg_tablespace AS s ON s.oid = c.reltablespace
   WHERE c.oid = tablespace_of.relation AND has_tablespace_privilege(s.oid, 'CREATE')
$$;

-- Makes the indexes of one storage on another one, in the same order and with names that are free; returns their own,
-- for when those are. own: also those that the program itself needs.
CREATE FUNCTION matview.copy_indexes(source regclass, target regclass, own boolean) RETURNS text[] LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp SET default_tablespace = '' AS $$
DECLARE
  i record;
  part text;
  duplicate text;
  names text[] := '{}';
BEGIN
  FOR i IN SELECT c.relname AS name, pg_get_indexdef(x.indexrelid) AS definition,
                  CASE WHEN x.indisunique THEN 'CREATE UNIQUE INDEX ' ELSE 'CREATE INDEX ' END AS head,
                  obj_description(c.oid, 'pg_class') AS comment, x.indisclustered AS clustered,
                  matview.tablespace_of(c.oid) AS tablespace
             FROM pg_index AS x JOIN pg_class AS c ON c.oid = x.indexrelid
            WHERE x.indrelid = source AND x.indisvalid
              AND (own OR c.relname <> (SELECT s.relname FROM pg_class AS s WHERE s.oid = source) || '_own')
            ORDER BY x.indexrelid
  LOOP
    names := names || i.name::text;
    part := format('copy_%s_%s', target::oid, cardinality(names));
    PERFORM set_config('default_tablespace', coalesce(i.tablespace, ''), true);
    BEGIN
      -- By lengths: whoever may make an index may give it a name that reads like SQL.
      EXECUTE i.head || part || format(' ON %s', target)
        || substring(i.definition FROM length(format('%s%I ON %s', i.head, i.name, source)) + 1);
    EXCEPTION WHEN unique_violation THEN
      GET STACKED DIAGNOSTICS duplicate = PG_EXCEPTION_DETAIL;
      RAISE EXCEPTION 'could not create unique index "%"', i.name USING ERRCODE = '23505', DETAIL = duplicate;
    END;
    IF i.comment IS NOT NULL THEN
      EXECUTE format('COMMENT ON INDEX matview.%I IS %L', part, i.comment);
    END IF;
    IF i.clustered THEN
      EXECUTE format('ALTER TABLE %s CLUSTER ON %I', target, part);
    END IF;
  END LOOP;
  RETURN names;
END
$$;

-- What holds of a row of a storage that counts copies, if a unique index on it is to mean what it says.
CREATE FUNCTION matview.one_copy(index oid) RETURNS text LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT concat_ws(' OR ', '__mv_n1 <= 1', '(' || pg_get_expr(x.indpred, x.indrelid) || ') IS NOT TRUE',
    CASE WHEN (to_jsonb(x) ->> 'indnullsnotdistinct') IS DISTINCT FROM 'true' THEN
      (SELECT string_agg(format('(%s) IS NULL', pg_get_indexdef(one_copy.index, i, true)), ' OR ')
         FROM generate_series(1, x.indnkeyatts) AS i) END)
    FROM pg_index AS x WHERE x.indexrelid = one_copy.index
$$;

CREATE FUNCTION matview.name_indexes(target regclass, names text[]) RETURNS void LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  FOR i IN 1 .. cardinality(names) LOOP
    EXECUTE format('ALTER INDEX matview.copy_%s_%s RENAME TO %I', target::oid, i, names[i]);
  END LOOP;
END
$$;

-- Gives a relation that takes the place of another one its owner, if we may, and the rights that it and others had.
CREATE FUNCTION matview.copy_rights(source regclass, target regclass) RETURNS void LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  g record;
BEGIN
  BEGIN
    EXECUTE format('ALTER TABLE %s OWNER TO %I', target,
      (SELECT pg_get_userbyid(c.relowner) FROM pg_class AS c WHERE c.oid = source));
  EXCEPTION WHEN insufficient_privilege THEN
    NULL;  -- Then by grants, as far as they go.
  END;
  FOR g IN SELECT a.privilege_type, a.is_grantable AND a.grantee <> 0 AS grantable,
                  CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END AS grantee
             FROM pg_class AS s, pg_class AS t, aclexplode(coalesce(s.relacl, acldefault('r', s.relowner))) AS a
            WHERE s.oid = source AND t.oid = target AND a.grantee <> t.relowner
  LOOP
    EXECUTE format('GRANT %s ON %s TO %s%s', g.privilege_type, target, g.grantee,
      CASE WHEN g.grantable THEN ' WITH GRANT OPTION' END);
  END LOOP;
END
$$;

-- Gives a storage that takes the place of another one what was set on that: options, its tablespace, and those of its
-- columns that both have.
CREATE FUNCTION matview.copy_settings(source regclass, target regclass) RETURNS void LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  a record;
BEGIN
  FOR a IN
    SELECT format('SET (%s)', string_agg(o.o, ', ')) AS sql FROM pg_class AS c LEFT JOIN pg_class AS t ON t.oid = c.reltoastrelid,
      LATERAL (SELECT unnest(c.reloptions) UNION ALL SELECT 'toast.' || u.o FROM unnest(t.reloptions) AS u (o)) AS o (o)
     WHERE c.oid = source HAVING count(*) > 0
    UNION ALL
    SELECT format('SET TABLESPACE %I', matview.tablespace_of(source)) WHERE matview.tablespace_of(source) IS NOT NULL
    UNION ALL
    SELECT format('ALTER %I %s', s.attname, k.sql)
      FROM pg_attribute AS s JOIN pg_attribute AS t ON t.attrelid = target AND t.attname = s.attname AND t.atttypid = s.atttypid,
      LATERAL (SELECT format('SET STATISTICS %s', s.attstattarget) WHERE s.attstattarget >= 0
               UNION ALL SELECT format('SET (%s)', array_to_string(s.attoptions, ', ')) WHERE s.attoptions IS NOT NULL
               UNION ALL SELECT 'SET STORAGE ' || CASE s.attstorage WHEN 'p' THEN 'PLAIN' WHEN 'e' THEN 'EXTERNAL'
                           WHEN 'm' THEN 'MAIN' ELSE 'EXTENDED' END WHERE s.attstorage <> t.attstorage
               UNION ALL SELECT 'SET COMPRESSION ' || CASE s.attcompression WHEN 'p' THEN 'pglz' ELSE 'lz4' END
                WHERE s.attcompression <> t.attcompression AND s.attcompression <> '') AS k (sql)
     WHERE s.attrelid = source AND s.attnum > 0 AND NOT s.attisdropped
  LOOP
    EXECUTE format('ALTER TABLE %s %s', target, a.sql);
  END LOOP;
END
$$;

-- The statistics objects of a storage that is to go, as statements that make them on what has the name target then.
CREATE FUNCTION matview.statistics_on(source regclass, target text) RETURNS text[] LANGUAGE sql STABLE
  SET search_path = pg_catalog, pg_temp AS $$
  SELECT ARRAY(SELECT format('%s FROM %s', substring(d.d FROM E'^(.*) FROM [^ ]+$'), target)
                 FROM pg_statistic_ext AS e, pg_get_statisticsobjdef(e.oid) AS d (d) WHERE e.stxrelid = source ORDER BY e.oid)
$$;

CREATE FUNCTION matview.make_statistics(statements text[]) RETURNS void LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  one text;
BEGIN
  FOREACH one IN ARRAY statements LOOP
    BEGIN
      EXECUTE one;
    EXCEPTION WHEN undefined_column OR insufficient_privilege THEN
      NULL;  -- What it is made from now has no such column, or this role may make none there.
    END;
  END LOOP;
END
$$;

-- Fills a table beside the storage and puts it in its place: as fast as REFRESH, but for a moment at the end it waits
-- for all who read the view, and they for it; and to a REPEATABLE READ transaction that began before, the view looks
-- empty. Indexes are made when the table is full. template inserts into %s.
CREATE FUNCTION matview.swap(view integer, template text, fresh text, taken pg_snapshot) RETURNS bigint
  LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
  SET client_min_messages = warning AS $$
#variable_conflict use_column
DECLARE
  v record;
  name text := format('matview.swap_%s', swap.view);
  made text[];
  statistics text[];
  n bigint;
BEGIN
  SELECT i.view::regclass AS view, i.storage::regclass AS storage,
         matview.view_text(i.view) AS definition,
         (SELECT format(' WITH (%s)', array_to_string(c.reloptions, ', ')) FROM pg_class AS c
           WHERE c.oid = i.view AND c.reloptions IS NOT NULL) AS view_options
    INTO v FROM matview.incremental AS i WHERE i.id = swap.view;
  EXECUTE format('CREATE TABLE %s (LIKE %s INCLUDING COMMENTS INCLUDING CONSTRAINTS INCLUDING DEFAULTS)', name, v.storage);
  EXECUTE format('ALTER TABLE %s REPLICA IDENTITY FULL', name);
  PERFORM matview.copy_settings(v.storage, name);
  EXECUTE matview.compose('{"pieces": []}', format(template, name), swap.view, NULL, NULL, 0, NULL, NULL, fresh, taken);
  GET DIAGNOSTICS n = ROW_COUNT;
  made := matview.copy_indexes(v.storage, name, true);
  PERFORM matview.copy_rights(v.storage, name);
  EXECUTE format('ANALYZE %s', name);
  -- From here on readers wait. As they do, the view is locked before its table.
  EXECUTE format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE', v.view);
  statistics := matview.statistics_on(v.storage, format('matview.storage_%s', swap.view));
  EXECUTE format('ALTER TABLE %s RENAME TO swapped_%s', v.storage, swap.view);
  EXECUTE format('ALTER TABLE %s RENAME TO storage_%s', name, swap.view);
  EXECUTE format('CREATE OR REPLACE VIEW %s%s AS %s', v.view, v.view_options, v.definition);
  UPDATE matview.incremental AS i SET storage = format('matview.storage_%s', swap.view)::regclass WHERE i.id = swap.view;
  EXECUTE format('DROP TABLE matview.swapped_%s', swap.view);
  PERFORM matview.name_indexes(format('matview.storage_%s', swap.view), made);
  PERFORM matview.make_statistics(statistics);
  RETURN n;
END
$$;

-- A plain view reads with the rights of its owner, which ALTER VIEW ... OWNER TO gives to somebody else.
CREATE FUNCTION matview.let_owner_read(view regclass, storage regclass) RETURNS void LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan AS $$
DECLARE
  owner oid;
BEGIN
  SELECT v.relowner INTO owner FROM pg_class AS v JOIN pg_class AS s ON s.oid = let_owner_read.storage
   WHERE v.oid = let_owner_read.view AND NOT has_table_privilege(v.relowner, s.oid, 'SELECT')
     AND pg_has_role(s.relowner, 'USAGE');
  IF FOUND THEN
    EXECUTE format('GRANT SELECT ON %s TO %I', storage, pg_get_userbyid(owner));
  END IF;
END
$$;

-- Why a view cannot be refreshed by its changes, as far as its fingerprint and marks tell; NULL: it can. recompile: its
-- program or its capture does not fit its tables any more.
CREATE FUNCTION matview.obstacle(view integer, fingerprint text, seen text, watermark pg_snapshot, detached text,
    logs integer[], wish text, OUT because text, OUT recompile boolean)
  LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan AS $$
#variable_conflict use_variable
DECLARE
  fault text;
BEGIN
  recompile := split_part(fingerprint, ':', 1) <> split_part(seen, ':', 1);
  IF recompile THEN
    because := coalesce(matview.capture_fault(view),
      'a table or function that it is made from was changed, or the database was restored');
  ELSIF watermark IS NULL THEN
    because := 'it was never filled';
  ELSIF detached IS NOT NULL THEN
    because := detached;
  ELSIF fingerprint IS DISTINCT FROM seen THEN
    fault := matview.capture_fault(view);
    because := coalesce(fault, CASE
      WHEN fingerprint LIKE '%:' THEN 'changes were not captured completely'
      ELSE 'a column, trigger, partition or subscription of a table that it is made from was changed, or the server was restarted'
      END);
    -- Who may not capture more has to live with the fault.
    recompile := wish <> 'full' AND fault IS NOT NULL;
  ELSE
    SELECT format('TRUNCATE of %s', l.base) INTO because
      FROM matview.mark AS m JOIN matview.change_log AS l ON l.id = m.log
     WHERE m.log = ANY (logs) AND NOT pg_visible_in_snapshot(m.xid, watermark) LIMIT 1;
  END IF;
END
$$;

-- Applies the changes that count_changes() has counted, or says why that cannot be done, or that the tables are not what
-- they were when the view was last filled: then nothing is done either. Of the arrays each element is a log's. log_rows:
-- how many there were in the end.
CREATE FUNCTION matview.apply_changes(v matview.incremental, logs integer[], conditions text[], counts bigint[],
    OUT rows bigint, OUT log_rows bigint, OUT because text, OUT moved boolean, OUT clashed boolean, OUT seconds float8)
  LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
  -- What changes go together with was mostly touched a moment ago. With the default of 4, made for disks that turn, whole
  -- tables are read for some thousand rows.
  SET random_page_cost = 1.1 AS $$
#variable_conflict use_column
DECLARE
  most_bases constant integer := coalesce((v.program ->> 'max_bases')::integer, 4);
  few constant bigint := 4096;  -- rows for which planning is a good part of the time
  looked_up constant text := format('(SELECT i.%%I FROM matview.incremental AS i WHERE i.id = %s)', v.id);
  mask integer;                 -- of those that have changed
  rooms bigint[];
  by_index boolean[];
  kept text;                    -- the name of the plan
  violated text;
  unexpected boolean;
  started timestamptz;
BEGIN
  -- In the order that the program's masks go by.
  SELECT array_agg(u.log ORDER BY b.place), array_agg(u.condition ORDER BY b.place), array_agg(u.n ORDER BY b.place)
    INTO logs, conditions, counts
    FROM jsonb_array_elements(v.program -> 'bases') WITH ORDINALITY AS b (base, place)
    JOIN unnest(logs, conditions, counts) AS u (log, condition, n) ON u.log = (b.base ->> 'log')::integer;
  moved := false;
  clashed := false;
  FOR attempt IN 1 .. 10 LOOP
    -- Up to 12, 16, 24, 32, 48 and so on while they are few, so that a plan fits for the next time.
    SELECT sum(r.n), bit_or(CASE WHEN r.n > 0 THEN 1 << (r.place::integer - 1) ELSE 0 END),
           array_agg(r.room ORDER BY r.place),
           array_agg(r.n > 0 AND pg_relation_size(format('matview.log_%s', r.log)::regclass) / 60 > 4 * r.room
             ORDER BY r.place)
      INTO log_rows, mask, rooms, by_index
      FROM unnest(logs, counts) WITH ORDINALITY AS u (log, n, place),
           LATERAL (SELECT u.n + u.n / 8 + CASE attempt WHEN 1 THEN 10 ELSE 100 * attempt END) AS a (room),
           LATERAL (SELECT (2 ^ ceil(ln(a.room) / ln(2.0::float8)))::bigint) AS p (power),
           LATERAL (SELECT u.log, u.n, u.place, CASE WHEN a.room > few THEN a.room WHEN a.room <= p.power * 3 / 4
                      THEN p.power * 3 / 4 ELSE p.power END AS room) AS r;
    IF (SELECT count(*) FROM unnest(counts) AS n WHERE n > 0) > most_bases THEN
      because := format('%s tables have changed; by their changes it is refreshed when %s have',
        (SELECT count(*) FROM unnest(counts) AS n WHERE n > 0), most_bases);
      RETURN;
    END IF;
    started := clock_timestamp();
    BEGIN
      IF few >= ALL (rooms) THEN
        kept := 'matview_kept_' || md5(concat_ws(' ', v.id, v.program_hash, v.settings, mask, rooms, by_index));
        IF NOT EXISTS (SELECT FROM pg_prepared_statements AS p WHERE p.name = kept) THEN
          PERFORM matview.keep_plan(kept, '', matview.compose(v.program, v.program ->> 'apply', v.id, logs,
            ARRAY(SELECT replace(replace(u.c, '$1', format(looked_up, 'watermark')),
                                 '$2', format(looked_up, 'watermark_xid'))
                    FROM unnest(conditions) WITH ORDINALITY AS u (c, place) ORDER BY u.place), mask, rooms, by_index));
        END IF;
        EXECUTE format('EXECUTE %I', kept) INTO rows, unexpected;
      ELSE
        EXECUTE matview.compose(v.program, v.program ->> 'apply', v.id, logs, conditions, mask, rooms, by_index)
          INTO rows, unexpected USING v.watermark, v.watermark_xid;
      END IF;
      IF unexpected THEN
        RAISE SQLSTATE 'MV001';
      END IF;
      seconds := extract(epoch FROM clock_timestamp() - started);
      -- Neither ATTACH PARTITION nor DISABLE TRIGGER keep to a snapshot or wait for our locks: hence after it.
      IF matview.fingerprint(v.id, v.depends) IS DISTINCT FROM v.fingerprint THEN
        RAISE SQLSTATE 'MV002';
      END IF;
      RETURN;
    EXCEPTION
      WHEN SQLSTATE 'MV001' THEN
        NULL;
      WHEN SQLSTATE 'MV002' THEN
        moved := true;
        RETURN;
      -- The log has images of rows that were there only for a while: what the query makes of one may be an error
      -- (a division by zero) that it never makes of the rows that are there.
      WHEN data_exception THEN
        because := format('the changes cannot be computed by themselves: %s', SQLERRM);
        RETURN;
      WHEN unique_violation THEN
        GET STACKED DIAGNOSTICS violated = CONSTRAINT_NAME;
        -- Groups are updated in place, one after the other: two may have the same total for a moment, of which an index
        -- of the user allows one. Or what the tables hold now is not allowed: then to fill it anew says so.
        clashed := violated <> ALL (ARRAY[format('storage_%s_own', v.id), format('core_%s_own', v.id)]);
        because := format(CASE WHEN clashed THEN 'the changes cannot be applied one after the other: %s'
          ELSE 'its storage does not hold what its tables held: %s' END, SQLERRM);
        RETURN;
      WHEN OTHERS THEN
        IF matview.fingerprint(v.id, v.depends) IS DISTINCT FROM v.fingerprint THEN
          moved := true;
          RETURN;
        END IF;
        -- Rights, locks, resources and what an operator does are not the query's; all else may be an error that it never
        -- makes of the rows that are there: of a function, of a domain. If not, filling it anew says so.
        IF left(SQLSTATE, 2) IN ('08', '25', '40', '53', '55', '57', '58', 'XX') OR SQLSTATE = '42501' THEN
          RAISE;
        END IF;
        because := format('the changes cannot be computed by themselves: %s', SQLERRM);
        RETURN;
    END;
    -- Another table was changed since we looked, or many rows more.
    counts := matview.count_changes(logs, conditions, v.watermark, v.watermark_xid, NULL);
  END LOOP;
  RAISE EXCEPTION 'the tables of % change too fast', v.view USING ERRCODE = '40001', HINT = 'Try again.';
END
$$;

-- Fills a view anew: by comparing (diff), by a table that takes the storage's place (swap), or at once (full).
CREATE FUNCTION matview.fill_anew(v matview.incremental, mode text, logs integer[], conditions text[], by_cost boolean)
  RETURNS bigint LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
  now_depends matview.dependencies;
  seen text;
  fault text;
  foreign_log integer;
  statement text;
  aside record;
  started timestamptz;
  seconds float8;
  rows bigint;
BEGIN
  SELECT d.* INTO now_depends FROM matview.dependencies_of(v.definition) AS d;
  seen := matview.fingerprint(v.id, now_depends);
  fault := matview.capture_fault(v.id);
  -- Nobody can have read a log since the database was restored, so all that is in it is of no use, and can do harm:
  -- its xids will be those of other transactions one day.
  -- Asked before, as an UPDATE that finds nothing locks the table, too: whoever makes or drops another view would wait for
  -- the end of this.
  IF EXISTS (SELECT FROM matview.change_log AS l WHERE l.id = ANY (logs) AND l.origin IS DISTINCT FROM matview.origin())
  THEN
    FOR foreign_log IN UPDATE matview.change_log AS l SET origin = matview.origin()
                        WHERE l.id = ANY (logs) AND l.origin IS DISTINCT FROM matview.origin() RETURNING l.id LOOP
      EXECUTE format('DELETE FROM matview.log_%s', foreign_log);
      DELETE FROM matview.mark AS m WHERE m.log = foreign_log;
    END LOOP;
  END IF;
  started := clock_timestamp();
  statement := CASE mode WHEN 'swap'
    THEN format(E'WITH\n/*watermark*/\nINSERT INTO %%s SELECT * FROM /*source*/matview.source_%s AS q', v.id)
    ELSE v.program ->> mode END;
  SELECT f.* INTO aside FROM matview.fill_aside(statement, v.id) AS f;
  IF mode = 'swap' THEN
    rows := matview.swap(v.id, statement, aside.fresh, aside.taken);
  ELSE
    EXECUTE matview.compose(v.program, statement, v.id, logs, conditions, 0, NULL, NULL, aside.fresh, aside.taken)
      INTO rows USING v.watermark, v.watermark_xid;
  END IF;
  IF aside.fresh IS NOT NULL THEN
    EXECUTE format('DROP TABLE pg_temp.matview_fresh_%s', v.id);
  END IF;
  seconds := extract(epoch FROM clock_timestamp() - started);
  PERFORM matview.need_unchanged(seen, matview.fingerprint(v.id, now_depends), v.view);
  UPDATE matview.incremental AS i
     SET fingerprint = CASE WHEN fault IS NULL THEN seen ELSE split_part(seen, ':', 1) || ':' END,
         depends = now_depends, detached = NULL,
         full_seconds = coalesce(0.7 * i.full_seconds, 0.7 * seconds) + 0.3 * seconds,
         -- Seldom enough that all these refreshes together take no more than 1.2 times as long as full ones, even if
         -- each such hope is in vain.
         hope = CASE WHEN by_cost THEN least(3, 1.05 * i.hope) ELSE i.hope END
   WHERE i.id = v.id;
  RETURN rows;
END
$$;

-- Brings an incremental view up to date. mode: none, incremental, full, diff, swap; or recompile, when nothing was done as
-- its program does not fit its tables any more: then it has to be compiled and captured anew, its fingerprint set to
-- matview.structure(), and be filled with wish 'full'. To who cannot do that (can_compile) it is an error.
--
-- The change, the new state of the tables and the new watermark have to come from one snapshot. Under READ COMMITTED
-- that is the one of the single statement that applies the change; whatever is found out before it holds only because
-- of locks, or is asked again in or after it. locked: the caller runs REPEATABLE READ and has locked the base tables
-- before its first query, so that no TRUNCATE can be between its snapshot and us.
CREATE FUNCTION matview.refresh(view regclass, wish text DEFAULT 'auto', locked boolean DEFAULT false,
    can_compile boolean DEFAULT false, OUT mode text, OUT reason text, OUT rows bigint, OUT log_rows bigint)
  LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET row_security = off
  SET jit = off  -- compiling a statement of many branches takes longer than running it
  SET standard_conforming_strings = on SET array_nulls = on SET transform_null_equals = off  -- as programs are written
  SET plan_cache_mode = force_generic_plan AS $$
#variable_conflict use_column
DECLARE
  few constant bigint := 1000;  -- changed rows: so many are not counted twice, and cost no more than filling it anew
  by_changes constant boolean := wish IN ('auto', 'incremental');
  own constant xid8 := pg_current_xact_id_if_assigned();
  held boolean := false;     -- we have its row locked
  v matview.incremental;
  bases regclass[];
  logs integer[];
  conditions text[];
  storages boolean[];
  gone boolean;
  shut_out boolean;          -- its owner may not read it
  condition constant text := 'l.__mv_xid >= pg_snapshot_xmin($1) AND NOT pg_visible_in_snapshot(l.__mv_xid, $1)';
  counts bigint[];
  counted record;            -- what they were counted for
  read_for record;           -- what the bases and all that goes with them were read for
  marked boolean;            -- a TRUNCATE was noted
  trusting boolean := by_changes;  -- that nothing but rows has changed: that is asked when these are applied
  moved boolean := false;    -- it had
  clashed boolean := false;  -- with a unique index
  seen text;
  because text;              -- why not by the changes
  recompile boolean;
  estimated boolean := false;  -- how many they are
  by_cost boolean := false;
  break_even float8;         -- how many rows take as long as filling it anew
  capacity bigint;
  own_changes boolean;
  old_settings jsonb;
  seconds float8;
BEGIN
  IF wish IS NULL OR wish NOT IN ('auto', 'incremental', 'full', 'diff', 'swap') THEN
    RAISE EXCEPTION 'a refresh cannot be "%"', wish USING ERRCODE = '22023',
      HINT = 'It can be auto, incremental, full, diff or swap.';
  END IF;
  IF NOT locked THEN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
      RAISE EXCEPTION 'an incremental view is refreshed in a READ COMMITTED transaction' USING ERRCODE = '25001',
        HINT = 'In another one, lock its base tables before the first query, and say so with locked.';
    END IF;
    IF own IS NOT NULL THEN
      RAISE EXCEPTION 'an incremental view cannot be refreshed in a transaction that has written'
        USING ERRCODE = '25001',
        HINT = 'Refresh in a transaction of its own: what this one wrote would be applied twice.';
    END IF;
  END IF;

  -- At first without its row locked: when nothing has changed nothing may be written, not even a lock.
  LOOP
    IF held THEN
      SELECT i.* INTO v FROM matview.incremental AS i WHERE i.view = refresh.view FOR UPDATE;
    ELSE
      SELECT i.* INTO v FROM matview.incremental AS i WHERE i.view = refresh.view;
    END IF;
    IF v.id IS NULL THEN
      -- Whoever we have waited for may have made it anew, with another row.
      IF held AND EXISTS (SELECT FROM matview.incremental AS i WHERE i.view = refresh.view) THEN
        held := false;
        CONTINUE;
      END IF;
      RAISE EXCEPTION '% is not an incremental view', view USING ERRCODE = '42P01',
        HINT = 'If it looks like one, the schema matview was dropped or restored without its rows: DROP SCHEMA matview CASCADE, then create it again.';
    END IF;
    IF read_for IS DISTINCT FROM ROW(v.id, v.storage, v.program_hash, v.fingerprint) THEN
      SELECT array_agg(x.base ORDER BY x.id), array_agg(x.id ORDER BY x.id), array_agg(x.storage ORDER BY x.id),
             array_agg(x.condition ORDER BY x.id), bool_or(x.gone),
             (SELECT NOT has_table_privilege(o.relowner, v.storage, 'SELECT') FROM pg_class AS o WHERE o.oid = v.view)
        INTO bases, logs, storages, conditions, gone, shut_out
        FROM (SELECT l.base, l.id, s.id IS NOT NULL AS storage,
                     k.oid IS NULL OR to_regclass(format('matview.log_%s', l.id)) IS NULL AS gone,
                     CASE WHEN s.id IS NULL THEN condition
                          ELSE condition || ' AND l.__mv_xid IS DISTINCT FROM $2' END AS condition
                FROM matview.capture AS c JOIN matview.change_log AS l ON l.id = c.log
                LEFT JOIN matview.incremental AS s ON s.storage = l.base LEFT JOIN pg_class AS k ON k.oid = l.base
               WHERE c.view = v.id) AS x;
      read_for := ROW(v.id, v.storage, v.program_hash, v.fingerprint);
    END IF;
    IF gone THEN
      PERFORM matview.need_definition(v.definition, view);
      mode := 'recompile';
      reason := 'a table that it is made from was dropped, or the log of its changes';
      PERFORM matview.need_compiler(view, reason) WHERE NOT can_compile;
      RETURN;
    END IF;

    IF NOT held THEN
      IF bases IS NOT NULL AND NOT matview.lock_tables(bases, 'ACCESS SHARE') THEN
        read_for := NULL;
        CONTINUE;
      END IF;
      IF shut_out THEN
        PERFORM matview.let_owner_read(v.view, v.storage);
      END IF;
      IF by_changes AND v.watermark IS NOT NULL THEN
        counts := matview.count_changes(logs, conditions, v.watermark, v.watermark_xid, few);
        counted := ROW(v.id, v.watermark_xid, logs);
      END IF;
      IF counts IS NULL OR 0 < ANY (counts) THEN
        held := true;
        CONTINUE;
      END IF;
    END IF;

    because := NULL;
    recompile := false;
    marked := EXISTS (SELECT FROM matview.mark AS m WHERE m.log = ANY (logs));
    -- Of changes that are to be applied it is asked after that: mostly it is the same, and once is enough.
    trusting := held AND trusting AND NOT marked AND v.watermark IS NOT NULL AND v.detached IS NULL
      AND v.fingerprint NOT LIKE '%:';
    seen := CASE WHEN trusting THEN v.fingerprint
      ELSE matview.fingerprint(v.id, v.depends) END;
    -- Mostly there is nothing of that, and a call costs more than to look.
    IF marked OR v.fingerprint IS DISTINCT FROM seen OR v.watermark IS NULL OR v.detached IS NOT NULL THEN
      SELECT o.because, o.recompile INTO because, recompile
        FROM matview.obstacle(v.id, v.fingerprint, seen, v.watermark, v.detached, logs, wish) AS o;
    END IF;
    IF because IS NOT NULL OR NOT by_changes THEN
      PERFORM matview.need_definition(v.definition, view);
    END IF;
    IF recompile THEN
      mode := 'recompile';
      reason := because;
      PERFORM matview.need_compiler(view, reason) WHERE NOT can_compile;
      RETURN;
    END IF;

    IF because IS NULL AND by_changes THEN
      -- A transaction that was given locked may have written; what it wrote it would apply now and once more later.
      IF own IS NOT NULL AND EXISTS (SELECT FROM unnest(storages) AS s WHERE NOT s) THEN
        EXECUTE (SELECT 'SELECT ' || string_agg(
                     format('EXISTS (SELECT FROM matview.log_%s AS l WHERE l.__mv_xid = $1)', l), ' OR ')
                   FROM unnest(logs, storages) AS u (l, s) WHERE NOT s) INTO own_changes USING own;
        IF own_changes THEN
          RAISE EXCEPTION 'an incremental view cannot be refreshed in a transaction that has written into its tables'
            USING ERRCODE = '25001',
            HINT = 'Refresh in a transaction of its own: what this one wrote would be applied twice.';
        END IF;
      END IF;
      IF NOT held THEN
        -- What we know of the view may be older than what was pruned since; then there was nothing to be found.
        CONTINUE WHEN NOT EXISTS (SELECT FROM matview.incremental AS i
          WHERE i.id = v.id AND i.watermark_xid = v.watermark_xid AND i.detached IS NULL);
      ELSE
        -- Until it is measured, a changed row is taken to cost 20 us. Many rows at once cost less each than the fewer
        -- that were measured. How much less nobody knows: each full refresh makes us a little more hopeful, so that
        -- one day it is tried, and then known.
        break_even := least(v.full_seconds * coalesce(v.rows_per_second, 50000) * v.hope, 1e15);
        capacity := CASE WHEN wish = 'auto' THEN greatest(few, break_even)::bigint + 1 END;
        IF counts IS NULL OR few = ANY (counts) OR counted IS DISTINCT FROM ROW(v.id, v.watermark_xid, logs) THEN
          counts := matview.many_changes(logs, conditions, v.watermark, v.watermark_xid, capacity);
          estimated := counts IS NOT NULL;
          IF NOT estimated THEN
            counts := matview.count_changes(logs, conditions, v.watermark, v.watermark_xid, capacity);
          END IF;
        END IF;
      END IF;
      IF 0 = ALL (counts) THEN
        IF trusting THEN
          trusting := false;
          CONTINUE;
        END IF;
        mode := 'none';
        reason := 'nothing has changed';
        rows := 0;
        log_rows := 0;
        RETURN;
      END IF;
    END IF;
    EXIT WHEN held;
    held := true;
  END LOOP;

  -- It goes by the order of transactions whether a change of this storage was applied in a view on it.
  IF own IS NOT NULL AND EXISTS (
      SELECT FROM matview.change_log AS l JOIN matview.capture AS c ON c.log = l.id
        JOIN matview.incremental AS i ON i.id = c.view WHERE l.base = v.storage AND i.watermark_xid = own) THEN
    RAISE EXCEPTION '% cannot be refreshed in a transaction that has refreshed a view on it', view
      USING ERRCODE = '25001', HINT = 'Refresh views after those that they are made from.';
  END IF;

  -- It is for our own statements, not for those of functions that a program calls.
  PERFORM set_config('plan_cache_mode', 'auto', true);
  -- Put back at the end, so that the rest of the transaction does not go by the settings of the view.
  SELECT jsonb_object_agg(s.key, current_setting(s.key)) INTO old_settings FROM jsonb_each_text(v.settings) AS s;
  PERFORM set_config(s.key, s.value, true) FROM jsonb_each_text(v.settings) AS s;

  IF because IS NULL AND by_changes THEN
    log_rows := (SELECT sum(n) FROM unnest(counts) AS n);
    by_cost := wish = 'auto' AND log_rows > few AND log_rows > break_even;
    IF by_cost THEN
      because := format('%s%s rows have changed; what takes as long as filling it anew (%s s) are about %s',
        CASE WHEN estimated THEN 'about ' WHEN log_rows >= capacity THEN 'at least ' END, log_rows, round(v.full_seconds::numeric, 2),
        break_even::bigint);
    ELSE
      SELECT a.* INTO rows, log_rows, because, moved, clashed, seconds
        FROM matview.apply_changes(v, logs, conditions, counts) AS a;
    END IF;
    IF because IS NOT NULL OR moved THEN
      PERFORM matview.need_definition(v.definition, view);
      IF trusting THEN
        seen := matview.fingerprint(v.id, v.depends);
      END IF;
      IF v.fingerprint IS DISTINCT FROM seen THEN
        by_cost := false;
        SELECT o.because, o.recompile INTO because, recompile
          FROM matview.obstacle(v.id, v.fingerprint, seen, v.watermark, v.detached, logs, wish) AS o;
      ELSIF moved THEN
        RAISE EXCEPTION 'a table of % was changed while it was refreshed', view
          USING ERRCODE = '40001', HINT = 'Try again.';
      END IF;
    END IF;
  END IF;
  IF recompile THEN
    mode := 'recompile';
    reason := because;
    rows := NULL;
    log_rows := NULL;
    PERFORM matview.need_compiler(view, reason) WHERE NOT can_compile;
  ELSIF because IS NULL AND by_changes THEN
    mode := 'incremental';
    reason := format('%s %s changed in %s', log_rows, CASE log_rows WHEN 1 THEN 'row was' ELSE 'rows were' END,
      (SELECT string_agg(coalesce((SELECT i.view::text FROM matview.incremental AS i WHERE i.storage = u.b), u.b::text), ', ')
         FROM unnest(bases, counts) AS u (b, n) WHERE n > 0));
    -- Few rows tell of the overhead, not of the rows.
    IF log_rows >= few THEN
      UPDATE matview.incremental AS i
         SET rows_per_second = o.weight * coalesce(i.rows_per_second, 0) + (1 - o.weight) * log_rows / seconds,
             rated_rows = o.weight * coalesce(i.rated_rows, 0) + (1 - o.weight) * log_rows,
             hope = 1
        -- One of much more rows than before tells more than all before.
        FROM (SELECT CASE WHEN v.rated_rows IS NULL OR log_rows > 3 * v.rated_rows THEN 0 ELSE 0.7 END) AS o (weight)
       WHERE i.id = v.id;
    END IF;
  ELSE
    -- Filling it anew by its keys writes only what differs, which is all that the views on it then have to take in; but
    -- in place, too.
    mode := CASE WHEN wish = 'swap' AND matview.swap_fault(v.id) IS NULL THEN 'swap'
      WHEN NOT clashed AND v.program ->> 'diff' IS NOT NULL AND (wish = 'diff' OR wish <> 'full' AND v.watermark IS NOT NULL)
      THEN 'diff' ELSE 'full' END;
    reason := coalesce(because, CASE WHEN wish = 'swap' THEN matview.swap_fault(v.id) END, 'it was asked for');
    rows := matview.fill_anew(v, mode, logs, conditions, by_cost);
  END IF;
  PERFORM set_config(s.key, s.value, true) FROM jsonb_each_text(old_settings) AS s;
END
$$;

-- Deletes what every view on a log has taken in; at most batch rows of each log in a call. Waits for nobody.
CREATE FUNCTION matview.prune(batch integer DEFAULT 10000) RETURNS bigint LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
  l record;
  v record;
  n bigint;
  deleted bigint := 0;
  locked integer[];
  held boolean;
  bound xid8;
BEGIN
  FOR l IN SELECT c.id, c.base, c.origin = matview.origin() AS ours, to_regclass(format('matview.log_%s', c.id)) AS log
             FROM matview.change_log AS c WHERE to_regclass(format('matview.log_%s', c.id)) IS NOT NULL ORDER BY c.id
  LOOP
    -- That of another role is for that to prune.
    CONTINUE WHEN NOT (has_table_privilege(l.log, 'SELECT') AND has_table_privilege(l.log, 'DELETE'));
    -- Somebody else is at it. The first number spells "mvlg".
    CONTINUE WHEN NOT pg_try_advisory_xact_lock(1836477543, l.id);
    FOR v IN SELECT i.id, i.watermark, i.watermark_xid, i.log_limit FROM matview.capture AS c
               JOIN matview.incremental AS i ON i.id = c.view
              WHERE c.log = l.id AND i.detached IS NULL AND pg_relation_size(l.log) / 40 > i.log_limit
    LOOP
      EXECUTE format('SELECT count(*) FROM (SELECT FROM %s WHERE __mv_xid >= $1 LIMIT $2) AS x', l.log) INTO n
        USING coalesce(pg_snapshot_xmin(v.watermark), '0'), v.log_limit + 1;
      IF n > v.log_limit THEN
        -- Not while it is refreshed: then it either takes the rows in or is filled anew, and needs those since.
        UPDATE matview.incremental AS i
           SET detached = format('it was not refreshed for more than %s changed rows of %s', v.log_limit, l.base)
         WHERE i.id = (SELECT j.id FROM matview.incremental AS j WHERE j.id = v.id AND j.detached IS NULL
                          AND j.watermark_xid IS NOT DISTINCT FROM v.watermark_xid FOR UPDATE SKIP LOCKED);
      END IF;
    END LOOP;

    -- While one of these is being filled, it needs all that was committed since it began, and its row does not say so
    -- yet. With its row locked, it begins after us.
    locked := ARRAY(SELECT i.id FROM matview.incremental AS i
                     WHERE i.detached IS NOT NULL
                       AND i.id IN (SELECT c.view FROM matview.capture AS c WHERE c.log = l.id)
                       FOR UPDATE SKIP LOCKED);
    -- A watermark that is ahead of us comes from another cluster. What no view has asked for yet may be needed by one
    -- that begins now: hence never beyond our own snapshot, and that of the same statement.
    SELECT NOT l.ours OR coalesce(bool_or(i.watermark IS NULL OR i.detached IS NOT NULL
             OR pg_snapshot_xmax(i.watermark) > pg_snapshot_xmax(pg_current_snapshot())), false),
           least(pg_snapshot_xmin(pg_current_snapshot()), (array_agg(pg_snapshot_xmin(i.watermark)
             ORDER BY pg_snapshot_xmin(i.watermark)))[1])
      INTO held, bound
      FROM matview.capture AS c JOIN matview.incremental AS i ON i.id = c.view
     WHERE c.log = l.id AND i.id <> ALL (locked);
    IF held THEN
      bound := '0';
    END IF;
    -- Two statements, each with a plan of its own. Rows of the future come from another cluster; our own do not.
    FOR v IN VALUES ('__mv_xid < $1 AND $2 IS NOT NULL'),
        ('__mv_xid >= pg_snapshot_xmax(pg_current_snapshot()) AND __mv_xid IS DISTINCT FROM pg_current_xact_id_if_assigned()
          AND $1 IS NOT NULL AND $2 IS NOT NULL')
    LOOP
      EXECUTE format('DELETE FROM %s WHERE ctid = ANY (ARRAY(SELECT ctid FROM %1$s WHERE %2$s LIMIT $2))', l.log,
          v.column1)
        USING bound, batch;
      GET DIAGNOSTICS n = ROW_COUNT;
      deleted := deleted + n;
    END LOOP;
    DELETE FROM matview.mark AS m WHERE m.log = l.id AND (m.xid < bound
      OR m.xid >= pg_snapshot_xmax(pg_current_snapshot()) AND m.xid IS DISTINCT FROM pg_current_xact_id_if_assigned());
    GET DIAGNOSTICS n = ROW_COUNT;
    deleted := deleted + n;
  END LOOP;
  RETURN deleted;
END
$$;

CREATE FUNCTION matview.refuse_change() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RAISE EXCEPTION 'cannot change incremental view "%"', TG_TABLE_NAME USING ERRCODE = '42809',
    HINT = 'Change the tables that it is made from, and refresh it.';
END
$$;

-- Whether anything of others stands on the parts of a view, so that these cannot be dropped: a view on its storage, a
-- foreign key to it, a function or table of its row type.
CREATE FUNCTION matview.is_needed(view integer) RETURNS boolean LANGUAGE sql STABLE
  SET search_path = pg_catalog, pg_temp AS $$
  WITH part AS (
    SELECT c.oid, y.oid AS type FROM pg_class AS c
      LEFT JOIN pg_type AS y ON y.oid = c.reltype OR y.typelem = c.reltype AND y.typelem <> 0
     WHERE c.relnamespace = 'matview'::regnamespace
       AND c.relname ~ format('^(storage|core|source|core_source|definition|matview_new)_%s$', is_needed.view))
  SELECT EXISTS (
    SELECT FROM pg_depend AS d
      LEFT JOIN pg_rewrite AS w ON d.classid = 'pg_rewrite'::regclass AND w.oid = d.objid
      LEFT JOIN pg_constraint AS k ON d.classid = 'pg_constraint'::regclass AND k.oid = d.objid
     WHERE d.deptype = 'n' AND (
       d.refclassid = 'pg_type'::regclass AND d.refobjid IN (SELECT p.type FROM part AS p)
       OR d.refclassid = 'pg_class'::regclass AND d.refobjid IN (SELECT p.oid FROM part AS p) AND (
         w.ev_class NOT IN (SELECT p.oid FROM part AS p) OR k.conrelid NOT IN (SELECT p.oid FROM part AS p)
         OR d.classid = 'pg_proc'::regclass)))
$$;

-- All that a view consists of, but for the user's own view, which is gone already; if it never got a name of the user's,
-- it goes, too.
CREATE FUNCTION matview.discard(view integer) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
  SET client_min_messages = warning AS $$
BEGIN
  EXECUTE format('DROP VIEW IF EXISTS matview.matview_new_%s, matview.source_%1$s, matview.core_source_%1$s, '
    'matview.definition_%1$s', discard.view);
  PERFORM matview.release_capture(discard.view);
  DELETE FROM matview.incremental AS i WHERE i.id = discard.view;
  EXECUTE format('DROP TABLE IF EXISTS matview.storage_%s, matview.core_%1$s', discard.view);
END
$$;

-- Discards views whose own views are gone, each after those that are made from it; returns those that something of
-- others still stands on. Nobody can refresh these: their tables need not be captured for them any longer.
CREATE FUNCTION matview.discard_all(views integer[]) RETURNS integer[] LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  next integer;
  needed integer[] := '{}';
BEGIN
  LOOP
    SELECT v INTO next FROM unnest(views) AS v WHERE NOT matview.is_needed(v) LIMIT 1;
    EXIT WHEN NOT FOUND;
    views := array_remove(views, next);
    BEGIN
      PERFORM matview.discard(next);
    EXCEPTION WHEN dependent_objects_still_exist THEN
      needed := needed || next;  -- by something that is_needed() does not know
    END;
  END LOOP;
  views := views || needed;
  PERFORM matview.release_capture(c.view) FROM matview.capture AS c WHERE c.view = ANY (views) GROUP BY c.view;
  RETURN views;
END
$$;

-- A view whose parts do not fit its tables any more is made once more beside itself, as "made", and filled. Here that
-- takes the place of the old parts, behind the user's view, which stays what it is for all who know it.
CREATE FUNCTION matview.take_over(old integer, made integer) RETURNS void LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp SET client_min_messages = warning AS $$
DECLARE
  o record;
  n record;
  view_options text;
  indexes text[];
  statistics text[];
  above integer;
  part text;
  index oid;
BEGIN
  SELECT i.* INTO o FROM matview.incremental AS i WHERE i.id = old FOR UPDATE;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'the view was made anew by somebody else meanwhile' USING ERRCODE = '40001', HINT = 'Try again.';
  END IF;
  SELECT i.* INTO STRICT n FROM matview.incremental AS i WHERE i.id = made FOR UPDATE;
  SELECT format(' WITH (%s)', array_to_string(c.reloptions, ', ')) INTO view_options FROM pg_class AS c
   WHERE c.oid = o.view AND c.reloptions IS NOT NULL;
  PERFORM matview.copy_settings(o.storage, n.storage);
  statistics := matview.statistics_on(o.storage, n.storage::text);
  indexes := matview.copy_indexes(o.storage, n.storage, false);
  -- Copies of a row are counted, where an index does not see them.
  IF n.program ->> 'unique_rows' = 'false' THEN
    FOR i IN 1 .. cardinality(indexes) LOOP
      index := format('matview.copy_%s_%s', n.storage::oid, i)::regclass;
      CONTINUE WHEN NOT (SELECT x.indisunique FROM pg_index AS x WHERE x.indexrelid = index);
      EXECUTE format('ALTER TABLE %s ADD CONSTRAINT %I CHECK (%s)', n.storage, indexes[i], matview.one_copy(index));
    END LOOP;
  END IF;
  -- Views on it find that their triggers are missing; until they are compiled anew they show what they hold.
  FOR above IN SELECT c.view FROM matview.capture AS c JOIN matview.change_log AS l ON l.id = c.log
                WHERE l.base = o.storage LOOP
    EXECUTE format('DROP VIEW IF EXISTS matview.source_%s, matview.core_source_%1$s', above);
  END LOOP;
  UPDATE matview.change_log AS l SET base = n.storage WHERE l.base = o.storage;
  -- From here on readers wait. The view's columns may have been renamed.
  EXECUTE format('CREATE OR REPLACE VIEW %s (%s)%s AS %s', o.view,
    (SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) FROM pg_attribute AS a
      WHERE a.attrelid = o.view AND a.attnum > 0), view_options, matview.view_text(n.view));
  PERFORM matview.hardly_wait();
  EXECUTE format('DROP VIEW %s', n.view);
  PERFORM matview.copy_rights(o.storage, n.storage);
  PERFORM matview.copy_rights(o.definition, n.definition);
  FOREACH part IN ARRAY ARRAY['source', 'core', 'core_source'] LOOP
    IF to_regclass(format('matview.%s_%s', part, old)) IS NOT NULL
       AND to_regclass(format('matview.%s_%s', part, made)) IS NOT NULL THEN
      PERFORM matview.copy_rights(format('matview.%s_%s', part, old)::regclass,
        format('matview.%s_%s', part, made)::regclass);
    END IF;
  END LOOP;
  EXECUTE format('GRANT SELECT ON %s TO %I', n.storage, (SELECT pg_get_userbyid(c.relowner) FROM pg_class AS c
    WHERE c.oid = o.view));
  PERFORM matview.discard(old);
  PERFORM matview.name_indexes(n.storage, indexes);
  PERFORM matview.make_statistics(statistics);
  UPDATE matview.incremental AS i SET view = o.view WHERE i.id = made;
END
$$;

ALTER TABLE matview.refresh DROP CONSTRAINT refresh_mode_check;
ALTER TABLE matview.refresh ADD CONSTRAINT refresh_mode_check
  CHECK (mode IN ('none', 'full', 'concurrently', 'incremental', 'diff', 'swap'));
