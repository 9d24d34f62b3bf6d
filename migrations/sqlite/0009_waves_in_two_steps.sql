-- What the columns are for is said beside their PostgreSQL twins.
ALTER TABLE rollout ADD COLUMN activated BLOB;
ALTER TABLE rollout ADD COLUMN confirmed BLOB;
ALTER TABLE rollout_refusal ADD COLUMN reverted INTEGER NOT NULL DEFAULT 0;
