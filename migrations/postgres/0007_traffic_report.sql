-- The last report of requests that was counted of each proxy process: one that comes a second time, here or at another replica, is
-- known by it. `reporter` is the number that the process gave itself. Kept for a day.
CREATE TABLE traffic_report (
    fleet    TEXT COLLATE "C" NOT NULL,
    reporter BIGINT NOT NULL,
    sequence BIGINT NOT NULL,
    at       BIGINT NOT NULL,
    PRIMARY KEY (fleet, reporter)
);

CREATE INDEX traffic_report_at ON traffic_report (at);
