//! Both programs together: real processes, real databases, real Envoy, real sockets.
#![expect(clippy::unwrap_used, reason = "a test ends where it finds a fault")]

mod envoy_json;
mod fleet;
mod scripted;

mod activations;
mod bytes_per_change;
mod convergence;
mod corpus;
mod counts;
mod discovery_services;
mod foreign_steps;
mod invalid_config;
mod joining;
mod kills;
mod large;
mod load_reports;
mod names;
mod propagation;
mod proxyless;
mod random_edits;
mod replicas;
mod restart;
mod rollouts;
mod same_answers;
mod session;
mod state_of_the_world;
mod stock_clients;
mod survival;
mod websocket;
