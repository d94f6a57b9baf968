-- 500 jobs, one commit.
INSERT INTO matview.job (task) SELECT 'floor' FROM generate_series(1, 500);
