//! What survives a restart: the revisions that were confirmed last, with their endpoints as they were, and a mark. In: wire
//! sets, and the word that one of them is confirmed. Out: at the start, the newest confirmed revision that is whole.
//!
//! Two slots take turns, so that the confirmed revision and the one before share no file: whatever happens to one file,
//! the other slot does not know of it. In a slot there are
//! - a `segment`, to which records of resources are added; what is stored already is not written again, and when more
//!   than half of it would be dead the next revision is written whole to a new one;
//! - `tentative`, the list of what a revision consists of, until it is confirmed: never read at a start;
//! - `confirmed`, the same file under another name: one rename confirms.
//!
//! Beside the slots is `mark`, a text that is there from one moment to the next and belongs to no revision.
//!
//! A process may be killed at any byte of all this. When a revision is activated and why one is confirmed is decided
//! elsewhere; nothing here is async, and every function blocks.

mod folder;
mod manifest;
mod mark;
mod record;
mod segment;
mod slot;

#[cfg(test)]
mod simulated;

use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;

use xds::snapshot::Snapshot;

use self::folder::{Folder, RealFolder};
use self::mark::Mark;
use self::slot::Slot;

/// The folder in the data folder.
const FOLDER: &str = "revisions";

/// The revisions of one proxy.
#[derive(Debug)]
pub(crate) struct Disk {
    slots: [Slot; 2],
    /// The slot of the newest confirmed revision that is whole, as far as is known.
    newest: Option<usize>,
    tentative: Tentative,
    mark: Mark,
    /// Held for as long as this lives.
    _lock: Option<File>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tentative {
    None,
    /// Stored in this slot.
    In(usize),
    /// It is the newest confirmed one.
    Unchanged,
}

/// What was found at the start.
#[derive(Debug, Default)]
pub(crate) struct Loaded {
    /// The newest confirmed revision that is whole, with its label.
    pub(crate) revision: Option<(String, Snapshot)>,
    /// The mark, if there is one.
    pub(crate) mark: Option<String>,
    /// What was passed over, and why.
    pub(crate) damaged: Vec<String>,
}

impl Disk {
    /// Opens the folder of revisions in a data folder; both are made if they are not there. An error names the folder,
    /// and says why it cannot be used, or that another process uses it.
    pub(crate) fn open(data_dir: &Path) -> io::Result<Self> {
        let path = data_dir.join(FOLDER);
        Self::open_folder(&path)
            .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
    }

    fn open_folder(path: &Path) -> io::Result<Self> {
        folder::make(path)?;
        let lock = folder::open_to_append(&path.join("lock"))?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => {
                io::Error::new(io::ErrorKind::ResourceBusy, "another process uses it")
            }
            TryLockError::Error(error) => error,
        })?;
        let folders = [
            RealFolder::open(path.join("a"))?,
            RealFolder::open(path.join("b"))?,
            RealFolder::open(path.into())?,
        ];
        let folders = folders.map(|folder| Box::new(folder) as Box<dyn Folder>);
        Self::of_folders(folders, Some(lock))
    }

    /// `outer` is the folder that the slots stand in.
    fn of_folders([a, b, outer]: [Box<dyn Folder>; 3], lock: Option<File>) -> io::Result<Self> {
        let slots = [Slot::open("a", a)?, Slot::open("b", b)?];
        Ok(Self {
            newest: newest_first(&slots).first().copied(),
            slots,
            tentative: Tentative::None,
            mark: Mark::open(outer)?,
            _lock: lock,
        })
    }

    /// The newest confirmed revision that is whole, and the mark; says what was damaged and passed over. To be called once,
    /// before anything is stored.
    pub(crate) fn load(&mut self) -> Loaded {
        let mut loaded = Loaded {
            mark: self.mark.text().map(str::to_owned),
            ..Loaded::default()
        };
        loaded.damaged.extend(self.mark.damage().map(str::to_owned));
        for slot in &self.slots {
            loaded.damaged.extend(slot.damage().map(str::to_owned));
        }
        self.newest = None;
        for index in newest_first(&self.slots) {
            match self.slots[index].load() {
                Ok(revision) => {
                    self.newest = Some(index);
                    loaded.revision = Some(revision);
                    break;
                }
                Err(damage) => loaded.damaged.push(damage),
            }
        }
        loaded
    }

    /// Stores a wire set as the tentative revision, in place of the one that was. Only what is not stored yet is written.
    pub(crate) fn store_tentative(&mut self, label: &str, set: &Snapshot) -> io::Result<()> {
        self.discard_tentative()?;
        if self
            .newest
            .is_some_and(|newest| self.slots[newest].holds(label, set))
        {
            self.tentative = Tentative::Unchanged;
            return Ok(());
        }
        let target = self.newest.map_or(0, |newest| 1 - newest);
        let sequences = self.slots.iter().filter_map(Slot::sequence);
        let sequence = sequences.max().unwrap_or(0) + 1;
        self.slots[target].store_tentative(sequence, label, set)?;
        self.tentative = Tentative::In(target);
        Ok(())
    }

    /// Makes the tentative revision the confirmed one; the confirmed one before is kept to fall back to. Without a
    /// tentative one nothing happens.
    pub(crate) fn confirm(&mut self) -> io::Result<()> {
        if let Tentative::In(slot) = self.tentative {
            self.slots[slot].confirm()?;
            self.newest = Some(slot);
        }
        self.tentative = Tentative::None;
        Ok(())
    }

    /// Drops the tentative revision, if there is one.
    pub(crate) fn discard_tentative(&mut self) -> io::Result<()> {
        if let Tentative::In(slot) = self.tentative {
            self.slots[slot].discard_tentative()?;
        }
        self.tentative = Tentative::None;
        Ok(())
    }

    /// Puts a mark in place of the one that is there, or removes it. It has nothing to do with what is tentative or confirmed.
    pub(crate) fn mark(&mut self, text: Option<&str>) -> io::Result<()> {
        self.mark.set(text)
    }
}

/// The slots with a confirmed revision whose list is whole.
fn newest_first(slots: &[Slot; 2]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..slots.len())
        .filter(|index| slots[*index].sequence().is_some())
        .collect();
    order.sort_by_key(|index| std::cmp::Reverse(slots[*index].sequence()));
    order
}

#[cfg(test)]
mod tests;
