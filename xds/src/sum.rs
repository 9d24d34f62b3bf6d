//! The sum of a set of resources: equal sets have equal sums, whatever the order in which they were built, and adding or
//! removing one resource is one addition. Both ends keep it up to date, so that a few hundred bytes say whether a client
//! holds a whole revision, whatever its size.
//!
//! A resource counts as the BLAKE3 hash of its type, name and version, read as a number; sums wrap at 256 bits. Nobody
//! who could choose names and versions to meet a given sum gains anything: who may write config needs no tricks.

use std::sync::Arc;

use crate::resource::Resource;
use crate::type_url::ResourceType;

/// How many resources a set has, and their sum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SetSum {
    /// The number of resources.
    pub count: u64,
    /// The sum of their hashes, little-endian.
    limbs: [u64; 4],
}

/// The sums of the types that make up a revision: everything but endpoints, which come and go by themselves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct RevisionSums([SetSum; SLOW_LANE.len()]);

/// The types of the slow lane.
pub const SLOW_LANE: [ResourceType; 4] = [
    ResourceType::Cluster,
    ResourceType::Listener,
    ResourceType::RouteConfiguration,
    ResourceType::VirtualHost,
];

impl SetSum {
    /// The sum of these many resources as it came over the wire; `None` if it is not 32 bytes.
    pub fn from_parts(count: u64, bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; 32] = bytes.try_into().ok()?;
        Some(Self {
            count,
            limbs: limbs(bytes),
        })
    }

    /// The sum as 32 bytes.
    pub fn to_bytes(&self) -> [u8; 32] {
        let mut bytes = [0; 32];
        for (chunk, limb) in bytes.chunks_exact_mut(8).zip(self.limbs) {
            chunk.copy_from_slice(&limb.to_le_bytes());
        }
        bytes
    }

    /// The sum of these resources.
    pub fn of<'r>(resources: impl IntoIterator<Item = &'r Arc<Resource>>) -> Self {
        let mut sum = Self::default();
        for resource in resources {
            sum.add(resource);
        }
        sum
    }

    /// Adds one resource.
    pub fn add(&mut self, resource: &Resource) {
        self.count += 1;
        let mut carry = false;
        for (limb, more) in self.limbs.iter_mut().zip(hash(resource)) {
            (*limb, carry) = limb.carrying_add(more, carry);
        }
    }

    pub(crate) fn remove(&mut self, resource: &Resource) {
        self.count -= 1;
        let mut borrow = false;
        for (limb, less) in self.limbs.iter_mut().zip(hash(resource)) {
            (*limb, borrow) = limb.borrowing_sub(less, borrow);
        }
    }
}

impl RevisionSums {
    /// The sums from one for each type.
    pub fn new(sum_of: impl Fn(ResourceType) -> SetSum) -> Self {
        Self(SLOW_LANE.map(sum_of))
    }

    /// Each type with its sum.
    pub fn iter(&self) -> impl Iterator<Item = (ResourceType, &SetSum)> {
        SLOW_LANE.into_iter().zip(&self.0)
    }
}

fn hash(resource: &Resource) -> [u64; 4] {
    let mut hasher = blake3::Hasher::new();
    let version = resource.version().text();
    for text in [resource.ty().type_url(), resource.name(), &version] {
        // With its length, so that no two different triples are the same bytes.
        hasher.update(&(text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    }
    limbs(hasher.finalize().as_bytes())
}

fn limbs(bytes: &[u8; 32]) -> [u64; 4] {
    let (limbs, _) = bytes.as_chunks::<8>();
    [0, 1, 2, 3].map(|index| u64::from_le_bytes(limbs[index]))
}
