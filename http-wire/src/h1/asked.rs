//! Requests in: the head, and what it says about the body and the connection (RFC 9112 sections 2, 3, 6 and 9.3).
//! The bytes read so far go in, a filled [`RequestHead`] comes out as soon as they hold all of it. The target is handed out as
//! it stands: its one reading is `canonical`'s. Clients are not to be trusted: whatever two servers may read in two ways is
//! [`Malformed`], and the connection is of no further use.

use super::body::BodyLength;
use super::lines::{Lines, Stop, whole};
use super::number::content_length;
use super::{MAX_HEAD, Malformed};
use crate::head::{FieldId, FieldIds, Fields, RequestHead, Version};
use crate::octets;
use std::ops::Range;

/// Fields that say something of the message itself.
const FRAMING: FieldIds = FieldIds::of(&[
    FieldId::ContentLength,
    FieldId::TransferEncoding,
    FieldId::Connection,
    FieldId::Expect,
]);

/// What a request head says beyond its fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// Bytes that the head took; the body begins behind them.
    pub head_len: usize,
    /// Where the target stands among them.
    pub target: Range<usize>,
    /// How the body ends; never with the connection.
    pub body: BodyLength,
    /// True when the client allows another request after this one.
    pub persists: bool,
    /// True when the client waits for `100 Continue` before it sends the body.
    pub expects_continue: bool,
}

/// Reads one request head from a buffer that grows. Make a new one for each head.
#[derive(Debug, Default)]
pub struct RequestParser {
    seen: usize,
}

impl RequestParser {
    /// A parser that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads the head at the front of `input`, all bytes received so far; `None` until they hold all of it.
    /// Only on `Some` does `into` hold the request, and it has no target yet.
    pub fn parse(
        &mut self,
        input: &[u8],
        into: &mut RequestHead,
    ) -> Result<Option<Received>, Malformed> {
        let first = first_byte(input)?;
        // A head ends in a line feed: without a new one it is no use to parse again, however small the pieces come.
        let new = &input[self.seen.min(input.len())..];
        let is_first = self.seen == 0;
        self.seen = input.len();
        let is_over = input.len() > MAX_HEAD;
        if !is_over && !is_first && !new.contains(&b'\n') {
            return Ok(None);
        }
        let input = &input[first..input.len().min(MAX_HEAD)];
        let found = parse(input, into).or_else(|_| {
            // What is said of a head must not depend on how its bytes come, so half a line is never judged.
            match input.iter().rposition(|&byte| byte == b'\n') {
                Some(end) => parse(&input[..=end], into),
                None => Ok(None),
            }
        });
        match found? {
            Some(received) => Ok(Some(received.moved(first))),
            None if is_over && input.contains(&b'\n') => Err(Malformed::HeadTooLarge),
            None if is_over => Err(Malformed::TargetTooLong),
            None => Ok(None),
        }
    }
}

impl Received {
    fn moved(self, by: usize) -> Self {
        Self {
            head_len: self.head_len + by,
            target: self.target.start + by..self.target.end + by,
            ..self
        }
    }
}

/// Where the request line begins: old clients send one empty line behind the body of a request (RFC 9112 section 2.2), and
/// more are nobody's. What begins with no method is another protocol, whose line might never end.
fn first_byte(input: &[u8]) -> Result<usize, Malformed> {
    let first = match input {
        [] | [b'\r'] => return Ok(0),
        [b'\r', b'\n', ..] => 2,
        _ => 0,
    };
    match input.get(first) {
        Some(&byte) if !octets::is_token_byte(byte) => Err(Malformed::RequestLine),
        _ => Ok(first),
    }
}

/// Reads a head, if all of it is there.
fn parse(input: &[u8], into: &mut RequestHead) -> Result<Option<Received>, Malformed> {
    whole(read(input, into))
}

