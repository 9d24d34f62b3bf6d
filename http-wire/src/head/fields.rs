//! The fields of a head and the byte buffer that holds them.
//! Values go in as bytes and are checked on the way; they come out as slices of the buffer.
//! Removing or replacing a field leaves its old bytes behind: a head lives for one message, so they are never reclaimed.
//!
//! Each field lies in the buffer as the line that HTTP/1 sends: `name: value` and CR LF. So what was read is written again
//! without taking it apart, and fields that lie one behind the other are written as one piece ([`lines`]).

mod lines;
mod prepared;

pub use prepared::Line;

use super::field_id::FieldId;
use super::field_ids::FieldIds;
use crate::octets;

/// Largest buffer of one head, far above every head limit; it keeps ranges inside `u32`.
pub(super) const MAX_BYTES: usize = 16 * 1024 * 1024;
/// Between name and value.
const SEPARATOR: &[u8] = b": ";
/// Behind the value.
const END: &[u8] = b"\r\n";

/// Why something cannot stand in a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Invalid {
    /// A field name or method is not a token.
    Name,
    /// A field value holds a control byte.
    Value,
    /// A path, query or authority holds a byte that would end or change it.
    Target,
    /// The head would outgrow its buffer (16 MiB).
    TooLarge,
}

impl std::fmt::Display for Invalid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Invalid::Name => "name is not a token",
            Invalid::Value => "value holds a control byte",
            Invalid::Target => "path, query or authority holds an illegal byte",
            Invalid::TooLarge => "head is too large",
        })
    }
}

impl std::error::Error for Invalid {}

/// How a field is asked for: by id or by name in any case. A well-known name becomes its id.
#[derive(Clone, Copy, Debug)]
pub enum Key<'a> {
    /// A well-known field.
    Id(FieldId),
    /// Any other field.
    Name(&'a str),
}

impl From<FieldId> for Key<'_> {
    fn from(id: FieldId) -> Self {
        Key::Id(id)
    }
}

impl<'a> From<&'a str> for Key<'a> {
    fn from(name: &'a str) -> Self {
        match FieldId::of(name) {
            FieldId::Other => Key::Name(name),
            id => Key::Id(id),
        }
    }
}

/// One field as it stands in the head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    /// Its id, [`FieldId::Other`] if the name is not well known.
    pub id: FieldId,
    /// Its name, a lower-case token.
    pub name: &'a [u8],
    /// Its value, without white space around it.
    pub value: &'a [u8],
}

/// A range of the head's buffer.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Span {
    start: u32,
    end: u32,
}

/// One line of the buffer, from its first byte to behind its CR LF.
#[derive(Clone, Copy, Debug)]
struct Entry {
    start: u32,
    name_end: u32,
    end: u32,
    id: FieldId,
    /// Used inside one removal only.
    doomed: bool,
}

impl Entry {
    fn name(&self) -> Span {
        Span {
            start: self.start,
            end: self.name_end,
        }
    }

    fn value(&self) -> Span {
        Span {
            start: self.name_end + SEPARATOR.len() as u32,
            end: self.end - END.len() as u32,
        }
    }
}

/// The fields of a head, in order.
#[derive(Clone, Default)]
pub struct Fields {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
    /// The ids of all entries, and of no others but perhaps [`FieldId::Other`].
    present: FieldIds,
}

