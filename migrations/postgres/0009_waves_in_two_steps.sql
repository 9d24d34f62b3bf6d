-- Which of the nodes that a rollout has chosen have been told to serve the new revision, and which of those serve it for good
-- and not under a lease: documents like `selection`. NULL: all of them, as in rows of versions that knew neither.
ALTER TABLE rollout ADD COLUMN activated BYTEA;
ALTER TABLE rollout ADD COLUMN confirmed BYTEA;
-- 1: the node served the revision, and went back by itself when its lease had run out.
ALTER TABLE rollout_refusal ADD COLUMN reverted BIGINT NOT NULL DEFAULT 0;
-- 1: the node's labels say that it is there to try revisions. Each rollout asks for these nodes when it begins.
ALTER TABLE node ADD COLUMN validator BIGINT NOT NULL DEFAULT 0;
CREATE INDEX node_validator ON node (fleet) WHERE validator = 1;
