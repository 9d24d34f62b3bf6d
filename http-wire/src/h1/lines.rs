//! Heads as lines, read strictly from the first byte to the last: what heads in both directions have in common.
//! Each byte has one meaning: what stands where it must not is refused, never skipped. What a field means is not known here.
//!
//! The lines are those of RFC 9112 sections 2 to 5 without what it lets a reader tolerate: a line ends in CR LF, a field line
//! begins with its name, and its colon stands right behind it.

use super::{MAX_FIELDS, Malformed};
use crate::head::{FieldId, Fields, Version};
use crate::octets;
use std::ops::Range;

/// Why a head is not read to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// The bytes end before the head does.
    Partial,
    /// It is no head.
    Malformed(Malformed),
}

impl From<Malformed> for Stop {
    fn from(malformed: Malformed) -> Self {
        Stop::Malformed(malformed)
    }
}

/// `None` for a head of which there is only a part.
pub(super) fn whole<T>(read: Result<T, Stop>) -> Result<Option<T>, Malformed> {
    match read {
        Ok(read) => Ok(Some(read)),
        Err(Stop::Partial) => Ok(None),
        Err(Stop::Malformed(malformed)) => Err(malformed),
    }
}

/// The first line of a request.
#[derive(Debug)]
pub(super) struct RequestLine {
    pub(super) method: Range<usize>,
    pub(super) target: Range<usize>,
    pub(super) version: Version,
}

/// The first line of a response.
#[derive(Debug)]
pub(super) struct StatusLine {
    pub(super) version: Version,
    pub(super) status: u16,
}

/// A head that is being read.
#[derive(Debug)]
pub(super) struct Lines<'i> {
    input: &'i [u8],
    at: usize,
}

impl<'i> Lines<'i> {
    /// The head begins with the first byte of `input`, and may not be whole.
    pub(super) fn new(input: &'i [u8]) -> Self {
        Self { input, at: 0 }
    }

    /// What has been read: all of the head, when [`Lines::fields`] has been.
    pub(super) fn read(&self) -> &'i [u8] {
        &self.input[..self.at]
    }

    /// Method, target and version. The target is any visible bytes: its one reading is `canonical`'s.
    pub(super) fn request_line(&mut self) -> Result<RequestLine, Stop> {
        let method = self.until(octets::token_end(self.input, self.at));
        self.expect(b' ', Malformed::RequestLine)?;
        let target = self.until(octets::visible_end::<b'!'>(self.input, self.at));
        if method.is_empty() {
            return Err(Malformed::RequestLine.into());
        }
        self.expect(b' ', Malformed::RequestLine)?;
        // What is above ASCII has to be text.
        let text = &self.input[target.clone()];
        let is_text = text.is_ascii() || std::str::from_utf8(text).is_ok();
        if text.is_empty() || !is_text {
            return Err(Malformed::RequestLine.into());
        }
        let version = self.version()?;
        self.end_line(Malformed::LineEnd)?;
        Ok(RequestLine {
            method,
            target,
            version,
        })
    }

    /// Version and status. The reason phrase carries no meaning and may be missing, with its space or without.
    pub(super) fn status_line(&mut self) -> Result<StatusLine, Stop> {
        let version = self.version()?;
        self.expect(b' ', Malformed::Version)?;
        let mut status = 0;
        for &byte in self.input[self.at..].iter().take(3) {
            if !byte.is_ascii_digit() {
                return Err(Malformed::StatusLine.into());
            }
            status = status * 10 + u16::from(byte - b'0');
        }
        self.at += 3;
        // Partial as well if there were fewer digits.
        if self.peek()? == b' ' {
            self.until(octets::value_end(self.input, self.at));
        }
        self.end_line(Malformed::StatusLine)?;
        Ok(StatusLine { version, status })
    }

    /// All field lines and the empty line behind them, put into `into`, which is empty and stays so if the head is not whole.
    pub(super) fn fields(&mut self, into: &mut Fields) -> Result<(), Stop> {
        let end = self.note_fields(into);
        match end {
            Ok(()) => into.take(self.read()),
            Err(_) => into.clear(),
        }
        end
    }

    fn note_fields(&mut self, into: &mut Fields) -> Result<(), Stop> {
        while !matches!(self.peek()?, b'\r' | b'\n') {
            let (id, name) = self.name()?;
            self.until(octets::value_end(self.input, self.at));
            self.end_line(Malformed::FieldValue)?;
            if into.len() == MAX_FIELDS {
                return Err(Malformed::TooManyFields.into());
            }
            into.note_line(id, name, self.at);
        }
        self.end_line(Malformed::LineEnd)
    }

    /// A name and its colon. A name that is well known needs no look at its single bytes.
    fn name(&mut self) -> Result<(FieldId, Range<usize>), Stop> {
        let start = self.at;
        let colon = octets::colon(self.input, start);
        let id = FieldId::of_bytes(&self.input[start..colon]);
        let name = self.until(if id == FieldId::Other {
            octets::token_end(self.input, start)
        } else {
            colon
        });
        self.expect(b':', Malformed::FieldName)?;
        if name.is_empty() {
            return Err(Malformed::FieldName.into());
        }
        Ok((id, name))
    }

    fn version(&mut self) -> Result<Version, Stop> {
        const START: &[u8] = b"HTTP/1.";
        let rest = &self.input[self.at..];
        let (version, len) = match rest.first_chunk() {
            Some(b"HTTP/1.1") => (Version::Http11, START.len() + 1),
            Some(b"HTTP/1.0") => (Version::Http10, START.len() + 1),
            None if START.starts_with(rest) => return Err(Stop::Partial),
            _ => return Err(Malformed::Version.into()),
        };
        self.at += len;
        Ok(version)
    }

    /// CR LF. A line feed alone is the end of a line to some, and others see another head then.
    fn end_line(&mut self, malformed: Malformed) -> Result<(), Stop> {
        let rest = &self.input[self.at..];
        if rest.first_chunk() == Some(b"\r\n") {
            self.at += 2;
            return Ok(());
        }
        Err(match rest {
            [] | [b'\r'] => Stop::Partial,
            [b'\n', ..] => Malformed::LineEnd.into(),
            _ => malformed.into(),
        })
    }

    fn until(&mut self, end: usize) -> Range<usize> {
        let start = self.at;
        self.at = end;
        start..end
    }

    fn expect(&mut self, byte: u8, malformed: Malformed) -> Result<(), Stop> {
        if self.next()? == byte {
            Ok(())
        } else {
            Err(malformed.into())
        }
    }

    fn peek(&self) -> Result<u8, Stop> {
        self.input.get(self.at).copied().ok_or(Stop::Partial)
    }

    fn next(&mut self) -> Result<u8, Stop> {
        let byte = self.peek()?;
        self.at += 1;
        Ok(byte)
    }
}

#[cfg(test)]
mod tests;
