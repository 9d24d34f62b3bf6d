//! Responses out: the head, framing of the body, interim responses.
//! What belongs to the connection is written from arguments alone and never from the head, so a message has one length by
//! construction; and a head holds no byte that would end a line, so nothing in it can begin another message.

use super::number::encode_number;
use super::reason::reason;
use crate::head::{FieldId, FieldIds, ResponseHead};

/// Fields of the hop and those that are written from arguments.
const OURS: FieldIds = FieldIds::of(&[
    FieldId::Server,
    FieldId::Connection,
    FieldId::ContentLength,
    FieldId::TransferEncoding,
    FieldId::Te,
    FieldId::Trailer,
    FieldId::KeepAlive,
    FieldId::ProxyConnection,
    FieldId::Upgrade,
]);

/// Tells a client that waits for it to send its body (RFC 9110 section 15.2.1).
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// How the body of a response is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is none, whatever the head says: 1xx, 204, 304, and every answer to HEAD. `Content-Length` is written if the head
    /// has one, for it tells of the body that is left out; 1xx and 204 have none (RFC 9110 section 8.6), whatever is asked for.
    None,
    /// A body of so many bytes.
    Length(u64),
    /// A body in chunks.
    Chunked,
    /// A body that ends with the connection.
    UntilClose,
}

/// What is said of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connection {
    /// Nothing: an HTTP/1.1 client takes it that it persists.
    Persists,
    /// `keep-alive`, for a client of HTTP/1.0 that asked.
    KeepAlive,
    /// This response is the last one.
    Close,
    /// It switches to the protocol that the head's `Upgrade` names.
    Upgrade,
}

/// Appends the head. The reason phrase is the registered one. `server` takes the place of what the head says; `date` is added
/// if the head has none. Both are legal field values.
pub fn encode_head(
    head: &ResponseHead,
    framing: Framing,
    connection: Connection,
    server: &[u8],
    date: &[u8],
    out: &mut Vec<u8>,
) {
    let status = head.status();
    encode_status_line(status, out);
    let has_no_body = status < 200 || status == 204;
    let framing = if has_no_body { Framing::None } else { framing };
    let mut ours = OURS;
    if framing == Framing::None && !has_no_body {
        ours = ours.without(FieldId::ContentLength);
    }
    if connection == Connection::Upgrade {
        ours = ours.without(FieldId::Upgrade);
    }
    head.fields().write_lines(ours, out);
    out.extend_from_slice(b"server: ");
    out.extend_from_slice(server);
    out.extend_from_slice(b"\r\n");
    if !head.fields().present().contains(FieldId::Date) {
        out.extend_from_slice(b"date: ");
        out.extend_from_slice(date);
        out.extend_from_slice(b"\r\n");
    }
    match framing {
        Framing::None | Framing::UntilClose => {}
        Framing::Length(length) => {
            out.extend_from_slice(b"content-length: ");
            encode_number::<10>(length, out);
            out.extend_from_slice(b"\r\n");
        }
        Framing::Chunked => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
    }
    match connection {
        Connection::Persists => {}
        Connection::KeepAlive => out.extend_from_slice(b"connection: keep-alive\r\n"),
        Connection::Close => out.extend_from_slice(b"connection: close\r\n"),
        Connection::Upgrade => out.extend_from_slice(b"connection: upgrade\r\n"),
    }
    out.extend_from_slice(b"\r\n");
}

fn encode_status_line(status: u16, out: &mut Vec<u8>) {
    if status == 200 {
        out.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
        return;
    }
    out.extend_from_slice(b"HTTP/1.1 ");
    // Three digits (RFC 9112 section 4), whatever the head was given.
    encode_number::<10>(u64::from(status.clamp(100, 999)), out);
    out.push(b' ');
    out.extend_from_slice(reason(status).as_bytes());
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests;
