-- What the tables are for is said beside their PostgreSQL twins.

CREATE TABLE fleet (
    name       TEXT NOT NULL PRIMARY KEY,
    head       INTEGER NOT NULL,
    change_seq INTEGER NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE revision (
    fleet      TEXT NOT NULL REFERENCES fleet (name),
    number     INTEGER NOT NULL,
    hash       BLOB NOT NULL,
    author     TEXT NOT NULL,
    message    TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (fleet, number)
) STRICT;

CREATE TABLE resource (
    fleet         TEXT NOT NULL REFERENCES fleet (name),
    kind          TEXT NOT NULL,
    name          TEXT NOT NULL,
    from_revision INTEGER NOT NULL,
    to_revision   INTEGER,
    body          BLOB NOT NULL,
    hash          BLOB NOT NULL,
    PRIMARY KEY (fleet, kind, name, from_revision)
) STRICT;

CREATE UNIQUE INDEX resource_current ON resource (fleet, kind, name) WHERE to_revision IS NULL;

CREATE TABLE endpoints (
    fleet      TEXT NOT NULL REFERENCES fleet (name),
    cluster    TEXT NOT NULL,
    body       BLOB NOT NULL,
    hash       BLOB NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (fleet, cluster)
) STRICT;

CREATE TABLE replica (
    id      TEXT NOT NULL PRIMARY KEY,
    seen_at INTEGER NOT NULL
) STRICT;

CREATE TABLE node (
    fleet          TEXT NOT NULL,
    id             TEXT NOT NULL,
    replica        TEXT NOT NULL,
    connected      INTEGER NOT NULL,
    class          TEXT NOT NULL,
    user_agent     TEXT NOT NULL,
    zone           TEXT NOT NULL,
    labels         BLOB NOT NULL,
    connected_at   INTEGER NOT NULL,
    sent_revision  INTEGER,
    acked_revision INTEGER,
    refused        BLOB,
    updated_at     INTEGER NOT NULL,
    PRIMARY KEY (fleet, id)
) STRICT;

INSERT INTO fleet (name, head, change_seq, created_at)
VALUES ('default', 0, 0, CAST(unixepoch('now', 'subsec') * 1000000 AS INTEGER));
