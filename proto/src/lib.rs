//! Protobuf that is not xDS itself: our own services (`session`), generated and committed, and Envoy's API as data, the
//! descriptor set of every message with its use as protobuf JSON.
//! Not here: the Rust types of Envoy's messages (`envoy-types` has them) and their meaning (`xds` has it).

// Our own.
pub mod session;

// Envoy's, as data.
pub mod descriptors;
pub mod json;
