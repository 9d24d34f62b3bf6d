//! Responses in: the head, and what it says about the body and the connection (RFC 9112 sections 4 to 6 and 9.3).
//! The bytes read so far go in, a filled [`ResponseHead`] comes out as soon as they hold all of it.
//! The body itself is read by `body`; what an interim response or a status means is the caller's to know.

use super::body::BodyLength;
use super::lines::{Lines, Stop, whole};
use super::number::content_length;
use super::{MAX_HEAD, Malformed};
use crate::head::{FieldId, FieldIds, Fields, ResponseHead, Version};
use crate::octets;

/// Fields that say something of the message itself.
const FRAMING: FieldIds = FieldIds::of(&[
    FieldId::ContentLength,
    FieldId::TransferEncoding,
    FieldId::Connection,
]);

/// What a response head says beyond its fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// Bytes that the head took; the body begins behind them.
    pub head_len: usize,
    /// How the body ends.
    pub body: BodyLength,
    /// True when the connection may carry another request after this body.
    pub reusable: bool,
}

/// Reads one response head from a buffer that grows. Make a new one for each head.
#[derive(Debug, Default)]
pub struct ResponseParser {
    seen: usize,
}

impl ResponseParser {
    /// A parser that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads the head at the front of `input`, all bytes received so far; `None` until they hold all of it.
    /// `to_head`: the request was HEAD. Only on `Some` does `into` hold the response.
    pub fn parse(
        &mut self,
        input: &[u8],
        to_head: bool,
        into: &mut ResponseHead,
    ) -> Result<Option<Received>, Malformed> {
        // A head ends in a line feed: without a new one it is no use to parse again, however small the pieces come.
        let new = &input[self.seen.min(input.len())..];
        let is_first = self.seen == 0;
        self.seen = input.len();
        if !is_first && !new.contains(&b'\n') {
            return if input.len() > MAX_HEAD {
                Err(Malformed::HeadTooLarge)
            } else {
                Ok(None)
            };
        }
        let found = parse(&input[..input.len().min(MAX_HEAD)], to_head, into)?;
        if found.is_none() && input.len() > MAX_HEAD {
            return Err(Malformed::HeadTooLarge);
        }
        Ok(found)
    }
}

/// Reads a head, if all of it is there.
fn parse(
    input: &[u8],
    to_head: bool,
    into: &mut ResponseHead,
) -> Result<Option<Received>, Malformed> {
    // An empty line behind another response would be bytes of nobody.
    if matches!(input.first(), Some(b'\r' | b'\n')) {
        return Err(Malformed::StatusLine);
    }
    whole(read(input, to_head, into))
}

fn read(input: &[u8], to_head: bool, into: &mut ResponseHead) -> Result<Received, Stop> {
    into.clear();
    let mut lines = Lines::new(input);
    let line = lines.status_line()?;
    lines.fields(into.fields_mut())?;
    if line.status < 100 {
        return Err(Malformed::StatusLine.into());
    }
    into.set_status(line.status);
    let said = Said::read(into.fields())?;
    let is_http_11 = line.version == Version::Http11;
    let (body, reusable) = said.meaning(is_http_11, line.status, to_head)?;
    if body == BodyLength::None && !to_head && line.status != 304 {
        // An informational response or a 204 must not have one (RFC 9110 section 8.6); it is not passed on.
        into.fields_mut().remove(FieldId::ContentLength);
    }
    Ok(Received {
        head_len: lines.read().len(),
        body,
        reusable,
    })
}

/// The fields that decide where the body ends and whether the connection goes on.
#[derive(Default)]
struct Said {
    length: Option<u64>,
    chunked: bool,
    close: bool,
    keep_alive: bool,
}

impl Said {
    fn read(fields: &Fields) -> Result<Said, Malformed> {
        let mut said = Said::default();
        if !fields.present().intersects(FRAMING) {
            return Ok(said);
        }
        for field in fields.iter() {
            match field.id {
                FieldId::ContentLength if said.length.is_some() => {
                    return Err(Malformed::ContentLength);
                }
                FieldId::ContentLength => said.length = Some(content_length(field.value)?),
                FieldId::TransferEncoding => {
                    if said.chunked || !field.value.eq_ignore_ascii_case(b"chunked") {
                        return Err(Malformed::TransferEncoding);
                    }
                    said.chunked = true;
                }
                FieldId::Connection => {
                    for option in octets::list(field.value) {
                        said.close |= option.eq_ignore_ascii_case(b"close");
                        said.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
                    }
                }
                _ => {}
            }
        }
        if said.length.is_some() && said.chunked {
            return Err(Malformed::TwoLengths);
        }
        Ok(said)
    }

    /// The length of the body by RFC 9112 section 6.3, and whether the connection persists by section 9.3.
    fn meaning(
        &self,
        is_http_11: bool,
        status: u16,
        to_head: bool,
    ) -> Result<(BodyLength, bool), Malformed> {
        let is_bare = status < 200 || status == 204;
        if self.chunked && (is_bare || !is_http_11) {
            return Err(Malformed::TransferEncoding);
        }
        let persists = !self.close && (is_http_11 || self.keep_alive);
        if is_bare || to_head || status == 304 {
            // A length that cannot be meant leaves open what the server will send: take the answer, not the connection.
            let is_plain = !is_bare || self.length.unwrap_or(0) == 0;
            return Ok((BodyLength::None, persists && is_plain));
        }
        Ok(match (self.chunked, self.length) {
            (true, _) => (BodyLength::Chunked, persists),
            (false, Some(length)) => (BodyLength::Length(length), persists),
            (false, None) => (BodyLength::UntilClose, false),
        })
    }
}

#[cfg(test)]
mod tests;
