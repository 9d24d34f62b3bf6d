//! Delivery's hand on this machine: the writer of what is live, and the disk that remembers it for the next start.

mod keeping;

use std::io;
use std::path::Path;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use xds::config::Config;
use xds::problem::Problem;

use crate::delivery::{Assigned, Held, Switch};
use crate::disk::{Disk, Loaded};
use crate::live::{Shared, Writer};

use self::keeping::{ToKeep, Wanted, keep};

/// Makes configs live, and has them kept.
#[derive(Debug)]
pub(crate) struct Machine {
    writer: Writer,
    shared: Arc<Shared>,
    fleet: String,
    /// What the disk is to hold.
    wanted: Wanted,
    /// Without a disk there is nobody at the other end.
    to_keep: mpsc::UnboundedSender<Wanted>,
}

/// A machine that is ready.
#[derive(Debug)]
pub(crate) struct Started {
    /// The machine.
    pub(crate) machine: Machine,
    /// What was live before the restart, and is again or will be.
    pub(crate) recalled: Option<Held>,
    /// What is not to be taken again: its lease had run out before the restart, or was running.
    pub(crate) left: Option<Assigned>,
    /// Ends when nothing more can become live and all is kept.
    pub(crate) keeping: JoinHandle<()>,
}

impl Machine {
    /// Makes live what was so before a restart, unless its names must be looked up first. Without a data folder nothing was
    /// kept and nothing will be.
    pub(crate) fn start(
        mut writer: Writer,
        shared: Arc<Shared>,
        fleet: &str,
        data_dir: Option<&Path>,
    ) -> io::Result<Started> {
        let mut disk = data_dir.map(Disk::open).transpose()?;
        let Recalled { held, left } = disk
            .as_mut()
            .map(|disk| recall(disk, fleet))
            .unwrap_or_default();
        if let Some(held) = held.as_ref().filter(|held| !held.waits_for_names()) {
            told(&writer.apply(&held.config, held.revision));
            tracing::info!(
                revision = held.revision,
                resources = held.wire_set.len(),
                "serving what was live before the restart"
            );
        }
        if let Some(Assigned {
            assignment,
            revision,
        }) = left
        {
            tracing::warn!(
                assignment,
                revision,
                "the lease of a revision was not confirmed before the restart: it is not taken again by this assignment"
            );
        }
        let (to_keep, newest) = mpsc::unbounded_channel();
        // A thread of its own, for it waits for the disk.
        let kept = shared.clone();
        let keeping = tokio::task::spawn_blocking(move || {
            if let Some(disk) = disk {
                keep(disk, newest, &kept);
            }
        });
        let machine = Self {
            writer,
            shared,
            fleet: fleet.to_owned(),
            wanted: Wanted {
                mark: left.map(|left| mark(left, fleet)),
                ..Wanted::default()
            },
            to_keep,
        };
        Ok(Started {
            machine,
            recalled: held,
            left,
            keeping,
        })
    }

    /// Has what is live kept. What does not last takes no other's place.
    fn keep_live(&mut self, held: &Held, lasting: bool) {
        let to_keep = Arc::new(ToKeep {
            revision: held.revision,
            generation: self.shared.generation(),
            label: label(held.revision, &self.fleet),
            wire_set: held.wire_set.clone(),
        });
        if lasting {
            self.wanted.confirmed = Some(to_keep);
            self.wanted.tentative = None;
        } else {
            self.wanted.tentative = Some(to_keep);
        }
        self.keep();
    }

    fn keep(&self) {
        // The receiver is gone if there is no disk.
        let _ = self.to_keep.send(self.wanted.clone());
    }
}

impl Switch for Machine {
    fn stage(&mut self, config: &Arc<Config>) -> Vec<Problem> {
        self.writer.stage(config)
    }

    fn unstage(&mut self) {
        self.writer.unstage();
    }

