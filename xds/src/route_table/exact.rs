//! Hosts without a wildcard, by their hash. In parts that are shared with the table before, so that one changed virtual host
//! among a hundred thousand copies a part and not the whole.

use std::hash::{BuildHasher as _, BuildHasherDefault};
use std::sync::Arc;

use ahash::AHasher;

use crate::resource::virtual_host::{Domain, VirtualHost};

/// Hosts that a part has, about: between half of this and this when the table is built. A change copies one part and the list
/// of parts.
const PART: usize = 32;

/// Hosts without a wildcard and their virtual hosts.
#[derive(Clone, Debug)]
pub(super) struct ExactHosts {
    /// As many as a power of two; the low bits of a hash choose.
    parts: Arc<[Part]>,
    len: usize,
}

/// Sorted by tag.
type Part = Arc<[Entry]>;

/// A host: the virtual host that has it among its domains, and its place there. Its text is in the virtual host alone, since
/// hosts are many.
#[derive(Clone, Debug)]
struct Entry {
    /// The high bits of the hash.
    tag: u32,
    domain: u32,
    host: Arc<VirtualHost>,
}

/// A domain of a virtual host, by its position.
pub(super) type Claim<'h> = (u32, &'h Arc<VirtualHost>);

impl ExactHosts {
    /// Indexes domains. One that two virtual hosts claim stays with the first; the second is returned.
    pub(super) fn new<'h>(claims: &[Claim<'h>]) -> (Self, Vec<Claim<'h>>) {
        let parts = claims.len().div_ceil(PART).next_power_of_two();
        // Small numbers in a list of the right length: with 100,000 hosts it is the largest thing in memory for a moment.
        let mut hashed: Vec<(u32, u32, u32)> = Vec::with_capacity(claims.len());
        hashed.extend((0..).zip(claims).filter_map(|(order, claim)| {
            let hash = hash(text(claim)?);
            Some((part_of(hash, parts) as u32, tag(hash), order))
        }));
        hashed.sort_unstable();
        let (mut table, mut refused, mut len) = (Vec::with_capacity(parts), Vec::new(), 0);
        for of_part in (0..parts).map(|part| equal_part(&hashed, part as u32)) {
            let mut entries: Vec<Entry> = Vec::with_capacity(of_part.len());
            for (_, tag, order) in of_part {
                let claim @ (domain, host) = claims[*order as usize];
                let entry = Entry {
                    tag: *tag,
                    domain,
                    host: host.clone(),
                };
                match entries.iter().rev().find(|other| other.is_for(&entry)) {
                    None => entries.push(entry),
                    Some(owner) if Arc::ptr_eq(&owner.host, host) => {}
                    Some(_) => refused.push((*order, claim)),
                }
            }
            len += entries.len();
            table.push(entries.into());
        }
        refused.sort_unstable_by_key(|(order, _)| *order);
        let parts = table.into();
        let refused = refused.into_iter().map(|(_, claim)| claim).collect();
        (Self { parts, len }, refused)
    }

    /// The table without the domains of some virtual hosts and with those of others. `None` if two claim the same, or if it is
    /// to be built anew, since it has grown or shrunk much.
    pub(super) fn edited(&self, removed: &[Claim<'_>], added: &[Claim<'_>]) -> Option<Self> {
        let mut edited = self.clone();
        let parts = Arc::make_mut(&mut edited.parts);
        let count = parts.len();
        for claim @ (_, host) in removed {
            let part = &mut parts[part_of(hash(text(claim)?), count)];
            let kept = part
                .iter()
                .filter(|entry| !(Arc::ptr_eq(&entry.host, host) && entry.text() == text(claim)));
            let kept: Part = kept.cloned().collect();
            edited.len -= part.len() - kept.len();
            *part = kept;
        }
        for claim @ (domain, host) in added {
            let text = text(claim)?;
            let (hash, mut entries) = (hash(text), Vec::new());
            let part = &mut parts[part_of(hash, count)];
            if let Some(entry) = part.iter().find(|entry| entry.text() == Some(text)) {
                if Arc::ptr_eq(&entry.host, host) {
                    continue;
                }
                return None;
            }
            let place = part.partition_point(|entry| entry.tag < tag(hash));
            entries.reserve_exact(part.len() + 1);
            entries.extend_from_slice(&part[..place]);
            entries.push(Entry {
                tag: tag(hash),
                domain: *domain,
                host: (*host).clone(),
            });
            entries.extend_from_slice(&part[place..]);
            *part = entries.into();
            edited.len += 1;
        }
        let (least, most) = (count * PART / 8, count * PART * 2);
        (count == 1 || edited.len >= least)
            .then_some(edited)
            .filter(|edited| edited.len <= most)
    }

    /// The virtual host of a host.
    pub(super) fn find(&self, host: &str) -> Option<&Arc<VirtualHost>> {
        let hash = hash(host);
        let part = &self.parts[part_of(hash, self.parts.len())];
        let first = part.partition_point(|entry| entry.tag < tag(hash));
        let candidates = part[first..].iter();
        let mut candidates = candidates.take_while(|entry| entry.tag == tag(hash));
        let entry = candidates.find(|entry| entry.text() == Some(host))?;
        Some(&entry.host)
    }
}

impl Entry {
    fn text(&self) -> Option<&str> {
        text(&(self.domain, &self.host))
    }

    fn is_for(&self, other: &Self) -> bool {
        self.tag == other.tag && self.text() == other.text()
    }
}

fn text<'h>((position, host): &Claim<'h>) -> Option<&'h str> {
    match host.domains.get(*position as usize) {
        Some(Domain::Exact(text)) => Some(text),
        _ => None,
    }
}

/// The claims of one part among all, which are sorted by part.
fn equal_part(sorted: &[(u32, u32, u32)], part: u32) -> &[(u32, u32, u32)] {
    let start = sorted.partition_point(|(of, ..)| *of < part);
    let len = sorted[start..].partition_point(|(of, ..)| *of == part);
    &sorted[start..start + len]
}

fn hash(host: &str) -> u64 {
    BuildHasherDefault::<AHasher>::default().hash_one(host)
}

/// `parts` is a power of two.
fn part_of(hash: u64, parts: usize) -> usize {
    hash as usize & (parts - 1)
}

fn tag(hash: u64) -> u32 {
    (hash >> 32) as u32
}
