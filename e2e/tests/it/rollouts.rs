//! Staged rollouts with everything real: many proxies and Envoys under traffic, two control planes on one Postgres.

mod bad_revision;
mod completes;
mod refused;
mod stage;
