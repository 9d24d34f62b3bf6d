-- What the table is for is said beside its PostgreSQL twin.
CREATE TABLE node_served (
    fleet    TEXT NOT NULL,
    node     TEXT NOT NULL,
    at       INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    PRIMARY KEY (fleet, node, at)
) STRICT;
