//! What one client holds of one resource type, as far as the server knows, and what it is to be sent.
//! Pure: no I/O, no clock.
//!
//! Nothing is kept per resource: a cursor into a shared snapshot ("it holds what this one has") and the exceptions to
//! that. In the quiet state there are none, which is what makes many streams cheap.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use xds::resource::cluster::Discovery;
use xds::resource::{Body, Resource};
use xds::type_url::ResourceType;
use xds::version::Version;

use crate::snapshots::Served;

use super::subscription::Subscription;

/// Largest sum of resource bytes in one response; gRPC receivers refuse messages over 4 MiB by default.
const RESPONSE_SIZE: usize = 2 * 1024 * 1024;

/// Where a client differs from the cursor.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Exception {
    /// It asked for this name and must be answered, whatever it holds.
    Asked,
    /// It does not hold it.
    Absent,
    /// It holds this version.
    Version(Version),
    /// It was sent something and refused the response: it may have dropped all of it or taken what was good.
    Unknown,
}

/// How it is said that a name that was asked for does not exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Absence {
    /// In a response, as deltas can.
    Answered,
    /// Not at all: the client waits.
    Silent,
}

/// What the client holds of one type.
#[derive(Debug)]
pub(super) struct Held {
    ty: ResourceType,
    absence: Absence,
    cursor: Option<Arc<Served>>,
    exceptions: BTreeMap<Arc<str>, Exception>,
    in_flight: Option<InFlight>,
    /// What this client refused: not sent again until it changes.
    refused: Vec<Refused>,
    /// The wildcard must be answered, even if there is nothing.
    must_answer: bool,
}

/// A response that is neither acknowledged nor refused yet.
#[derive(Debug)]
struct InFlight {
    nonce: String,
    /// What was in it; no version if it is gone.
    sent: Vec<(Arc<str>, Option<Version>)>,
    /// It takes addresses from listeners, so that one that was refused for its address may be right now.
    frees: bool,
}

/// What one NACK refused. A client may find fault with one resource for what another one says (two listeners at one address),
/// and may not say which of them: when one of them changes or goes, all are tried again.
#[derive(Debug)]
struct Refused(BTreeMap<Arc<str>, Version>);

/// The content of a response.
#[derive(Debug, Default)]
pub(super) struct Content {
    pub(super) changed: Vec<Arc<Resource>>,
    pub(super) removed: Vec<Arc<str>>,
}

/// What may be sent now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// New and changed resources, and the answer to names that do not exist.
    Additions,
    /// Resources that are gone.
    Removals,
}

impl Part {
    /// Where removals of a type belong. Nothing refers to a listener, so nothing is broken when one goes at once; and it has
    /// to, where another one takes its address: a client refuses two listeners at one address.
    pub(super) fn of_removals(ty: ResourceType) -> Self {
        match ty {
            ResourceType::Listener => Self::Additions,
            _ => Self::Removals,
        }
    }
}

impl Held {
    pub(super) fn new(ty: ResourceType, absence: Absence) -> Self {
        Self {
            ty,
            absence,
            cursor: None,
            exceptions: BTreeMap::new(),
            in_flight: None,
            refused: Vec::new(),
            must_answer: false,
        }
    }

    /// What the client says it holds, when it comes back on a new stream.
    pub(super) fn holds_initially(&mut self, versions: &HashMap<String, String>) {
        let held = versions.iter().map(|(name, version)| {
            (
                Arc::from(name.as_str()),
                Exception::Version(Version::stated(version)),
            )
        });
        self.exceptions.extend(held);
    }

    /// The client asked for a name, perhaps again: it must be answered, whatever was sent before.
    pub(super) fn ask(&mut self, name: &Arc<str>) {
        self.no_longer_refused(name);
        self.exceptions.insert(name.clone(), Exception::Asked);
    }

    /// The client no longer wants to hear of a name.
    pub(super) fn forget(&mut self, name: &str) {
        self.exceptions.remove(name);
        self.no_longer_refused(name);
    }

    /// The wildcard was asked for.
    pub(super) fn ask_all(&mut self) {
        self.must_answer = true;
    }

    /// The wildcard was put beside names: what it covers beyond them is not held, whatever the cursor says.
    pub(super) fn widen(&mut self, subscription: &Subscription) {
        let Some(cursor) = self.cursor.take() else {
            return;
        };
        for name in subscription.names() {
            if let Some(resource) = cursor.snapshot().get(self.ty, name) {
                let held = Exception::Version(resource.version().clone());
                self.exceptions.entry(name.clone()).or_insert(held);
            }
        }
    }

