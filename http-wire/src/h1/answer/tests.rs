//! What is written, and that it is read back as one response.

use super::*;
use crate::h1::{BodyLength, ResponseParser};
use proptest::prelude::*;

const DATE: &[u8] = b"Sun, 06 Nov 1994 08:49:37 GMT";

fn written(
    status: u16,
    fields: &[(&str, &str)],
    framing: Framing,
    connection: Connection,
) -> String {
    let mut head = ResponseHead::new();
    head.begin(status);
    for (name, value) in fields {
        head.fields_mut().append(*name, value.as_bytes()).unwrap();
    }
    let mut out = Vec::new();
    encode_head(&head, framing, connection, b"signalbox", DATE, &mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn what_is_said_of_the_connection_is_ours() {
    let fields = [
        ("x-a", "1"),
        ("connection", "close"),
        ("transfer-encoding", "chunked"),
        ("content-length", "7"),
        ("keep-alive", "5"),
        ("upgrade", "x"),
        ("server", "apache"),
        ("x-a", "2"),
    ];
    assert_eq!(
        written(200, &fields, Framing::Length(5), Connection::Persists),
        "HTTP/1.1 200 OK\r\nx-a: 1\r\nx-a: 2\r\nserver: signalbox\r\ndate: Sun, 06 Nov 1994 08:49:37 GMT\r\ncontent-length: 5\r\n\r\n"
    );
    let dated = [("date", "then")];
    assert_eq!(
        written(299, &dated, Framing::Chunked, Connection::Close),
        "HTTP/1.1 299 \r\ndate: then\r\nserver: signalbox\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n"
    );
}

#[test]
fn a_body_that_is_left_out_keeps_its_length_where_one_may_stand() {
    let fields = [("content-length", "5")];
    let says = |status| {
        written(status, &fields, Framing::None, Connection::Persists)
            .contains("content-length: 5\r\n")
    };
    assert!(says(200) && says(304));
    assert!(!says(204) && !says(101));
    let until = written(200, &fields, Framing::UntilClose, Connection::Close);
    assert!(!until.contains("content-length"));
}

#[test]
fn a_switch_names_its_protocol() {
    let fields = [("upgrade", "websocket"), ("connection", "x")];
    let head = written(101, &fields, Framing::None, Connection::Upgrade);
    assert!(head.starts_with("HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\n"));
    assert!(head.ends_with("connection: upgrade\r\n\r\n"));
    assert_eq!(head.matches("connection").count(), 1);
}

proptest! {
    #[test]
    fn what_is_written_is_one_response_and_read_back(
        status in prop_oneof![4 => 200_u16..600, 1 => Just(204), 1 => Just(304)],
        fields in prop::collection::vec(("[a-zA-Z0-9-]{1,16}", prop::collection::vec(any::<u8>(), 0..20)), 0..12),
        framing in prop_oneof![
            any::<u64>().prop_map(|length| Framing::Length(length >> 5)), Just(Framing::Chunked), Just(Framing::UntilClose)
        ],
    ) {
        let mut head = ResponseHead::new();
        head.begin(status);
        for (name, value) in &fields {
            // What could end a line cannot be stored.
            let stored = head.fields_mut().append(&**name, value).is_ok();
            let is_clean = !value.trim_ascii().iter().any(|byte| b"\r\n\0".contains(byte));
            prop_assert!(!stored || is_clean);
        }
        let mut wire = Vec::new();
        encode_head(&head, framing, Connection::Persists, b"signalbox", DATE, &mut wire);
        let mut back = ResponseHead::new();
        let received = ResponseParser::new().parse(&wire, false, &mut back).unwrap().unwrap();
        prop_assert_eq!(received.head_len, wire.len());
        prop_assert_eq!(back.status(), status);
        let body = match framing {
            _ if matches!(status, 204 | 304) => return Ok(()),
            Framing::None => BodyLength::None,
            Framing::Length(length) => BodyLength::Length(length),
            Framing::Chunked => BodyLength::Chunked,
            Framing::UntilClose => BodyLength::UntilClose,
        };
        prop_assert_eq!(received.body, body);
        for field in head.fields().iter().filter(|field| field.id == FieldId::Other) {
            prop_assert!(back.fields().iter().any(|found| found == field));
        }
    }
}
