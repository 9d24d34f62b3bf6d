//! The routes of one host as they were translated, kept from one config to the next: while none of them changes, the same
//! bytes serve, in a resource of their own and inside of one.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use crate::model::Route;

/// The routes of one host.
#[derive(Debug)]
pub(super) struct Host {
    /// The host, as routes name it.
    pub(super) pattern: String,
    /// The route behind each route of the message.
    pub(super) routes: Vec<Arc<Route>>,
    /// The encoded message.
    pub(super) bytes: Bytes,
    /// Whether a route in it leads to what stands in for what a client cannot have.
    pub(super) has_stand_in: bool,
}

/// Hosts by the name of the resource that is made from each.
pub(super) type Hosts = BTreeMap<Arc<str>, Arc<Host>>;
