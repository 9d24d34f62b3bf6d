//! `signalbox-proxy`, the data plane: an HTTP proxy that is told by xDS what to serve.
//!
//! ```text
//!   control plane ══ADS══► ads ─► xds::compile ─► live ◄─ reads ─ worker (one thread a core)
//!                                                                   │
//!   client ─► listener ─► connection ─► request ─► upstream ─► endpoint
//! ```
//!
//! Config flows from left to right as immutable values and goes live with one store. Workers share nothing on the request
//! path but that one reference. A module uses only modules that are listed above it; `app` alone knows all.

// What everything else is told or counts with.
pub mod bootstrap;

mod cause;
mod metrics;

pub mod outcomes;

mod samples;

// Bytes of connections.
mod buffers;

mod receiving;

mod client;

// Towards endpoints.
mod upstream;

// What is served, and by whom.
mod socket;

pub mod live;

mod worker;

// A request, and how it comes in.
mod request;

mod connection;

mod listener;

pub mod traffic;

// The side runtime.
mod disk;

mod dns;

mod delivery;

pub mod ads;

mod machine;

mod admin;

pub mod app;
