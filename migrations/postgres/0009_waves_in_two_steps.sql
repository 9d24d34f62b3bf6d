-- Which of the nodes that a rollout has chosen have been told to serve the new revision, and which of those serve it for good
-- and not under a lease: documents like `selection`. NULL: all of them, as in rows of versions that knew neither.
ALTER TABLE rollout ADD COLUMN activated BYTEA;
ALTER TABLE rollout ADD COLUMN confirmed BYTEA;