fn read(input: &[u8], into: &mut RequestHead) -> Result<Received, Stop> {
    into.clear();
    let mut lines = Lines::new(input);
    let line = lines.request_line().map_err(|stop| match stop {
        Stop::Malformed(Malformed::RequestLine | Malformed::Version) => first_line(input).into(),
        stop => stop,
    })?;
    lines.fields(into.fields_mut())?;
    let version = line.version;
    into.set_line(&input[line.method], version)
        .map_err(|_| Malformed::RequestLine)?;
    let said = Said::read(into.fields())?;
    let body = said.body(version)?;
    let is_new = version == Version::Http11;
    Ok(Received {
        head_len: lines.read().len(),
        target: line.target,
        body,
        persists: !said.close && (is_new || said.keep_alive),
        // HTTP/1.0 has no interim responses (RFC 9110 section 10.1.1).
        expects_continue: said.expects_continue && is_new && body != BodyLength::None,
    })
}

/// The fields that decide where the body ends, whether the connection goes on, and who speaks next.
#[derive(Default)]
struct Said {
    length: Option<u64>,
    chunked: bool,
    close: bool,
    keep_alive: bool,
    expects_continue: bool,
}

impl Said {
    fn read(fields: &Fields) -> Result<Self, Malformed> {
        let mut said = Self::default();
        if !fields.present().intersects(FRAMING) {
            return Ok(said);
        }
        for field in fields.iter() {
            match field.id {
                FieldId::ContentLength if said.length.is_some() => {
                    return Err(Malformed::ContentLength);
                }
                FieldId::ContentLength => said.length = Some(content_length(field.value)?),
                FieldId::TransferEncoding => said.coding(field.value)?,
                FieldId::Connection => {
                    for option in octets::list(field.value) {
                        said.close |= option.eq_ignore_ascii_case(b"close");
                        said.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
                    }
                }
                FieldId::Expect => {
                    said.expects_continue |= field.value.eq_ignore_ascii_case(b"100-continue");
                }
                _ => {}
            }
        }
        Ok(said)
    }

    /// A body in a coding that we do not know cannot be forwarded, for the field that names the coding ends at this hop; one
    /// that is not chunked at last has no end (RFC 9112 sections 6.1 and 6.3).
    fn coding(&mut self, value: &[u8]) -> Result<(), Malformed> {
        let is_chunked = |coding: &[u8]| coding.eq_ignore_ascii_case(b"chunked");
        let is_last = octets::list(value).last().is_some_and(is_chunked);
        if !is_last {
            return Err(Malformed::TransferEncoding);
        }
        if self.chunked || !is_chunked(value) {
            return Err(Malformed::TransferCoding);
        }
        self.chunked = true;
        Ok(())
    }

    /// The length of the body (RFC 9112 section 6.3).
    fn body(&self, version: Version) -> Result<BodyLength, Malformed> {
        match (self.chunked, self.length) {
            (true, Some(_)) => Err(Malformed::TwoLengths),
            (true, None) if version == Version::Http10 => Err(Malformed::TransferEncoding),
            (true, None) => Ok(BodyLength::Chunked),
            (false, None | Some(0)) => Ok(BodyLength::None),
            (false, Some(length)) => Ok(BodyLength::Length(length)),
        }
    }
}

/// What is wrong with the first line.
fn first_line(input: &[u8]) -> Malformed {
    let end = input.iter().position(|&byte| byte == b'\n');
    let end = end.unwrap_or(input.len());
    let line = input[..end].strip_suffix(b"\r").unwrap_or(&input[..end]);
    let mut parts = line.split(|&byte| byte == b' ');
    let (method, target, version) = (parts.next(), parts.next(), parts.next());
    let is_method = method.is_some_and(octets::is_token);
    let is_target = target.is_some_and(|target| {
        !target.is_empty() && target.iter().all(|&byte| octets::is_target(byte))
    });
    // HTTP/0.9 had no version at all.
    let is_version = version.is_none_or(is_version) && parts.next().is_none();
    if is_method && is_target && is_version {
        Malformed::Version
    } else {
        Malformed::RequestLine
    }
}

/// `HTTP/` and two digits (RFC 9112 section 2.3).
fn is_version(text: &[u8]) -> bool {
    matches!(text, [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
        if major.is_ascii_digit() && minor.is_ascii_digit())
}

#[cfg(test)]
mod tests;
