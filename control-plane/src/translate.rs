//! The operator's model in Envoy's messages. Pure: a [`Config`] and a class of client come in, encoded resources go
//! out; equal content gives equal bytes. One file per kind, and `precedence` for the order of routes.
//!
//! What was translated stays at hand (`translation`), and a config that comes after it costs what is different in it
//! (`change`). It is known as well what every resource was made from (`origin`), so that what `xds` says of a message is
//! told to the operator with a pointer into the operator's own document.

pub mod precedence;
pub mod shadow;

mod change;
mod cluster;
mod endpoint;
mod grpc;
mod headers;
mod host;
mod listener;
mod matching;
mod origin;
mod route;
mod route_configuration;
mod step;
mod translation;
mod value;
mod warning;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use prost::Message;
use xds::node::ClientClass;
use xds::problem::Problem;
use xds::snapshot::Snapshot;

use crate::model::{Config, Endpoints};

pub use self::translation::{Attempt, Translation, Work};
pub use self::warning::{Warning, warnings};

/// The endpoints of clusters with `discovery: api`, by cluster.
pub type FastLane = BTreeMap<Arc<str>, Arc<Endpoints>>;

/// Translates the endpoints of one cluster: the bytes of its `ClusterLoadAssignment`.
pub fn endpoints(cluster: &str, endpoints: &Endpoints) -> Bytes {
    endpoint::translate(cluster, &endpoints.endpoints)
        .encode_to_vec()
        .into()
}

/// The snapshot of everything that a class of client is served. What `earlier` snapshots have with the same bytes is
/// shared with them.
///
/// # Errors
/// What `xds` refuses. A config that was validated has none.
pub fn snapshot(
    config: &Arc<Config>,
    fast_lane: &FastLane,
    class: ClientClass,
    earlier: &[Snapshot],
) -> Result<Snapshot, Vec<Problem>> {
    let fast_lane = Arc::new(fast_lane.clone());
    let nothing = Translation::of_nothing(&[class]);
    let translation = nothing.next(config.clone(), fast_lane, earlier).whole()?;
    Ok(translation.snapshot(class).cloned().unwrap_or_default())
}

#[cfg(test)]
mod tests;
