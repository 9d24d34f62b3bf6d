//! Finds the end of an answer, across reads. Pure. It knows that no body holds a blank line, so that the end of a chunked one needs no
//! reading of chunks.

/// How far an answer has been read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reading {
    head: Vec<u8>,
    body: Option<Body>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Body {
    /// So many bytes are missing.
    Length(usize),
    /// Ends with a blank line, of whose four bytes so many were seen.
    Chunked(usize),
}

/// What is no answer that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Wrong {
    #[error("a status other than 200")]
    Status,
    #[error("neither length nor chunks")]
    Framing,
    #[error("more bytes than the answer has")]
    Excess,
}

const BLANK_LINE: &[u8; 4] = b"\r\n\r\n";

impl Reading {
    /// Whether no byte of the answer has come.
    pub(crate) fn is_untouched(&self) -> bool {
        self.head.is_empty() && self.body.is_none()
    }

    /// Whether the answer ends with these bytes. If so, the next answer begins.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Result<bool, Wrong> {
        let bytes = if self.body.is_some() {
            bytes
        } else {
            // A head comes whole as a rule; only the end of what came before can hold a part of its end.
            let from = self.head.len();
            self.head.extend_from_slice(bytes);
            let Some(end) = find(&self.head[from.saturating_sub(3)..], BLANK_LINE) else {
                return Ok(false);
            };
            let end = from.saturating_sub(3) + end + BLANK_LINE.len();
            self.body = Some(framing(&self.head[..end])?);
            self.head.clear();
            &bytes[end - from..]
        };
        let ended = match &mut self.body {
            Some(Body::Length(left)) => {
                *left = left.checked_sub(bytes.len()).ok_or(Wrong::Excess)?;
                *left == 0
            }
            Some(Body::Chunked(matched)) => chunks_end(matched, bytes)?,
            None => false,
        };
        if ended {
            self.body = None;
        }
        Ok(ended)
    }
}

fn framing(head: &[u8]) -> Result<Body, Wrong> {
    if head.get(9..12) != Some(b"200") {
        return Err(Wrong::Status);
    }
    for line in head.split(|byte| *byte == b'\n') {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else {
            continue;
        };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if name.eq_ignore_ascii_case(b"content-length") {
            let value = std::str::from_utf8(value).ok();
            let length = value.and_then(|value| value.parse().ok());
            return length.map(Body::Length).ok_or(Wrong::Framing);
        }
        if name.eq_ignore_ascii_case(b"transfer-encoding") {
            // The line end of the last chunk's size is the first half of the blank line.
            return Ok(Body::Chunked(0));
        }
    }
    Err(Wrong::Framing)
}

/// Only the last bytes of a read can end the answer.
fn chunks_end(matched: &mut usize, bytes: &[u8]) -> Result<bool, Wrong> {
    let last = &bytes[bytes.len().saturating_sub(BLANK_LINE.len())..];
    if last.len() == BLANK_LINE.len() {
        *matched = 0;
    }
    for byte in last {
        *matched = match (*matched, byte) {
            (0 | 2, b'\r') | (1 | 3, b'\n') => *matched + 1,
            (4, _) => return Err(Wrong::Excess),
            (_, b'\r') => 1,
            _ => 0,
        };
    }
    Ok(*matched == BLANK_LINE.len())
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::Exchange;

    #[test]
    fn answers_end_where_they_end_however_they_are_cut() {
        for exchange in [Exchange::Small, Exchange::TenKib, Exchange::MibChunked] {
            let answer = exchange.answer();
            for cut in [1, 2, 3, 5, 64, 150, 4_096, 16_384, 1 << 20] {
                let mut reading = Reading::default();
                for _ in 0..2 {
                    let pieces: Vec<_> = answer.chunks(cut).collect();
                    let (last, before) = pieces.split_last().unwrap();
                    for piece in before {
                        assert_eq!(reading.feed(piece), Ok(false), "{exchange:?} cut at {cut}");
                    }
                    assert_eq!(reading.feed(last), Ok(true), "{exchange:?} cut at {cut}");
                    assert!(reading.is_untouched());
                }
            }
        }
    }

    #[test]
    fn what_is_no_good_answer_is_named() {
        let feed = |text: &str| Reading::default().feed(text.as_bytes());
        assert_eq!(
            feed("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"),
            Err(Wrong::Status)
        );
        assert_eq!(feed("HTTP/1.1 200 OK\r\n\r\n"), Err(Wrong::Framing));
        assert_eq!(
            feed("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nxx"),
            Err(Wrong::Excess)
        );
        assert_eq!(
            feed("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
            Ok(true)
        );
    }
}
