//! A table of response heads, good and malformed, and what each gives.

use super::*;
use crate::h1::MAX_FIELDS;
use proptest::prelude::*;

fn parse_as(input: &[u8], to_head: bool) -> Result<Option<(u16, BodyLength, bool)>, Malformed> {
    let mut head = ResponseHead::new();
    let received = ResponseParser::new().parse(input, to_head, &mut head)?;
    Ok(received.map(|received| (head.status(), received.body, received.reusable)))
}

fn parse_text(input: &str) -> Result<Option<(u16, BodyLength, bool)>, Malformed> {
    parse_as(input.as_bytes(), false)
}

#[test]
fn the_length_of_the_body_follows_the_rfc() {
    use BodyLength::{Chunked, Length, None, UntilClose};
    let cases = [
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
            200,
            Length(5),
            true,
        ),
        (
            "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n",
            200,
            Length(0),
            true,
        ),
        (
            "HTTP/1.1 200 \r\nTransfer-Encoding: Chunked\r\n\r\n",
            200,
            Chunked,
            true,
        ),
        ("HTTP/1.1 200 OK\r\n\r\n", 200, UntilClose, false),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: x, CLOSE\r\n\r\n",
            200,
            Length(5),
            false,
        ),
        (
            "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n",
            200,
            Length(5),
            false,
        ),
        (
            "HTTP/1.0 200 OK\r\nContent-Length: 5\r\nConnection: Keep-Alive\r\n\r\n",
            200,
            Length(5),
            true,
        ),
        (
            "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\n",
            200,
            UntilClose,
            false,
        ),
        ("HTTP/1.1 204 No Content\r\n\r\n", 204, None, true),
        (
            "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n",
            204,
            None,
            true,
        ),
        (
            "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n",
            204,
            None,
            false,
        ),
        (
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
            304,
            None,
            true,
        ),
        (
            "HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n",
            304,
            None,
            true,
        ),
        ("HTTP/1.1 100 Continue\r\n\r\n", 100, None, true),
        (
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
            101,
            None,
            true,
        ),
        (
            "HTTP/1.1 999 Whatever\r\nContent-Length: 1\r\n\r\n",
            999,
            Length(1),
            true,
        ),
    ];
    for (input, status, body, reusable) in cases {
        assert_eq!(
            parse_text(input),
            Ok(Some((status, body, reusable))),
            "{input:?}"
        );
    }
}

#[test]
fn a_response_to_head_has_no_body_whatever_it_says() {
    for fields in [
        "Content-Length: 5\r\n",
        "Transfer-Encoding: chunked\r\n",
        "",
    ] {
        let input = format!("HTTP/1.1 200 OK\r\n{fields}\r\n");
        assert_eq!(
            parse_as(input.as_bytes(), true),
            Ok(Some((200, BodyLength::None, true))),
            "{input:?}"
        );
    }
}

#[test]
fn malformed_heads_are_refused() {
    use Malformed::{
        ContentLength, FieldName, FieldValue, LineEnd, StatusLine, TransferEncoding, TwoLengths,
        Version,
    };
    let cases = [
        ("", "\r\nHTTP/1.1 200 OK\r\n\r\n", StatusLine),
        ("", "\nHTTP/1.1 200 OK\r\n\r\n", StatusLine),
        ("", "hello\r\n\r\n", Version),
        ("", "HTTP/0.9 200 OK\r\n\r\n", Version),
        ("", "HTTP/1.2 200 OK\r\n\r\n", Version),
        ("", "HTTP/2.0 200 OK\r\n\r\n", Version),
        ("", "http/1.1 200 OK\r\n\r\n", Version),
        ("", "HTTP/1.1  200 OK\r\n\r\n", StatusLine),
        ("", "HTTP/1.1 20 OK\r\n\r\n", StatusLine),
        ("", "HTTP/1.1 2000 OK\r\n\r\n", StatusLine),
        ("", "HTTP/1.1 099 OK\r\n\r\n", StatusLine),
        ("", "HTTP/1.1 20x OK\r\n\r\n", StatusLine),
        ("", "HTTP/1.1 200 O\0K\r\n\r\n", StatusLine),
        ("", "HTTP/1.1 200 OK\nA: b\r\n\r\n", LineEnd),
        ("", "HTTP/1.1 200 OK\n\r\n", LineEnd),
        ("A: b\nC: d\r\n", "", LineEnd),
        ("A: b\n", "", LineEnd),
        ("A:\n", "", LineEnd),
        ("A: b\rC: d\r\n", "", FieldValue),
        ("A: b\0\r\n", "", FieldValue),
        ("A: \x1b\r\n", "", FieldValue),
        ("A : b\r\n", "", FieldName),
        (" A: b\r\n", "", FieldName),
        ("A: b\r\n c\r\n", "", FieldName),
        ("A: b\r\n\tc\r\n", "", FieldName),
        (": b\r\n", "", FieldName),
        ("A b\r\n", "", FieldName),
        ("A\0: b\r\n", "", FieldName),
        ("A\r\n", "", FieldName),
        (
            "Content-Length: 5\r\nContent-Length: 5\r\n",
            "",
            ContentLength,
        ),
        (
            "Content-Length: 5\r\nContent-Length: 6\r\n",
            "",
            ContentLength,
        ),
        ("Content-Length: 5, 5\r\n", "", ContentLength),
        ("Content-Length: +5\r\n", "", ContentLength),
        ("Content-Length: -5\r\n", "", ContentLength),
        ("Content-Length: 0x5\r\n", "", ContentLength),
        ("Content-Length: 5 5\r\n", "", ContentLength),
        ("Content-Length: 5;\r\n", "", ContentLength),
        ("Content-Length:\r\n", "", ContentLength),
        (
            "Content-Length: 99999999999999999999\r\n",
            "",
            ContentLength,
        ),
        (
            "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
            "",
            TwoLengths,
        ),
        (
            "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
            "",
            TwoLengths,
        ),
        (
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            "",
            TransferEncoding,
        ),
        ("Transfer-Encoding: gzip, chunked\r\n", "", TransferEncoding),
        (
            "Transfer-Encoding: chunked, identity\r\n",
            "",
            TransferEncoding,
        ),
        ("Transfer-Encoding: identity\r\n", "", TransferEncoding),
        ("Transfer-Encoding: \"chunked\"\r\n", "", TransferEncoding),
        ("Transfer-Encoding: chunked;q=1\r\n", "", TransferEncoding),
        ("Transfer-Encoding: xchunked\r\n", "", TransferEncoding),
        ("Transfer-Encoding:\r\n", "", TransferEncoding),
        (
            "",
            "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            TransferEncoding,
        ),
        (
            "",
            "HTTP/1.1 204 No\r\nTransfer-Encoding: chunked\r\n\r\n",
            TransferEncoding,
        ),
        (
            "",
            "HTTP/1.1 100 Go\r\nTransfer-Encoding: chunked\r\n\r\n",
            TransferEncoding,
        ),
    ];
    for (fields, whole, malformed) in cases {
        let input = if whole.is_empty() {
            format!("HTTP/1.1 200 OK\r\n{fields}\r\n")
        } else {
            whole.to_owned()
        };
        assert_eq!(parse_text(&input), Err(malformed), "{input:?}");
    }
}

