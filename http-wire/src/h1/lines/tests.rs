//! The reader against another one: what it takes as a head, httparse takes too, and sees the same in it. httparse tolerates more,
//! of which line feeds alone are all that matters here.

use super::*;
use crate::h1::{RequestParser, ResponseParser};
use crate::head::{RequestHead, ResponseHead};
use proptest::prelude::*;

/// Names in lower case, and values.
type Named = Vec<(Vec<u8>, Vec<u8>)>;

/// What there is of a head: its length, what the first line says, and the fields.
#[derive(Debug, PartialEq)]
enum Seen {
    Head(usize, String, Named),
    Part,
    None,
}

fn ours(fields: &Fields) -> Named {
    fields
        .iter()
        .map(|field| (field.name.to_vec(), field.value.to_vec()))
        .collect()
}

fn theirs(head: &[u8], line: String, fields: &[httparse::Header<'_>]) -> Seen {
    // A line feed stands nowhere but at the end of a line, once httparse has taken the head.
    let mut lines = head.split_inclusive(|&byte| byte == b'\n');
    if !lines.all(|line| line.ends_with(b"\r\n")) {
        return Seen::None;
    }
    let fields = fields
        .iter()
        .map(|field| {
            let name = field.name.to_ascii_lowercase().into_bytes();
            (name, field.value.to_vec())
        })
        .collect();
    Seen::Head(head.len(), line, fields)
}

fn request_by_us(input: &[u8]) -> Seen {
    let mut head = RequestHead::new();
    let read = whole((|| {
        let mut lines = Lines::new(input);
        let line = lines.request_line()?;
        lines.fields(head.fields_mut())?;
        let part = |range: Range<usize>| String::from_utf8_lossy(&input[range]).into_owned();
        let text = format!(
            "{} {} {:?}",
            part(line.method),
            part(line.target),
            line.version
        );
        Ok((lines.read().len(), text))
    })());
    match read {
        Ok(Some((len, text))) => Seen::Head(len, text, ours(head.fields())),
        Ok(None) => Seen::Part,
        Err(_) => Seen::None,
    }
}

fn request_by_httparse(input: &[u8]) -> Seen {
    let mut storage = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut request = httparse::Request::new(&mut storage);
    match request.parse(input) {
        Ok(httparse::Status::Complete(len)) => {
            let version = [Version::Http10, Version::Http11][usize::from(request.version.unwrap())];
            let (method, target) = (request.method.unwrap(), request.path.unwrap());
            let line = format!("{method} {target} {version:?}");
            theirs(&input[..len], line, request.headers)
        }
        Ok(httparse::Status::Partial) => Seen::Part,
        Err(_) => Seen::None,
    }
}

fn response_by_us(input: &[u8]) -> Seen {
    let mut head = ResponseHead::new();
    let read = whole((|| {
        let mut lines = Lines::new(input);
        let line = lines.status_line()?;
        lines.fields(head.fields_mut())?;
        let text = format!("{:?} {}", line.version, line.status);
        Ok((lines.read().len(), text))
    })());
    match read {
        Ok(Some((len, text))) => Seen::Head(len, text, ours(head.fields())),
        Ok(None) => Seen::Part,
        Err(_) => Seen::None,
    }
}

fn response_by_httparse(input: &[u8]) -> Seen {
    let mut storage = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut response = httparse::Response::new(&mut storage);
    match response.parse(input) {
        Ok(httparse::Status::Complete(len)) => {
            let version =
                [Version::Http10, Version::Http11][usize::from(response.version.unwrap())];
            let line = format!("{version:?} {}", response.code.unwrap());
            theirs(&input[..len], line, response.headers)
        }
        Ok(httparse::Status::Partial) => Seen::Part,
        Err(_) => Seen::None,
    }
}

/// Of half a head we may say already that it is none, if a line of it ended in a line feed alone; else both say the same.
#[track_caller]
fn same(ours: &Seen, theirs: &Seen, input: &[u8]) {
    let ends_wrong = input
        .split_inclusive(|&byte| byte == b'\n')
        .any(|line| line.ends_with(b"\n") && !line.ends_with(b"\r\n"));
    let is_sooner = *ours == Seen::None && *theirs == Seen::Part && ends_wrong;
    assert!(
        is_sooner || ours == theirs,
        "{:?}: {ours:?}, httparse: {theirs:?}",
        String::from_utf8_lossy(input)
    );
}

fn field_line() -> impl Strategy<Value = Vec<u8>> {
    let name = prop_oneof![
        Just("Host"),
        Just("content-length"),
        Just("TE"),
        Just("x-a"),
        Just("X"),
        Just("Via"),
        Just("a_b!c"),
        Just("Hos\u{e4}"),
        Just("")
    ];
    let separator = prop_oneof![
        8 => Just(": "), 1 => Just(":"), 1 => Just(":\t "), 1 => Just(" : "), 1 => Just(""), 1 => Just(": :")
    ];
    let value = prop_oneof![
        4 => "[ -~]{0,30}".prop_map(String::into_bytes),
        1 => "[ \t]{0,3}[a-z\t ]{0,9}[ \t]{0,3}".prop_map(String::into_bytes),
        1 => prop::collection::vec(any::<u8>(), 0..12),
    ];
    (name, separator, value, end()).prop_map(|(name, separator, value, end)| {
        [name.as_bytes(), separator.as_bytes(), &value, end].concat()
    })
}

fn end() -> impl Strategy<Value = &'static [u8]> {
    prop_oneof![
        20 => Just(&b"\r\n"[..]), 1 => Just(&b"\n"[..]), 1 => Just(&b"\r"[..]), 1 => Just(&b"\r\n "[..]), 1 => Just(&b""[..])
    ]
}

