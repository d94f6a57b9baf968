-- One job, one commit, and the workers are told: what the library's enqueue has to do at least.
BEGIN;
INSERT INTO matview.job (task) VALUES ('floor');
SELECT pg_notify('matview_floor', 'default');
COMMIT;
