//! Which type of a stream is served next, in both variants of the protocol. In: what is pending, in flight and refused.
//! Out: a type, and whether additions or removals. Pure: the clock is a parameter.
//!
//! Order: clusters, endpoints, listeners, routes, virtual hosts; what is gone goes the other way round, when what
//! referred to it has been acknowledged, so that no request meets a hole (xDS protocol, "Eventual consistency
//! considerations"). Listeners go with what is added: nothing refers to them. What leads to clusters waits until these have
//! been acknowledged: Envoy keeps the ACK back while one of them warms, and until then answers its routes with 503.

use std::time::Duration;

use tokio::time::Instant;
use xds::node::ClientClass;
use xds::type_url::ResourceType;

use super::held::Part;

/// How long removals wait for acknowledgements, and what leads to clusters for that of theirs. A client that warms a cluster
/// may withhold an ACK for 15 s; what is gone should not be kept that long, nor what is new be kept back.
pub(super) const REMOVAL_PATIENCE: Duration = Duration::from_secs(5);

/// When resources that are gone may be taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Removals {
    /// When what referred to them has been acknowledged: for clients that use each resource as it comes.
    AfterAcknowledgement,
    /// At once: for our own proxy, which switches when it has a whole revision.
    AtOnce,
}

impl Removals {
    /// What suits a class of clients.
    pub(super) fn of_class(class: ClientClass) -> Self {
        if class == ClientClass::Signalbox {
            Self::AtOnce
        } else {
            Self::AfterAcknowledgement
        }
    }
}

/// What the order asks of a stream's state.
pub(super) trait Progress {
    /// Whether there is something to send.
    fn has_pending(&self, ty: ResourceType, part: Part) -> bool;
    /// Whether a response waits for its ACK or NACK.
    fn is_in_flight(&self, ty: ResourceType) -> bool;
    /// Whether anything that is to be served now was refused.
    fn has_refused(&self) -> bool;
}

/// The order of one stream.
#[derive(Debug)]
pub(super) struct Order {
    removals: Removals,
    target_since: Instant,
}

impl Order {
    pub(super) fn new(removals: Removals, now: Instant) -> Self {
        Self {
            removals,
            target_since: now,
        }
    }

    /// There is something else to serve from now on: patience begins again.
    pub(super) fn retarget(&mut self, now: Instant) {
        self.target_since = now;
    }

    /// What is to be sent now, if anything may be.
    pub(super) fn next(
        &self,
        progress: &impl Progress,
        now: Instant,
    ) -> Option<(ResourceType, Part)> {
        let is_late = now >= self.target_since + REMOVAL_PATIENCE;
        if let Some(ty) = next_addition(progress, !is_late && self.warms(progress)) {
            return Some((ty, Part::Additions));
        }
        Some((self.next_removal(progress, now)?, Part::Removals))
    }

    /// When what is held back now will be sent all the same; `None` if nothing is.
    pub(super) fn removals_due(&self, progress: &impl Progress) -> Option<Instant> {
        if self.warms(progress)
            && next_addition(progress, true).is_none()
            && next_addition(progress, false).is_some()
        {
            return Some(self.target_since + REMOVAL_PATIENCE);
        }
        let holds = ResourceType::ALL
            .into_iter()
            .any(|ty| progress.has_pending(ty, Part::Removals) && !progress.is_in_flight(ty));
        (holds && !progress.has_refused()).then(|| self.target_since + REMOVAL_PATIENCE)
    }

    /// Whether the client may be warming clusters. Our own proxy uses nothing before it has all.
    fn warms(&self, progress: &impl Progress) -> bool {
        self.removals == Removals::AfterAcknowledgement
            && progress.is_in_flight(ResourceType::Cluster)
    }

    fn next_removal(&self, progress: &impl Progress, now: Instant) -> Option<ResourceType> {
        if !self.may_remove(progress, now) {
            return None;
        }
        let mut pending = ResourceType::ALL
            .into_iter()
            .rev()
            .filter(|ty| progress.has_pending(*ty, Part::Removals));
        let is_free = |ty: &ResourceType| !progress.is_in_flight(*ty);
        match self.removals {
            Removals::AtOnce => pending.find(is_free),
            // What refers goes before what it refers to, so nothing overtakes.
            Removals::AfterAcknowledgement => pending.next().filter(is_free),
        }
    }

    fn may_remove(&self, progress: &impl Progress, now: Instant) -> bool {
        match self.removals {
            Removals::AtOnce => true,
            Removals::AfterAcknowledgement => {
                let is_late = now >= self.target_since + REMOVAL_PATIENCE;
                !progress.has_refused() && (is_late || additions_are_acknowledged(progress))
            }
        }
    }
}

/// Whether the client has acknowledged everything it is to be served.
pub(super) fn is_settled(progress: &impl Progress) -> bool {
    let nothing_left = |ty: ResourceType| !progress.has_pending(ty, Part::Removals);
    !progress.has_refused()
        && additions_are_acknowledged(progress)
        && ResourceType::ALL.into_iter().all(nothing_left)
}

/// `warming`: clusters are on their way.
fn next_addition(progress: &impl Progress, warming: bool) -> Option<ResourceType> {
    let mut blocked = warming;
    for ty in ResourceType::ALL {
        if !progress.has_pending(ty, Part::Additions) {
            continue;
        }
        // Endpoints never wait: a client withholds the ACK of a cluster until it has them.
        let waits = blocked && ty != ResourceType::ClusterLoadAssignment;
        if !waits && !progress.is_in_flight(ty) {
            return Some(ty);
        }
        blocked = true;
    }
    None
}

fn additions_are_acknowledged(progress: &impl Progress) -> bool {
    ResourceType::ALL
        .into_iter()
        .all(|ty| !progress.is_in_flight(ty) && !progress.has_pending(ty, Part::Additions))
}
