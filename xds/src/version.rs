//! Versions and nonces: the two opaque strings of the protocol.

use std::fmt;
use std::sync::Arc;

/// The version of one resource. Ours is a hash of the content, so it means the same after a restart and on
/// every replica; a foreign control plane may send any text.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Version(Arc<str>);

impl Version {
    /// The version of some content: the first 128 bits of its BLAKE3 hash, as 32 hexadecimal digits.
    pub fn of(content: &[u8]) -> Self {
        let hash = blake3::hash(content).to_hex();
        Self(Arc::from(&hash.as_str()[..32]))
    }

    /// A version as a server stated it.
    pub fn stated(text: &str) -> Self {
        Self(Arc::from(text))
    }

    /// The version as it stands on the wire.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_a_function_of_the_content_alone() {
        assert_eq!(Version::of(b"a"), Version::of(b"a"));
        assert_ne!(Version::of(b"a"), Version::of(b"b"));
        assert_eq!(Version::of(b"").as_str().len(), 32);
    }
}
