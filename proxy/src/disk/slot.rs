//! One of the two places for a revision: the segment in use, and the lists that say which of its records make up the
//! confirmed and the tentative revision. Nothing here knows of the other slot.

use std::io;

use xds::snapshot::Snapshot;

use super::folder::Folder;
use super::manifest::Manifest;
use super::segment::{self, Segment};

const CONFIRMED: &str = "confirmed";
const TENTATIVE: &str = "tentative";

/// One slot.
#[derive(Debug)]
pub(super) struct Slot {
    name: &'static str,
    folder: Box<dyn Folder>,
    confirmed: Option<Manifest>,
    /// Why there is no confirmed revision although there is a file.
    damage: Option<String>,
    tentative: Option<Manifest>,
    /// Where records can be added; `None` before anything was stored or loaded, and after a failure.
    segment: Option<Segment>,
    /// The number of the next segment.
    next_segment: u64,
}

impl Slot {
    /// Looks at what is there. A tentative revision is not taken up again: its end was not seen.
    pub(super) fn open(name: &'static str, mut folder: Box<dyn Folder>) -> io::Result<Self> {
        folder.remove(TENTATIVE)?;
        let names = folder.names()?;
        let last_segment = names.iter().filter_map(|name| segment::number(name)).max();
        let mut slot = Self {
            name,
            folder,
            confirmed: None,
            damage: None,
            tentative: None,
            segment: None,
            next_segment: last_segment.map_or(0, |number| number + 1),
        };
        if names.iter().any(|name| name == CONFIRMED) {
            match slot
                .folder
                .read(CONFIRMED)
                .map(|file| Manifest::decode(&file))
            {
                Ok(Some(manifest)) => slot.confirmed = Some(manifest),
                Ok(None) => slot.damage = Some(format!("{name}/{CONFIRMED}: the file is damaged")),
                Err(error) => slot.damage = Some(format!("{name}/{CONFIRMED}: {error}")),
            }
        }
        Ok(slot)
    }

    /// The sequence number of the confirmed revision.
    pub(super) fn sequence(&self) -> Option<u64> {
        self.confirmed.as_ref().map(|manifest| manifest.sequence)
    }

    /// What is wrong with the list of the confirmed revision.
    pub(super) fn damage(&self) -> Option<&str> {
        self.damage.as_deref()
    }

    /// Reads the confirmed revision; an error says what is wrong with it.
    pub(super) fn load(&mut self) -> Result<(String, Snapshot), String> {
        let Some(manifest) = &self.confirmed else {
            return Err(format!("{}: nothing is confirmed", self.name));
        };
        let segment = Segment::load(&*self.folder, manifest.segment, &manifest.places);
        let segment = segment
            .map_err(|fault| format!("{}/{fault} (revision {:?})", self.name, manifest.label))?;
        let set = segment.resources().cloned().collect();
        self.segment = Some(segment);
        Ok((manifest.label.clone(), set))
    }

    /// Whether this is the confirmed revision, as it was stored or loaded last.
    pub(super) fn holds(&self, label: &str, set: &Snapshot) -> bool {
        let (Some(confirmed), Some(segment), None) =
            (&self.confirmed, &self.segment, &self.tentative)
        else {
            return false;
        };
        confirmed.label == label && confirmed.segment == segment.number() && segment.holds(set)
    }

    /// Writes a revision beside the confirmed one.
    pub(super) fn store_tentative(
        &mut self,
        sequence: u64,
        label: &str,
        set: &Snapshot,
    ) -> io::Result<()> {
        // One that could not be stored may have left a part of its list.
        self.discard_tentative()?;
        let stored = self.write(sequence, label, set);
        // After a failure too: what was written in vain must not fill the disk.
        stored.and(self.tidy())
    }

    fn write(&mut self, sequence: u64, label: &str, set: &Snapshot) -> io::Result<()> {
        // Whatever fails, nothing more is added to a segment whose end is not known.
        let segment = self.segment.take();
        let segment = segment.filter(|segment| !segment.would_be_mostly_dead(set));
        let mut segment = segment.unwrap_or_else(|| self.next_segment());
        segment.add(&mut *self.folder, set)?;
        let manifest = Manifest {
            sequence,
            segment: segment.number(),
            label: label.to_owned(),
            places: segment.places(),
        };
        self.folder.append(TENTATIVE, &manifest.encode())?;
        self.folder.sync()?;
        self.tentative = Some(manifest);
        self.segment = Some(segment);
        Ok(())
    }

    fn next_segment(&mut self) -> Segment {
        let number = self.next_segment;
        self.next_segment += 1;
        Segment::new(number)
    }

    /// One rename: before it the old revision is the confirmed one of this slot, after it the new one.
    pub(super) fn confirm(&mut self) -> io::Result<()> {
        let Some(manifest) = self.tentative.take() else {
            return Ok(());
        };
        self.folder.rename(TENTATIVE, CONFIRMED)?;
        self.confirmed = Some(manifest);
        self.damage = None;
        self.folder.sync()?;
        self.tidy()
    }

    /// Removes the list; the records stay, and may be of use to the next revision.
    pub(super) fn discard_tentative(&mut self) -> io::Result<()> {
        self.tentative = None;
        self.folder.remove(TENTATIVE)
    }

    /// Removes segments that nobody needs.
    fn tidy(&mut self) -> io::Result<()> {
        let confirmed = self.confirmed.as_ref().map(|manifest| manifest.segment);
        let in_use = self.segment.as_ref().map(Segment::number);
        for name in self.folder.names()? {
            if segment::number(&name)
                .is_some_and(|number| Some(number) != confirmed && Some(number) != in_use)
            {
                self.folder.remove(&name)?;
            }
        }
        Ok(())
    }
}
