//! The xDS server: aggregated streams and streams of one type, each in both variants of the protocol. In: streams of
//! clients. Out: what `snapshots` holds for their fleet, their class and them, and to `nodes` what they make of it.
//!
//! - `subscription`: what a client asked for, pure.
//! - `held`, `whole`: what it holds, as far as the server knows, pure.
//! - `order`: which type is served next, pure.
//! - `delta`, `sotw`: a stream as a state machine, pure; `variant` gives both one face.
//! - `wire`: responses as bytes.
//! - `turnstile`: how fast new streams come in.
//! - `requests`, `body`: gRPC messages in and out of the bodies of a call.
//! - `stream`, `services`: I/O.

mod body;
mod delta;
mod held;
mod order;
mod requests;
mod services;
mod sotw;
mod stream;
mod subscription;
#[cfg(test)]
mod testing;
mod turnstile;
mod variant;
mod whole;
mod wire;

use std::sync::Arc;

use tonic::service::Routes;

use crate::metrics::Metrics;
use crate::nodes::Nodes;
use crate::reconciler::Reconciler;
use crate::refusals::Refusals;
use crate::snapshots::Snapshots;

pub use self::delta::{DeltaState, Meaning};
pub use self::sotw::SotwState;
pub use self::turnstile::Turnstile;
pub use self::variant::Variant;
pub use self::wire::Encoded;

/// All discovery services.
#[derive(Clone, Debug)]
pub struct AdsService {
    context: Arc<StreamContext>,
}

/// What every stream needs.
#[derive(Debug)]
pub struct StreamContext {
    /// Asked to read the store again before a new stream is served.
    pub reconciler: Arc<Reconciler>,
    /// What is served.
    pub snapshots: Arc<Snapshots>,
    /// Told what clients say.
    pub nodes: Arc<Nodes>,
    /// Told what they refuse.
    pub refusals: Arc<Refusals>,
    /// Counts.
    pub metrics: Arc<Metrics>,
    /// How fast new streams come in.
    pub turnstile: Turnstile,
    /// Named in every response, so that a client's operator sees which replica serves it.
    pub control_plane: String,
}

impl AdsService {
    /// The services over what their streams need.
    pub fn new(context: StreamContext) -> Self {
        Self {
            context: Arc::new(context),
        }
    }

    /// The services as tonic serves them.
    pub fn routes(&self) -> Routes {
        services::routes(&self.context)
    }
}
