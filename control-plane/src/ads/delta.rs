//! One incremental ADS stream as a state machine: requests in, responses out, in the right order. Pure: the clock is
//! a parameter, sending is in `stream`.
//!
//! Order: clusters, endpoints, listeners, routes, virtual hosts; what is gone goes the other way round, when what
//! referred to it has been acknowledged, so that no request meets a hole (xDS protocol, "Eventual consistency
//! considerations").

use std::sync::Arc;
use std::time::Duration;

use envoy_types::pb::envoy::service::discovery::v3::DeltaDiscoveryRequest;
use tokio::time::Instant;
use xds::resource::Body;
use xds::resource::cluster::Discovery;
use xds::type_url::ResourceType;

use crate::snapshots::Served;

use super::held::{Content, Held, Part};
use super::subscription::Subscription;

/// How long removals wait for acknowledgements. A client that warms a cluster may withhold an ACK for 15 s; what is
/// gone should not be kept that long.
const REMOVAL_PATIENCE: Duration = Duration::from_secs(5);

/// The state of one stream.
#[derive(Debug)]
pub(super) struct DeltaState {
    types: [TypeState; ResourceType::ALL.len()],
    target: Arc<Served>,
    target_since: Instant,
    next_nonce: u64,
    removals: Removals,
}

/// When resources that are gone may be taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Removals {
    /// When what referred to them has been acknowledged: for clients that use each resource as it comes.
    AfterAcknowledgement,
    /// At once: for our own proxy, which switches when it has a whole revision.
    AtOnce,
}

#[derive(Debug)]
struct TypeState {
    subscription: Subscription,
    held: Held,
}

/// A response to be encoded.
#[derive(Debug)]
pub(super) struct Response {
    pub(super) ty: ResourceType,
    pub(super) nonce: String,
    pub(super) content: Content,
}

/// What a request meant.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// Only names were asked for or left, or the nonce was stale.
    Names,
    /// The client took the last response of this type.
    Ack,
    /// The client refused the last response of this type, with this text.
    Nack(String),
}

impl DeltaState {
    pub(super) fn new(target: Arc<Served>, removals: Removals, now: Instant) -> Self {
        let types = ResourceType::ALL.map(|ty| TypeState {
            subscription: Subscription::default(),
            held: Held::new(ty),
        });
        Self {
            types,
            target,
            target_since: now,
            next_nonce: 1,
            removals,
        }
    }

    /// What the client is to be served from now on.
    pub(super) fn retarget(&mut self, target: Arc<Served>, now: Instant) {
        self.target = target;
        self.target_since = now;
    }

    pub(super) fn target(&self) -> &Arc<Served> {
        &self.target
    }

    /// Takes in one request of a type.
    pub(super) fn request(&mut self, ty: ResourceType, request: &DeltaDiscoveryRequest) -> Meaning {
        let TypeState { subscription, held } = &mut self.types[ty.index()];
        held.holds_initially(&request.initial_resource_versions);
        let asked = subscription.update(
            ty,
            &request.resource_names_subscribe,
            &request.resource_names_unsubscribe,
        );
        for name in asked
            .names
            .iter()
            .filter(|name| !request.initial_resource_versions.contains_key(&***name))
        {
            held.ask(name);
        }
        for name in &asked.dropped {
            held.forget(name);
        }
        if asked.wildcard {
            held.ask_all();
        }
        match &request.error_detail {
            Some(error) if held.refuse(&request.response_nonce, &error.message) => {
                Meaning::Nack(error.message.clone())
            }
            None if held.acknowledge(&request.response_nonce) => Meaning::Ack,
            _ => Meaning::Names,
        }
    }

    /// The next response, if there is one to send now.
    pub(super) fn next_response(&mut self, now: Instant) -> Option<Response> {
        self.next_addition().or_else(|| self.next_removal(now))
    }

