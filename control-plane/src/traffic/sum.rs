//! From rows of the store to sums over time: what a rollout is judged by, and what the API shows. Pure.
//!
//! A row is counted by when it was written, which is up to a report's interval and a second after the requests. Those that
//! a revision served shortly before a time may so be counted after it, never those of another revision.

mod parts;

use std::collections::BTreeMap;
use std::sync::Arc;

use prost::Message;
use proto::session::{self, RevisionTraffic};

use crate::rollout::observed::{Parts, Traffic};
use crate::rollout::touched::Touched;
use crate::store::rollout::TrafficRow;

use super::merged::Merged;
use super::outcomes::{Outcomes, add};

use self::parts::ByPart;

/// The fields of a `RevisionTraffic` that are about all of its requests: the others are most of its bytes, and are not read
/// where nothing is compared by part.
#[derive(Clone, PartialEq, Message)]
struct Totals {
    #[prost(message, optional, tag = "2")]
    total: Option<session::Outcomes>,
    #[prost(uint64, tag = "3")]
    no_route: u64,
}

/// What became of the requests that the two revisions of a rollout have served, added up from rows.
#[derive(Clone, Debug)]
pub struct Tally {
    /// What is told apart, if anything is.
    touched: Option<Arc<Touched>>,
    from: Side,
    to: Side,
}

/// One revision.
#[derive(Clone, Debug)]
struct Side {
    revision: u64,
    total: Outcomes,
    no_route: u64,
    parts: ByPart,
}

impl Tally {
    /// Of a rollout between these revisions, with no row yet. Requests of what is `touched` are told apart.
    pub fn new(from: u64, to: u64, touched: Option<Arc<Touched>>) -> Self {
        let side = |revision| Side {
            revision,
            total: Outcomes::default(),
            no_route: 0,
            parts: ByPart::default(),
        };
        Self {
            touched,
            from: side(from),
            to: side(to),
        }
    }

    /// Adds rows; those of other revisions are passed over.
    pub fn add<'r>(&mut self, rows: impl IntoIterator<Item = &'r TrafficRow>) {
        for row in rows {
            for side in [&mut self.from, &mut self.to] {
                if side.revision == row.revision {
                    side.add(row, self.touched.as_deref());
                }
            }
        }
    }

    /// The requests on the new revision, and those on the old one. The time that they took is not known of clients that send load
    /// reports: if all do, there are requests without latencies.
    pub fn traffic(&self) -> (Traffic, Traffic) {
        (self.to.traffic(), self.from.traffic())
    }

    /// The same by what the new revision changes; `None` if nothing is told apart.
    pub fn parts(&self) -> Option<Parts> {
        let touched = self.touched.is_some();
        touched.then(|| parts::pair(&self.to.parts, &self.from.parts))
    }
}

impl Side {
    /// Only this program writes rows; one that cannot be read is as good as none, and none holds a rollout.
    fn add(&mut self, row: &TrafficRow, touched: Option<&Touched>) {
        let body = row.body.as_slice();
        let (total, no_route) = match touched {
            None => {
                let Ok(Totals { total, no_route }) = Totals::decode(body) else {
                    return;
                };
                (total, no_route)
            }
            Some(touched) => {
                let Ok(whole) = RevisionTraffic::decode(body) else {
                    return;
                };
                self.parts.add(&whole, touched);
                (whole.total, whole.no_route)
            }
        };
        if let Some(more) = total {
            self.total.merge(&Outcomes::from_proto(&more));
        }
        add(&mut self.no_route, no_route);
    }

    fn traffic(&self) -> Traffic {
        Traffic {
            no_route: self.no_route.min(self.total.requests),
            ..parts::traffic(&self.total)
        }
    }
}

/// Everything in the rows, by revision.
pub fn by_revision(rows: &[TrafficRow]) -> BTreeMap<u64, Merged> {
    let mut revisions = BTreeMap::<u64, Merged>::new();
    for row in rows {
        if let Ok(body) = RevisionTraffic::decode(row.body.as_slice()) {
            revisions.entry(row.revision).or_default().add(&body);
        }
    }
    revisions
}
