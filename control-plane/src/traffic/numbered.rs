//! Reports that have a number, from when they come until they are written. Pure, but for telling who waits. In: reports, and
//! which of them the store had not seen before. Out: what they add up to. A process has one report on its way at a time, so one
//! is kept of each, and while the database is away nothing grows here.

use std::collections::BTreeMap;

use proto::session::Traffic;
use tokio::sync::watch;

use crate::store::rollout::ReportNumber;

use super::merged::Merged;

/// So many reports wait at most; who is not among them sends it again.
const WAITING_MAX: usize = 20_000;

/// Who reports on one session.
#[derive(Clone, Debug)]
pub struct Reporter {
    /// The fleet.
    pub fleet: String,
    /// The node.
    pub node: String,
    /// The number that the process gave itself; 0 if its reports have none.
    pub number: u64,
    /// Where the number of the last one that was taken goes.
    taken: watch::Sender<u64>,
}

/// By fleet and reporter.
#[derive(Debug, Default)]
pub(super) struct Numbered(BTreeMap<(String, u64), Waiting>);

#[derive(Debug)]
struct Waiting {
    sequence: u64,
    revisions: BTreeMap<u64, Merged>,
    taken: watch::Sender<u64>,
}

impl Reporter {
    /// On a new session.
    pub fn new(fleet: &str, node: &str, number: u64) -> Self {
        Self {
            fleet: fleet.to_owned(),
            node: node.to_owned(),
            number,
            taken: watch::Sender::new(0),
        }
    }

    /// The highest number that was taken of what came on this session, 0 until one was.
    pub fn taken(&self) -> watch::Receiver<u64> {
        self.taken.subscribe()
    }

    /// Whether a report counts by its number. Higher ones than a database holds, nobody reaches.
    pub(super) fn numbers(&self, report: &Traffic) -> bool {
        self.number > 0 && report.sequence > 0 && i64::try_from(report.sequence).is_ok()
    }
}

impl Numbered {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes a report. A later one of the same process says that the one before was taken elsewhere.
    pub(super) fn take(
        &mut self,
        from: &Reporter,
        sequence: u64,
        revisions: BTreeMap<u64, Merged>,
    ) {
        let key = (from.fleet.clone(), from.number);
        let earlier = self.0.get(&key);
        let is_news = match earlier {
            Some(earlier) => earlier.sequence <= sequence,
            None => self.0.len() < WAITING_MAX,
        };
        if is_news {
            let waiting = Waiting {
                sequence,
                revisions,
                taken: from.taken.clone(),
            };
            self.0.insert(key, waiting);
        }
    }

    /// In the order of [`Numbered::those`].
    pub(super) fn numbers(&self) -> Vec<ReportNumber> {
        let numbers = self.0.iter();
        let number = |((fleet, reporter), waiting): (&(String, u64), &Waiting)| ReportNumber {
            fleet: fleet.clone(),
            reporter: *reporter,
            sequence: waiting.sequence,
        };
        numbers.map(number).collect()
    }

    /// Fleet, revision and requests of those that are new.
    pub(super) fn those(&self, new: &[bool]) -> impl Iterator<Item = (&str, u64, &Merged)> {
        let new = self.0.iter().zip(new).filter(|(_, is_new)| **is_new);
        new.flat_map(|(((fleet, _), waiting), _)| {
            let revisions = waiting.revisions.iter();
            revisions.map(move |(revision, merged)| (fleet.as_str(), *revision, merged))
        })
    }

    /// They are written, now or before.
    pub(super) fn are_taken(self) {
        for waiting in self.0.into_values() {
            waiting
                .taken
                .send_modify(|taken| *taken = waiting.sequence.max(*taken));
        }
    }

    /// They are not written. What came meanwhile is as new or newer.
    pub(super) fn put_back(&mut self, earlier: Self) {
        for (key, waiting) in earlier.0 {
            let stays = self
                .0
                .get(&key)
                .is_none_or(|now| now.sequence < waiting.sequence);
            if stays {
                self.0.insert(key, waiting);
            }
        }
    }
}
