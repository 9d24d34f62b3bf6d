//! A table of request heads, good and bad, and what each gives; whatever the table says holds however the bytes come.

use super::*;
use crate::canonical::{self, Target};
use proptest::prelude::*;

/// Method, target, body, and whether another request may follow.
type Reading = (String, String, BodyLength, bool);

/// Reads a head that comes in pieces of this size; gives what it says and what is left over.
fn parse_in(pieces: usize, input: &[u8]) -> Result<Option<(Reading, usize)>, Malformed> {
    let mut parser = RequestParser::new();
    let mut head = RequestHead::new();
    for end in (pieces..input.len()).step_by(pieces).chain([input.len()]) {
        if let Some(received) = parser.parse(&input[..end], &mut head)? {
            let target = String::from_utf8_lossy(&input[received.target.clone()]).into_owned();
            let reading = (
                head.method().to_owned(),
                target,
                received.body,
                received.persists,
            );
            return Ok(Some((reading, input.len() - received.head_len)));
        }
    }
    Ok(None)
}

fn parse_text(input: &str) -> Result<Option<Reading>, Malformed> {
    let whole = parse_in(input.len().max(1), input.as_bytes());
    let whole = whole.map(|found| found.map(|(reading, _)| reading));
    for pieces in [1, 2, 7] {
        let found = parse_in(pieces, input.as_bytes());
        let found = found.map(|found| found.map(|(reading, _)| reading));
        assert_eq!(found, whole, "{input:?} in pieces of {pieces}");
    }
    whole
}

#[track_caller]
fn refused(input: &str, malformed: Malformed, status: u16) {
    assert_eq!(parse_text(input), Err(malformed), "{input:?}");
    assert_eq!(malformed.request_status(), status, "{input:?}");
}

/// A request with these field lines.
fn with(fields: &str) -> String {
    format!("POST / HTTP/1.1\r\nhost: a\r\n{fields}\r\n")
}

#[test]
fn body_and_connection_follow_the_rfc() {
    use BodyLength::{Chunked, Length, None};
    for (fields, body, persists) in [
        ("", None, true),
        ("content-length: 5\r\n", Length(5), true),
        ("content-length: 0\r\n", None, true),
        ("Transfer-Encoding: Chunked\r\n", Chunked, true),
        ("transfer-encoding:\tchunked \r\n", Chunked, true),
        ("connection: x, CLOSE\r\n", None, false),
        ("connection: keep-alive\r\n", None, true),
    ] {
        let (_, _, found, keeps) = parse_text(&with(fields)).unwrap().unwrap();
        assert_eq!((found, keeps), (body, persists), "{fields:?}");
    }
    for (fields, body, persists) in [
        ("", None, false),
        ("connection: Keep-Alive\r\n", None, true),
        ("connection: keep-alive, close\r\n", None, false),
        ("content-length: 5\r\n", Length(5), false),
    ] {
        let input = format!("GET / HTTP/1.0\r\n{fields}\r\n");
        let (_, _, found, keeps) = parse_text(&input).unwrap().unwrap();
        assert_eq!((found, keeps), (body, persists), "{fields:?}");
    }
}

#[test]
fn the_target_is_handed_out_as_it_stands() {
    for target in ["/", "/a?b=c", "*", "http://a/", "a:80", "/%zz"] {
        let input = format!("OPTIONS {target} HTTP/1.1\r\n\r\nnext");
        let (reading, left) = parse_in(1000, input.as_bytes()).unwrap().unwrap();
        assert_eq!((&*reading.1, left), (target, 4));
        let found = parse_in(1, input.as_bytes()).unwrap().unwrap();
        assert_eq!(found.0.1, target);
    }
}

#[test]
fn one_empty_line_may_stand_in_front() {
    let input = "\r\nGET /x HTTP/1.1\r\nhost: a\r\n\r\n";
    let (method, target, ..) = parse_text(input).unwrap().unwrap();
    assert_eq!((&*method, &*target), ("GET", "/x"));
    for input in [
        "\r\n\r\n",
        "\n",
        "\nGET / HTTP/1.1\r\n\r\n",
        "\rG",
        "\r\n\nG",
    ] {
        refused(input, Malformed::RequestLine, 400);
    }
}

