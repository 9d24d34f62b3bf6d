//! Staged rollouts with everything real: many proxies and Envoys under traffic, two control planes on one Postgres.

mod bad_revision;
mod command_line;
mod completes;
mod course;
mod database_away;
mod driver_killed;
mod joining;
mod leased;
mod refused;
mod stage;
mod together;
mod validators;