#[test]
fn fields_come_out_as_they_went_in_with_lower_case_names() {
    let mut head = ResponseHead::new();
    let input = b"HTTP/1.1 200 OK\r\nX-Team:  a b \t\r\nSet-Cookie: 1\r\nset-cookie:2\r\nEmpty: \r\n\r\nbody";
    let received = ResponseParser::new()
        .parse(input, false, &mut head)
        .expect("well-formed")
        .expect("whole");
    assert_eq!(received.head_len, input.len() - 4);
    assert_eq!(head.fields().get("x-team"), Some(&b"a b"[..]));
    assert_eq!(
        head.fields()
            .get_all(FieldId::SetCookie)
            .collect::<Vec<_>>(),
        [b"1", b"2"]
    );
    assert_eq!(head.fields().get("empty"), Some(&b""[..]));
    assert_eq!(
        head.fields().iter().next().map(|field| field.name),
        Some(&b"x-team"[..])
    );
}

#[test]
fn a_length_that_must_not_be_is_not_passed_on() {
    let mut head = ResponseHead::new();
    let mut parse = |input: &[u8]| {
        ResponseParser::new()
            .parse(input, false, &mut head)
            .expect("well-formed");
        head.fields().contains(FieldId::ContentLength)
    };
    assert!(!parse(
        b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n"
    ));
    assert!(parse(
        b"HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n"
    ));
}

#[test]
fn heads_are_bounded_in_bytes_and_fields() {
    let fields = |count: usize| format!("HTTP/1.1 204 OK\r\n{}\r\n", "a: b\r\n".repeat(count));
    assert!(parse_text(&fields(MAX_FIELDS)).is_ok_and(|head| head.is_some()));
    assert_eq!(
        parse_text(&fields(MAX_FIELDS + 1)),
        Err(Malformed::TooManyFields)
    );
    let sized = |size: usize| {
        let rest = "HTTP/1.1 204 OK\r\na: \r\n\r\n".len();
        format!("HTTP/1.1 204 OK\r\na: {}\r\n\r\n", "x".repeat(size - rest))
    };
    assert!(parse_text(&sized(MAX_HEAD)).is_ok_and(|head| head.is_some()));
    assert_eq!(
        parse_text(&sized(MAX_HEAD + 1)),
        Err(Malformed::HeadTooLarge)
    );
    let endless = format!("HTTP/1.1 200 OK\r\na: {}", "x".repeat(MAX_HEAD));
    let mut parser = ResponseParser::new();
    let mut head = ResponseHead::new();
    assert_eq!(
        parser.parse(&endless.as_bytes()[..MAX_HEAD], false, &mut head),
        Ok(None)
    );
    assert_eq!(
        parser.parse(endless.as_bytes(), false, &mut head),
        Err(Malformed::HeadTooLarge)
    );
}

proptest! {
    #[test]
    fn a_head_in_pieces_is_the_head_in_one(cuts in proptest::collection::vec(1_usize..30, 1..80)) {
        let input = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nX-A: b\r\n\r\nabc";
        let mut parser = ResponseParser::new();
        let mut head = ResponseHead::new();
        let mut end = 0;
        for cut in cuts.iter().cycle() {
            end = input.len().min(end + cut);
            if let Some(received) = parser.parse(&input[..end], false, &mut head).expect("well-formed") {
                prop_assert_eq!(received.body, BodyLength::Length(3));
                prop_assert_eq!(&input[received.head_len..], b"abc");
                break;
            }
            prop_assert!(end < input.len());
        }
        prop_assert_eq!(head.fields().get("x-a"), Some(&b"b"[..]));
    }

    #[test]
    fn no_bytes_panic(input: Vec<u8>, to_head: bool) {
        let _ = parse_as(&input, to_head);
        let mut text = b"HTTP/1.1 200 OK\r\n".to_vec();
        text.extend_from_slice(&input);
        let _ = parse_as(&text, to_head);
    }
}
