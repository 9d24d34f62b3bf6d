//! A name for a proxy that was given none: made up once, kept in a file, the same after every restart.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

const FILE: &str = "node-id";

/// The name that is kept in a folder; the first time one is made up. An error says that the folder cannot be used.
pub(super) fn kept_in(folder: &Path) -> io::Result<String> {
    let path = folder.join(FILE);
    match fs::read_to_string(&path) {
        Ok(text) if !text.trim().is_empty() => return Ok(text.trim().to_owned()),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let id = format!("proxy-{:016x}", fastrand::u64(..));
    fs::create_dir_all(folder)?;
    // Written beside and renamed, so that a crash leaves the whole name or none.
    let beside = folder.join(format!("{FILE}.new"));
    let mut file = File::create(&beside)?;
    writeln!(file, "{id}")?;
    file.sync_all()?;
    fs::rename(&beside, &path)?;
    File::open(folder)?.sync_all()?;
    Ok(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_made_up_name_is_the_same_after_a_restart_and_another_in_another_folder() {
        let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let folder = here.path().join("made/on/the/way");
        let first = kept_in(&folder).unwrap();
        assert_eq!(kept_in(&folder).unwrap(), first);
        assert_ne!(kept_in(there.path()).unwrap(), first);
    }

    #[test]
    fn an_empty_file_counts_as_none_and_a_folder_that_cannot_be_used_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(FILE), "\n").unwrap();
        assert!(kept_in(folder.path()).unwrap().starts_with("proxy-"));
        assert!(kept_in(&folder.path().join(FILE)).is_err());
    }
}
