-- A job that runs outside the transactions that claim and complete it: two commits.
UPDATE matview.job SET state = 'running', attempt = attempt + 1, worker_id = 0,
  started_at = clock_timestamp(), lease_until = clock_timestamp() + interval '30 s'
WHERE id = (SELECT id FROM matview.job WHERE state = 'ready' AND run_at <= clock_timestamp()
  ORDER BY priority, run_at, id LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING id \gset
UPDATE matview.job SET state = 'done', finished_at = clock_timestamp(), lease_until = NULL
WHERE id = :id AND state = 'running' AND worker_id = 0;
