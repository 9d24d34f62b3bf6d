//! From rows of the store to sums over time: what a rollout is judged by, and what the API shows. Pure.
//!
//! A row is counted by when it was written, which is up to a report's interval and a second after the requests. Those that
//! a revision served shortly before a time may so be counted after it, never those of another revision.

use std::collections::BTreeMap;

use prost::Message;
use proto::session::{self, RevisionTraffic};

use crate::model::timestamp::Timestamp;
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

/// What became of the requests that the new revision `to` has served since then, and of those of the old one. The time that
/// they took is not known of clients that send load reports: if all do, `p99_ms` is `None` though there are requests.
pub fn observed(rows: &[TrafficRow], from: u64, to: u64, since: Timestamp) -> (Traffic, Traffic) {
    let of = |revision: u64| {
        let (mut total, mut no_route) = (Outcomes::default(), 0);
        let rows = rows.iter().filter(|row| row.revision == revision);
        for row in rows.filter(|row| row.at >= since) {
            // Only this program writes rows; one that cannot be read is as good as none, and none holds a rollout.
            let Ok(totals) = Totals::decode(row.body.as_slice()) else {
                continue;
            };
            if let Some(more) = totals.total {
                total.merge(&Outcomes::from_proto(&more));
            }
            add(&mut no_route, totals.no_route);
        }
        Traffic {
            requests: total.requests,
            errors: total.errors(),
            no_route: no_route.min(total.requests),
            p99_ms: total.latencies.quantile_ms(JUDGED),
        }
    };
    (of(to), of(from))
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
