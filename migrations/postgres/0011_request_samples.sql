-- What proxies have seen of requests: each kind of head once, with how many requests it stands for. Bounded for each fleet.
-- `head` is canonical JSON and `fingerprint` its hash. `weight` counts in parts of 256 and is that of `day` (days since 1970): it is
-- halved for each day that has passed since.
CREATE TABLE request_sample (
    fleet       TEXT COLLATE "C" NOT NULL,
    fingerprint BYTEA NOT NULL,
    head        BYTEA NOT NULL,
    weight      BIGINT NOT NULL,
    day         BIGINT NOT NULL,
    seen_at     BIGINT NOT NULL,
    PRIMARY KEY (fleet, fingerprint)
);
