//! Staged rollouts with everything real: many proxies under traffic, two control planes on one Postgres.

mod bad_revision;
mod completes;
mod stage;
