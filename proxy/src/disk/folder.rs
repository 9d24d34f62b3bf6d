//! A folder as the store of revisions needs one: few operations, so that a test can break off any of them at any byte.
//! In: file names without folders, bytes. What the files mean is not known here.

use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The operations. All of them block.
pub(super) trait Folder: fmt::Debug + Send {
    /// What a file holds.
    fn read(&self, file: &str) -> io::Result<Vec<u8>>;

    /// The names of all files, in no order.
    fn names(&self) -> io::Result<Vec<String>>;

    /// Puts bytes at the end of a file, which is made if there is none. When this returns they survive a loss of power,
    /// but the name of a new file does so only after [`Folder::sync`]. If it fails, some of them may be there.
    fn append(&mut self, file: &str, bytes: &[u8]) -> io::Result<()>;

    /// Gives a file another name; what had that name is gone. Never half done.
    fn rename(&mut self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file, if it is there.
    fn remove(&mut self, file: &str) -> io::Result<()>;

    /// When this returns, the names that were made, changed and removed survive a loss of power.
    fn sync(&mut self) -> io::Result<()>;
}

/// A folder of the file system, for nobody but the user the proxy runs as.
#[derive(Debug)]
pub(super) struct RealFolder {
    path: PathBuf,
}

impl RealFolder {
    /// A folder at this path, made if it is not there.
    pub(super) fn open(path: PathBuf) -> io::Result<Self> {
        make(&path)?;
        Ok(Self { path })
    }
}

impl Folder for RealFolder {
    fn read(&self, file: &str) -> io::Result<Vec<u8>> {
        fs::read(self.path.join(file))
    }

    fn names(&self) -> io::Result<Vec<String>> {
        let entries = fs::read_dir(&self.path)?;
        // A name that is not UTF-8 is none of ours.
        entries
            .filter_map(|entry| {
                entry
                    .map(|entry| entry.file_name().into_string().ok())
                    .transpose()
            })
            .collect()
    }

    fn append(&mut self, file: &str, bytes: &[u8]) -> io::Result<()> {
        let mut file = open_to_append(&self.path.join(file))?;
        file.write_all(bytes)?;
        file.sync_data()
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path.join(from), self.path.join(to))
    }

    fn remove(&mut self, file: &str) -> io::Result<()> {
        match fs::remove_file(self.path.join(file)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            done => done,
        }
    }

    fn sync(&mut self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }
}

/// Opens a file, which is made if there is none.
pub(super) fn open_to_append(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)
}

/// Makes a folder and those that it stands in. It survives a loss of power; so it must, or what is stored in it would not.
pub(super) fn make(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    for folder in path.ancestors().skip(1).take(2) {
        // The parent of a relative path may be "", which cannot be opened and need not.
        if let Ok(folder) = File::open(folder) {
            folder.sync_all()?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn files_and_folders_are_for_their_user_alone() {
        let outer = tempfile::tempdir().unwrap();
        let path = outer.path().join("a/b");
        let mut folder = RealFolder::open(path.clone()).unwrap();
        folder.append("file", b"x").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&path), 0o700);
        assert_eq!(mode(&path.join("file")), 0o600);
    }

    #[test]
    fn bytes_go_to_the_end_and_a_file_that_is_not_there_is_gone() {
        let outer = tempfile::tempdir().unwrap();
        let mut folder = RealFolder::open(outer.path().into()).unwrap();
        folder.append("one", b"ab").unwrap();
        folder.append("one", b"c").unwrap();
        folder.rename("one", "two").unwrap();
        folder.sync().unwrap();
        assert_eq!(folder.read("two").unwrap(), b"abc");
        assert_eq!(folder.names().unwrap(), ["two"]);
        folder.remove("two").unwrap();
        folder.remove("two").unwrap();
        assert!(folder.names().unwrap().is_empty());
    }
}
