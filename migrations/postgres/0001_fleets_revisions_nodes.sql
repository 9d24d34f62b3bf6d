-- Text that is compared or sorted has the collation "C": the same order on every machine, and in SQLite.

-- The unit of configuration. `head` is its newest revision; `change_seq` grows with every change that a client can see.
-- The row's lock makes commits of one fleet follow each other.
CREATE TABLE fleet (
    name       TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    head       BIGINT NOT NULL,
    change_seq BIGINT NOT NULL,
    created_at BIGINT NOT NULL
);

-- A state of a fleet's slow lane. Never updated.
CREATE TABLE revision (
    fleet      TEXT COLLATE "C" NOT NULL REFERENCES fleet (name),
    number     BIGINT NOT NULL,
    hash       BYTEA NOT NULL,
    author     TEXT NOT NULL,
    message    TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (fleet, number)
);

-- Resources as intervals: one is part of every revision from `from_revision` to the one before `to_revision`.
CREATE TABLE resource (
    fleet         TEXT COLLATE "C" NOT NULL REFERENCES fleet (name),
    kind          TEXT COLLATE "C" NOT NULL,
    name          TEXT COLLATE "C" NOT NULL,
    from_revision BIGINT NOT NULL,
    to_revision   BIGINT,
    body          BYTEA NOT NULL,
    hash          BYTEA NOT NULL,
    PRIMARY KEY (fleet, kind, name, from_revision)
);

CREATE UNIQUE INDEX resource_current ON resource (fleet, kind, name) WHERE to_revision IS NULL;

-- The fast lane: endpoints of clusters with `discovery: api`.
CREATE TABLE endpoints (
    fleet      TEXT COLLATE "C" NOT NULL REFERENCES fleet (name),
    cluster    TEXT COLLATE "C" NOT NULL,
    body       BYTEA NOT NULL,
    hash       BYTEA NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (fleet, cluster)
);

-- Running control planes, and when each of them was last seen alive.
CREATE TABLE replica (
    id      TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    seen_at BIGINT NOT NULL
);

-- What each node was sent and what it said to it. Written in batches and often, so pages keep room for updates.
CREATE TABLE node (
    fleet          TEXT COLLATE "C" NOT NULL,
    id             TEXT COLLATE "C" NOT NULL,
    replica        TEXT COLLATE "C" NOT NULL,
    connected      BIGINT NOT NULL,
    class          TEXT NOT NULL,
    user_agent     TEXT NOT NULL,
    zone           TEXT NOT NULL,
    labels         BYTEA NOT NULL,
    connected_at   BIGINT NOT NULL,
    sent_revision  BIGINT,
    acked_revision BIGINT,
    refused        BYTEA,
    updated_at     BIGINT NOT NULL,
    PRIMARY KEY (fleet, id)
) WITH (fillfactor = 70);

INSERT INTO fleet (name, head, change_seq, created_at)
VALUES ('default', 0, 0, CAST(EXTRACT(EPOCH FROM now()) * 1000000 AS BIGINT));
