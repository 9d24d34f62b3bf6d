//! From rows of the store to sums over time: what a rollout is judged by, and what the API shows. Pure.
//!
//! A row is counted by when it was written, which is up to a report's interval and a second after the requests. Those that
//! a revision served shortly before a time may so be counted after it, never those of another revision.

use std::collections::BTreeMap;

use prost::Message;
use proto::session::{self, RevisionTraffic};

use crate::rollout::observed::Traffic;
use crate::store::rollout::TrafficRow;

use super::merged::Merged;
use super::outcomes::{Outcomes, add};

/// The quantile that rollouts are judged by.
const JUDGED: f64 = 0.99;

/// The fields of a `RevisionTraffic` that are about all of its requests: the others are most of its bytes, and are not read.
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
    from: Side,
    to: Side,
}

/// One revision.
#[derive(Clone, Debug)]
struct Side {
    revision: u64,
    total: Outcomes,
    no_route: u64,
}

impl Tally {
    /// Of a rollout between these revisions, with no row yet.
    pub fn new(from: u64, to: u64) -> Self {
        let side = |revision| Side {
            revision,
            total: Outcomes::default(),
            no_route: 0,
        };
        Self {
            from: side(from),
            to: side(to),
        }
    }

    /// Adds rows; those of other revisions are passed over.
    pub fn add<'r>(&mut self, rows: impl IntoIterator<Item = &'r TrafficRow>) {
        for row in rows {
            for side in [&mut self.from, &mut self.to] {
                if side.revision == row.revision {
                    side.add(row);
                }
            }
        }
    }

    /// The requests on the new revision, and those on the old one. The time that they took is not known of clients that send load
    /// reports: if all do, `p99_ms` is `None` though there are requests.
    pub fn traffic(&self) -> (Traffic, Traffic) {
        (self.to.traffic(), self.from.traffic())
    }
}

impl Side {
    fn add(&mut self, row: &TrafficRow) {
        // Only this program writes rows; one that cannot be read is as good as none, and none holds a rollout.
        let Ok(totals) = Totals::decode(row.body.as_slice()) else {
            return;
        };
        if let Some(more) = totals.total {
            self.total.merge(&Outcomes::from_proto(&more));
        }
        add(&mut self.no_route, totals.no_route);
    }

    fn traffic(&self) -> Traffic {
        Traffic {
            requests: self.total.requests,
            errors: self.total.errors(),
            no_route: self.no_route.min(self.total.requests),
            p99_ms: self.total.latencies.quantile_ms(JUDGED),
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
