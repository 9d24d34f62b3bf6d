//! Delivery's hand on this machine: the writer of what is live, and the disk that remembers it for the next start.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use xds::config::Config;
use xds::problem::Problem;
use xds::snapshot::Snapshot;

use crate::delivery::{Held, Switch};
use crate::disk::{Disk, Loaded};
use crate::live::{Shared, Stored, Writer};

/// Makes configs live, and has them kept.
#[derive(Debug)]
pub(crate) struct Machine {
    writer: Writer,
    shared: Arc<Shared>,
    fleet: String,
    /// Without a disk there is nobody at the other end.
    to_keep: mpsc::UnboundedSender<ToKeep>,
}

/// What is to be kept for the next start.
#[derive(Debug)]
struct ToKeep {
    revision: u64,
    generation: u64,
    label: String,
    wire_set: Snapshot,
}

/// A machine that is ready.
#[derive(Debug)]
pub(crate) struct Started {
    /// The machine.
    pub(crate) machine: Machine,
    /// What was live before the restart, and is again or will be.
    pub(crate) recalled: Option<Held>,
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
        let recalled = disk.as_mut().and_then(|disk| recall(disk, fleet));
        if let Some(held) = recalled.as_ref().filter(|held| !held.waits_for_names()) {
            told(&writer.apply(&held.config, held.revision));
            tracing::info!(
                revision = held.revision,
                resources = held.wire_set.len(),
                "serving what was live before the restart"
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
            to_keep,
        };
        Ok(Started {
            machine,
            recalled,
            keeping,
        })
    }

    fn is_live(&self, held: &Held, problems: &[Problem]) {
        told(problems);
        // The receiver is gone if there is no disk.
        let _ = self.to_keep.send(ToKeep {
            revision: held.revision,
            generation: self.shared.generation(),
            label: label(held.revision, &self.fleet),
            wire_set: held.wire_set.clone(),
        });
    }
}

impl Switch for Machine {
    fn stage(&mut self, config: &Arc<Config>) -> Vec<Problem> {
        self.writer.stage(config)
    }

    fn activate(&mut self, held: &Held) {
        tracing::info!(revision = held.revision, "a config goes live");
        let problems = self.writer.activate(&held.config, held.revision);
        self.is_live(held, &problems);
    }

    fn refresh(&mut self, held: &Held) {
        let problems = self.writer.apply(&held.config, held.revision);
        self.is_live(held, &problems);
    }

    fn readdress(&mut self, held: &Held) {
        told(&self.writer.apply(&held.config, held.revision));
    }

    fn renumber(&mut self, revision: u64) {
        self.writer.renumber(revision);
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

/// The newest confirmed revision that is whole. One of another fleet is none of ours: the proxy was given a new task.
fn recall(disk: &mut Disk, fleet: &str) -> Option<Held> {
    let Loaded { revision, damaged } = disk.load();
    for damage in damaged {
        tracing::warn!(%damage, "a stored revision was passed over");
    }
    let (label, set) = revision?;
    let (revision, kept_for) = label.split_once(' ')?;
    if kept_for != fleet {
        tracing::warn!(kept_for, "what is stored belongs to another fleet");
        return None;
    }
    Some(Held::new(revision.parse().unwrap_or(0), set).0)
}

/// Keeps what is live for the next start.
fn keep(mut disk: Disk, mut live: mpsc::UnboundedReceiver<ToKeep>, shared: &Shared) {
    while let Some(mut newest) = live.blocking_recv() {
        // Of several that came meanwhile, the last.
        while let Ok(newer) = live.try_recv() {
            newest = newer;
        }
        let ToKeep {
            revision,
            generation,
            label,
            wire_set,
        } = newest;
        let stored = disk.store_tentative(&label, &wire_set);
        let stored = stored.and_then(|()| disk.confirm());
        let mut kept = shared.kept();
        match stored {
            Ok(()) => {
                kept.last = Some(Stored {
                    revision,
                    generation,
                    at: SystemTime::now(),
                });
                kept.last_error = None;
                let resources = wire_set.len();
                tracing::info!(generation, resources, "stored for the next start");
            }
            Err(error) => {
                kept.failures += 1;
                kept.last_error = Some(error.to_string());
                tracing::error!(generation, %error, "not stored: a restart would find an older config");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Has one config kept; what is known of it then.
    fn kept(disk: Disk) -> crate::live::Kept {
        let (live, newest) = mpsc::unbounded_channel();
        let to_keep = ToKeep {
            revision: 7,
            generation: 1,
            label: label(7, "shop"),
            wire_set: Snapshot::default(),
        };
        live.send(to_keep).unwrap();
        drop(live);
        let shared = Shared::default();
        keep(disk, newest, &shared);
        shared.kept().clone()
    }

    #[test]
    fn what_is_stored_and_what_could_not_be_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let stored = kept(Disk::open(folder.path()).unwrap());
        assert_eq!(stored.last.map(|stored| stored.revision), Some(7));
        assert_eq!((stored.failures, stored.last_error), (0, None));

        let folder = tempfile::tempdir().unwrap();
        let disk = Disk::open(folder.path()).unwrap();
        folder.close().unwrap();
        let failed = kept(disk);
        assert!(failed.last.is_none());
        assert!(
            failed.failures == 1 && failed.last_error.is_some(),
            "{failed:?}"
        );
    }

    #[test]
    fn what_was_kept_for_one_fleet_is_not_served_to_another() {
        let folder = tempfile::tempdir().unwrap();
        let mut disk = Disk::open(folder.path()).unwrap();
        disk.store_tentative(&label(7, "shop"), &Snapshot::default())
            .unwrap();
        disk.confirm().unwrap();
        assert_eq!(recall(&mut disk, "shop").map(|held| held.revision), Some(7));
        assert!(recall(&mut disk, "warehouse").is_none());
    }
}
