//! Requests out: the head and the framing of the body.
//! The framing fields are written from [`Framing`] alone and never from the head, so a message has one length by construction.
//! Nothing can fail here: a head holds nothing that could not be written.

use super::number::encode_number;
use crate::head::{FieldId, FieldIds, RequestHead};

/// Fields that end here or are written from what else is known.
const NOT_FORWARDED: FieldIds = FieldIds::of(&[
    FieldId::Host,
    FieldId::Connection,
    FieldId::ContentLength,
    FieldId::TransferEncoding,
    FieldId::Te,
    FieldId::Trailer,
    FieldId::KeepAlive,
    FieldId::ProxyConnection,
    FieldId::Upgrade,
    FieldId::Http2Settings,
]);

/// What follows the data of every chunk.
pub const CHUNK_END: &[u8] = b"\r\n";
/// The last chunk, without trailers.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// How the body of a request is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// No body.
    None,
    /// A body of so many bytes.
    Length(u64),
    /// A body in chunks.
    Chunked,
}

/// Appends the head as HTTP/1.1, whatever version the client spoke.
///
/// `Host` is the head's authority. Fields of the hop are left out: those that the head still has belong to another connection.
/// That is also true of `TE: trailers`, since trailers are not forwarded here. What the head keeps of an upgrade is written.
pub fn encode_head(head: &RequestHead, framing: Framing, out: &mut Vec<u8>) {
    let method = head.method().as_bytes();
    out.extend_from_slice(method);
    out.push(b' ');
    out.extend_from_slice(head.path().as_bytes());
    if let Some(query) = head.query() {
        out.push(b'?');
        out.extend_from_slice(query.as_bytes());
    }
    out.extend_from_slice(b" HTTP/1.1\r\nhost: ");
    out.extend_from_slice(head.authority_bytes());
    out.extend_from_slice(b"\r\n");
    head.fields().write_lines(NOT_FORWARDED, out);
    if let Some(protocol) = head.upgrade() {
        out.extend_from_slice(b"connection: upgrade\r\nupgrade: ");
        out.extend_from_slice(protocol);
        out.extend_from_slice(b"\r\n");
    }
    encode_framing(method, framing, out);
    out.extend_from_slice(b"\r\n");
}

/// Appends the line in front of a chunk's data. `len` is not 0: an empty chunk would end the body.
pub fn encode_chunk_line(len: usize, out: &mut Vec<u8>) {
    debug_assert_ne!(len, 0, "an empty chunk ends the body");
    encode_number::<16>(len as u64, out);
    out.extend_from_slice(b"\r\n");
}

