//! What heads in both directions have in common: lines, and the fields that httparse found in them.

use super::Malformed;
use crate::head::Fields;
use httparse::{Error, Header};
use std::ops::Range;

/// One plain decimal number: no sign, no list, no space (RFC 9112 section 6.3, rule 5).
pub(super) fn content_length(value: &[u8]) -> Result<u64, Malformed> {
    if value.is_empty() || value.len() > 19 || !value.iter().all(u8::is_ascii_digit) {
        return Err(Malformed::ContentLength);
    }
    Ok(value
        .iter()
        .fold(0, |length, digit| length * 10 + u64::from(digit - b'0')))
}

/// httparse takes a bare LF for the end of a line; a reader that does not would see another head.
pub(super) fn check_line_ends(head: &[u8], fields: &[Header<'_>]) -> Result<(), Malformed> {
    let mut starts = fields
        .iter()
        .map(|field| range(head, field.name.as_bytes()).start);
    let ends_in_crlf = |start: usize| head[..start].ends_with(b"\r\n");
    if starts.all(ends_in_crlf) && head.ends_with(b"\r\n\r\n") {
        Ok(())
    } else {
        Err(Malformed::LineEnd)
    }
}

/// Copies the head in one go and makes fields of its ranges.
pub(super) fn store(head: &[u8], parsed: &[Header<'_>], fields: &mut Fields) {
    let offset = fields.mark() as usize;
    fields.buffer().extend_from_slice(head);
    let stored = |part: &[u8]| {
        let Range { start, end } = range(head, part);
        offset + start..offset + end
    };
    for field in parsed {
        fields.push_stored(stored(field.name.as_bytes()), stored(field.value));
    }
}

/// Where `part`, which httparse cut out of `whole`, stands in it.
pub(super) fn range(whole: &[u8], part: &[u8]) -> Range<usize> {
    let start = part.as_ptr().addr() - whole.as_ptr().addr();
    start..start + part.len()
}

/// What is wrong with a head that httparse refuses; `first` if it is its first line.
pub(super) fn malformed(error: Error, first: Malformed) -> Malformed {
    match error {
        Error::HeaderName => Malformed::FieldName,
        Error::HeaderValue => Malformed::FieldValue,
        Error::NewLine => Malformed::LineEnd,
        Error::Status | Error::Token => first,
        Error::TooManyHeaders => Malformed::TooManyFields,
        Error::Version => Malformed::Version,
    }
}
