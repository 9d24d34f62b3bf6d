//! What one client holds of a type whose responses hold everything: clusters and listeners in the state-of-the-world
//! variant. Pure: no I/O, no clock.
//!
//! What is missing from a response is gone at the client. So that it makes before it breaks, a response that adds keeps
//! what is no longer to be served, and another one without it follows when what referred to it has been acknowledged.
//! Listeners, which nothing refers to, are not kept.

use std::collections::BTreeMap;
use std::sync::Arc;

use xds::resource::Resource;
use xds::sum::SetSum;
use xds::type_url::ResourceType;
use xds::version::Version;

use crate::snapshots::Served;

use super::held::Part;
use super::subscription::Subscription;

/// The state of one type.
#[derive(Debug)]
pub(super) struct Whole {
    ty: ResourceType,
    /// The last response.
    sent: Option<Sent>,
    /// The last response that was acknowledged.
    acknowledged: Option<Sent>,
    /// Nonce and version of a response that is neither acknowledged nor refused yet.
    in_flight: Option<(String, Version)>,
    /// The version that was refused last: not sent again.
    refused: Option<Version>,
    /// What may have been the reason, with what was acknowledged under its name: it is not kept when it is no longer to be
    /// served.
    suspects: BTreeMap<Arc<str>, Option<Arc<Resource>>>,
    /// Something was asked for and must be answered, even if nothing changed.
    must_answer: bool,
}

/// What a response held: a snapshot, and what was kept beyond it.
#[derive(Clone, Debug)]
struct Sent {
    served: Arc<Served>,
    kept: Vec<Arc<Resource>>,
}

/// The content of a response.
#[derive(Debug)]
pub(super) struct Content {
    pub(super) version: Version,
    pub(super) resources: Vec<Arc<Resource>>,
    /// Those of them that the client has not acknowledged yet.
    pub(super) changed: Vec<Arc<Resource>>,
}

impl Whole {
    pub(super) fn new(ty: ResourceType) -> Self {
        Self {
            ty,
            sent: None,
            acknowledged: None,
            in_flight: None,
            refused: None,
            suspects: BTreeMap::new(),
            must_answer: false,
        }
    }

    /// The next response must be sent, whatever is in it.
    pub(super) fn ask(&mut self) {
        self.must_answer = true;
    }

    /// There is something else to serve: as [`super::held::Held::follow`].
    pub(super) fn follow(&mut self, target: &Arc<Served>) {
        for sent in [&mut self.sent, &mut self.acknowledged]
            .into_iter()
            .flatten()
        {
            if target.since(&sent.served, self.ty).is_empty() {
                sent.served.clone_from(target);
            }
        }
    }

    /// Whether a name is to be served.
    pub(super) fn exists(&self, target: &Served, name: &str) -> bool {
        target.snapshot().get(self.ty, name).is_some()
    }

    /// Whether a response waits for its ACK or NACK.
    pub(super) fn is_in_flight(&self) -> bool {
        self.in_flight.is_some()
    }

    /// Whether what is to be sent now is what was refused.
    pub(super) fn has_refused(&self, subscription: &Subscription, target: &Arc<Served>) -> bool {
        self.refused.as_ref().is_some_and(|refused| {
            let surplus = self.surplus(subscription, target);
            *refused == version(self.ty, subscription, target, &surplus)
        })
    }

    /// Takes an ACK; `false` if the nonce is stale.
    pub(super) fn acknowledge(&mut self, nonce: &str) -> bool {
        let answered = self.in_flight.take_if(|(sent, _)| sent == nonce).is_some();
        if answered {
            self.refused = None;
            self.suspects.clear();
            self.acknowledged.clone_from(&self.sent);
        }
        answered
    }

    /// Takes a NACK and returns the names of what may have been the reason; `None` if the nonce is stale.
    pub(super) fn refuse(
        &mut self,
        subscription: &Subscription,
        nonce: &str,
        error: &str,
    ) -> Option<Vec<Arc<str>>> {
        let (_, version) = self.in_flight.take_if(|(sent, _)| sent == nonce)?;
        self.refused = Some(version);
        let served = self.sent.as_ref()?.served.clone();
        let mut suspects = self.changed(subscription, &served);
        if suspects
            .iter()
            .any(|resource| error.contains(&**resource.name()))
        {
            suspects.retain(|resource| error.contains(&**resource.name()));
        }
        let acknowledged = self.acknowledged.as_ref();
        for resource in &suspects {
            let before = acknowledged.and_then(|sent| sent.get(self.ty, resource.name()));
            let name = resource.name().clone();
            self.suspects.entry(name).or_insert_with(|| before.cloned());
        }
        Some(
            suspects
                .iter()
                .map(|resource| resource.name().clone())
                .collect(),
        )
    }

