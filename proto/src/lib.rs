//! Envoy's API as data: the descriptor set of every message and its use as protobuf JSON.
//! In: resources as bytes with a type URL. Out: the JSON that Envoy's own admin pages show, and back.
//! Not here: the Rust types of the messages (`envoy-types` has them) and their meaning (`xds` has it).

pub mod descriptors;
pub mod json;
