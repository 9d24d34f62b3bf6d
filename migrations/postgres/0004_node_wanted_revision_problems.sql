-- The revision that a node is to have, and what is wrong with it: a list of texts, as JSON.
ALTER TABLE node ADD COLUMN wanted_revision BIGINT;
ALTER TABLE node ADD COLUMN problems BYTEA;
