//! One incremental stream as a state machine: requests in, responses out. Pure: the clock is a parameter, what may be
//! sent when is in `order`, bytes are in `wire`, sending is in `stream`.

use std::sync::Arc;

use envoy_types::pb::envoy::service::discovery::v3::DeltaDiscoveryRequest;
use tokio::time::Instant;
use xds::type_url::ResourceType;

use crate::snapshots::Served;

use super::held::{Absence, Content, Held, Part, eds_services};
use super::order::{self, Order, Progress, Removals};
use super::subscription::Subscription;

/// The state of one stream.
#[derive(Debug)]
pub struct DeltaState {
    types: [TypeState; ResourceType::ALL.len()],
    target: Arc<Served>,
    next_nonce: u64,
    order: Order,
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
pub enum Meaning {
    /// Only names were asked for or left, or the nonce was stale.
    Names,
    /// The client took the last response of this type.
    Ack,
    /// The client refused the last response of this type.
    Nack {
        /// What it says.
        message: String,
        /// The resources that it names; all that were new to it if it names none.
        resources: Vec<Arc<str>>,
    },
}

impl DeltaState {
    pub(super) fn new(target: Arc<Served>, removals: Removals, now: Instant) -> Self {
        let types = ResourceType::ALL.map(|ty| TypeState {
            subscription: Subscription::default(),
            held: Held::new(ty, Absence::Answered),
        });
        Self {
            types,
            target,
            next_nonce: 1,
            order: Order::new(removals, now),
        }
    }

    /// What the client is to be served from now on.
    pub(super) fn retarget(&mut self, target: Arc<Served>, now: Instant) {
        for state in &mut self.types {
            state.held.follow(&target);
        }
        self.target = target;
        self.order.retarget(now);
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
        // Before the names: what they ask for is asked for in any case.
        if asked.wildcard {
            held.ask_all();
        }
        if asked.widened {
            held.widen(subscription);
        }
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
        match &request.error_detail {
            Some(error) => match held.refuse(&request.response_nonce, &error.message) {
                Some(resources) => Meaning::Nack {
                    message: error.message.clone(),
                    resources,
                },
                None => Meaning::Names,
            },
            None if held.acknowledge(&request.response_nonce) => Meaning::Ack,
            None => Meaning::Names,
        }
    }

    /// The next response, if there is one to send now.
    pub(super) fn next_response(&mut self, now: Instant) -> Option<Response> {
        let (ty, part) = self.order.next(self, now)?;
        let nonce = self.next_nonce.to_string();
        let TypeState { subscription, held } = &mut self.types[ty.index()];
        let content = held.send(subscription, &self.target, part, &nonce)?;
        self.next_nonce += 1;
        if part == Part::Additions {
            self.endpoints_again(&content);
        }
        Some(Response { ty, nonce, content })
    }

    /// When removals that are held back now will be sent all the same; `None` if none are.
    pub(super) fn removals_due(&self) -> Option<Instant> {
        self.order.removals_due(self)
    }

    /// Whether the client has acknowledged everything it is to be served.
    pub(super) fn is_settled(&self) -> bool {
        order::is_settled(self)
    }

    /// A changed cluster warms until its endpoints come, and Envoy does not ask for a name that it has already: so
    /// they are sent again, though they did not change.
    fn endpoints_again(&mut self, content: &Content) {
        let TypeState { subscription, held } =
            &mut self.types[ResourceType::ClusterLoadAssignment.index()];
        for service in eds_services(&content.changed) {
            if subscription.covers(service) {
                held.ask(service);
            }
        }
    }
}

impl Progress for DeltaState {
    fn has_pending(&self, ty: ResourceType, part: Part) -> bool {
        let TypeState { subscription, held } = &self.types[ty.index()];
        held.has_pending(subscription, &self.target, part)
    }

    fn is_in_flight(&self, ty: ResourceType) -> bool {
        self.types[ty.index()].held.is_in_flight()
    }

    fn has_refused(&self) -> bool {
        self.types
            .iter()
            .any(|state| state.held.has_refused(&self.target))
    }
}

#[cfg(test)]
mod tests;
