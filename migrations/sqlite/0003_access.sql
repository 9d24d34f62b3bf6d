-- What the tables are for is said beside their PostgreSQL twins.
ALTER TABLE fleet ADD COLUMN settings BLOB;
ALTER TABLE fleet ADD COLUMN deleted_at INTEGER;

CREATE TABLE token (
    id         TEXT NOT NULL PRIMARY KEY,
    name       TEXT NOT NULL,
    kind       TEXT NOT NULL,
    role       TEXT NOT NULL,
    fleets     BLOB,
    hash       BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    created_by TEXT NOT NULL,
    expires_at INTEGER,
    revoked_at INTEGER
) STRICT;

CREATE UNIQUE INDEX token_hash ON token (hash);
CREATE UNIQUE INDEX token_name ON token (name) WHERE revoked_at IS NULL;

CREATE TABLE audit (
    id         TEXT NOT NULL PRIMARY KEY,
    at         INTEGER NOT NULL,
    actor      TEXT NOT NULL,
    action     TEXT NOT NULL,
    fleet      TEXT,
    object     TEXT NOT NULL,
    revision   INTEGER,
    request_id TEXT NOT NULL,
    detail     BLOB
) STRICT;

CREATE INDEX audit_at ON audit (at, id);
CREATE INDEX audit_fleet ON audit (fleet, at, id);

CREATE TABLE counter (
    name  TEXT NOT NULL PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT;

INSERT INTO counter (name, value) VALUES ('tokens', 0);

CREATE TABLE lease (
    name        TEXT NOT NULL PRIMARY KEY,
    holder      TEXT NOT NULL,
    until       INTEGER NOT NULL,
    row_version INTEGER NOT NULL
) STRICT;