    /// There is something else to serve. Where it differs in nothing from the cursor's, the cursor goes with it: it never falls
    /// behind a snapshot whose difference to the next one is known to all streams.
    pub(super) fn follow(&mut self, target: &Arc<Served>) {
        if let Some(cursor) = &mut self.cursor
            && target.since(cursor, self.ty).is_empty()
        {
            cursor.clone_from(target);
        }
    }

    /// Whether a response waits for its ACK or NACK.
    pub(super) fn is_in_flight(&self) -> bool {
        self.in_flight.is_some()
    }

    /// Whether something was refused that is still to be served.
    pub(super) fn has_refused(&self, target: &Served) -> bool {
        self.refused
            .iter()
            .any(|refused| refused.stands(self.ty, target))
    }

    /// Takes an ACK; `false` if the nonce is stale.
    pub(super) fn acknowledge(&mut self, nonce: &str) -> bool {
        let Some(in_flight) = self.in_flight.take_if(|in_flight| in_flight.nonce == nonce) else {
            return false;
        };
        if in_flight.frees {
            self.refused.clear();
        }
        for (name, _) in in_flight.sent {
            self.no_longer_refused(&name);
        }
        true
    }

    /// Takes a NACK and returns the names that are refused; `None` if the nonce is stale. What the client has of the response
    /// is not known: some drop it as a whole, others take what is good. The resources that the error names are not sent again
    /// until they change, the others are; if it names none, none is. So every NACK ends something, and there is no loop.
    pub(super) fn refuse(&mut self, nonce: &str, error: &str) -> Option<Vec<Arc<str>>> {
        let in_flight = self
            .in_flight
            .take_if(|in_flight| in_flight.nonce == nonce)?;
        // Removals alone are not tried again: what would be refused then?
        if in_flight.sent.iter().any(|(_, version)| version.is_some()) {
            let names = in_flight.sent.iter().map(|(name, _)| name.clone());
            self.exceptions
                .extend(names.map(|name| (name, Exception::Unknown)));
        }
        let sent = in_flight.sent.into_iter();
        let mut refused: BTreeMap<_, _> = sent
            .filter_map(|(name, version)| Some((name, version?)))
            .collect();
        if refused.keys().any(|name| error.contains(&**name)) {
            refused.retain(|name, _| error.contains(&**name));
        }
        for name in refused.keys() {
            self.no_longer_refused(name);
        }
        let names = refused.keys().cloned().collect();
        if !refused.is_empty() {
            self.refused.push(Refused(refused));
        }
        Some(names)
    }

    fn no_longer_refused(&mut self, name: &str) {
        for Refused(resources) in &mut self.refused {
            resources.remove(name);
        }
        self.refused
            .retain(|Refused(resources)| !resources.is_empty());
    }

    /// Whether there is something to send of this part.
    pub(super) fn has_pending(
        &self,
        subscription: &Subscription,
        target: &Arc<Served>,
        part: Part,
    ) -> bool {
        if self.must_answer && part == Part::Additions {
            return true;
        }
        if self
            .cursor
            .as_ref()
            .is_some_and(|cursor| Arc::ptr_eq(cursor, target))
            && self.exceptions.is_empty()
        {
            return false;
        }
        self.candidates(subscription, target).iter().any(|name| {
            self.step(target, name)
                .is_some_and(|step| step.part(self.ty) == part)
        })
    }

    /// The next response of this part, and the record that it was sent. `None` if there is nothing to send.
    pub(super) fn send(
        &mut self,
        subscription: &Subscription,
        target: &Arc<Served>,
        part: Part,
        nonce: &str,
    ) -> Option<Content> {
        let mut content = Content::default();
        let mut sent = Vec::new();
        let mut exceptions = BTreeMap::new();
        let (mut size, mut frees) = (0, false);
        for name in self.candidates(subscription, target) {
            let held = self.held(&name);
            match self.step(target, &name) {
                Some(Step::Change(resource))
                    if part == Part::Additions
                        && (size == 0 || size + resource.bytes().len() <= RESPONSE_SIZE) =>
                {
                    size += resource.bytes().len();
                    frees |= matches!(held, Exception::Version(_));
                    sent.push((name.clone(), Some(resource.version().clone())));
                    content.changed.push(resource);
                }
                Some(Step::AnswerAbsent) if part == Part::Additions => {
                    sent.push((name.clone(), None));
                    content.removed.push(name);
                }
                Some(Step::Remove) if part == Part::of_removals(self.ty) => {
                    frees = true;
                    sent.push((name.clone(), None));
                    content.removed.push(name);
                }
                None if !self.differs(target, &name, &held) => {}
                _ => {
                    exceptions.insert(name, held);
                }
            }
        }
        let answers = part == Part::Additions && std::mem::take(&mut self.must_answer);
        self.cursor = Some(target.clone());
        self.exceptions = exceptions;
        if content.changed.is_empty() && content.removed.is_empty() && !answers {
            return None;
        }
        self.in_flight = Some(InFlight {
            nonce: nonce.to_owned(),
            sent,
            frees: frees && self.ty == ResourceType::Listener,
        });
        Some(content)
    }

