-- What is stopped has been so since it changed last.
UPDATE "sandboxes" SET "stopped_at" = "changed_at" WHERE "state" = 'stopped' AND "desired_state" = 'stopped';
