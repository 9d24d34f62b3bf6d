//! The lock file beside an SQLite database. Two control planes on one file would each serve from memory what the other
//! has changed since; the second is told so and ends.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

use super::error::OpenError;

/// Holds the lock of a database file until it is dropped, or until the process ends in any way.
#[derive(Debug)]
pub(super) struct FileLock {
    _file: File,
}

impl FileLock {
    /// Takes the lock, or says who cannot have it. Makes the folder if it is not there.
    pub(super) fn take(database: &Path) -> Result<Self, OpenError> {
        let folder = |path: &Path, source| OpenError::Folder {
            path: path.to_owned(),
            source,
        };
        if let Some(parent) = database.parent() {
            std::fs::create_dir_all(parent).map_err(|source| folder(parent, source))?;
        }
        let mut path = database.as_os_str().to_owned();
        path.push(".lock");
        let path = PathBuf::from(path);
        let open = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path);
        let file = open.map_err(|source| folder(&path, source))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(OpenError::Locked { path }),
            Err(TryLockError::Error(source)) => Err(folder(&path, source)),
        }
    }
}
