-- What our own proxies say: the revision that requests are served by, and the one that can be switched to at once.
ALTER TABLE node ADD COLUMN live_revision INTEGER;
ALTER TABLE node ADD COLUMN staged_revision INTEGER;
