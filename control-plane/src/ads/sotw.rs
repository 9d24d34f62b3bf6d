//! One state-of-the-world stream as a state machine: requests in, responses out. Pure, as `delta` is.
//!
//! A request names all that is wanted of its type. Responses of clusters and listeners hold all there is (`whole`), so
//! what is missing from them is gone; those of routes and endpoints hold what changed or was newly asked for (`held`), and
//! nothing can take such a resource away but the one that refers to it. Virtual hosts do not exist here.

use std::sync::Arc;

use envoy_types::pb::envoy::service::discovery::v3::DiscoveryRequest;
use tokio::time::Instant;
use xds::resource::Resource;
use xds::type_url::ResourceType;
use xds::version::Version;

use crate::snapshots::Served;

use super::delta::Meaning;
use super::held::{Absence, Held, Part, eds_services};
use super::order::{self, Order, Progress, Removals};
use super::subscription::{Asked, Subscription};
use super::whole::{self, Whole};

/// The state of one stream.
#[derive(Debug)]
pub struct SotwState {
    types: [TypeState; ResourceType::ALL.len()],
    target: Arc<Served>,
    next_nonce: u64,
    order: Order,
}

#[derive(Debug)]
struct TypeState {
    subscription: Subscription,
    /// Of the last response; empty before the first.
    nonce: String,
    holds: Holds,
}

/// What the client holds of a type.
#[derive(Debug)]
enum Holds {
    /// Responses hold everything.
    Whole(Whole),
    /// Responses hold what changed.
    Parts(Held),
}

/// A response to be encoded.
#[derive(Debug)]
pub(super) struct Response {
    pub(super) ty: ResourceType,
    pub(super) nonce: String,
    pub(super) version: Version,
    pub(super) resources: Vec<Arc<Resource>>,
}

impl SotwState {
    pub(super) fn new(target: Arc<Served>, now: Instant) -> Self {
        let types = ResourceType::ALL.map(|ty| TypeState {
            subscription: Subscription::default(),
            nonce: String::new(),
            holds: match ty {
                ResourceType::Cluster | ResourceType::Listener => Holds::Whole(Whole::new(ty)),
                _ => Holds::Parts(Held::new(ty, Absence::Silent)),
            },
        });
        Self {
            types,
            target,
            next_nonce: 1,
            // There is no session in this variant, so our own proxy uses each resource as it comes, too.
            order: Order::new(Removals::AfterAcknowledgement, now),
        }
    }

    /// What the client is to be served from now on.
    pub(super) fn retarget(&mut self, target: Arc<Served>, now: Instant) {
        for state in &mut self.types {
            match &mut state.holds {
                Holds::Whole(whole) => whole.follow(&target),
                Holds::Parts(held) => held.follow(&target),
            }
        }
        self.target = target;
        self.order.retarget(now);
    }

    pub(super) fn target(&self) -> &Arc<Served> {
        &self.target
    }

    /// Takes in one request of a type. One with a stale nonce is ignored whole: what it says comes again with the answer to
    /// the response that has overtaken it. One without a nonce answers nothing, but its names count.
    pub(super) fn request(&mut self, ty: ResourceType, request: &DiscoveryRequest) -> Meaning {
        let state = &mut self.types[ty.index()];
        let nonce = &request.response_nonce;
        let is_first = !state.subscription.has_started();
        if !is_first && !nonce.is_empty() && *nonce != state.nonce {
            return Meaning::Names;
        }
        let asked = state.subscription.replace(ty, &request.resource_names);
        state
            .holds
            .ask(&asked, &state.subscription, &self.target, is_first);
        match &request.error_detail {
            Some(error) => match state.refuse(nonce, &error.message) {
                Some(resources) => Meaning::Nack {
                    message: error.message.clone(),
                    resources,
                },
                None => Meaning::Names,
            },
            None if state.holds.acknowledge(nonce) => Meaning::Ack,
            None => Meaning::Names,
        }
    }

