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
    /// Versions this client refused: not sent again until the content changes.
    refused: HashMap<Arc<str>, Version>,
    /// The wildcard must be answered, even if there is nothing.
    must_answer: bool,
}

/// A response that is neither acknowledged nor refused yet.
#[derive(Debug)]
struct InFlight {
    nonce: String,
    /// What was in it, with what the client held before.
    before: Vec<(Arc<str>, Exception, Option<Version>)>,
}

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

impl Held {
    pub(super) fn new(ty: ResourceType, absence: Absence) -> Self {
        Self {
            ty,
            absence,
            cursor: None,
            exceptions: BTreeMap::new(),
            in_flight: None,
            refused: HashMap::new(),
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
        self.refused.remove(name);
        self.exceptions.insert(name.clone(), Exception::Asked);
    }

    /// The client no longer wants to hear of a name.
    pub(super) fn forget(&mut self, name: &str) {
        self.exceptions.remove(name);
        self.refused.remove(name);
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

    /// Whether a response waits for its ACK or NACK.
    pub(super) fn is_in_flight(&self) -> bool {
        self.in_flight.is_some()
    }

    /// Whether something was refused that is still to be served.
    pub(super) fn has_refused(&self, target: &Served) -> bool {
        self.refused.iter().any(|(name, version)| {
            let wanted = target.snapshot().get(self.ty, name);
            wanted.is_some_and(|wanted| wanted.version() == version)
        })
    }

    /// Takes an ACK; `false` if the nonce is stale.
    pub(super) fn acknowledge(&mut self, nonce: &str) -> bool {
        let Some(in_flight) = self.in_flight.take_if(|in_flight| in_flight.nonce == nonce) else {
            return false;
        };
        for (name, _, _) in in_flight.before {
            self.refused.remove(&name);
        }
        true
    }

    /// Takes a NACK and returns the names that are refused; `None` if the nonce is stale. No resource of the response counts as delivered: a client may
    /// drop it as a whole. Those that the error names are not sent again until they change, the others are; if it
    /// names none, none is. So every NACK ends something, and there is no loop.
    pub(super) fn refuse(&mut self, nonce: &str, error: &str) -> Option<Vec<Arc<str>>> {
        let in_flight = self
            .in_flight
            .take_if(|in_flight| in_flight.nonce == nonce)?;
        let sent = in_flight
            .before
            .into_iter()
            .filter_map(|(name, before, sent)| Some((name, before, sent?)));
        let sent: Vec<_> = sent.collect();
        let names_any = sent.iter().any(|(name, _, _)| error.contains(&**name));
        let mut refused = Vec::new();
        for (name, before, version) in sent {
            if !names_any || error.contains(&*name) {
                self.refused.insert(name.clone(), version);
                refused.push(name.clone());
            }
            self.exceptions.insert(name, before);
        }
        Some(refused)
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
                .is_some_and(|step| step.part() == part)
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
        let mut before = Vec::new();
        let mut exceptions = BTreeMap::new();
        let mut size = 0;
        for name in self.candidates(subscription, target) {
            let held = self.held(&name);
            match self.step(target, &name) {
                Some(Step::Change(resource))
                    if part == Part::Additions
                        && (size == 0 || size + resource.bytes().len() <= RESPONSE_SIZE) =>
                {
                    size += resource.bytes().len();
                    before.push((name.clone(), held, Some(resource.version().clone())));
                    content.changed.push(resource);
                }
                Some(Step::AnswerAbsent) if part == Part::Additions => {
                    before.push((name.clone(), held, None));
                    content.removed.push(name);
                }
                Some(Step::Remove) if part == Part::Removals => {
                    before.push((name.clone(), held, None));
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
            before,
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
            (Some(wanted), _) if self.refused.get(name) == Some(wanted.version()) => None,
            (Some(wanted), _) => Some(Step::Change(wanted.clone())),
            (None, Exception::Asked) if self.absence == Absence::Answered => {
                Some(Step::AnswerAbsent)
            }
            (None, Exception::Asked | Exception::Absent) => None,
            (None, Exception::Version(_)) => Some(Step::Remove),
        }
    }

    fn differs(&self, target: &Arc<Served>, name: &str, held: &Exception) -> bool {
        let wanted = target
            .snapshot()
            .get(self.ty, name)
            .map(|resource| resource.version());
        match held {
            Exception::Version(held) => wanted != Some(held),
            Exception::Absent => wanted.is_some(),
            Exception::Asked => true,
        }
    }
}

#[derive(Debug)]
enum Step {
    Change(Arc<Resource>),
    AnswerAbsent,
    Remove,
}

impl Step {
    fn part(&self) -> Part {
        match self {
            Self::Change(_) | Self::AnswerAbsent => Part::Additions,
            Self::Remove => Part::Removals,
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
                Discovery::Static(_) => None,
            },
            _ => None,
        })
}

#[cfg(test)]
mod tests;