impl Fields {
    /// Number of fields.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// True without any field.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// All fields in order.
    pub fn iter(&self) -> impl Iterator<Item = Field<'_>> {
        self.entries.iter().map(|entry| Field {
            id: entry.id,
            name: self.slice(entry.name()),
            value: self.slice(entry.value()),
        })
    }

    /// The first value of a field.
    pub fn get<'k>(&self, key: impl Into<Key<'k>>) -> Option<&[u8]> {
        self.get_all(key).next()
    }

    /// All values of a field, in order.
    pub fn get_all<'k>(&self, key: impl Into<Key<'k>>) -> impl Iterator<Item = &[u8]> {
        let key = key.into();
        let entries = if self.may_have(key) {
            &self.entries[..]
        } else {
            &[]
        };
        entries
            .iter()
            .filter(move |entry| self.is(entry, key))
            .map(|entry| self.slice(entry.value()))
    }

    /// True when the head has the field.
    pub fn contains<'k>(&self, key: impl Into<Key<'k>>) -> bool {
        self.get(key).is_some()
    }

    /// Adds a field behind all others; those of the same name stay. White space around `value` is dropped.
    pub fn append<'k>(&mut self, key: impl Into<Key<'k>>, value: &[u8]) -> Result<(), Invalid> {
        match key.into() {
            Key::Id(id) => self.push_known(id, value),
            Key::Name(name) => self.push(name.as_bytes(), value),
        }
    }

    /// The same for a name in bytes, in any case.
    pub fn push(&mut self, name: &[u8], value: &[u8]) -> Result<(), Invalid> {
        let id = FieldId::of_bytes(name);
        // A name that is well known is a token.
        if id == FieldId::Other && !octets::is_token(name) {
            return Err(Invalid::Name);
        }
        self.push_line(id, name, value)
    }

    fn push_known(&mut self, id: FieldId, value: &[u8]) -> Result<(), Invalid> {
        let name = id.name().ok_or(Invalid::Name)?;
        self.push_line(id, name.as_bytes(), value)
    }

    fn push_line(&mut self, id: FieldId, name: &[u8], value: &[u8]) -> Result<(), Invalid> {
        let value = octets::trim(value);
        if !octets::is_value(value) {
            return Err(Invalid::Value);
        }
        self.reserve(name.len() + SEPARATOR.len() + value.len() + END.len())?;
        let start = self.mark();
        if id == FieldId::Other {
            self.bytes.extend_from_slice(name);
            self.bytes[start as usize..].make_ascii_lowercase();
            self.bytes.extend_from_slice(SEPARATOR);
        } else {
            self.bytes.extend_from_slice(id.start().as_bytes());
        }
        let name_end = self.mark() - SEPARATOR.len() as u32;
        self.bytes.extend_from_slice(value);
        self.bytes.extend_from_slice(END);
        self.push_entry(id, start, name_end);
        Ok(())
    }

    /// Adds a prepared field behind all others; those of the same name stay.
    pub fn append_line(&mut self, line: &Line) -> Result<(), Invalid> {
        let (id, name_len, bytes) = line.parts();
        self.reserve(bytes.len())?;
        let start = self.mark();
        self.bytes.extend_from_slice(bytes);
        self.push_entry(id, start, start + name_len);
        Ok(())
    }

    /// The line that was just written.
    fn push_entry(&mut self, id: FieldId, start: u32, name_end: u32) {
        self.entries.push(Entry {
            start,
            name_end,
            end: self.mark(),
            id,
            doomed: false,
        });
        self.present = self.present.with(id);
    }

    /// Puts one field in the place of all of that name.
    pub fn set<'k>(&mut self, key: impl Into<Key<'k>>, value: &[u8]) -> Result<(), Invalid> {
        let key = key.into();
        // Most that are set are new.
        let is_new = !self.may_have(key);
        self.append(key, value)?;
        if !is_new {
            self.doom(key);
            if let Some(last) = self.entries.last_mut() {
                last.doomed = false;
            }
            self.sweep();
        }
        Ok(())
    }

    /// Removes every field of that name; true if there was one.
    pub fn remove<'k>(&mut self, key: impl Into<Key<'k>>) -> bool {
        match key.into() {
            Key::Id(id) => self.remove_all(FieldIds::of(&[id])),
            Key::Name(_) if !self.present.contains(FieldId::Other) => false,
            key @ Key::Name(_) => {
                self.doom(key);
                self.sweep()
            }
        }
    }

    /// Removes every field whose id is in the set; true if there was one.
    pub fn remove_all(&mut self, ids: FieldIds) -> bool {
        if !self.present.intersects(ids) {
            return false;
        }
        let before = self.entries.len();
        self.entries.retain(|entry| !ids.contains(entry.id));
        self.present = self.present.minus(ids);
        self.entries.len() != before
    }

    /// Removes every field whose name is not well known and begins with `prefix`, which is in lower case.
    pub fn remove_prefixed(&mut self, prefix: &[u8]) {
        if !self.present.contains(FieldId::Other) {
            return;
        }
        let Self { bytes, entries, .. } = self;
        entries.retain(|entry| {
            let name = &bytes[entry.start as usize..entry.name_end as usize];
            entry.id != FieldId::Other || !name.starts_with(prefix)
        });
    }

    // === for the other files of this crate ===

    /// Drops all fields and bytes, keeps the capacity.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.entries.clear();
        self.present = FieldIds::default();
    }

    /// The ids of all fields.
    pub(crate) fn present(&self) -> FieldIds {
        self.present
    }

    /// The bytes of a range that this head gave out.
    pub(crate) fn slice(&self, span: Span) -> &[u8] {
        &self.bytes[span.start as usize..span.end as usize]
    }

    /// Stores bytes that the caller has checked.
    pub(crate) fn store(&mut self, bytes: &[u8]) -> Result<Span, Invalid> {
        self.reserve(bytes.len())?;
        let start = self.mark();
        self.bytes.extend_from_slice(bytes);
        Ok(self.since(start))
    }

    /// The range of the first value of a field, and whether there are more.
    pub(crate) fn span(&self, id: FieldId) -> (Option<Span>, bool) {
        let mut spans = self
            .entries
            .iter()
            .filter(|entry| entry.id == id)
            .map(Entry::value);
        (spans.next(), spans.next().is_some())
    }

    /// Makes room for `len` more bytes, or refuses: what follows with [`Fields::buffer`] may add no more than that.
    pub(crate) fn reserve(&mut self, len: usize) -> Result<(), Invalid> {
        if len > MAX_BYTES - self.bytes.len() {
            return Err(Invalid::TooLarge);
        }
        self.bytes.reserve(len);
        Ok(())
    }

    /// Where the next byte goes.
    pub(crate) fn mark(&self) -> u32 {
        self.bytes.len() as u32
    }

    /// What was written since `start`.
    pub(crate) fn since(&self, start: u32) -> Span {
        Span {
            start,
            end: self.mark(),
        }
    }

    /// The buffer, for writing checked bytes in place behind [`Fields::mark`].
    pub(crate) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// The value of the field at `index` together with the id there.
    pub(super) fn at(&self, index: usize) -> (FieldId, Span) {
        (self.entries[index].id, self.entries[index].value())
    }

    /// Marks every field that one list value of this head (`names`) names and `may_go` lets go; [`Fields::sweep`] removes them.
    pub(super) fn doom_named(&mut self, names: Span, may_go: impl Fn(FieldId, &[u8]) -> bool) {
        let Fields {
            bytes,
            entries,
            present,
        } = self;
        let slice = |span: Span| &bytes[span.start as usize..span.end as usize];
        for named in octets::list(slice(names)) {
            let id = FieldId::of_bytes(named);
            if !present.contains(id) {
                continue;
            }
            for entry in entries.iter_mut().filter(|entry| entry.id == id) {
                let name = slice(entry.name());
                entry.doomed |= name.eq_ignore_ascii_case(named) && may_go(id, name);
            }
        }
    }

    /// Removes the marked fields; true if there was one.
    pub(super) fn sweep(&mut self) -> bool {
        let before = self.entries.len();
        let mut present = FieldIds::default();
        self.entries.retain(|entry| {
            if !entry.doomed {
                present = present.with(entry.id);
            }
            !entry.doomed
        });
        self.present = present;
        self.entries.len() != before
    }

    fn doom(&mut self, key: Key<'_>) {
        for index in 0..self.entries.len() {
            let is_doomed = self.is(&self.entries[index], key);
            self.entries[index].doomed |= is_doomed;
        }
    }

    /// False if there is no such field; true does not mean that there is one, unless the name is well known.
    fn may_have(&self, key: Key<'_>) -> bool {
        self.present.contains(match key {
            Key::Id(id) => id,
            Key::Name(_) => FieldId::Other,
        })
    }

    fn is(&self, entry: &Entry, key: Key<'_>) -> bool {
        match key {
            Key::Id(id) => entry.id == id,
            Key::Name(name) => {
                let named = || self.slice(entry.name());
                entry.id == FieldId::Other && named().eq_ignore_ascii_case(name.as_bytes())
            }
        }
    }
}

impl std::fmt::Debug for Fields {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        f.debug_map()
            .entries(
                self.iter()
                    .map(|field| (text(field.name), text(field.value))),
            )
            .finish()
    }
}

#[cfg(test)]
mod tests;
