-- What the tables are for is said beside their PostgreSQL twins.
ALTER TABLE fleet ADD COLUMN stable INTEGER NOT NULL DEFAULT 0;
ALTER TABLE fleet ADD COLUMN assignment INTEGER NOT NULL DEFAULT 0;
ALTER TABLE fleet ADD COLUMN held TEXT;
UPDATE fleet SET stable = head, assignment = head;

CREATE TABLE rollout (
    id              TEXT NOT NULL PRIMARY KEY,
    fleet           TEXT NOT NULL REFERENCES fleet (name),
    from_revision   INTEGER NOT NULL,
    to_revision     INTEGER NOT NULL,
    strategy        BLOB NOT NULL,
    salt            TEXT NOT NULL,
    state           TEXT NOT NULL,
    paused          BLOB,
    wave            INTEGER NOT NULL,
    selection       BLOB NOT NULL,
    wave_at         INTEGER,
    deadline        INTEGER,
    promoted        INTEGER NOT NULL,
    verdicts        BLOB NOT NULL,
    refusals_judged INTEGER NOT NULL,
    reason          TEXT NOT NULL,
    created_by      TEXT NOT NULL,
    created_at      INTEGER NOT NULL,
    approved_by     TEXT,
    ended_at        INTEGER,
    outcome         TEXT,
    row_version     INTEGER NOT NULL
) STRICT;

CREATE UNIQUE INDEX rollout_active ON rollout (fleet) WHERE ended_at IS NULL;
CREATE INDEX rollout_fleet ON rollout (fleet, created_at, id);

CREATE TABLE rollout_event (
    rollout TEXT NOT NULL REFERENCES rollout (id),
    seq     INTEGER NOT NULL,
    at      INTEGER NOT NULL,
    actor   TEXT NOT NULL,
    kind    TEXT NOT NULL,
    state   TEXT NOT NULL,
    wave    INTEGER NOT NULL,
    detail  TEXT NOT NULL,
    data    BLOB,
    PRIMARY KEY (rollout, seq)
) STRICT;

CREATE TABLE rollout_refusal (
    rollout     TEXT NOT NULL REFERENCES rollout (id),
    node        TEXT NOT NULL,
    row_version INTEGER NOT NULL,
    at          INTEGER NOT NULL,
    type_url    TEXT NOT NULL,
    resources   BLOB NOT NULL,
    message     TEXT NOT NULL,
    PRIMARY KEY (rollout, node)
) STRICT;

CREATE TABLE traffic (
    fleet    TEXT NOT NULL,
    at       INTEGER NOT NULL,
    replica  TEXT NOT NULL,
    revision INTEGER NOT NULL,
    body     BLOB NOT NULL
) STRICT;

CREATE INDEX traffic_fleet ON traffic (fleet, at);