/// A first line, fields, perhaps an end, something behind it; then one byte is replaced, and all is cut somewhere.
fn head(first: impl Strategy<Value = String>) -> impl Strategy<Value = Vec<u8>> {
    let fields = prop::collection::vec(field_line(), 0..5);
    let behind = prop::collection::vec(any::<u8>(), 0..10);
    let changed = prop::option::of((any::<prop::sample::Index>(), any::<u8>()));
    let cut = prop::option::weighted(0.3, any::<prop::sample::Index>());
    (first, end(), fields, end(), behind, changed, cut).prop_map(
        |(first, line_end, fields, head_end, behind, changed, cut)| {
            let parts = [
                first.as_bytes(),
                line_end,
                &fields.concat(),
                head_end,
                &behind,
            ];
            let mut input = parts.concat();
            if let Some((place, byte)) = changed
                && !input.is_empty()
            {
                let place = place.index(input.len());
                input[place] = byte;
            }
            if let Some(cut) = cut {
                input.truncate(cut.index(input.len() + 1));
            }
            input
        },
    )
}

proptest! {
    #[test]
    fn a_request_head_is_what_another_reader_takes_for_one(
        input in head(prop_oneof![
            4 => "(GET|POST|OPTIONS|M-SEARCH) /[!-~]{0,20} HTTP/1\\.[01]",
            1 => "[A-Za-z ]{0,4} ?[!-~ \u{e4}]{0,9} ?HTTP/[0-2]\\.[0-2] ?",
        ])
    ) {
        prop_assume!(!matches!(input.first(), Some(b'\r' | b'\n')));
        same(&request_by_us(&input), &request_by_httparse(&input), &input);
        let (mut parser, mut head) = (RequestParser::new(), RequestHead::new());
        if !matches!(parser.parse(&input, &mut head), Ok(Some(_))) {
            // Whoever looks at the head of what is no request sees a whole one, however much was read.
            prop_assert!(head.fields().iter().all(|field| !field.name.is_empty()));
        }
    }

    #[test]
    fn a_response_head_is_what_another_reader_takes_for_one(
        input in head(prop_oneof![
            4 => "HTTP/1\\.[01] [1-5][0-9][0-9]( [ -~\u{e4}]{0,12})?",
            1 => "H?TTP/[0-2]\\.[0-2] {0,2}[0-9x]{0,4} ?[ -~\t]{0,6}",
        ])
    ) {
        prop_assume!(!matches!(input.first(), Some(b'\r' | b'\n')));
        same(&response_by_us(&input), &response_by_httparse(&input), &input);
        let (mut parser, mut head) = (ResponseParser::new(), ResponseHead::new());
        if !matches!(parser.parse(&input, false, &mut head), Ok(Some(_))) {
            prop_assert!(head.fields().iter().all(|field| !field.name.is_empty()));
        }
    }
}
