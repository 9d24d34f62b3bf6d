//! The control plane: what operators manage, stored as revisions, served to fleets of proxies.
//!
//! ```text
//!   operator ── REST ─► api ─► store ─► reconciler ─► snapshots ─► ads ══ xDS ══► proxies
//!                         ▲                                         ║
//!                         └────────────── nodes ◄──── ACK / NACK ◄══╝
//! ```
//!
//! A module uses only modules listed above it; `app` alone knows all.

// Connections, plain or by TLS.
pub mod tls;

// What a process counts.
pub mod metrics;

// How long requests took.
pub mod sketch;

// The operator's words, and the same in Envoy's.
pub mod model;
pub mod translate;

// What a proxy tells of a request.
pub mod sample;

// Who may do what.
pub mod access;

// How a fleet moves from one revision to another.
pub mod rollout;

// What a process is told at start.
pub mod settings;

// What may be stored, what it would change, and where it is stored.
pub mod revision;

pub mod workbench;

pub mod explain;

pub mod impact;

pub mod plan;

pub mod store;

// Who it is that asks.
pub mod tokens;

pub mod join;

// What clients are served, and what they say to it.
pub mod nodes;

pub mod traffic;

pub mod samples;

pub mod lrs;

pub mod lookout;

pub mod events;

pub mod brake;

pub mod snapshots;

pub mod refusals;

pub mod webhooks;

pub mod driver;

pub mod reconciler;

pub mod ads;

pub mod session;

// A database as a file, and back.
pub mod transfer;

// The admin API.
pub mod api;

// Everything together.
pub mod app;

// The command line, which asks the API from outside.
pub mod cli;
