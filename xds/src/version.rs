//! Versions and nonces: the two opaque strings of the protocol.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

/// Bytes of a hash that is a version.
const HASH: usize = 16;

/// The version of one resource. Ours is a hash of the content, so it means the same after a restart and on
/// every replica; a foreign control plane may send any text.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Version(Content);

/// Resources are many, so a hash is kept as one; the same text is always kept in the same way.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Content {
    /// Stands for its hexadecimal digits in lower case.
    Hash([u8; HASH]),
    Text(Arc<str>),
}

/// A version as it stands on the wire.
#[derive(Clone, Debug)]
pub enum VersionText {
    /// Hexadecimal digits, in ASCII.
    Digits([u8; 2 * HASH]),
    /// As a server stated it.
    Stated(Arc<str>),
}

impl Version {
    /// The version of some content: the first 128 bits of its BLAKE3 hash, as 32 hexadecimal digits.
    pub fn of(content: &[u8]) -> Self {
        let hash = blake3::hash(content);
        let (beginning, _) = hash.as_bytes().as_chunks::<HASH>();
        Self(Content::Hash(beginning[0]))
    }

    /// A version as a server stated it.
    pub fn stated(text: &str) -> Self {
        Self(match parse(text) {
            Some(hash) => Content::Hash(hash),
            None => Content::Text(text.into()),
        })
    }

    /// The version as it stands on the wire.
    pub fn text(&self) -> VersionText {
        match &self.0 {
            Content::Hash(hash) => VersionText::Digits(digits(hash)),
            Content::Text(text) => VersionText::Stated(text.clone()),
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

impl Deref for VersionText {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Self::Digits(digits) => str::from_utf8(digits).unwrap_or_default(),
            Self::Stated(text) => text,
        }
    }
}

fn digits(hash: &[u8; HASH]) -> [u8; 2 * HASH] {
    let mut digits = [0; 2 * HASH];
    for (pair, byte) in digits.as_chunks_mut::<2>().0.iter_mut().zip(hash) {
        *pair = [byte >> 4, byte & 15].map(|value| b"0123456789abcdef"[usize::from(value)]);
    }
    digits
}

/// The hash that a text spells, if it does so in the one way that [`digits`] has.
fn parse(text: &str) -> Option<[u8; HASH]> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let pairs: &[[u8; 2]; HASH] = pairs.try_into().ok().filter(|_| rest.is_empty())?;
    let mut hash = [0; HASH];
    for (byte, [high, low]) in hash.iter_mut().zip(pairs) {
        *byte = value(*high)? << 4 | value(*low)?;
    }
    Some(hash)
}

fn value(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_a_function_of_the_content_alone() {
        assert_eq!(Version::of(b"a"), Version::of(b"a"));
        assert_ne!(Version::of(b"a"), Version::of(b"b"));
        assert_eq!(Version::of(b"").text().len(), 32);
    }

    #[test]
    fn every_text_comes_out_as_it_went_in() {
        let hash = Version::of(b"a").to_string();
        assert_eq!(Version::stated(&hash), Version::of(b"a"));
        assert_eq!(*hash, blake3::hash(b"a").to_hex()[..32]);
        let capitals = hash.to_uppercase();
        let (shorter, longer) = (&hash[1..], format!("{hash}0"));
        for text in [&*hash, &capitals, shorter, &longer, "", "v7", "é"] {
            assert_eq!(&*Version::stated(text).text(), text);
        }
        assert_ne!(Version::stated(&capitals), Version::of(b"a"));
    }
}
