//! Both programs together: real processes, real databases, real Envoy, real sockets.
#![expect(clippy::unwrap_used, reason = "a test ends where it finds a fault")]

mod envoy_json;
mod fleet;
mod scripted;

mod activations;
mod bytes_per_change;
mod foreign_steps;
mod invalid_config;
mod large;
mod propagation;
mod replicas;
mod restart;
mod same_answers;
mod session;
mod state_of_the_world;
mod survival;
mod websocket;
