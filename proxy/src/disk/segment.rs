//! A file of records, one after the other, that only grows. Which of them are in use, and from where to where each one
//! goes, is said by a list elsewhere; whatever else is in the file is dead and does no harm.

use std::io;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread;

use xds::resource::Resource;
use xds::snapshot::Snapshot;
use xds::type_url::ResourceType;

use super::folder::Folder;
use super::manifest::Place;
use super::record;

const PREFIX: &str = "segment-";

/// Records are gathered up to this size, in bytes, before they are written and synced.
const CHUNK: usize = 8 << 20;
/// A segment of up to this size, in bytes, is not written anew for being half dead.
const SMALL: u64 = 256 << 10;
/// Fewer records than this are not worth a thread of their own.
const THREAD_SHARE: usize = 500;

/// A segment to which records can be added.
#[derive(Debug)]
pub(super) struct Segment {
    number: u64,
    /// Bytes in the file.
    length: u64,
    /// What was stored or loaded last, by type and name.
    held: Vec<Held>,
}

/// A resource whose record is in the segment.
#[derive(Debug)]
struct Held {
    resource: Arc<Resource>,
    place: Place,
}

impl Segment {
    /// An empty one.
    pub(super) fn new(number: u64) -> Self {
        Self {
            number,
            length: 0,
            held: Vec::new(),
        }
    }

    /// Reads the records of a list; an error names the file and says what is wrong with it.
    pub(super) fn load(folder: &dyn Folder, number: u64, places: &[Place]) -> Result<Self, String> {
        let file = file(number);
        let bytes = folder.read(&file).map_err(|error| error.to_string());
        let read = bytes.and_then(|bytes| {
            Ok(Self {
                number,
                length: bytes.len() as u64,
                held: read(&bytes, places)?,
            })
        });
        read.map_err(|fault| format!("{file}: {fault}"))
    }

    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// What was added or loaded last.
    pub(super) fn resources(&self) -> impl Iterator<Item = &Arc<Resource>> {
        self.held.iter().map(|held| &held.resource)
    }

    /// Where the records of what was added or loaded last stand.
    pub(super) fn places(&self) -> Vec<Place> {
        self.held.iter().map(|held| held.place).collect()
    }

    /// Whether this is what was added or loaded last.
    pub(super) fn holds(&self, set: &Snapshot) -> bool {
        self.held.len() == set.len()
            && in_order(set)
                .zip(&self.held)
                .all(|(resource, held)| held.is(resource))
    }

    /// Adds what is not there yet. After an error the end of the file is not known, and nothing more may be added.
    pub(super) fn add(&mut self, folder: &mut dyn Folder, set: &Snapshot) -> io::Result<()> {
        let file = file(self.number);
        let mut before = std::mem::take(&mut self.held).into_iter().peekable();
        let (mut chunk, mut held) = (Vec::new(), Vec::with_capacity(set.len()));
        for resource in in_order(set) {
            while before
                .next_if(|held| key(&held.resource) < key(resource))
                .is_some()
            {}
            let place = match before.next_if(|held| held.is(resource)) {
                Some(held) => held.place,
                None => self.place(resource, &mut chunk)?,
            };
            held.push(Held {
                resource: resource.clone(),
                place,
            });
            if chunk.len() >= CHUNK {
                folder.append(&file, &std::mem::take(&mut chunk))?;
            }
        }
        if !chunk.is_empty() || self.length == 0 {
            folder.append(&file, &chunk)?;
        }
        self.held = held;
        Ok(())
    }

    /// Encodes a record, and says where it will stand.
    fn place(&mut self, resource: &Resource, chunk: &mut Vec<u8>) -> io::Result<Place> {
        let start = chunk.len();
        let address = record::encode(resource, chunk);
        let length = u32::try_from(chunk.len() - start).ok();
        let (Some(address), Some(length)) = (address, length) else {
            return Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                "a resource is too long to be stored",
            ));
        };
        let place = Place {
            offset: self.length,
            length,
            address,
        };
        self.length += u64::from(length);
        Ok(place)
    }

    /// Whether less than half of the segment would belong to this revision.
    pub(super) fn would_be_mostly_dead(&self, set: &Snapshot) -> bool {
        let live: usize = in_order(set)
            .map(|resource| resource.bytes().len() + resource.name().len())
            .sum();
        self.length > SMALL && self.length / 2 > live as u64
    }
}

impl Held {
    fn is(&self, resource: &Arc<Resource>) -> bool {
        // The version alone would not do: a foreign control plane may use one twice.
        Arc::ptr_eq(&self.resource, resource)
            || (key(&self.resource) == key(resource)
                && self.resource.version() == resource.version()
                && self.resource.bytes() == resource.bytes())
    }
}

/// Reads records, on all cores if there are many.
fn read(segment: &[u8], places: &[Place]) -> Result<Vec<Held>, String> {
    let threads = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let share = places.len().div_ceil(threads).max(THREAD_SHARE);
    if places.len() <= share {
        return read_share(segment, places);
    }
    thread::scope(|scope| {
        let shares = places.chunks(share);
        let readers: Vec<_> = shares
            .map(|places| scope.spawn(|| read_share(segment, places)))
            .collect();
        let mut held = Vec::with_capacity(places.len());
        for reader in readers {
            held.extend(reader.join().map_err(|_| "a resource cannot be read")??);
        }
        Ok(held)
    })
}

fn read_share(segment: &[u8], places: &[Place]) -> Result<Vec<Held>, String> {
    let held = places.iter().map(|place| {
        let record = place.of(segment).ok_or("the file is too short")?;
        let resource = Arc::new(record::decode(record, &place.address)?);
        Ok(Held {
            resource,
            place: *place,
        })
    });
    held.collect()
}

fn in_order(set: &Snapshot) -> impl Iterator<Item = &Arc<Resource>> {
    ResourceType::ALL
        .into_iter()
        .flat_map(|ty| set.set(ty).values())
}

fn key(resource: &Resource) -> (usize, &str) {
    (resource.ty().index(), resource.name())
}

fn file(number: u64) -> String {
    format!("{PREFIX}{number}")
}

/// The number of a segment, by the name of its file.
pub(super) fn number(file: &str) -> Option<u64> {
    file.strip_prefix(PREFIX)?.parse().ok()
}
