-- What is known of views beyond the catalog, and each refresh of one. Run by
-- src/store/migrations.cpp, in one transaction.

-- A row for each view that somebody has said something about or that was refreshed. Views are known
-- by name, as a restored database has them; the oid tells a view that was made anew.
CREATE TABLE matview.view (
  schema       text NOT NULL,
  name         text NOT NULL,
  oid          oid,
  depends_on   text[] NOT NULL DEFAULT '{}', -- quoted names, declared by hand
  data_as_of   timestamptz,                  -- when the last refresh that succeeded began
  checked_at   timestamptz,                  -- when the sources were last found unchanged
  sources      jsonb,                        -- what its base tables looked like then, by oid
  state        jsonb,                        -- its row of pg_class when our last refresh had ended
  PRIMARY KEY (schema, name)
);

-- Each refresh, and each one that was found not to be needed or that somebody else has done.
CREATE TABLE matview.refresh (
  id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  schema       text NOT NULL,
  name         text NOT NULL,
  oid          oid,
  mode         text NOT NULL CHECK (mode IN ('none', 'full', 'concurrently', 'incremental')),
  reason       text NOT NULL,
  outcome      text NOT NULL CHECK (outcome IN ('done', 'skipped', 'failed', 'in doubt', 'outside')),
  asked_by     text NOT NULL CHECK (asked_by IN ('hand', 'schedule', 'api', 'somebody else')),
  host         text,
  pid          integer,
  started_at   timestamptz NOT NULL,
  finished_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
  rows_before  bigint,
  rows_after   bigint,
  bytes_before bigint,
  bytes_after  bigint,
  wal_bytes    bigint,                       -- at most: whatever else the server wrote is in it
  lock_waits   integer NOT NULL DEFAULT 0,   -- how often it gave up waiting for a lock, and tried again
  care         text,                         -- what was done after it: ANALYZE, VACUUM
  sqlstate     text,
  error        text
) WITH (autovacuum_vacuum_scale_factor = 0.05);
CREATE INDEX refresh_of ON matview.refresh (schema, name, started_at DESC);
CREATE INDEX refresh_finished ON matview.refresh (finished_at);