    /// When removals that are held back now will be sent all the same; `None` if none are.
    pub(super) fn removals_due(&self) -> Option<Instant> {
        let holds = ResourceType::ALL
            .into_iter()
            .any(|ty| self.has_pending(ty, Part::Removals) && !self.held(ty).is_in_flight());
        (holds && !self.has_refused()).then(|| self.target_since + REMOVAL_PATIENCE)
    }

    /// Whether the client has acknowledged everything it is to be served.
    pub(super) fn is_settled(&self) -> bool {
        !self.has_refused()
            && ResourceType::ALL.into_iter().all(|ty| {
                !self.held(ty).is_in_flight()
                    && !self.has_pending(ty, Part::Additions)
                    && !self.has_pending(ty, Part::Removals)
            })
    }

    fn next_addition(&mut self) -> Option<Response> {
        let mut blocked = false;
        for ty in ResourceType::ALL {
            if !self.has_pending(ty, Part::Additions) {
                continue;
            }
            // Endpoints never wait: a client withholds the ACK of a cluster until it has them.
            if self.held(ty).is_in_flight()
                || (blocked && ty != ResourceType::ClusterLoadAssignment)
            {
                blocked = true;
                continue;
            }
            if let Some(response) = self.send(ty, Part::Additions) {
                self.endpoints_again(&response);
                return Some(response);
            }
        }
        None
    }

    fn next_removal(&mut self, now: Instant) -> Option<Response> {
        if !self.may_remove(now) {
            return None;
        }
        let mut pending = ResourceType::ALL
            .into_iter()
            .rev()
            .filter(|ty| self.has_pending(*ty, Part::Removals));
        let is_free = |ty: &ResourceType| !self.held(*ty).is_in_flight();
        let ty = match self.removals {
            Removals::AtOnce => pending.find(is_free)?,
            // What refers goes before what it refers to, so nothing overtakes.
            Removals::AfterAcknowledgement => pending.next().filter(is_free)?,
        };
        self.send(ty, Part::Removals)
    }

    fn may_remove(&self, now: Instant) -> bool {
        match self.removals {
            Removals::AtOnce => true,
            Removals::AfterAcknowledgement => {
                let is_late = now >= self.target_since + REMOVAL_PATIENCE;
                !self.has_refused() && (is_late || self.additions_are_acknowledged())
            }
        }
    }

    fn additions_are_acknowledged(&self) -> bool {
        ResourceType::ALL
            .into_iter()
            .all(|ty| !self.held(ty).is_in_flight() && !self.has_pending(ty, Part::Additions))
    }

    fn send(&mut self, ty: ResourceType, part: Part) -> Option<Response> {
        let nonce = self.next_nonce.to_string();
        let TypeState { subscription, held } = &mut self.types[ty.index()];
        let content = held.send(subscription, &self.target, part, &nonce)?;
        self.next_nonce += 1;
        Some(Response { ty, nonce, content })
    }

    /// A changed cluster warms until its endpoints come, and Envoy does not ask for a name that it has already: so
    /// they are sent again, though they did not change.
    fn endpoints_again(&mut self, response: &Response) {
        let TypeState { subscription, held } =
            &mut self.types[ResourceType::ClusterLoadAssignment.index()];
        for resource in &response.content.changed {
            let Body::Cluster(cluster) = resource.body() else {
                continue;
            };
            match &cluster.discovery {
                Discovery::Eds(service) if subscription.covers(service) => held.ask(service),
                Discovery::Eds(_) | Discovery::Static(_) | Discovery::Dns(_) => {}
            }
        }
    }

    fn has_refused(&self) -> bool {
        self.types.iter().any(|state| state.held.has_refused())
    }

    fn has_pending(&self, ty: ResourceType, part: Part) -> bool {
        let TypeState { subscription, held } = &self.types[ty.index()];
        held.has_pending(subscription, &self.target, part)
    }

    fn held(&self, ty: ResourceType) -> &Held {
        &self.types[ty.index()].held
    }
}

#[cfg(test)]
mod tests;
