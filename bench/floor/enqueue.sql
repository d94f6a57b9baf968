-- One job, one commit.
INSERT INTO matview.job (task) VALUES ('floor');
