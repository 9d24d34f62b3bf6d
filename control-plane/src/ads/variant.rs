//! The two variants of the protocol behind one face, for the one driver of streams (`stream`), and for whoever runs
//! a stream without a socket. What a request means and what is sent when is in `delta` and `sotw`.

use std::fmt;
use std::sync::Arc;

use envoy_types::pb::envoy::config::core::v3::Node;
use envoy_types::pb::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DiscoveryRequest};
use tokio::time::Instant;
use xds::node::ClientClass;
use xds::type_url::ResourceType;

use crate::snapshots::Served;

use super::delta::{DeltaState, Meaning};
use super::order::Removals;
use super::sotw::SotwState;
use super::wire::Encoded;

/// One stream's state, in either variant.
pub trait Variant: fmt::Debug + Send + Sized + 'static {
    /// What the client says.
    type Request: prost::Message + Default + 'static;

    /// The class whose snapshot a client of this class is served.
    fn class(class: ClientClass) -> ClientClass;
    /// Whether resources of this type exist in this variant.
    fn serves(ty: ResourceType) -> bool;
    /// Who the client says it is.
    fn node(request: &Self::Request) -> Option<&Node>;
    /// The type that a request is about.
    fn type_url(request: &Self::Request) -> &str;
    /// The answer to a request of a type that is not served; `None` if there is nothing to say.
    fn unknown(request: &Self::Request) -> Option<Encoded>;

    /// A new stream of a client of this class.
    fn new(target: Arc<Served>, class: ClientClass, now: Instant) -> Self;
    /// What the client is to be served from now on.
    fn retarget(&mut self, target: Arc<Served>, now: Instant);
    /// What it is served.
    fn target(&self) -> &Arc<Served>;
    /// Takes in one request.
    fn request(&mut self, ty: ResourceType, request: &Self::Request) -> Meaning;
    /// The next response, if there is one to send now.
    fn next_response(&mut self, control_plane: &str, now: Instant) -> Option<Encoded>;
    /// When removals that are held back now will be sent all the same; `None` if none are.
    fn removals_due(&self) -> Option<Instant>;
    /// Whether the client has acknowledged everything it is to be served.
    fn is_settled(&self) -> bool;
}

impl Variant for DeltaState {
    type Request = DeltaDiscoveryRequest;

    fn class(class: ClientClass) -> ClientClass {
        class
    }

    fn serves(_: ResourceType) -> bool {
        true
    }

    fn node(request: &Self::Request) -> Option<&Node> {
        request.node.as_ref()
    }

    fn type_url(request: &Self::Request) -> &str {
        &request.type_url
    }

    /// Its names do not exist.
    fn unknown(request: &Self::Request) -> Option<Encoded> {
        Encoded::nothing_of(&request.type_url, &request.resource_names_subscribe)
    }

    fn new(target: Arc<Served>, class: ClientClass, now: Instant) -> Self {
        Self::new(target, Removals::of_class(class), now)
    }

    fn retarget(&mut self, target: Arc<Served>, now: Instant) {
        self.retarget(target, now);
    }

    fn target(&self) -> &Arc<Served> {
        self.target()
    }

    fn request(&mut self, ty: ResourceType, request: &Self::Request) -> Meaning {
        self.request(ty, request)
    }

    fn next_response(&mut self, control_plane: &str, now: Instant) -> Option<Encoded> {
        let response = self.next_response(now)?;
        let revision = self.target().revision();
        Some(Encoded::delta(&response, revision, control_plane))
    }

    fn removals_due(&self) -> Option<Instant> {
        self.removals_due()
    }

    fn is_settled(&self) -> bool {
        self.is_settled()
    }
}

impl Variant for SotwState {
    type Request = DiscoveryRequest;

    /// Virtual hosts as resources of their own need deltas, so our own proxy is served what Envoy is.
    fn class(class: ClientClass) -> ClientClass {
        if class == ClientClass::Signalbox {
            ClientClass::Envoy
        } else {
            class
        }
    }

    fn serves(ty: ResourceType) -> bool {
        ty != ResourceType::VirtualHost
    }

    fn node(request: &Self::Request) -> Option<&Node> {
        request.node.as_ref()
    }

    fn type_url(request: &Self::Request) -> &str {
        &request.type_url
    }

    /// There is no way to say that something does not exist.
    fn unknown(_: &Self::Request) -> Option<Encoded> {
        None
    }

    fn new(target: Arc<Served>, _: ClientClass, now: Instant) -> Self {
        Self::new(target, now)
    }

    fn retarget(&mut self, target: Arc<Served>, now: Instant) {
        self.retarget(target, now);
    }

    fn target(&self) -> &Arc<Served> {
        self.target()
    }

    fn request(&mut self, ty: ResourceType, request: &Self::Request) -> Meaning {
        self.request(ty, request)
    }

    fn next_response(&mut self, control_plane: &str, now: Instant) -> Option<Encoded> {
        let response = self.next_response(now)?;
        Some(Encoded::sotw(&response, control_plane))
    }

    fn removals_due(&self) -> Option<Instant> {
        self.removals_due()
    }

    fn is_settled(&self) -> bool {
        self.is_settled()
    }
}
