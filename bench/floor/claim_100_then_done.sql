-- The same, a hundred at once: two commits for a hundred jobs.
WITH claimed AS (
  UPDATE matview.job SET state = 'running', attempt = attempt + 1, worker_id = 0,
    started_at = clock_timestamp(), lease_until = clock_timestamp() + interval '30 s'
  WHERE id = ANY (ARRAY(SELECT id FROM matview.job
    WHERE state = 'ready' AND run_at <= clock_timestamp()
    ORDER BY priority, run_at, id LIMIT 100 FOR UPDATE SKIP LOCKED))
  RETURNING id)
SELECT '{' || string_agg(id::text, ',') || '}' AS ids FROM claimed \gset
UPDATE matview.job SET state = 'done', finished_at = clock_timestamp(), lease_until = NULL
WHERE id = ANY ((:ids)::bigint[]) AND state = 'running' AND worker_id = 0;
