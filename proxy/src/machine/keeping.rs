//! Keeps on disk what a restart is to find. In: what the disk is to hold, again and again. The newest word is the whole of it,
//! so whatever could not be stored, or came too fast, is made up for by the next.

use std::io;
use std::sync::Arc;
use std::time::SystemTime;

use tokio::sync::mpsc;
use xds::snapshot::Snapshot;

use crate::disk::Disk;
use crate::live::{Shared, Stored};

/// What the disk is to hold.
#[derive(Clone, Debug, Default)]
pub(super) struct Wanted {
    /// What a restart is to serve; `None`: what is there.
    pub(super) confirmed: Option<Arc<ToKeep>>,
    /// What is live under a lease: no restart serves it, but when it is confirmed it is stored already.
    pub(super) tentative: Option<Arc<ToKeep>>,
    /// What a restart is not to take again.
    pub(super) mark: Option<String>,
}

/// What was live at some time.
#[derive(Debug)]
pub(super) struct ToKeep {
    pub(super) revision: u64,
    pub(super) generation: u64,
    pub(super) label: String,
    pub(super) wire_set: Snapshot,
}

/// A disk, and what it holds of what was wanted in this life of the proxy.
struct Keeper {
    disk: Disk,
    confirmed: Option<Arc<ToKeep>>,
    tentative: Option<Arc<ToKeep>>,
}

/// Keeps what is wanted until nobody can want more.
pub(super) fn keep(disk: Disk, mut wanted: mpsc::UnboundedReceiver<Wanted>, shared: &Shared) {
    let mut keeper = Keeper {
        disk,
        confirmed: None,
        tentative: None,
    };
    while let Some(mut newest) = wanted.blocking_recv() {
        while let Ok(newer) = wanted.try_recv() {
            newest = newer;
        }
        let stored = keeper.store(&newest);
        let mut kept = shared.kept();
        match stored {
            Ok(confirmed) => {
                kept.last_error = None;
                if let Some(confirmed) = confirmed {
                    kept.last = Some(Stored {
                        revision: confirmed.revision,
                        generation: confirmed.generation,
                        at: SystemTime::now(),
                    });
                    let (generation, resources) = (confirmed.generation, confirmed.wire_set.len());
                    tracing::info!(generation, resources, "stored for the next start");
                }
            }
            Err(error) => {
                kept.failures += 1;
                kept.last_error = Some(error.to_string());
                let generation = shared.generation();
                tracing::error!(generation, %error, "not stored: a restart would find an older config");
            }
        }
    }
}

impl Keeper {
    /// Brings the disk to what is wanted; returns what was confirmed thereby.
    fn store(&mut self, wanted: &Wanted) -> io::Result<Option<Arc<ToKeep>>> {
        // A mark comes first, for what it is about is live already. It goes before that is confirmed: a restart in between serves
        // what it served before the lease and may take it again, while one that found both would leave what was confirmed.
        self.disk.mark(wanted.mark.as_deref())?;
        let mut confirmed = None;
        if let Some(to_keep) = &wanted.confirmed
            && !is_same(Some(to_keep), self.confirmed.as_ref())
        {
            if !is_same(Some(to_keep), self.tentative.as_ref()) {
                self.tentative = None;
                self.disk
                    .store_tentative(&to_keep.label, &to_keep.wire_set)?;
            }
            self.disk.confirm()?;
            (self.confirmed, self.tentative) = (Some(to_keep.clone()), None);
            confirmed = Some(to_keep.clone());
        }
        if !is_same(wanted.tentative.as_ref(), self.tentative.as_ref()) {
            self.tentative = None;
            match &wanted.tentative {
                Some(to_keep) => self
                    .disk
                    .store_tentative(&to_keep.label, &to_keep.wire_set)?,
                None => self.disk.discard_tentative()?,
            }
            self.tentative.clone_from(&wanted.tentative);
        }
        Ok(confirmed)
    }
}

fn is_same(one: Option<&Arc<ToKeep>>, other: Option<&Arc<ToKeep>>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => Arc::ptr_eq(one, other),
        (None, None) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::Kept;

    fn to_keep(revision: u64) -> Arc<ToKeep> {
        Arc::new(ToKeep {
            revision,
            generation: revision,
            label: format!("{revision} shop"),
            wire_set: Snapshot::default(),
        })
    }

    /// Has this kept; what is known of it then.
    fn kept(disk: Disk, wanted: Wanted) -> Kept {
        let (to_keep, newest) = mpsc::unbounded_channel();
        to_keep.send(wanted).unwrap();
        drop(to_keep);
        let shared = Shared::default();
        keep(disk, newest, &shared);
        shared.kept().clone()
    }

    /// What a start finds: the label of the confirmed revision, and the mark.
    fn found(folder: &std::path::Path) -> (Option<String>, Option<String>) {
        let loaded = Disk::open(folder).unwrap().load();
        (loaded.revision.map(|(label, _)| label), loaded.mark)
    }

    #[test]
    fn what_is_stored_and_what_could_not_be_is_told() {
        let wanted = || Wanted {
            confirmed: Some(to_keep(7)),
            ..Wanted::default()
        };
        let folder = tempfile::tempdir().unwrap();
        let stored = kept(Disk::open(folder.path()).unwrap(), wanted());
        assert_eq!(stored.last.map(|stored| stored.revision), Some(7));
        assert_eq!((stored.failures, stored.last_error), (0, None));

        let folder = tempfile::tempdir().unwrap();
        let disk = Disk::open(folder.path()).unwrap();
        folder.close().unwrap();
        let failed = kept(disk, wanted());
        assert!(failed.last.is_none());
        assert!(
            failed.failures == 1 && failed.last_error.is_some(),
            "{failed:?}"
        );
    }

    #[test]
    fn what_is_leased_is_stored_beside_what_is_confirmed_and_takes_its_place_when_it_is_confirmed_itself()
     {
        let folder = tempfile::tempdir().unwrap();
        let mut keeper = Keeper {
            disk: Disk::open(folder.path()).unwrap(),
            confirmed: None,
            tentative: None,
        };
        // Another process would be refused; the file system shows what it would find.
        let copy = |keeper: &Keeper| {
            let copy = tempfile::tempdir().unwrap();
            for name in ["a", "b", "."] {
                let from = folder.path().join("revisions").join(name);
                let to = copy.path().join("revisions").join(name);
                std::fs::create_dir_all(&to).unwrap();
                for file in std::fs::read_dir(from).unwrap() {
                    let file = file.unwrap();
                    if file.file_type().unwrap().is_file() {
                        std::fs::copy(file.path(), to.join(file.file_name())).unwrap();
                    }
                }
            }
            assert!(keeper.confirmed.is_some());
            found(copy.path())
        };
        let named = |label: &str, mark: Option<&str>| (Some(label.into()), mark.map(str::to_owned));
        let mut wanted = Wanted {
            confirmed: Some(to_keep(1)),
            ..Wanted::default()
        };
        keeper.store(&wanted).unwrap();
        assert_eq!(copy(&keeper), named("1 shop", None));
        wanted.tentative = Some(to_keep(2));
        wanted.mark = Some("5 2 shop".into());
        assert!(keeper.store(&wanted).unwrap().is_none());
        assert_eq!(copy(&keeper), named("1 shop", Some("5 2 shop")));
        wanted.confirmed = wanted.tentative.take();
        wanted.mark = None;
        let confirmed = keeper.store(&wanted).unwrap();
        assert_eq!(confirmed.map(|confirmed| confirmed.revision), Some(2));
        assert_eq!(copy(&keeper), named("2 shop", None));
    }
}
