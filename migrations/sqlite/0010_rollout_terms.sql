-- When a rollout may begin, whether it is an urgent one, and what a commit says of when it may be rolled out.

ALTER TABLE rollout ADD COLUMN not_before INTEGER;
ALTER TABLE rollout ADD COLUMN urgent INTEGER NOT NULL DEFAULT 0;
ALTER TABLE revision ADD COLUMN not_before INTEGER;
