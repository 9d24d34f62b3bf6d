//! A machine for tests: three folders in memory that stop working after a given number of steps, as a process does that is
//! killed, or a computer that loses its power. A byte that is written is a step, and so is every other operation.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};

use super::folder::Folder;

/// The machine. It is started with [`Machine::boot`] and found again, after its end, with what was kept.
#[derive(Debug)]
pub(super) struct Machine {
    state: Arc<Mutex<State>>,
}

/// How it came to its end.
#[derive(Clone, Copy, Debug)]
pub(super) enum End {
    /// What was written is there.
    Killed,
    /// What was not synced may be there, in part, or not.
    PowerLost,
}

#[derive(Debug, Default)]
struct State {
    folders: [Files; 3],
    /// Steps until the end.
    left: usize,
    /// Steps so far.
    taken: usize,
    /// Whether the disk is full: of what is to be written, half finds room.
    full: bool,
}

/// Names are apart from contents, as in a file system: a sync of the one says nothing of the other.
#[derive(Debug, Default)]
struct Files {
    contents: Vec<Vec<u8>>,
    names: BTreeMap<String, usize>,
    /// The names at the last sync, and what has changed since.
    synced: BTreeMap<String, usize>,
    changes: Vec<Change>,
    /// A content that was being written at the end, and its length before.
    torn: Option<(usize, usize)>,
}

/// A change of names; it is never half done.
#[derive(Debug)]
struct Change {
    removed: Option<String>,
    set: Option<(String, usize)>,
}

#[derive(Debug)]
struct Simulated {
    state: Arc<Mutex<State>>,
    index: usize,
}

impl Machine {
    pub(super) fn new() -> Self {
        Self {
            state: Arc::default(),
        }
    }

    /// Its folders; they fail for good after so many steps.
    pub(super) fn boot(&self, steps: usize) -> [Box<dyn Folder>; 3] {
        let mut state = self.state.lock().unwrap();
        (state.left, state.taken) = (steps, 0);
        [0, 1, 2].map(|index| {
            Box::new(Simulated {
                state: self.state.clone(),
                index,
            }) as Box<dyn Folder>
        })
    }

    /// Lets operations fail after so many more steps, and not before.
    pub(super) fn refuse_after(&self, steps: usize) {
        self.state.lock().unwrap().left = steps;
    }

    /// Fills the disk, or makes room again.
    pub(super) fn fill(&self, full: bool) {
        self.state.lock().unwrap().full = full;
    }

    /// Steps since it was booted.
    pub(super) fn steps(&self) -> usize {
        self.state.lock().unwrap().taken
    }

    /// Leaves what is found after the end.
    pub(super) fn end(&self, end: End, random: &mut fastrand::Rng) {
        for files in &mut self.state.lock().unwrap().folders {
            if let End::PowerLost = end {
                files.lose(random);
            }
            files.sync();
            files.torn = None;
        }
    }

    /// Damages a file: `change` gets its content.
    pub(super) fn damage(&self, folder: usize, file: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let files = &mut self.state.lock().unwrap().folders[folder];
        change(&mut files.contents[files.names[file]]);
    }

    /// The names and lengths of the files of one folder.
    pub(super) fn files(&self, folder: usize) -> BTreeMap<String, usize> {
        let files = &self.state.lock().unwrap().folders[folder];
        let names = files.names.iter();
        names
            .map(|(name, content)| (name.clone(), files.contents[*content].len()))
            .collect()
    }
}

impl State {
    /// Takes steps as long as there are some; returns how many. Fewer than wanted is the end.
    fn take(&mut self, wanted: usize) -> usize {
        let steps = wanted.min(self.left);
        self.left -= steps;
        self.taken += steps;
        steps
    }

    fn step(&mut self) -> io::Result<()> {
        if self.take(1) == 1 {
            Ok(())
        } else {
            Err(gone())
        }
    }
}

impl Files {
    fn change(&mut self, change: Change) {
        change.apply_to(&mut self.names);
        self.changes.push(change);
    }

    fn sync(&mut self) {
        self.synced.clone_from(&self.names);
        self.changes.clear();
    }

    /// Of the changes of names some get lost, whatever their order; what was being written is cut or left as zeros.
    fn lose(&mut self, random: &mut fastrand::Rng) {
        self.names.clone_from(&self.synced);
        for change in self.changes.drain(..).filter(|_| random.bool()) {
            change.apply_to(&mut self.names);
        }
        if let Some((content, before)) = self.torn {
            let content = &mut self.contents[content];
            let zeros_from = random.usize(before..=content.len());
            content[zeros_from..].fill(0);
            content.truncate(random.usize(before..=content.len()));
        }
    }
}

impl Change {
    fn apply_to(&self, names: &mut BTreeMap<String, usize>) {
        if let Some(removed) = &self.removed {
            names.remove(removed);
        }
        names.extend(self.set.clone());
    }
}

impl Folder for Simulated {
    fn read(&self, file: &str) -> io::Result<Vec<u8>> {
        let files = &self.state.lock().unwrap().folders[self.index];
        let content = files.names.get(file).ok_or(io::ErrorKind::NotFound)?;
        Ok(files.contents[*content].clone())
    }

    fn names(&self) -> io::Result<Vec<String>> {
        let files = &self.state.lock().unwrap().folders[self.index];
        Ok(files.names.keys().cloned().collect())
    }

    fn append(&mut self, file: &str, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.state.lock().unwrap();
        state.step()?;
        let room = if state.full {
            bytes.len() / 2
        } else {
            bytes.len()
        };
        let written = state.take(room);
        let files = &mut state.folders[self.index];
        if !files.names.contains_key(file) {
            files.contents.push(Vec::new());
            let content = files.contents.len() - 1;
            files.change(Change {
                removed: None,
                set: Some((file.to_owned(), content)),
            });
        }
        let content = files.names[file];
        files.torn = Some((content, files.contents[content].len()));
        files.contents[content].extend(&bytes[..written]);
        if written < bytes.len() {
            return Err(gone());
        }
        // The sync.
        state.step()?;
        state.folders[self.index].torn = None;
        Ok(())
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.state.lock().unwrap();
        state.step()?;
        let files = &mut state.folders[self.index];
        let content = *files.names.get(from).ok_or(io::ErrorKind::NotFound)?;
        files.change(Change {
            removed: Some(from.to_owned()),
            set: Some((to.to_owned(), content)),
        });
        Ok(())
    }

    fn remove(&mut self, file: &str) -> io::Result<()> {
        let mut state = self.state.lock().unwrap();
        state.step()?;
        state.folders[self.index].change(Change {
            removed: Some(file.to_owned()),
            set: None,
        });
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut state = self.state.lock().unwrap();
        state.step()?;
        state.folders[self.index].sync();
        Ok(())
    }
}

fn gone() -> io::Error {
    io::Error::other("the machine has stopped")
}