    /// Whether there is something to send of this part.
    pub(super) fn has_pending(
        &self,
        subscription: &Subscription,
        target: &Arc<Served>,
        part: Part,
    ) -> bool {
        let Some(sent) = &self.sent else {
            return self.must_answer && part == Part::Additions;
        };
        let surplus = self.surplus(subscription, target);
        if part == Part::Removals {
            return !surplus.is_empty();
        }
        if self.must_answer {
            return true;
        }
        match &self.refused {
            Some(refused) => *refused != version(self.ty, subscription, target, &surplus),
            None if Arc::ptr_eq(&sent.served, target) => false,
            None => {
                let wanted = version(self.ty, subscription, target, &surplus);
                wanted != version(self.ty, subscription, &sent.served, &sent.kept)
            }
        }
    }

    /// The next response of this part, and the record that it was sent.
    pub(super) fn send(
        &mut self,
        subscription: &Subscription,
        target: &Arc<Served>,
        part: Part,
        nonce: &str,
    ) -> Content {
        let kept = match part {
            Part::Additions => self.surplus(subscription, target),
            Part::Removals => Vec::new(),
        };
        let version = version(self.ty, subscription, target, &kept);
        let mut resources = covered(self.ty, subscription, target);
        resources.extend(kept.iter().cloned());
        let changed = self.changed(subscription, target);
        self.must_answer = false;
        self.in_flight = Some((nonce.to_owned(), version.clone()));
        self.sent = Some(Sent {
            served: target.clone(),
            kept,
        });
        Content {
            version,
            resources,
            changed,
        }
    }

    /// What `served` has and the client has not acknowledged.
    fn changed(&self, subscription: &Subscription, served: &Arc<Served>) -> Vec<Arc<Resource>> {
        match &self.acknowledged {
            Some(sent) => {
                let diff = served.since(&sent.served, self.ty);
                let changed = diff.changed.iter();
                let covered = changed.filter(|resource| subscription.covers(resource.name()));
                covered.cloned().collect()
            }
            None => covered(self.ty, subscription, served),
        }
    }

    /// What the client may hold and is no longer to be served.
    fn surplus(&self, subscription: &Subscription, target: &Arc<Served>) -> Vec<Arc<Resource>> {
        let keeps = Part::of_removals(self.ty) == Part::Removals;
        let Some(sent) = self.sent.as_ref().filter(|_| keeps) else {
            return Vec::new();
        };
        let gone = if Arc::ptr_eq(&sent.served, target) {
            Vec::new()
        } else {
            target.since(&sent.served, self.ty).removed.clone()
        };
        let of_snapshot = gone
            .iter()
            .filter_map(|name| sent.served.snapshot().get(self.ty, name));
        let kept = sent.kept.iter();
        of_snapshot
            .chain(kept.filter(|resource| !self.exists(target, resource.name())))
            .filter(|resource| subscription.covers(resource.name()))
            .filter_map(|resource| match self.suspects.get(resource.name()) {
                Some(before) => before.clone(),
                None => Some(resource.clone()),
            })
            .collect()
    }
}

impl Sent {
    fn get(&self, ty: ResourceType, name: &str) -> Option<&Arc<Resource>> {
        let kept = || self.kept.iter().find(|resource| **resource.name() == *name);
        self.served.snapshot().get(ty, name).or_else(kept)
    }
}

/// The version of a response: a function of all that the client may see of a type, so it means the same on every replica
/// and after every restart.
pub(super) fn version(
    ty: ResourceType,
    subscription: &Subscription,
    served: &Served,
    kept: &[Arc<Resource>],
) -> Version {
    let snapshot = served.snapshot();
    let mut sum = if subscription.is_wildcard() {
        snapshot.sum(ty)
    } else {
        SetSum::of(
            subscription
                .names()
                .filter_map(|name| snapshot.get(ty, name)),
        )
    };
    for resource in kept {
        if subscription.covers(resource.name()) {
            sum.add(resource);
        }
    }
    let count = sum.count.to_le_bytes();
    Version::of(&[count.as_slice(), sum.to_bytes().as_slice()].concat())
}

fn covered(ty: ResourceType, subscription: &Subscription, served: &Served) -> Vec<Arc<Resource>> {
    let snapshot = served.snapshot();
    if subscription.is_wildcard() {
        return snapshot.set(ty).values().cloned().collect();
    }
    let named = subscription.names();
    named
        .filter_map(|name| snapshot.get(ty, name))
        .cloned()
        .collect()
}
