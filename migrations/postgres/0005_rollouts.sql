-- `stable` is what all nodes are to serve while no rollout runs; `assignment` grows whenever what any node is to serve
-- changes; `held` names the rollout after which commits begin none, until somebody reverts or begins one by hand.
ALTER TABLE fleet ADD COLUMN stable BIGINT NOT NULL DEFAULT 0;
ALTER TABLE fleet ADD COLUMN assignment BIGINT NOT NULL DEFAULT 0;
ALTER TABLE fleet ADD COLUMN held TEXT;
UPDATE fleet SET stable = head, assignment = head;

-- How a fleet moves from one revision to another. Every change of a row is fenced by its `row_version`; one that has
-- `ended_at` never changes again.
CREATE TABLE rollout (
    id              TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    fleet           TEXT COLLATE "C" NOT NULL REFERENCES fleet (name),
    from_revision   BIGINT NOT NULL,
    to_revision     BIGINT NOT NULL,
    strategy        BYTEA NOT NULL,
    salt            TEXT NOT NULL,
    state           TEXT NOT NULL,
    paused          BYTEA,
    wave            BIGINT NOT NULL,
    selection       BYTEA NOT NULL,
    wave_at         BIGINT,
    deadline        BIGINT,
    promoted        BIGINT NOT NULL,
    verdicts        BYTEA NOT NULL,
    refusals_judged BIGINT NOT NULL,
    reason          TEXT NOT NULL,
    created_by      TEXT NOT NULL,
    created_at      BIGINT NOT NULL,
    approved_by     TEXT,
    ended_at        BIGINT,
    outcome         TEXT,
    row_version     BIGINT NOT NULL
);

CREATE UNIQUE INDEX rollout_active ON rollout (fleet) WHERE ended_at IS NULL;
CREATE INDEX rollout_fleet ON rollout (fleet, created_at, id);

-- What happened in a rollout, each row in the transaction of the change that it tells of.
CREATE TABLE rollout_event (
    rollout TEXT COLLATE "C" NOT NULL REFERENCES rollout (id),
    seq     BIGINT NOT NULL,
    at      BIGINT NOT NULL,
    actor   TEXT NOT NULL,
    kind    TEXT NOT NULL,
    state   TEXT NOT NULL,
    wave    BIGINT NOT NULL,
    detail  TEXT NOT NULL,
    data    BYTEA,
    PRIMARY KEY (rollout, seq)
);

-- Nodes that refused a rollout's new revision: one row a node. `row_version` is that of the rollout after it was told.
CREATE TABLE rollout_refusal (
    rollout     TEXT COLLATE "C" NOT NULL REFERENCES rollout (id),
    node        TEXT COLLATE "C" NOT NULL,
    row_version BIGINT NOT NULL,
    at          BIGINT NOT NULL,
    type_url    TEXT NOT NULL,
    resources   BYTEA NOT NULL,
    message     TEXT NOT NULL,
    PRIMARY KEY (rollout, node)
);

-- What proxies report of the requests that a revision has served. Rows live for an hour.
CREATE TABLE traffic (
    fleet    TEXT COLLATE "C" NOT NULL,
    at       BIGINT NOT NULL,
    replica  TEXT COLLATE "C" NOT NULL,
    revision BIGINT NOT NULL,
    body     BYTEA NOT NULL
);

CREATE INDEX traffic_fleet ON traffic (fleet, at);