fn encode_framing(method: &[u8], framing: Framing, out: &mut Vec<u8>) {
    match framing {
        // A server may wait for the body of a method that has one unless it is told that there is none (RFC 9110 section 8.6).
        Framing::None if matches!(method, b"POST" | b"PUT" | b"PATCH") => {
            out.extend_from_slice(b"content-length: 0\r\n");
        }
        Framing::None => {}
        Framing::Length(len) => {
            out.extend_from_slice(b"content-length: ");
            encode_number::<10>(len, out);
            out.extend_from_slice(b"\r\n");
        }
        Framing::Chunked => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::canonical::{self, Target};
    use crate::h1::{BodyLength, Decoder};
    use crate::head::Version;
    use proptest::prelude::*;

    fn head(method: &str, target: &str, fields: &[(String, Vec<u8>)]) -> RequestHead {
        let mut head = RequestHead::new();
        head.begin(method, Version::Http2).expect("a token");
        for (name, value) in fields {
            head.fields_mut()
                .push(name.as_bytes(), value)
                .expect("a legal field");
        }
        let mut target = Target::parse(target.as_bytes()).expect("a legal target");
        target.authority = Some(b"Shop.example:8080");
        canonical::read(&mut head, &target).expect("a canonical request");
        head
    }

    fn encoded(head: &RequestHead, framing: Framing) -> String {
        let mut out = Vec::new();
        encode_head(head, framing, &mut out);
        String::from_utf8(out).expect("text in this test")
    }

    #[test]
    fn a_head_is_written_with_one_host_and_one_length() {
        let fields = [
            ("Accept", "*/*"),
            ("content-length", "9"),
            ("transfer-encoding", "gzip"),
            ("connection", "x"),
            ("te", "trailers"),
        ];
        let fields = fields.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()));
        let head = head("PUT", "/a/../b?c=1", &fields);
        let start = "PUT /b?c=1 HTTP/1.1\r\nhost: Shop.example:8080\r\naccept: */*\r\n";
        assert_eq!(
            encoded(&head, Framing::Length(17)),
            format!("{start}content-length: 17\r\n\r\n")
        );
        assert_eq!(
            encoded(&head, Framing::Chunked),
            format!("{start}transfer-encoding: chunked\r\n\r\n")
        );
        assert_eq!(
            encoded(&head, Framing::Length(u64::MAX)),
            format!("{start}content-length: 18446744073709551615\r\n\r\n")
        );
    }

    #[test]
    fn an_upgrade_that_was_kept_is_asked_for_again() {
        let fields = [("connection", "x-a, upgrade"), ("upgrade", "websocket")];
        let fields = fields.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()));
        let mut head = RequestHead::new();
        head.begin("GET", Version::Http11).expect("a token");
        for (name, value) in fields {
            head.fields_mut()
                .push(name.as_bytes(), &value)
                .expect("a legal field");
        }
        assert!(!encoded(&head, Framing::None).contains("upgrade"));
        head.keep_upgrade().expect("room");
        let text = encoded(&head, Framing::None);
        assert!(text.ends_with("\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"));
    }

    #[test]
    fn methods_that_have_bodies_say_when_there_is_none() {
        assert!(encoded(&head("POST", "/", &[]), Framing::None).contains("content-length: 0\r\n"));
        assert!(!encoded(&head("GET", "/", &[]), Framing::None).contains("content-length"));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back_as_the_same(
            method in "[A-Z]{1,8}",
            path in "/[a-z0-9/_-]{0,20}",
            fields in proptest::collection::vec(("x-[a-zA-Z0-9!#$%&'*+.^_`|~-]{1,12}", "[ -~\\t]{0,24}"), 0..12),
        ) {
            let fields: Vec<_> = fields.into_iter().map(|(name, value)| (name, value.into_bytes())).collect();
            let head = head(&method, &path, &fields);
            let mut out = Vec::new();
            encode_head(&head, Framing::Length(3), &mut out);
            let mut storage = [httparse::EMPTY_HEADER; 32];
            let mut parsed = httparse::Request::new(&mut storage);
            prop_assert_eq!(parsed.parse(&out), Ok(httparse::Status::Complete(out.len())));
            prop_assert_eq!(parsed.method, Some(method.as_str()));
            prop_assert_eq!(parsed.path, Some(head.path()));
            prop_assert_eq!(parsed.headers.len(), fields.len() + 2);
            for (read, (name, value)) in parsed.headers[1..].iter().zip(&fields) {
                prop_assert_eq!(read.name, name.to_ascii_lowercase());
                prop_assert_eq!(read.value, value.trim_ascii());
            }
        }

        #[test]
        fn chunks_are_read_back_as_the_same_however_they_are_cut(
            chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..40), 0..8),
            cuts in proptest::collection::vec(1_usize..9, 1..200),
        ) {
            let mut wire = Vec::new();
            for chunk in &chunks {
                encode_chunk_line(chunk.len(), &mut wire);
                wire.extend_from_slice(chunk);
                wire.extend_from_slice(CHUNK_END);
            }
            wire.extend_from_slice(LAST_CHUNK);
            wire.extend_from_slice(b"next");
            let mut decoder = Decoder::new(BodyLength::Chunked);
            let (mut at, mut end, mut body) = (0, 0, Vec::new());
            for cut in cuts.iter().cycle() {
                end = wire.len().min(end + cut);
                loop {
                    let step = decoder.decode(&wire[at..end]).expect("well-formed chunks");
                    body.extend_from_slice(&wire[at..end][step.data]);
                    at += step.consumed;
                    if step.consumed == 0 || decoder.is_done() {
                        break;
                    }
                }
                if decoder.is_done() {
                    break;
                }
            }
            prop_assert_eq!(body, chunks.concat());
            prop_assert_eq!(&wire[at..], b"next");
        }
    }
}
