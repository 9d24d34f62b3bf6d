-- Another replica that has a live stream of the node as well, and when it last said so, by the database's clock.
ALTER TABLE node ADD COLUMN rival TEXT;
ALTER TABLE node ADD COLUMN rival_at BIGINT;
