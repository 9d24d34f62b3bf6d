//! The harness: real programs as children of a test, and what stands around them.
//! In: the binaries beside the test executable, PostgreSQL's and Envoy's. Out: values that own what they started and end it
//! on drop, also when the process that holds them is killed.
//! Not here: the tests (`tests/`), and any knowledge of how the programs work inside.
//!
//! ```text
//!  client ──► Proxy ×3 ──► Upstream
//!               ▲ xDS
//!  client ──► ControlPlane ──► Postgres
//!               ▼ xDS
//!             Envoy
//! ```

// foundations
pub mod ports;
pub mod tools;
pub mod wait;

// around the programs
pub mod certificates;
pub mod client;
pub mod door;
pub mod name_server;
pub mod namespace;
pub mod process;
pub mod relay;
pub mod upstream;

// what went over a connection, byte for byte
pub mod reading;
pub mod recorder;

// the programs
pub mod envoy;
pub mod grpc;
pub mod postgres;
pub mod programs;
