-- What the columns are for is said beside their PostgreSQL twins.
ALTER TABLE rollout ADD COLUMN activated BLOB;
ALTER TABLE rollout ADD COLUMN confirmed BLOB;
ALTER TABLE rollout_refusal ADD COLUMN reverted INTEGER NOT NULL DEFAULT 0;
ALTER TABLE node ADD COLUMN validator INTEGER NOT NULL DEFAULT 0;
CREATE INDEX node_validator ON node (fleet) WHERE validator = 1;
