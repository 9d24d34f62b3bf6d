//! A short text that outlives a restart by itself, beside the revisions: it takes one file, which is never half written. What
//! it says is not known here.
//!
//! ```text
//!   magic (8) | text | BLAKE3 (32)
//! ```

use std::io;

use super::folder::Folder;

const MARK: &str = "mark";
/// The file while it is being written: never read.
const NEW: &str = "mark-new";
/// The first bytes of the file; the digit is the version of the format.
const MAGIC: &[u8; 8] = b"SBXMARK1";
const CHECKSUM: usize = blake3::OUT_LEN;

/// The text, or that there is none.
#[derive(Debug)]
pub(super) struct Mark {
    folder: Box<dyn Folder>,
    text: Option<String>,
    /// Why there is no text although there is a file.
    damage: Option<String>,
    /// Whether the file says what `text` says: not known after a failure.
    is_known: bool,
}

impl Mark {
    /// Looks at what is there.
    pub(super) fn open(mut folder: Box<dyn Folder>) -> io::Result<Self> {
        folder.remove(NEW)?;
        let (mut text, mut damage) = (None, None);
        if folder.names()?.iter().any(|name| name == MARK) {
            match folder.read(MARK).map(|file| decode(&file)) {
                Ok(Some(found)) => text = Some(found),
                Ok(None) => damage = Some(format!("{MARK}: the file is damaged")),
                Err(error) => damage = Some(format!("{MARK}: {error}")),
            }
        }
        Ok(Self {
            folder,
            text,
            is_known: damage.is_none(),
            damage,
        })
    }

    /// The text.
    pub(super) fn text(&self) -> Option<&str> {
        self.text.as_deref()
    }

    /// What is wrong with the file.
    pub(super) fn damage(&self) -> Option<&str> {
        self.damage.as_deref()
    }

    /// Puts a text in place of the one that is there, or removes it. When this returns it survives a loss of power.
    pub(super) fn set(&mut self, text: Option<&str>) -> io::Result<()> {
        if self.is_known && self.text.as_deref() == text {
            return Ok(());
        }
        self.is_known = false;
        match text {
            Some(text) => {
                self.folder.remove(NEW)?;
                self.folder.append(NEW, &encode(text))?;
                self.folder.rename(NEW, MARK)?;
            }
            None => self.folder.remove(MARK)?,
        }
        self.folder.sync()?;
        self.text = text.map(str::to_owned);
        self.is_known = true;
        Ok(())
    }
}

fn encode(text: &str) -> Vec<u8> {
    let mut file = MAGIC.to_vec();
    file.extend(text.as_bytes());
    let checksum = blake3::hash(&file);
    file.extend(checksum.as_bytes());
    file
}

/// Reads a whole file; `None` if it is damaged in any way.
fn decode(file: &[u8]) -> Option<String> {
    let (content, checksum) = file.split_last_chunk::<CHECKSUM>()?;
    if blake3::hash(content) != *checksum {
        return None;
    }
    let text = str::from_utf8(content.strip_prefix(MAGIC)?).ok()?;
    Some(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_that_is_cut_or_changed_anywhere_is_refused() {
        let whole = encode("5 7 shop");
        assert_eq!(decode(&whole).as_deref(), Some("5 7 shop"));
        for at in 0..whole.len() {
            assert_eq!(decode(&whole[..at]), None, "cut at {at}");
            let mut changed = whole.clone();
            changed[at] ^= 1;
            assert_eq!(decode(&changed), None, "changed at {at}");
        }
    }
}
