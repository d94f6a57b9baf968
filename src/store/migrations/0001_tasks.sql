-- The queue, its schedules and its workers. Run by src/store/migrations.cpp, in one transaction.

CREATE TYPE matview.job_state AS ENUM ('ready', 'running', 'done', 'dead', 'cancelled');

-- A row for each start of a worker: never reused, so that what an earlier one left can be told apart.
CREATE TABLE matview.worker (
  id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  host         text NOT NULL,
  pid          integer NOT NULL,
  version      text NOT NULL,
  queues       text[],                      -- NULL: all
  concurrency  integer NOT NULL,
  started_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
  heartbeat_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  stopping_at  timestamptz,
  -- Whether its session holds the advisory lock that tells that it lives (not through a pooler).
  holds_lock   boolean NOT NULL DEFAULT false
);

-- Only queues that somebody has said something about.
CREATE TABLE matview.queue (
  name      text PRIMARY KEY,
  paused_at timestamptz
);

CREATE TABLE matview.schedule (
  name         text PRIMARY KEY CHECK (length(name) BETWEEN 1 AND 200),
  task         text NOT NULL,
  args         jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(args) = 'object'),
  cron         text,
  time_zone    text NOT NULL DEFAULT 'UTC',
  every        interval CHECK (every >= '1 second'),
  queue        text NOT NULL DEFAULT 'default',
  priority     smallint NOT NULL DEFAULT 100,
  max_attempts integer NOT NULL DEFAULT 5 CHECK (max_attempts > 0),
  timeout      interval CHECK (timeout > '0'),
  missed       text NOT NULL DEFAULT 'once' CHECK (missed IN ('skip', 'once', 'all')),
  missed_window interval,                   -- NULL: one period or an hour, the longer
  overlap      text NOT NULL DEFAULT 'coalesce' CHECK (overlap IN ('coalesce', 'skip', 'allow')),
  revision     bigint NOT NULL DEFAULT 1,   -- fences hosts that know an older definition
  next_at      timestamptz,
  last_tick    timestamptz,                 -- never goes back: what makes a second fire impossible
  failures     integer NOT NULL DEFAULT 0,  -- dead jobs in a row
  max_failures integer NOT NULL DEFAULT 10 CHECK (max_failures > 0),
  paused_at    timestamptz,
  paused_why   text,
  created_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
  updated_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
  CHECK ((cron IS NULL) <> (every IS NULL))
);
CREATE INDEX schedule_due ON matview.schedule (next_at) WHERE paused_at IS NULL;

CREATE TABLE matview.job (
  id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  state        matview.job_state NOT NULL DEFAULT 'ready',
  queue        text NOT NULL DEFAULT 'default',
  task         text NOT NULL,
  args         jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(args) = 'object'),
  priority     smallint NOT NULL DEFAULT 100,
  run_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
  attempt      integer NOT NULL DEFAULT 0,
  max_attempts integer NOT NULL DEFAULT 5 CHECK (max_attempts > 0),
  rescues      integer NOT NULL DEFAULT 0,
  timeout      interval CHECK (timeout > '0'),
  dedupe       text,
  schedule     text,
  tick         timestamptz,
  worker_id    bigint,
  lease_until  timestamptz,
  cancel_requested boolean NOT NULL DEFAULT false,
  created_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
  started_at   timestamptz,
  finished_at  timestamptz,
  last_error   text,
  errors       jsonb NOT NULL DEFAULT '[]',
  CHECK ((state = 'running') = (lease_until IS NOT NULL)),
  CHECK ((state IN ('done', 'dead', 'cancelled')) = (finished_at IS NOT NULL)),
  CHECK (attempt <= max_attempts)
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000,
        autovacuum_vacuum_cost_delay = 0);
CREATE INDEX job_fetch ON matview.job (priority, run_at, id) WHERE state = 'ready';
CREATE INDEX job_held ON matview.job (worker_id) WHERE state = 'running';
CREATE INDEX job_finished ON matview.job (finished_at) WHERE finished_at IS NOT NULL;
CREATE UNIQUE INDEX job_tick ON matview.job (schedule, tick) WHERE schedule IS NOT NULL;
CREATE UNIQUE INDEX job_waiting ON matview.job (dedupe) WHERE state = 'ready' AND dedupe IS NOT NULL;
CREATE UNIQUE INDEX job_running ON matview.job (dedupe) WHERE state = 'running' AND dedupe IS NOT NULL;

-- Ticks that became no job, and why: one row for a run of them.
CREATE TABLE matview.skipped_tick (
  id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  schedule text NOT NULL,
  first    timestamptz NOT NULL,
  last     timestamptz NOT NULL,
  outcome  text NOT NULL CHECK (outcome IN ('missed', 'coalesced', 'skipped')),
  reason   text NOT NULL,
  at       timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX skipped_tick_of ON matview.skipped_tick (schedule, last);

-- Puts a job into a queue and returns its id; with a `dedupe` key that a waiting job has, that
-- job's. It is part of the caller's transaction: rolled back, it never was.
CREATE FUNCTION matview.enqueue(
  task text, args jsonb DEFAULT '{}', queue text DEFAULT 'default', run_at timestamptz DEFAULT NULL,
  priority integer DEFAULT 100, max_attempts integer DEFAULT 5, dedupe text DEFAULT NULL,
  timeout interval DEFAULT NULL, notify boolean DEFAULT true) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
  made bigint;
BEGIN
  IF octet_length(enqueue.args::text) > 1048576 THEN
    RAISE EXCEPTION 'the arguments of a job take % bytes, and at most 1048576 are accepted',
      octet_length(enqueue.args::text)
      USING ERRCODE = '54000', HINT = 'keep the data in a table and pass its key';
  END IF;
  IF jsonb_typeof(enqueue.args) IS DISTINCT FROM 'object' THEN
    RAISE EXCEPTION 'the arguments of a job must be a JSON object'
      USING ERRCODE = '22023', HINT = 'such as {"view": "sales.daily"}';
  END IF;
  LOOP
    INSERT INTO matview.job (task, args, queue, run_at, priority, max_attempts, dedupe, timeout)
    VALUES (enqueue.task, enqueue.args, enqueue.queue,
            coalesce(enqueue.run_at, clock_timestamp()), enqueue.priority, enqueue.max_attempts,
            enqueue.dedupe, enqueue.timeout)
    ON CONFLICT (dedupe) WHERE state = 'ready' AND dedupe IS NOT NULL DO NOTHING
    RETURNING id INTO made;
    EXIT WHEN made IS NOT NULL;
    SELECT id INTO made FROM matview.job j WHERE j.dedupe = enqueue.dedupe AND j.state = 'ready';
    IF made IS NOT NULL THEN
      RETURN made;
    END IF;
    -- Whoever held the key has been fetched meanwhile: try again.
  END LOOP;
  -- One that is due soon is told, too: a worker that looks rarely sets its clock by it.
  IF notify AND (enqueue.run_at IS NULL
                 OR enqueue.run_at <= clock_timestamp() + interval '10 seconds') THEN
    PERFORM pg_notify('matview_job', enqueue.queue);
  END IF;
  RETURN made;
END $$;
