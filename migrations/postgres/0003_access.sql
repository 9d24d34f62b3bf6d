-- What operators say of a fleet, as a document; and when it was deleted. A deleted fleet keeps its revisions: one that is
-- created again under the same name goes on counting where the old one ended.
ALTER TABLE fleet ADD COLUMN settings BYTEA;
ALTER TABLE fleet ADD COLUMN deleted_at BIGINT;

-- Who may do what. The secret itself is told once and stored nowhere: only its hash is.
CREATE TABLE token (
    id         TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    name       TEXT COLLATE "C" NOT NULL,
    kind       TEXT COLLATE "C" NOT NULL,
    role       TEXT COLLATE "C" NOT NULL,
    fleets     BYTEA,
    hash       BYTEA NOT NULL,
    created_at BIGINT NOT NULL,
    created_by TEXT NOT NULL,
    expires_at BIGINT,
    revoked_at BIGINT
);

CREATE UNIQUE INDEX token_hash ON token (hash);
CREATE UNIQUE INDEX token_name ON token (name) WHERE revoked_at IS NULL;

-- What was written, by whom. A row stands in the same transaction as what it tells of.
CREATE TABLE audit (
    id         TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    at         BIGINT NOT NULL,
    actor      TEXT COLLATE "C" NOT NULL,
    action     TEXT COLLATE "C" NOT NULL,
    fleet      TEXT COLLATE "C",
    object     TEXT NOT NULL,
    revision   BIGINT,
    request_id TEXT NOT NULL,
    detail     BYTEA
);

CREATE INDEX audit_at ON audit (at, id);
CREATE INDEX audit_fleet ON audit (fleet, at, id);

-- Counters that replicas poll: one that moved says what has to be read again.
CREATE TABLE counter (
    name  TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    value BIGINT NOT NULL
);

INSERT INTO counter (name, value) VALUES ('tokens', 0);

-- Which replica does what only one has to do. A courtesy between replicas, not a fence.
CREATE TABLE lease (
    name        TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    holder      TEXT COLLATE "C" NOT NULL,
    until       BIGINT NOT NULL,
    row_version BIGINT NOT NULL
);
