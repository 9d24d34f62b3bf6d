-- When a rollout may begin, whether it is an urgent one, and what a commit says of when it may be rolled out.

ALTER TABLE rollout ADD COLUMN not_before BIGINT;
ALTER TABLE rollout ADD COLUMN urgent BIGINT NOT NULL DEFAULT 0;
ALTER TABLE revision ADD COLUMN not_before BIGINT;