    fn activate(&mut self, held: &Held, lasting: bool) {
        tracing::info!(revision = held.revision, lasting, "a config goes live");
        told(&self.writer.activate(&held.config, held.revision));
        self.keep_live(held, lasting);
    }

    fn refresh(&mut self, held: &Held, lasting: bool) {
        told(&self.writer.apply(&held.config, held.revision));
        self.keep_live(held, lasting);
    }

    fn readdress(&mut self, held: &Held) {
        told(&self.writer.apply(&held.config, held.revision));
    }

    fn renumber(&mut self, held: &Held, lasting: bool) {
        self.writer.renumber(held.revision);
        self.keep_live(held, lasting);
    }

    fn confirm(&mut self) {
        tracing::info!("what is live is confirmed");
        if let Some(confirmed) = self.wanted.tentative.take() {
            self.wanted.confirmed = Some(confirmed);
            self.keep();
        }
    }

    fn mark(&mut self, left: Option<Assigned>) {
        self.wanted.mark = left.map(|left| mark(left, &self.fleet));
        self.keep();
    }

    fn lease_has_run_out(&mut self, left: Assigned, live_revision: u64) {
        tracing::warn!(
            assignment = left.assignment,
            revision = left.revision,
            live_revision,
            "the lease of a revision has run out without having been renewed or confirmed: it is not taken again by this assignment"
        );
    }
}

fn told(problems: &[Problem]) {
    for problem in problems {
        tracing::warn!(%problem, "not served");
    }
}

/// What a kept revision is called: its number, 0 with a foreign control plane, and whose it is.
fn label(revision: u64, fleet: &str) -> String {
    format!("{revision} {fleet}")
}

/// What a restart is not to take again, and whose it is.
fn mark(left: Assigned, fleet: &str) -> String {
    format!("{} {} {fleet}", left.assignment, left.revision)
}

/// What was kept before a restart.
#[derive(Debug, Default)]
struct Recalled {
    /// The newest confirmed revision that is whole.
    held: Option<Held>,
    /// What is not to be taken again.
    left: Option<Assigned>,
}

/// What was kept of this fleet. That of another is none of ours: the proxy was given a new task.
fn recall(disk: &mut Disk, fleet: &str) -> Recalled {
    let Loaded {
        revision,
        mark,
        damaged,
    } = disk.load();
    for damage in damaged {
        tracing::warn!(%damage, "something stored was passed over");
    }
    let held = revision.and_then(|(label, set)| {
        let (revision, kept_for) = label.split_once(' ')?;
        if kept_for != fleet {
            tracing::warn!(kept_for, "what is stored belongs to another fleet");
            return None;
        }
        Some(Held::new(revision.parse().unwrap_or(0), set).0)
    });
    let left = mark.and_then(|mark| {
        let (assignment, rest) = mark.split_once(' ')?;
        let (revision, kept_for) = rest.split_once(' ')?;
        let left = Assigned {
            assignment: assignment.parse().ok()?,
            revision: revision.parse().ok()?,
        };
        (kept_for == fleet).then_some(left)
    });
    Recalled { held, left }
}

#[cfg(test)]
mod tests {
    use xds::snapshot::Snapshot;

    use super::*;

    #[test]
    fn what_was_kept_for_one_fleet_is_not_served_to_another() {
        let folder = tempfile::tempdir().unwrap();
        let mut disk = Disk::open(folder.path()).unwrap();
        disk.store_tentative(&label(7, "shop"), &Snapshot::default())
            .unwrap();
        disk.confirm().unwrap();
        let left = Assigned {
            assignment: 5,
            revision: 8,
        };
        disk.mark(Some(&mark(left, "shop"))).unwrap();
        drop(disk);
        let recalled = |fleet| recall(&mut Disk::open(folder.path()).unwrap(), fleet);
        let ours = recalled("shop");
        assert_eq!(ours.held.map(|held| held.revision), Some(7));
        assert_eq!(ours.left, Some(left));
        let theirs = recalled("warehouse");
        assert!(theirs.held.is_none() && theirs.left.is_none());
    }
}
