#pragma once

#include "pg/connection.hpp"

namespace matview::store {

// Every statement on the tables of the queue, by name. A worker's statements are written so that it
// may be killed, stopped or cut off before, during and after each of them: whatever decides is in
// one statement, compares what it was told with what is there, and reads the database's clock.

namespace sql {

/// $1 task, $2 arguments, $3 queue, $4 delay in seconds or NULL, $5 priority, $6 attempts, $7 key
/// or NULL, $8 timeout in seconds or NULL, $9 whether to tell the workers -> the job's id.
inline constexpr pg::named_statement enqueue{"matview_enqueue", R"(
  SELECT matview.enqueue($1, $2::jsonb, $3, clock_timestamp() + make_interval(secs => $4::float8),
    $5::int, $6::int, $7, make_interval(secs => $8::float8), $9::bool))"};

/// The same, $2 being an array of arguments, and without $9 -> how many were put in.
inline constexpr pg::named_statement enqueue_all{"matview_enqueue_all", R"(
  WITH made AS (
    INSERT INTO matview.job (task, args, queue, run_at, priority, max_attempts, dedupe, timeout)
    SELECT $1, a::jsonb, $3,
      coalesce(clock_timestamp() + make_interval(secs => $4::float8), clock_timestamp()),
      $5::smallint, $6::int, $7, make_interval(secs => $8::float8)
    FROM unnest($2::text[]) AS a
    ON CONFLICT DO NOTHING RETURNING 1),
  counted AS MATERIALIZED (SELECT count(*) AS made FROM made)
  SELECT made, CASE WHEN made > 0 THEN pg_notify('matview_job', $3) END FROM counted)"};

/// $1 host, $2 pid, $3 version, $4 queues or NULL, $5 concurrency -> id, whether it holds the lock
/// that tells that it lives. The lock is taken before anybody can see the row.
inline constexpr pg::named_statement register_worker{"matview_register_worker", R"(
  WITH made AS (
    INSERT INTO matview.worker (host, pid, version, queues, concurrency)
    VALUES ($1, $2::int, $3, $4::text[], $5::int) RETURNING id)
  SELECT id, pg_try_advisory_lock(1836414569, id::int) FROM made)"};

/// $1 worker, $2 whether it holds its lock.
inline constexpr pg::named_statement tell_lock{"matview_tell_lock", R"(
  UPDATE matview.worker SET holds_lock = $2::bool WHERE id = $1::bigint)"};

/// $1 worker -> whether the lock is held now, after a new connection was made.
inline constexpr pg::named_statement take_lock{"matview_take_lock", R"(
  SELECT pg_try_advisory_lock(1836414569, $1::bigint::int))"};

/// $1 worker, $2 lease in seconds, $3 queues or NULL, $4 tasks -> one row, if the worker has not
/// been given up: ids and attempts of the jobs that are still its own, ids of those to cancel,
/// seconds until the next job and until the next schedule, the workers that look dead, and ids and
/// attempts of the jobs whose lease was renewed. All that an idle worker asks.
///
/// A worker looks dead if nobody holds its lock, if no heartbeat has come for as long as a lease,
/// or if it has let a job's lease run out: it may have been forgotten before it fetched that one.
/// A lease that has run out is renewed as long as nobody has acted on it. Nobody is waited for: the
/// worker's own completions lock the same rows in another order, which would be a deadlock. Whoever
/// has a row in hand ends the job, or lets it be renewed the next time.
inline constexpr pg::named_statement pulse{"matview_pulse", R"(
  WITH me AS (
    UPDATE matview.worker SET heartbeat_at = clock_timestamp() WHERE id = $1::bigint RETURNING id),
  held AS MATERIALIZED (
    SELECT id, attempt, cancel_requested FROM matview.job
    WHERE worker_id = (SELECT id FROM me) AND state = 'running'),
  free AS MATERIALIZED (
    SELECT id FROM matview.job WHERE worker_id = (SELECT id FROM me) AND state = 'running'
    FOR UPDATE SKIP LOCKED),
  renewed AS (
    UPDATE matview.job j
    SET lease_until = clock_timestamp() + make_interval(secs => $2::float8)
    FROM free WHERE j.id = free.id RETURNING j.id, j.attempt),
  waiting AS (
    SELECT min(run_at) - clock_timestamp() AS wait FROM matview.job
    WHERE state = 'ready' AND ($3::text[] IS NULL OR queue = ANY ($3::text[]))
      AND task = ANY ($4::text[])
      AND queue NOT IN (SELECT name FROM matview.queue WHERE paused_at IS NOT NULL))
  SELECT
    (SELECT coalesce(string_agg(id || ' ' || attempt, ' '), '') FROM held),
    (SELECT coalesce(string_agg(id::text, ' '), '') FROM held WHERE cancel_requested),
    (SELECT extract(epoch FROM wait)::float8 FROM waiting),
    (SELECT extract(epoch FROM min(next_at) - clock_timestamp())::float8
     FROM matview.schedule WHERE paused_at IS NULL),
    (SELECT coalesce(array_agg(id), '{}') FROM (
       SELECT id FROM matview.worker w
       WHERE w.id <> $1::bigint AND (
         (holds_lock AND pg_try_advisory_xact_lock(1836414569, id::int))
         OR heartbeat_at < clock_timestamp() - make_interval(secs => $2::float8))
       UNION SELECT worker_id FROM matview.job
       WHERE state = 'running' AND lease_until <= clock_timestamp() AND worker_id <> $1::bigint)
     AS silent),
    (SELECT coalesce(string_agg(id || ' ' || attempt, ' '), '') FROM renewed)
  FROM me)"};

/// $1 worker: says that it will fetch no more.
inline constexpr pg::named_statement stopping{"matview_stopping", R"(
  UPDATE matview.worker SET stopping_at = clock_timestamp() WHERE id = $1::bigint)"};

/// $1 worker: nobody needs to look after it any more, unless it has jobs -> their ids and attempts.
/// Its lock goes with its session.
inline constexpr pg::named_statement deregister{"matview_deregister", R"(
  WITH held AS MATERIALIZED (
    SELECT id, attempt FROM matview.job WHERE worker_id = $1::bigint AND state = 'running'),
  gone AS (
    DELETE FROM matview.worker WHERE id = $1::bigint AND NOT EXISTS (SELECT FROM held))
  SELECT id, attempt FROM held)"};

// Two parts of a WITH query: what $1, a worker, has done of the jobs $2 in their attempts $3.
// Whoever takes a job away changes its state, worker and attempt in one statement. Worker and state
// are compared so that no index helps but the one by id: the planner, which believes that hardly
// anything runs, would compare each running job with each id.
#define MATVIEW_DONE                                                                  \
  "done AS ("                                                                         \
  "  UPDATE matview.job j"                                                            \
  "  SET state = 'done', finished_at = clock_timestamp(), lease_until = NULL"         \
  "  FROM unnest($2::bigint[], $3::int[]) AS d(id, attempt)"                          \
  "  WHERE j.id = d.id AND j.attempt = d.attempt"                                     \
  "    AND j.worker_id IS NOT DISTINCT FROM $1::bigint AND j.state::text = 'running'" \
  "  RETURNING j.id, j.schedule), "                                                   \
  "proven AS ("                                                                       \
  "  UPDATE matview.schedule SET failures = 0"                                        \
  "  WHERE failures > 0 AND name IN (SELECT schedule FROM done))"

/// $1 worker, $2 ids, $3 their attempts -> the ids that were done; the others were not its own any
/// more.
inline constexpr pg::named_statement complete{"matview_complete", "WITH " MATVIEW_DONE R"(
  SELECT id FROM done)"};

/// $1 worker, $2 ids and $3 attempts of the jobs that it has done, $4 queues or NULL, $5 tasks, $6
/// how many, $7 lease in seconds -> how many were done, and then the jobs that are now its own; at
/// least one row. One commit for both. Jobs of tasks that this worker does not know are left for
/// one that does; those whose key one of the done jobs held are for the next fetch.
inline constexpr pg::named_statement fetch{"matview_fetch", "WITH " MATVIEW_DONE R"(,
  next AS MATERIALIZED (
    SELECT id FROM matview.job j
    WHERE state = 'ready' AND run_at <= clock_timestamp()
      AND ($4::text[] IS NULL OR queue = ANY ($4::text[])) AND task = ANY ($5::text[])
      AND queue NOT IN (SELECT name FROM matview.queue WHERE paused_at IS NOT NULL)
      AND (dedupe IS NULL OR NOT EXISTS (
        SELECT FROM matview.job r WHERE r.dedupe = j.dedupe AND r.state = 'running'))
    ORDER BY priority, run_at, id LIMIT $6::int FOR UPDATE SKIP LOCKED),
  fetched AS (
    UPDATE matview.job j
    SET state = 'running', attempt = attempt + 1, worker_id = $1::bigint,
        started_at = clock_timestamp(),
        lease_until = clock_timestamp() + make_interval(secs => $7::float8)
    FROM next WHERE j.id = next.id RETURNING j.*)
  SELECT done_count, id, attempt, max_attempts, queue, task, args, schedule,
    extract(epoch FROM timeout)::float8,
    extract(epoch FROM started_at - greatest(run_at, created_at))::float8, dedupe IS NOT NULL
  FROM (SELECT count(*) AS done_count FROM done) AS counted LEFT JOIN fetched ON true)"};

#undef MATVIEW_DONE

/// $1 queues or NULL, $2 tasks -> seconds until the next job is due, or NULL. Those that are due
/// but could not be fetched, whose queue is paused or whose key is taken, are not waited for.
inline constexpr pg::named_statement next_due{"matview_next_due", R"(
  SELECT extract(epoch FROM min(run_at) - clock_timestamp())::float8 FROM matview.job
  WHERE state = 'ready' AND run_at > clock_timestamp()
    AND ($1::text[] IS NULL OR queue = ANY ($1::text[])) AND task = ANY ($2::text[]))"};

/// $1 worker, $2 id, $3 attempt, $4 error, $5 whether trying again is useless, $6 base and $7 cap
/// of the pause in seconds -> state, seconds until the next attempt or NULL, whether its schedule
/// has been suspended. A pause doubles from attempt to attempt and is spread by a tenth. A job that
/// would wait beside one of the same key is superseded by that one.
inline constexpr pg::named_statement fail{"matview_fail", R"(
  WITH mine AS MATERIALIZED (
    SELECT id, CASE
      WHEN cancel_requested THEN 'cancelled'
      WHEN $5::bool OR attempt >= max_attempts THEN 'dead'
      WHEN dedupe IS NOT NULL AND EXISTS (
        SELECT FROM matview.job t WHERE t.dedupe = j.dedupe AND t.state = 'ready') THEN 'cancelled'
      ELSE 'ready' END::matview.job_state AS next,
      clock_timestamp() + make_interval(secs => least($7::float8,
        $6::float8 * power(2, least(attempt - 1, 30))) * (0.9 + 0.2 * random())) AS again
    FROM matview.job j
    WHERE id = $2::bigint AND attempt = $3::int AND worker_id = $1::bigint AND state = 'running'
    FOR UPDATE),
  failed AS (
    UPDATE matview.job j
    SET state = next, lease_until = NULL,
        finished_at = CASE WHEN next <> 'ready' THEN clock_timestamp() END,
        run_at = CASE WHEN next = 'ready' THEN again ELSE run_at END,
        last_error = CASE WHEN next = 'cancelled' AND NOT cancel_requested
          THEN left('superseded by a job of the same key that waits already; the last error was: '
            || $4, 4000) ELSE left($4, 4000) END,
        errors = CASE WHEN jsonb_array_length(errors) >= 10 THEN errors - 0 ELSE errors END
          || jsonb_build_object('at', clock_timestamp(), 'attempt', attempt, 'error', left($4, 1000))
    FROM mine WHERE j.id = mine.id
    RETURNING j.state, j.schedule, j.run_at),
  counted AS (
    UPDATE matview.schedule s
    SET failures = failures + 1,
        paused_at = CASE WHEN failures + 1 >= max_failures THEN coalesce(paused_at, clock_timestamp())
          ELSE paused_at END,
        paused_why = CASE WHEN failures + 1 >= max_failures AND paused_at IS NULL THEN
          format('suspended after %s failures in a row; the last one: %s', failures + 1, left($4, 1000))
          ELSE paused_why END
    FROM failed f WHERE s.name = f.schedule AND f.state = 'dead'
    RETURNING s.paused_at IS NOT NULL AS suspended)
  SELECT state, CASE WHEN state = 'ready' THEN extract(epoch FROM run_at - clock_timestamp())::float8
    END, coalesce((SELECT suspended FROM counted), false) FROM failed)"};

/// $1 worker, $2 ids, $3 attempts: gives back what it will not finish, without costing an attempt.
inline constexpr pg::named_statement give_back{"matview_give_back", R"(
  UPDATE matview.job j
  SET lease_until = NULL, attempt = j.attempt - 1,
      state = CASE WHEN waits.id IS NULL AND NOT j.cancel_requested THEN 'ready' ELSE 'cancelled' END
        ::matview.job_state,
      finished_at = CASE WHEN waits.id IS NULL AND NOT j.cancel_requested THEN NULL
        ELSE clock_timestamp() END,
      last_error = CASE WHEN waits.id IS NOT NULL
        THEN 'superseded by job ' || waits.id || ' of the same key' ELSE j.last_error END
  FROM unnest($2::bigint[], $3::int[]) AS d(id, attempt)
    JOIN matview.job mine ON mine.id = d.id
    LEFT JOIN matview.job waits ON waits.dedupe = mine.dedupe AND waits.state = 'ready'
  WHERE j.id = d.id AND j.attempt = d.attempt AND j.worker_id = $1::bigint AND j.state = 'running'
  RETURNING j.id)"};

/// $1 worker, $2 workers that look dead, $3 lease in seconds -> id, state, worker of each job taken
/// from them or held beyond its lease by anybody. What a dead worker's sessions still run is ended
/// first. A worker that came back meanwhile keeps its jobs.
inline constexpr pg::named_statement rescue{"matview_rescue", R"(
  WITH dead AS MATERIALIZED (
    SELECT id FROM matview.worker
    WHERE id = ANY ($2::bigint[]) AND (
      (holds_lock AND pg_try_advisory_xact_lock(1836414569, id::int))
      OR heartbeat_at < clock_timestamp() - make_interval(secs => $3::float8))),
  stuck AS MATERIALIZED (
    SELECT id FROM matview.job
    WHERE state = 'running' AND (worker_id IN (SELECT id FROM dead)
      OR lease_until <= clock_timestamp()) AND worker_id <> $1::bigint
    LIMIT 500 FOR UPDATE SKIP LOCKED),
  ended AS MATERIALIZED (
    SELECT pg_terminate_backend(a.pid, 1000) FROM pg_stat_activity a
    WHERE a.datname = current_database() AND a.usename = current_user
      AND a.application_name IN (SELECT 'matview worker ' || worker_id FROM matview.job j
        JOIN stuck USING (id) UNION SELECT 'matview worker ' || id FROM dead)
      AND a.pid <> pg_backend_pid()),
  counted AS MATERIALIZED (SELECT count(*) FROM ended)
  UPDATE matview.job j
  SET state = v.next, lease_until = NULL, rescues = rescues + 1,
      finished_at = CASE WHEN v.next <> 'ready' THEN clock_timestamp() END,
      run_at = clock_timestamp(), last_error = v.why,
      errors = CASE WHEN jsonb_array_length(errors) >= 10 THEN errors - 0 ELSE errors END
        || jsonb_build_object('at', clock_timestamp(), 'attempt', attempt, 'error', v.why)
  FROM (
    SELECT m.id, CASE
      WHEN m.cancel_requested THEN 'cancelled'
      WHEN m.attempt >= m.max_attempts THEN 'dead'
      WHEN m.dedupe IS NOT NULL AND EXISTS (
        SELECT FROM matview.job t WHERE t.dedupe = m.dedupe AND t.state = 'ready') THEN 'cancelled'
      ELSE 'ready' END::matview.job_state AS next,
      format('worker %s was lost while it ran attempt %s', m.worker_id, m.attempt) AS why
    FROM matview.job m JOIN stuck USING (id)) AS v, counted
  WHERE j.id = v.id AND j.state = 'running'
  RETURNING j.id, j.state, j.worker_id)"};

/// $1 lease in seconds: forgets workers that left nothing behind.
inline constexpr pg::named_statement forget_workers{"matview_forget_workers", R"(
  DELETE FROM matview.worker w
  WHERE heartbeat_at < clock_timestamp() - make_interval(secs => 2 * $1::float8)
    AND NOT EXISTS (SELECT FROM matview.job j WHERE j.worker_id = w.id AND j.state = 'running'))"};

/// $1 how many at most -> the schedules that are due, with what the decision needs, and the
/// database's time; times as microseconds since 1970.
inline constexpr pg::named_statement due_schedules{"matview_due_schedules", R"(
  SELECT name, coalesce(cron, ''), time_zone,
    coalesce((extract(epoch FROM every) * 1000000)::bigint, 0), missed,
    coalesce((extract(epoch FROM missed_window) * 1000000)::bigint, 0), revision,
    (extract(epoch FROM next_at) * 1000000)::bigint,
    (extract(epoch FROM clock_timestamp()) * 1000000)::bigint
  FROM matview.schedule
  WHERE paused_at IS NULL AND next_at <= clock_timestamp()
  ORDER BY next_at, name LIMIT $1::int)"};

/// -> seconds until the next schedule is due, or NULL.
inline constexpr pg::named_statement next_schedule{"matview_next_schedule", R"(
  SELECT extract(epoch FROM min(next_at) - clock_timestamp())::float8
  FROM matview.schedule WHERE paused_at IS NULL)"};

/// Claims ticks: one row of the arrays for each schedule. $1 names, $2 next_at as it was read,
/// $3 ticks (NULL: none is to fire), $4 new next_at, $5 revisions, $6 first and $7 last missed tick
/// or NULL, $8 why they are missed; times in microseconds since 1970 -> what became of each tick
/// that was claimed here: name, id of the job or NULL.
///
/// At most one job for each tick, on any number of hosts and without a leader: the row lock lets
/// one host at a time compare next_at with what it had read, and the other finds it changed;
/// last_tick never goes back; and both are committed together with the job.
inline constexpr pg::named_statement claim_ticks{"matview_claim_ticks", R"(
  WITH wanted AS (
    SELECT name, to_timestamp(expected / 1000000) + (expected % 1000000) * interval '1 microsecond'
        AS expected,
      to_timestamp(tick / 1000000) + (tick % 1000000) * interval '1 microsecond' AS tick,
      to_timestamp(next / 1000000) + (next % 1000000) * interval '1 microsecond' AS next, revision,
      to_timestamp(first / 1000000) + (first % 1000000) * interval '1 microsecond' AS first,
      to_timestamp(last / 1000000) + (last % 1000000) * interval '1 microsecond' AS last, why
    FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[],
      $7::bigint[], $8::text[]) AS w(name, expected, tick, next, revision, first, last, why)),
  mine AS MATERIALIZED (
    SELECT s.*, w.tick, w.next, w.first, w.last, w.why
    FROM matview.schedule s JOIN wanted w ON w.name = s.name
    WHERE s.next_at = w.expected AND s.revision = w.revision AND s.paused_at IS NULL
      AND w.expected <= clock_timestamp() AND coalesce(w.tick, w.last) <= clock_timestamp()
      AND w.next > coalesce(w.tick, w.last)
      AND (s.last_tick IS NULL OR s.last_tick < coalesce(w.tick, w.last))
    ORDER BY s.name FOR UPDATE OF s SKIP LOCKED),
  claimed AS (
    UPDATE matview.schedule s
    SET next_at = m.next, last_tick = coalesce(m.tick, m.last)
    FROM mine m WHERE s.name = m.name),
  busy AS MATERIALIZED (
    SELECT m.name, (SELECT min(r.id) FROM matview.job r
      WHERE r.dedupe = 'schedule:' || m.name AND r.state IN ('ready', 'running')) AS id
    FROM mine m WHERE m.overlap = 'skip'),
  made AS (
    INSERT INTO matview.job (schedule, tick, task, args, queue, priority, max_attempts, timeout, dedupe)
    SELECT name, tick, task, args, queue, priority, max_attempts, timeout,
      CASE WHEN overlap <> 'allow' THEN 'schedule:' || name END
    FROM mine m
    WHERE tick IS NOT NULL AND NOT EXISTS (SELECT FROM busy b WHERE b.name = m.name AND b.id IS NOT NULL)
    ON CONFLICT DO NOTHING RETURNING id, schedule, queue),
  told AS (
    INSERT INTO matview.skipped_tick (schedule, first, last, outcome, reason)
    SELECT name, first, last, 'missed', why FROM mine WHERE last IS NOT NULL
    UNION ALL
    SELECT m.name, m.tick, m.tick, CASE m.overlap WHEN 'skip' THEN 'skipped' ELSE 'coalesced' END,
      CASE m.overlap
        WHEN 'skip' THEN 'job ' || b.id || ' of an earlier tick was not finished'
        ELSE 'a job of an earlier tick was still waiting' END
    FROM mine m LEFT JOIN busy b ON b.name = m.name
    WHERE m.tick IS NOT NULL AND NOT EXISTS (SELECT FROM made WHERE made.schedule = m.name)),
  woken AS (SELECT pg_notify('matview_job', queue) FROM (SELECT DISTINCT queue FROM made) AS q),
  notified AS MATERIALIZED (SELECT count(*) FROM woken)
  SELECT m.name, made.id FROM mine m LEFT JOIN made ON made.schedule = m.name, notified)"};

/// $1 name, $2 revision, $3 why: a schedule that nobody can go on with.
inline constexpr pg::named_statement suspend_schedule{"matview_suspend_schedule", R"(
  UPDATE matview.schedule SET paused_at = clock_timestamp(), paused_why = $3
  WHERE name = $1 AND revision = $2::bigint AND paused_at IS NULL)"};

/// $1 age in seconds, $2 how many at most -> how many finished jobs were deleted; dead ones stay.
inline constexpr pg::named_statement purge{"matview_purge", R"(
  WITH old AS (
    SELECT id FROM matview.job
    WHERE finished_at < clock_timestamp() - make_interval(secs => $1::float8) AND state <> 'dead'
    ORDER BY finished_at LIMIT $2::int FOR UPDATE SKIP LOCKED),
  gone AS (DELETE FROM matview.job j USING old WHERE j.id = old.id RETURNING 1)
  SELECT count(*) FROM gone)"};

// What people do with schedules, jobs and queues.

/// -> the database's time in microseconds since 1970.
inline constexpr pg::named_statement now{"matview_now", R"(
  SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint)"};

/// $1 zone: fails for one that the server does not know.
inline constexpr pg::named_statement check_zone{"matview_check_zone", R"(
  SELECT clock_timestamp() AT TIME ZONE $1)"};

/// $1 name, $2 task, $3 arguments, $4 cron or NULL, $5 zone, $6 period in seconds or NULL, $7
/// queue, $8 priority, $9 attempts, $10 timeout in seconds or NULL, $11 missed, $12 window in
/// seconds or NULL, $13 overlap, $14 failures, $15 first tick in microseconds since 1970 -> a row
/// if anything was changed. A schedule that stands there like this is not touched.
inline constexpr pg::named_statement set_schedule{"matview_set_schedule", R"(
  WITH changed AS (
    INSERT INTO matview.schedule AS s (name, task, args, cron, time_zone, every, queue, priority,
      max_attempts, timeout, missed, missed_window, overlap, max_failures, next_at)
    VALUES ($1, $2, $3::jsonb, $4, $5, make_interval(secs => $6::float8), $7, $8::smallint, $9::int,
      make_interval(secs => $10::float8), $11, make_interval(secs => $12::float8), $13, $14::int,
      to_timestamp($15::bigint / 1000000) + ($15::bigint % 1000000) * interval '1 microsecond')
    ON CONFLICT (name) DO UPDATE SET (task, args, cron, time_zone, every, queue, priority,
      max_attempts, timeout, missed, missed_window, overlap, max_failures, next_at, revision,
      failures, updated_at) = (excluded.task, excluded.args, excluded.cron, excluded.time_zone,
      excluded.every, excluded.queue, excluded.priority, excluded.max_attempts, excluded.timeout,
      excluded.missed, excluded.missed_window, excluded.overlap, excluded.max_failures,
      excluded.next_at, s.revision + 1, 0, clock_timestamp())
    WHERE (s.task, s.args, s.cron, s.time_zone, s.every, s.queue, s.priority, s.max_attempts,
      s.timeout, s.missed, s.missed_window, s.overlap, s.max_failures) IS DISTINCT FROM
      (excluded.task, excluded.args, excluded.cron, excluded.time_zone, excluded.every,
      excluded.queue, excluded.priority, excluded.max_attempts, excluded.timeout, excluded.missed,
      excluded.missed_window, excluded.overlap, excluded.max_failures)
    RETURNING name)
  SELECT name, pg_notify('matview_schedule', name) FROM changed)"};

/// $1 name or NULL for all -> the schedules by name; times in microseconds since 1970, lengths in
/// microseconds.
inline constexpr pg::named_statement schedules{"matview_schedules", R"(
  SELECT name, task, args, coalesce(cron, ''), time_zone,
    (extract(epoch FROM every) * 1000000)::bigint, queue, priority, max_attempts,
    (extract(epoch FROM timeout) * 1000000)::bigint, missed,
    (extract(epoch FROM missed_window) * 1000000)::bigint, overlap, max_failures,
    CASE WHEN paused_at IS NULL THEN (extract(epoch FROM next_at) * 1000000)::bigint END,
    (extract(epoch FROM last_tick) * 1000000)::bigint,
    (extract(epoch FROM paused_at) * 1000000)::bigint, coalesce(paused_why, ''), failures,
    (extract(epoch FROM clock_timestamp()) * 1000000)::bigint,
    (extract(epoch FROM next_at) * 1000000)::bigint
  FROM matview.schedule WHERE $1::text IS NULL OR name = $1 ORDER BY name COLLATE "C")"};

/// $1 name, $2 how many -> first, last (microseconds since 1970), outcome, reason.
inline constexpr pg::named_statement skipped_ticks{"matview_skipped_ticks", R"(
  SELECT (extract(epoch FROM first) * 1000000)::bigint, (extract(epoch FROM last) * 1000000)::bigint,
    outcome, reason
  FROM matview.skipped_tick WHERE schedule = $1 ORDER BY last DESC, id DESC LIMIT $2::int)"};

/// $1 name -> a row if it was there.
inline constexpr pg::named_statement remove_schedule{"matview_remove_schedule", R"(
  DELETE FROM matview.schedule WHERE name = $1 RETURNING name)"};

/// $1 name -> a row if it is there.
inline constexpr pg::named_statement pause_schedule{"matview_pause_schedule", R"(
  UPDATE matview.schedule
  SET paused_at = coalesce(paused_at, clock_timestamp()),
      paused_why = CASE WHEN paused_at IS NULL THEN NULL ELSE paused_why END
  WHERE name = $1 RETURNING name)"};

/// $1 name, $2 next tick in microseconds since 1970 -> a row if it is there.
inline constexpr pg::named_statement resume_schedule{"matview_resume_schedule", R"(
  WITH changed AS (
    UPDATE matview.schedule SET paused_at = NULL, paused_why = NULL, failures = 0,
      next_at = to_timestamp($2::bigint / 1000000) + ($2::bigint % 1000000) * interval '1 microsecond'
    WHERE name = $1 AND paused_at IS NOT NULL RETURNING name)
  SELECT name, pg_notify('matview_schedule', name) FROM changed)"};

/// $1 name -> the id of a job of the schedule beside its ticks; no row if there is no schedule.
inline constexpr pg::named_statement run_schedule_now{"matview_run_schedule_now", R"(
  WITH made AS (
    INSERT INTO matview.job (schedule, task, args, queue, priority, max_attempts, timeout)
    SELECT name, task, args, queue, priority, max_attempts, timeout FROM matview.schedule
    WHERE name = $1 RETURNING id, queue)
  SELECT id, pg_notify('matview_job', queue) FROM made)"};

/// $1 id or NULL, $2 state or NULL, $3 queue or NULL, $4 schedule or NULL, $5 how many -> jobs, the
/// newest first; times in microseconds since 1970.
inline constexpr pg::named_statement jobs{"matview_jobs", R"(
  SELECT id, state, queue, task, args, priority, attempt, max_attempts, rescues,
    coalesce(schedule, ''), (extract(epoch FROM tick) * 1000000)::bigint, worker_id,
    (extract(epoch FROM created_at) * 1000000)::bigint, (extract(epoch FROM run_at) * 1000000)::bigint,
    (extract(epoch FROM started_at) * 1000000)::bigint,
    (extract(epoch FROM finished_at) * 1000000)::bigint, coalesce(last_error, ''), errors
  FROM matview.job
  WHERE ($1::bigint IS NULL OR id = $1::bigint) AND ($2::text IS NULL OR state::text = $2)
    AND ($3::text IS NULL OR queue = $3) AND ($4::text IS NULL OR schedule = $4)
  ORDER BY id DESC LIMIT $5::bigint)"};

/// $1 id or NULL for all dead ones, $2 queue or NULL, $3 schedule or NULL -> the ids put back. One
/// whose key has a waiting job stays.
inline constexpr pg::named_statement retry{"matview_retry", R"(
  WITH again AS (
    UPDATE matview.job j
    SET state = 'ready', attempt = 0, finished_at = NULL, cancel_requested = false,
        run_at = clock_timestamp()
    WHERE CASE WHEN $1::bigint IS NULL THEN state = 'dead'
        ELSE id = $1::bigint AND state IN ('dead', 'cancelled') END
      AND ($2::text IS NULL OR queue = $2) AND ($3::text IS NULL OR schedule = $3)
      AND (dedupe IS NULL OR (
        NOT EXISTS (SELECT FROM matview.job t WHERE t.dedupe = j.dedupe AND t.state = 'ready')
        AND NOT EXISTS (SELECT FROM matview.job t WHERE t.dedupe = j.dedupe AND t.id > j.id
          AND t.state IN ('dead', 'cancelled'))))
    RETURNING id, queue),
  told AS (SELECT pg_notify('matview_job', queue) FROM (SELECT DISTINCT queue FROM again) AS q),
  notified AS MATERIALIZED (SELECT count(*) FROM told)
  SELECT id FROM again, notified)"};

/// $1 id -> its state then: cancelled, or running when its worker has been asked; no row if there
/// is no such job or it has ended.
inline constexpr pg::named_statement cancel{"matview_cancel", R"(
  WITH asked AS (
    UPDATE matview.job
    SET cancel_requested = true,
        state = CASE state WHEN 'ready' THEN 'cancelled' ELSE state END,
        finished_at = CASE state WHEN 'ready' THEN clock_timestamp() END,
        last_error = CASE state WHEN 'ready' THEN 'cancelled before it ran' ELSE last_error END
    WHERE id = $1::bigint AND state IN ('ready', 'running') RETURNING state, worker_id)
  SELECT state, pg_notify('matview_cancel', coalesce(worker_id::text, '')) FROM asked)"};

/// $1 age in seconds, $2 state or NULL, $3 queue or NULL, $4 schedule or NULL, $5 how many at most
/// -> how many jobs were deleted.
inline constexpr pg::named_statement purge_some{"matview_purge_some", R"(
  WITH old AS (
    SELECT id FROM matview.job
    WHERE finished_at < clock_timestamp() - make_interval(secs => $1::float8)
      AND ($2::text IS NULL OR state::text = $2) AND ($3::text IS NULL OR queue = $3)
      AND ($4::text IS NULL OR schedule = $4)
    ORDER BY finished_at LIMIT $5::int FOR UPDATE SKIP LOCKED),
  gone AS (DELETE FROM matview.job j USING old WHERE j.id = old.id RETURNING 1)
  SELECT count(*) FROM gone)"};

/// $1 queue.
inline constexpr pg::named_statement pause_queue{"matview_pause_queue", R"(
  INSERT INTO matview.queue AS q (name, paused_at) VALUES ($1, clock_timestamp())
  ON CONFLICT (name) DO UPDATE SET paused_at = coalesce(q.paused_at, excluded.paused_at))"};

/// $1 queue.
inline constexpr pg::named_statement resume_queue{"matview_resume_queue", R"(
  WITH gone AS (DELETE FROM matview.queue WHERE name = $1 RETURNING name)
  SELECT pg_notify('matview_job', $1))"};

/// $1 lease in seconds -> the workers, by id.
inline constexpr pg::named_statement workers{"matview_workers", R"(
  SELECT id, host, pid, version, coalesce(array_to_string(queues, E'\n'), ''), concurrency,
    (SELECT count(*) FROM matview.job j WHERE j.worker_id = w.id AND j.state = 'running'),
    CASE WHEN holds_lock THEN NOT pg_try_advisory_xact_lock(1836414569, id::int)
      ELSE heartbeat_at > clock_timestamp() - make_interval(secs => $1::float8) END,
    (extract(epoch FROM started_at) * 1000000)::bigint,
    (extract(epoch FROM heartbeat_at) * 1000000)::bigint,
    (extract(epoch FROM stopping_at) * 1000000)::bigint
  FROM matview.worker w ORDER BY id)"};

}  // namespace sql

}  // namespace matview::store
