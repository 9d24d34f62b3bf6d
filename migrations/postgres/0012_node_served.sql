-- What each node has served: a row for each change, true from `at` until the next row of the node. Bounded by age.
CREATE TABLE node_served (
    fleet    TEXT COLLATE "C" NOT NULL,
    node     TEXT COLLATE "C" NOT NULL,
    at       BIGINT NOT NULL,
    revision BIGINT NOT NULL,
    PRIMARY KEY (fleet, node, at)
);
