//! What the store takes and gives of rollouts and of traffic.

use crate::model::timestamp::Timestamp;
use crate::rollout::begin::Terms;
use crate::rollout::strategy::Strategy;
use crate::rollout::{Event, Rollout};

use super::By;

/// A rollout to be begun.
#[derive(Clone, Copy, Debug)]
pub struct NewRollout<'a> {
    /// The fleet.
    pub fleet: &'a str,
    /// The revision to go to.
    pub to: u64,
    /// How.
    pub strategy: &'a Strategy,
    /// Why.
    pub reason: &'a str,
    /// Ends the rollout that is active, if one is, and takes over its salt and the nodes that it has chosen.
    pub supersede: bool,
    /// What else is said of it.
    pub terms: Terms<'a>,
    /// Who begins it.
    pub by: By<'a>,
}

/// A change of a rollout.
#[derive(Clone, Copy, Debug)]
pub struct Step<'a> {
    /// The rollout as it is to be; its `row_version` is that of the row it was made from.
    pub next: &'a Rollout,
    /// What happened, in order.
    pub events: &'a [Event],
    /// The operator that asked for it, if one did; it is audited then.
    pub by: Option<(By<'a>, &'static str)>,
}

/// Something that happened in a rollout, as it is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredEvent {
    /// Its number within the rollout, from 1.
    pub seq: u64,
    /// When, by the database's clock.
    pub at: Timestamp,
    /// Who; empty if nobody asked for it.
    pub actor: String,
    /// What.
    pub event: Event,
}

/// What nodes of one replica report of the requests that one revision has served, over a few seconds.
#[derive(Clone, Debug, PartialEq)]
pub struct TrafficRow {
    /// The fleet.
    pub fleet: String,
    /// The revision.
    pub revision: u64,
    /// When it was written, by the database's clock; what is given on writing does not count.
    pub at: Timestamp,
    /// A `signalbox.v1.RevisionTraffic`, encoded.
    pub body: Vec<u8>,
}

/// Which report of which process this is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReportNumber {
    /// The fleet.
    pub fleet: String,
    /// The number that the process gave itself, at random.
    pub reporter: u64,
    /// Its reports so far; each one was said to be counted before the next came.
    pub sequence: u64,
}

/// Makes the rows of those reports that are new, as they stand in the list.
pub type RowsOf<'a> = &'a (dyn Fn(&[bool]) -> Vec<TrafficRow> + Send + Sync);
