//! Fields as lines: a head that was read becomes fields, and fields are written, with as little copying as can be.

use super::{END, Entry, Fields, SEPARATOR, Span};
use crate::head::field_id::FieldId;
use crate::head::field_ids::FieldIds;
use crate::octets;
use std::ops::Range;

impl Fields {
    /// Notes a line of a head that is to be taken: where its name, which has this id, begins and ends, and where it ends itself.
    /// Nothing else may be asked of the fields before [`Fields::take`].
    pub(crate) fn note_line(&mut self, id: FieldId, name: Range<usize>, end: usize) {
        self.present = self.present.with(id);
        self.entries.push(Entry {
            start: name.start as u32,
            name_end: name.end as u32,
            end: end as u32,
            id,
            doomed: false,
        });
    }

    /// Takes the head whose lines were noted, and nothing before them. Its bytes are checked: each name is a token with a colon
    /// behind it, then comes what a value may hold, then CR LF.
    pub(crate) fn take(&mut self, head: &[u8]) {
        self.bytes.extend_from_slice(head);
        let Self { bytes, entries, .. } = self;
        for entry in entries {
            let name = entry.start as usize..entry.name_end as usize;
            match entry.id.name() {
                Some(known) => bytes[name].copy_from_slice(known.as_bytes()),
                None => lower(bytes, name),
            }
            if !is_plain(&bytes[entry.name_end as usize + 1..entry.end as usize - END.len()]) {
                *entry = in_plain_form(bytes, *entry);
            }
        }
    }

    /// Appends the lines of all fields whose ids are not in the set.
    pub(crate) fn write_lines(&self, without: FieldIds, out: &mut Vec<u8>) {
        let mut run = Span::default();
        for entry in &self.entries {
            if without.contains(entry.id) {
                continue;
            }
            if entry.start != run.end {
                if run.end > 0 {
                    out.extend_from_slice(self.slice(run));
                }
                run.start = entry.start;
            }
            run.end = entry.end;
        }
        out.extend_from_slice(self.slice(run));
    }
}

/// Whether what stands between colon and CR LF is one space and the value.
fn is_plain(between: &[u8]) -> bool {
    match between {
        [b' '] => true,
        [b' ', value] => !octets::is_space(*value),
        [b' ', first, .., last] => !octets::is_space(*first) && !octets::is_space(*last),
        _ => false,
    }
}

/// Writes the line anew, behind all others, with one space and no other white space around its value.
fn in_plain_form(bytes: &mut Vec<u8>, entry: Entry) -> Entry {
    let name = entry.start as usize..entry.name_end as usize;
    let mut value = name.end + 1..entry.end as usize - END.len();
    while !value.is_empty() && octets::is_space(bytes[value.start]) {
        value.start += 1;
    }
    while !value.is_empty() && octets::is_space(bytes[value.end - 1]) {
        value.end -= 1;
    }
    let start = bytes.len() as u32;
    bytes.extend_from_within(name);
    let name_end = bytes.len() as u32;
    bytes.extend_from_slice(SEPARATOR);
    bytes.extend_from_within(value);
    bytes.extend_from_slice(END);
    Entry {
        start,
        name_end,
        end: bytes.len() as u32,
        ..entry
    }
}

/// Puts a name, which is ASCII, into lower case: eight bytes at a time, also where fewer are left of it.
fn lower(bytes: &mut [u8], name: Range<usize>) {
    for start in name.clone().step_by(8) {
        let Some(chunk) = bytes[start..].first_chunk_mut() else {
            bytes[start..name.end].make_ascii_lowercase();
            return;
        };
        let word = u64::from_le_bytes(*chunk);
        let beyond = 8_usize.saturating_sub(name.end - start);
        let of_name = u64::MAX >> (8 * beyond);
        *chunk = (word | case_bits(word) & of_name).to_le_bytes();
    }
}

/// The bits that make small letters of capital ones.
const fn case_bits(word: u64) -> u64 {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const HIGH: u64 = 0x80 * ONES;
    let low_bits = word & !HIGH;
    // The highest bit of each byte tells whether it is at least `A`, and whether it is more than `Z`.
    let from_a = low_bits + (0x80 - b'A' as u64) * ONES;
    let behind_z = low_bits + (0x7f - b'Z' as u64) * ONES;
    ((from_a ^ behind_z) & !word & HIGH) >> 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_letter_of_a_name_gets_its_lower_case_and_nothing_else_changes() {
        for byte in 0..=u8::MAX {
            for len in 0..20 {
                for behind in 0..10 {
                    let mut bytes = vec![byte; len + behind];
                    lower(&mut bytes, 0..len);
                    let lower = byte.to_ascii_lowercase();
                    assert_eq!(bytes, [vec![lower; len], vec![byte; behind]].concat());
                }
            }
        }
    }

    #[test]
    fn lines_are_taken_in_their_plain_form_and_written_as_one_piece() {
        let mut fields = Fields::default();
        let head = b"Ab:c\r\nHOST: d e\r\nF: \t\r\nG:\r\nH: i \r\nj:  k\r\n";
        let mut start = 0;
        while let Some(len) = head[start..].iter().position(|&byte| byte == b'\n') {
            let name_len = head[start..].iter().position(|&byte| byte == b':').unwrap();
            let id = FieldId::of_bytes(&head[start..start + name_len]);
            fields.note_line(id, start..start + name_len, start + len + 1);
            start += len + 1;
        }
        fields.take(head);
        let written = |without: &[FieldId]| {
            let mut out = Vec::new();
            fields.write_lines(FieldIds::of(without), &mut out);
            String::from_utf8(out).unwrap()
        };
        let all = "ab: c\r\nhost: d e\r\nf: \r\ng: \r\nh: i\r\nj: k\r\n";
        assert_eq!(written(&[]), all);
        assert_eq!(written(&[FieldId::Host]), all.replace("host: d e\r\n", ""));
        assert_eq!(written(&[FieldId::Other]), "host: d e\r\n");
        assert_eq!(fields.get(FieldId::Host), Some(&b"d e"[..]));
        assert_eq!(
            (fields.get("F"), fields.get("g")),
            (Some(&b""[..]), Some(&b""[..]))
        );
    }
}