    /// The names that may need sending: what differs between cursor and target, and the exceptions.
    fn candidates(&self, subscription: &Subscription, target: &Arc<Served>) -> Vec<Arc<str>> {
        let mut names: Vec<Arc<str>> = self.exceptions.keys().cloned().collect();
        match &self.cursor {
            Some(cursor) => {
                let diff = target.since(cursor, self.ty);
                names.extend(diff.changed.iter().map(|resource| resource.name().clone()));
                names.extend(diff.removed.iter().cloned());
            }
            None if subscription.is_wildcard() => {
                names.extend(target.snapshot().set(self.ty).keys().cloned());
            }
            None => names.extend(subscription.names().cloned()),
        }
        names.sort_unstable();
        names.dedup();
        names.retain(|name| {
            subscription.covers(name) || self.exceptions.get(name) == Some(&Exception::Asked)
        });
        names
    }

    fn held(&self, name: &str) -> Exception {
        if let Some(exception) = self.exceptions.get(name) {
            return exception.clone();
        }
        let resource = self
            .cursor
            .as_ref()
            .and_then(|cursor| cursor.snapshot().get(self.ty, name));
        resource.map_or(Exception::Absent, |resource| {
            Exception::Version(resource.version().clone())
        })
    }

    /// What is to be done about one name; `None` if the client is where it should be, or refused what it should have.
    fn step(&self, target: &Arc<Served>, name: &Arc<str>) -> Option<Step> {
        let wanted = target.snapshot().get(self.ty, name);
        match (wanted, self.held(name)) {
            (Some(wanted), Exception::Version(held)) if *wanted.version() == held => None,
            (Some(wanted), _) if self.is_refused(target, wanted) => None,
            (Some(wanted), _) => Some(Step::Change(wanted.clone())),
            (None, Exception::Asked) if self.absence == Absence::Answered => {
                Some(Step::AnswerAbsent)
            }
            (None, Exception::Asked | Exception::Absent) => None,
            (None, Exception::Version(_) | Exception::Unknown) => Some(Step::Remove),
        }
    }

    fn is_refused(&self, target: &Served, wanted: &Resource) -> bool {
        self.refused.iter().any(|refused| {
            refused.0.get(wanted.name()) == Some(wanted.version())
                && refused.stands(self.ty, target)
        })
    }

    fn differs(&self, target: &Arc<Served>, name: &str, held: &Exception) -> bool {
        let wanted = target
            .snapshot()
            .get(self.ty, name)
            .map(|resource| resource.version());
        match held {
            Exception::Version(held) => wanted != Some(held),
            Exception::Absent => wanted.is_some(),
            Exception::Asked | Exception::Unknown => true,
        }
    }
}

impl Refused {
    /// Whether all of it is still to be served.
    fn stands(&self, ty: ResourceType, target: &Served) -> bool {
        self.0.iter().all(|(name, version)| {
            let wanted = target.snapshot().get(ty, name);
            wanted.is_some_and(|wanted| wanted.version() == version)
        })
    }
}

#[derive(Debug)]
enum Step {
    Change(Arc<Resource>),
    AnswerAbsent,
    Remove,
}

impl Step {
    fn part(&self, ty: ResourceType) -> Part {
        match self {
            Self::Change(_) | Self::AnswerAbsent => Part::Additions,
            Self::Remove => Part::of_removals(ty),
        }
    }
}

/// The names under which the endpoints of these clusters are asked for.
pub(super) fn eds_services(resources: &[Arc<Resource>]) -> impl Iterator<Item = &Arc<str>> {
    resources
        .iter()
        .filter_map(|resource| match resource.body() {
            Body::Cluster(cluster) => match &cluster.discovery {
                Discovery::Eds(service) => Some(service),
                Discovery::Static(_) | Discovery::Dns(_) => None,
            },
            _ => None,
        })
}

#[cfg(test)]
mod tests;