    /// The next response, if there is one to send now.
    pub(super) fn next_response(&mut self, now: Instant) -> Option<Response> {
        let (ty, part) = self.order.next(self, now)?;
        let nonce = self.next_nonce.to_string();
        let TypeState {
            subscription,
            nonce: last_nonce,
            holds,
        } = &mut self.types[ty.index()];
        let (version, resources, changed) = match holds {
            Holds::Whole(whole) => {
                let content = whole.send(subscription, &self.target, part, &nonce);
                (content.version, content.resources, content.changed)
            }
            Holds::Parts(held) => {
                let content = held.send(subscription, &self.target, part, &nonce)?;
                let version = whole::version(ty, subscription, &self.target, &[]);
                (version, content.changed, Vec::new())
            }
        };
        last_nonce.clone_from(&nonce);
        self.next_nonce += 1;
        self.endpoints_again(&changed);
        Some(Response {
            ty,
            nonce,
            version,
            resources,
        })
    }

    /// When removals that are held back now will be sent all the same; `None` if none are.
    pub(super) fn removals_due(&self) -> Option<Instant> {
        self.order.removals_due(self)
    }

    /// Whether the client has acknowledged everything it is to be served.
    pub(super) fn is_settled(&self) -> bool {
        order::is_settled(self)
    }

    /// A changed cluster warms until its endpoints come, and Envoy does not ask for them again.
    fn endpoints_again(&mut self, changed: &[Arc<Resource>]) {
        let state = &mut self.types[ResourceType::ClusterLoadAssignment.index()];
        let Holds::Parts(held) = &mut state.holds else {
            return;
        };
        for service in eds_services(changed) {
            if state.subscription.covers(service) {
                held.ask(service);
            }
        }
    }
}

impl TypeState {
    fn refuse(&mut self, nonce: &str, error: &str) -> Option<Vec<Arc<str>>> {
        match &mut self.holds {
            Holds::Whole(whole) => whole.refuse(&self.subscription, nonce, error),
            Holds::Parts(held) => held.refuse(nonce, error),
        }
    }
}

impl Holds {
    fn ask(
        &mut self,
        asked: &Asked,
        subscription: &Subscription,
        target: &Arc<Served>,
        is_first: bool,
    ) {
        match self {
            Self::Whole(whole) => {
                // Names that do not exist are answered once, in the first response, by their absence.
                let exist = |name: &Arc<str>| whole.exists(target, name);
                if asked.wildcard || is_first || asked.names.iter().any(exist) {
                    whole.ask();
                }
            }
            Self::Parts(held) => {
                if asked.wildcard {
                    held.ask_all();
                }
                if asked.widened {
                    held.widen(subscription);
                }
                for name in &asked.names {
                    held.ask(name);
                }
                for name in &asked.dropped {
                    held.forget(name);
                }
            }
        }
    }

    fn acknowledge(&mut self, nonce: &str) -> bool {
        match self {
            Self::Whole(whole) => whole.acknowledge(nonce),
            Self::Parts(held) => held.acknowledge(nonce),
        }
    }
}

impl Progress for SotwState {
    fn has_pending(&self, ty: ResourceType, part: Part) -> bool {
        let state = &self.types[ty.index()];
        match &state.holds {
            Holds::Whole(whole) => whole.has_pending(&state.subscription, &self.target, part),
            // There is no way to say that routes or endpoints are gone.
            Holds::Parts(held) => {
                part == Part::Additions && held.has_pending(&state.subscription, &self.target, part)
            }
        }
    }

    fn is_in_flight(&self, ty: ResourceType) -> bool {
        match &self.types[ty.index()].holds {
            Holds::Whole(whole) => whole.is_in_flight(),
            Holds::Parts(held) => held.is_in_flight(),
        }
    }

    fn has_refused(&self) -> bool {
        self.types.iter().any(|state| match &state.holds {
            Holds::Whole(whole) => whole.has_refused(&state.subscription, &self.target),
            Holds::Parts(held) => held.has_refused(&self.target),
        })
    }
}

#[cfg(test)]
mod tests;
