//! Rollouts and their events.