#[test]
fn lines_that_are_no_request_line_are_refused() {
    for line in [
        "",
        "GET",
        "GET /",
        " GET / HTTP/1.1",
        "GET  / HTTP/1.1",
        "GET /  HTTP/1.1",
        "GET / HTTP/1.1 ",
        "GET / HTTP/1.1 x",
        "GET /a b HTTP/1.1",
        "GET\t/ HTTP/1.1",
        "G\u{e4}T / HTTP/1.1",
        "G(T / HTTP/1.1",
        "GET / http/1.1",
        "GET / HTTP/1",
        "GET / HTTP/11",
        "GET / HTTP/1.1.1",
        "GET / HTTP/one",
        "GET / HTTPS/1.1",
        "GET / ICY/1.1",
    ] {
        for end in ["\r\n\r\n", "\r\nhost: a\r\n\r\n"] {
            let input = format!("{line}{end}");
            let found = parse_text(&input);
            let is_line = matches!(found, Err(Malformed::RequestLine | Malformed::LineEnd));
            let is_old = line == "GET /" && found == Err(Malformed::Version);
            assert!(is_line || is_old, "{input:?}: {found:?}");
        }
    }
    refused("\x16\x03\x01\x02\x00\x01", Malformed::RequestLine, 400);
    refused(" GET", Malformed::RequestLine, 400);
    refused("GET / HTTP/1.1\rx\n\r\n", Malformed::LineEnd, 400);
}

#[test]
fn versions_that_are_not_spoken_here_are_505() {
    for version in [" HTTP/0.9", " HTTP/1.2", " HTTP/2.0", " HTTP/3.0", ""] {
        let input = format!("GET /{version}\r\n\r\n");
        refused(&input, Malformed::Version, 505);
    }
    refused("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Malformed::Version, 505);
}

#[test]
fn lines_end_in_crlf_and_nothing_else() {
    for input in [
        "GET / HTTP/1.1\nhost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\nx: b\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\n\n",
        "GET / HTTP/1.1\n\n",
    ] {
        refused(input, Malformed::LineEnd, 400);
    }
}

#[test]
fn fields_are_a_name_a_colon_and_a_value() {
    for fields in [
        "x : 1\r\n",
        "x\t: 1\r\n",
        "x: 1\r\n folded\r\n",
        "x: 1\r\n\tfolded\r\n",
        ": 1\r\n",
        "x\r\n",
        "x y: 1\r\n",
        "x\0: 1\r\n",
        "x(y): 1\r\n",
        "\u{e4}: 1\r\n",
    ] {
        refused(&with(fields), Malformed::FieldName, 400);
    }
    refused(
        "GET / HTTP/1.1\r\n host: a\r\n\r\n",
        Malformed::FieldName,
        400,
    );
    for value in ["a\0b", "a\x01", "a\x7f", "\x0b", "a\rb"] {
        let input = with(&format!("x: {value}\r\n"));
        refused(&input, Malformed::FieldValue, 400);
    }
    assert!(parse_text(&with("x: a\tb \u{e4}\r\n")).is_ok());
}

#[test]
fn a_length_is_one_plain_number() {
    for fields in [
        "content-length: +5\r\n",
        "content-length: -1\r\n",
        "content-length: 0x5\r\n",
        "content-length: 5 5\r\n",
        "content-length: 5, 5\r\n",
        "content-length: 5,\r\n",
        "content-length: \r\n",
        "content-length: 1e3\r\n",
        "content-length: 99999999999999999999\r\n",
        "content-length: 5\r\ncontent-length: 5\r\n",
        "content-length: 5\r\nContent-Length: 6\r\n",
    ] {
        refused(&with(fields), Malformed::ContentLength, 400);
    }
}

#[test]
fn a_body_is_chunked_or_not_and_nothing_else() {
    for fields in [
        "transfer-encoding: gzip\r\n",
        "transfer-encoding: chunked, gzip\r\n",
        "transfer-encoding: xchunked\r\n",
        "transfer-encoding: chunked;q=1\r\n",
        "transfer-encoding: \"chunked\"\r\n",
        "transfer-encoding: \r\n",
        "transfer-encoding: identity\r\n",
    ] {
        refused(&with(fields), Malformed::TransferEncoding, 400);
    }
    for fields in [
        "transfer-encoding: gzip, chunked\r\n",
        "transfer-encoding: chunked, chunked\r\n",
        "transfer-encoding: chunked,\r\n",
        "transfer-encoding: , chunked\r\n",
        "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
    ] {
        refused(&with(fields), Malformed::TransferCoding, 501);
    }
    for fields in [
        "content-length: 3\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding: chunked\r\ncontent-length: 3\r\n",
        "transfer-encoding: chunked\r\ncontent-length: 0\r\n",
    ] {
        refused(&with(fields), Malformed::TwoLengths, 400);
    }
    refused(
        "POST / HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n",
        Malformed::TransferEncoding,
        400,
    );
}

#[test]
fn a_client_is_waited_for_only_where_that_has_a_sense() {
    let expects = |input: &str| {
        let mut head = RequestHead::new();
        let received = RequestParser::new().parse(input.as_bytes(), &mut head);
        received.unwrap().unwrap().expects_continue
    };
    let field = "expect: 100-Continue\r\n";
    assert!(expects(&with(&format!("{field}content-length: 1\r\n"))));
    assert!(!expects(&with("content-length: 1\r\n")));
    assert!(!expects(&with(field)));
    assert!(!expects(&with("expect: x\r\ncontent-length: 1\r\n")));
    let old = format!("POST / HTTP/1.0\r\n{field}content-length: 1\r\n\r\n");
    assert!(!expects(&old));
}

#[test]
fn heads_have_limits() {
    let many = |count: usize| with(&"x: 1\r\n".repeat(count - 1));
    assert!(parse_in(1 << 20, many(100).as_bytes()).unwrap().is_some());
    let found = parse_in(1 << 20, many(101).as_bytes());
    assert_eq!(found, Err(Malformed::TooManyFields));
    assert_eq!(Malformed::TooManyFields.request_status(), 431);

    let long = |len: usize| {
        let rest = with("x: \r\n").len();
        with(&format!("x: {}\r\n", "a".repeat(len - rest)))
    };
    assert!(parse_in(5000, long(MAX_HEAD).as_bytes()).unwrap().is_some());
    for pieces in [5000, 1 << 20] {
        let found = parse_in(pieces, long(MAX_HEAD + 1).as_bytes());
        assert_eq!(found, Err(Malformed::HeadTooLarge));
    }
    assert_eq!(Malformed::HeadTooLarge.request_status(), 431);

    let target = format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(MAX_HEAD));
    for pieces in [5000, 1 << 20] {
        let found = parse_in(pieces, target.as_bytes());
        assert_eq!(found, Err(Malformed::TargetTooLong));
    }
    assert_eq!(Malformed::TargetTooLong.request_status(), 414);
}

