//! The list of what a revision consists of, as a file: which records of which segment, and a checksum over it all.
//!
//! ```text
//!   magic (8) | sequence (8) | segment (8) | label | count (4) | offset (8), length (4), address (32) of each | BLAKE3 (32)
//! ```
//! Numbers are little-endian; the label has its length (4) before it.

use super::record::Address;

/// The first bytes of the file; the digit is the version of the format.
const MAGIC: &[u8; 8] = b"SBXREV1\n";
const CHECKSUM: usize = blake3::OUT_LEN;

/// A revision as a list of records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Manifest {
    /// Which of two revisions is the newer: the one with the higher number.
    pub(super) sequence: u64,
    /// The number of the segment that holds the records.
    pub(super) segment: u64,
    /// What the caller calls the revision.
    pub(super) label: String,
    /// Where the records stand, by type and name of their resources.
    pub(super) places: Vec<Place>,
}

/// Where a record stands in its segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) offset: u64,
    pub(super) length: u32,
    pub(super) address: Address,
}

impl Place {
    /// The bytes of the record; `None` if the segment is too short.
    pub(super) fn of(self, segment: &[u8]) -> Option<&[u8]> {
        let start = usize::try_from(self.offset).ok()?;
        segment.get(start..start.checked_add(self.length as usize)?)
    }
}

impl Manifest {
    /// The whole file.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut file = MAGIC.to_vec();
        file.extend(self.sequence.to_le_bytes());
        file.extend(self.segment.to_le_bytes());
        file.extend((self.label.len() as u32).to_le_bytes());
        file.extend(self.label.as_bytes());
        file.extend((self.places.len() as u32).to_le_bytes());
        for place in &self.places {
            file.extend(place.offset.to_le_bytes());
            file.extend(place.length.to_le_bytes());
            file.extend(place.address);
        }
        let checksum = blake3::hash(&file);
        file.extend(checksum.as_bytes());
        file
    }

    /// Reads a whole file; `None` if it is damaged in any way.
    pub(super) fn decode(file: &[u8]) -> Option<Self> {
        let (content, checksum) = file.split_last_chunk::<CHECKSUM>()?;
        if blake3::hash(content) != *checksum {
            return None;
        }
        let mut rest = content.strip_prefix(MAGIC)?;
        let sequence = u64::from_le_bytes(take(&mut rest)?);
        let segment = u64::from_le_bytes(take(&mut rest)?);
        let length = u32::from_le_bytes(take(&mut rest)?);
        let (label, more) = rest.split_at_checked(length as usize)?;
        rest = more;
        let count = u32::from_le_bytes(take(&mut rest)?);
        let places: Option<Vec<Place>> = (0..count).map(|_| place(&mut rest)).collect();
        Some(Self {
            sequence,
            segment,
            label: str::from_utf8(label).ok()?.to_owned(),
            places: places.filter(|_| rest.is_empty())?,
        })
    }
}

fn place(rest: &mut &[u8]) -> Option<Place> {
    Some(Place {
        offset: u64::from_le_bytes(take(rest)?),
        length: u32::from_le_bytes(take(rest)?),
        address: take(rest)?,
    })
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, more) = rest.split_first_chunk::<N>()?;
    *rest = more;
    Some(*taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        let place = Place {
            offset: 1 << 40,
            length: 7,
            address: [9; 32],
        };
        Manifest {
            sequence: 3,
            segment: 4,
            label: "revision 17".into(),
            places: vec![place; 2],
        }
    }

    #[test]
    fn a_manifest_comes_back_as_it_was() {
        assert_eq!(Manifest::decode(&manifest().encode()), Some(manifest()));
    }

    #[test]
    fn a_manifest_that_is_cut_or_changed_anywhere_is_refused() {
        let whole = manifest().encode();
        for at in 0..whole.len() {
            assert_eq!(Manifest::decode(&whole[..at]), None, "cut at {at}");
            let mut changed = whole.clone();
            changed[at] ^= 1;
            assert_eq!(Manifest::decode(&changed), None, "changed at {at}");
        }
    }
}
