//! Both programs together: real processes, real databases, real Envoy, real sockets.
#![expect(clippy::unwrap_used, reason = "a test ends where it finds a fault")]

mod fleet;
mod scripted;

mod invalid_config;
mod propagation;
mod replicas;
mod same_answers;
mod survival;
