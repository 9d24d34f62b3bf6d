//! The proxy from outside: real sockets on loopback, configs in Envoy's own form, everything but the control plane.
//! Clients and upstreams are blocking and scripted byte by byte, so that what is sent is what the test says.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

mod admin;
mod cancel;
mod connections;
mod disk;
mod drain;
mod failures;
mod fields;
mod flow_control;
mod forwarding;
mod leases;
mod listeners;
mod local_answers;
mod odd_requests;
mod reports;
mod rewrites;
mod swap;
mod timeouts;
mod upgrades;