proptest! {
    #[test]
    fn no_bytes_are_taken_in_two_ways(
        input in prop::collection::vec(prop_oneof![
            Just(b"GET / HTTP/1.1".to_vec()), Just(b"\r\n".to_vec()), Just(b"\n".to_vec()), Just(b": ".to_vec()),
            Just(b"content-length: 3\r\n".to_vec()), Just(b"transfer-encoding: chunked\r\n".to_vec()),
            Just(b"host: a\r\n".to_vec()), Just(b" ".to_vec()), prop::collection::vec(any::<u8>(), 0..4),
        ], 0..12),
        pieces in 1_usize..40,
    ) {
        let input = input.concat();
        prop_assert_eq!(parse_in(pieces, &input), parse_in(input.len().max(1), &input));
    }

    #[test]
    fn what_is_written_is_read_back(
        method in "[A-Z]{1,8}",
        path in "/[a-z0-9/._~%A-F]{0,20}",
        fields in prop::collection::vec(("x-[a-z0-9!#$%&'*+.^_`|~-]{1,12}", "[!-~]([ -~\t]{0,20}[!-~])?"), 0..10),
        length in prop_oneof![Just(None), (1_u64..1 << 60).prop_map(Some)],
    ) {
        let mut head = RequestHead::new();
        head.begin(&method, Version::Http2).unwrap();
        for (name, value) in &fields {
            head.fields_mut().append(&**name, value.as_bytes()).unwrap();
        }
        let target = Target { authority: Some(b"shop.example:8080"), path: path.as_bytes(), query: Some(b"q=1") };
        if canonical::read(&mut head, &target).is_err() {
            return Ok(());
        }
        let framing = length.map_or(crate::h1::Framing::Chunked, crate::h1::Framing::Length);
        let mut wire = Vec::new();
        crate::h1::request::encode_head(&head, framing, &mut wire);

        let mut back = RequestHead::new();
        let received = RequestParser::new().parse(&wire, &mut back).unwrap().unwrap();
        prop_assert_eq!(received.head_len, wire.len());
        prop_assert_eq!(received.body, length.map_or(BodyLength::Chunked, BodyLength::Length));
        let target = Target::parse(&wire[received.target]).unwrap();
        canonical::read(&mut back, &target).unwrap();
        prop_assert_eq!((back.method(), back.path(), back.query(), back.authority()),
            (head.method(), head.path(), head.query(), head.authority()));
        for (name, value) in &fields {
            prop_assert!(back.fields().get_all(&**name).any(|found| found == value.as_bytes()));
        }
    }
}
