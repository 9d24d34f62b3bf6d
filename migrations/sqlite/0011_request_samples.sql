-- What the table is for is said beside its PostgreSQL twin.
CREATE TABLE request_sample (
    fleet       TEXT NOT NULL,
    fingerprint BLOB NOT NULL,
    head        BLOB NOT NULL,
    weight      INTEGER NOT NULL,
    day         INTEGER NOT NULL,
    seen_at     INTEGER NOT NULL,
    PRIMARY KEY (fleet, fingerprint)
) STRICT;
