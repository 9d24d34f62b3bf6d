//! What the control plane and the proxy agree on: resources, snapshots, `compile`, and "which route?".
//!
//! ```text
//!   Any ── decode ─► Resource ──► Snapshot ── compile ─► Config ── RouteTable::find ─► Route
//!           │ Problems                          │ Problems
//! ```
//!
//! Both programs call the same functions: the control plane's dry run is the proxy's own code.
//! Pure: no sockets, no clock, no async, no global state. Everything here is an immutable value
//! that may be shared between threads.

// Words of the protocol.
pub mod names;
pub mod node;
pub mod type_url;
pub mod version;

// What is wrong, and where.
pub mod problem;

// What a request is asked for, and the index that answers.
pub mod prefix_tree;
pub mod regex_set;

pub mod matcher;
pub mod route;
pub mod route_index;

// One resource: decoded, validated, with the bytes it came from.
pub mod resource;

// Many resources: as a number, as sent, and as used.
pub mod sum;

pub mod snapshot;

pub mod route_table;

pub mod config;

pub mod compile;

pub mod fast_lane;

// Questions about them: what is shared, and why a request goes where it goes.
pub mod explain;
pub mod reuse;
