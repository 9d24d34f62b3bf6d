//! What must hold for any bytes: they are read in one way however they come, and what is written of them is read back as the
//! same. Used by the fuzz targets and by the test that runs the corpus.

use http_wire::canonical::{self, Target};
use http_wire::h1::answer::{self, Connection};
use http_wire::h1::asked::Received;
use http_wire::h1::{
    BodyLength, Decoder, Framing, Malformed, RequestParser, ResponseParser, request, response,
};
use http_wire::head::{RequestHead, ResponseHead};

const SERVER: &[u8] = b"signalbox";
const DATE: &[u8] = b"Sun, 06 Nov 1994 08:49:37 GMT";

/// A request head, and what follows it.
pub(crate) fn request(input: &[u8]) {
    let whole = read_request(input, input.len());
    for pieces in sizes(input) {
        let found = read_request(input, pieces).map(|found| found.map(|(received, _)| received));
        let expected = whole
            .as_ref()
            .map(|found| found.as_ref().map(|(received, _)| received));
        assert_eq!(found.as_ref().map(Option::as_ref), expected);
    }
    let Ok(Some((received, mut head))) = whole else {
        return;
    };
    let Ok(target) = Target::parse(&input[received.target.clone()]) else {
        return;
    };
    if canonical::read(&mut head, &target).is_err() {
        return;
    }
    head.fields_mut().remove_hop_by_hop();
    let framing = match received.body {
        BodyLength::None => Framing::None,
        BodyLength::Length(length) => Framing::Length(length),
        BodyLength::Chunked => Framing::Chunked,
        BodyLength::UntilClose => panic!("a request has an end of its own"),
    };
    let mut wire = Vec::new();
    request::encode_head(&head, framing, &mut wire);
    // The longest head may grow by what a hop adds.
    let Ok(again) = read_request(&wire, wire.len()) else {
        assert!(wire.len() > input.len());
        return;
    };
    let Some((again, mut back)) = again else {
        panic!("half a head was written");
    };
    assert_eq!((again.head_len, again.body), (wire.len(), received.body));
    if head.authority().is_empty() {
        // HTTP/1.0 without a host, which is asked of us with HTTP/1.1.
        return;
    }
    let target = Target::parse(&wire[again.target]).expect("a path");
    canonical::read(&mut back, &target).expect("canonical already");
    assert_eq!(
        (head.method(), head.path(), head.query(), head.authority()),
        (back.method(), back.path(), back.query(), back.authority())
    );
    let fields = |head: &RequestHead| {
        head.fields()
            .iter()
            .filter(|field| field.id.name().is_none())
            .count()
    };
    assert_eq!(fields(&head), fields(&back));
}

fn lines(head: &[u8]) -> usize {
    head.split(|byte| *byte == b'\n').count()
}

/// A response head. The first byte says whether it answers HEAD.
pub(crate) fn response(input: &[u8]) {
    let Some((first, input)) = input.split_first() else {
        return;
    };
    let to_head = first & 1 == 1;
    let mut head = ResponseHead::new();
    let Ok(Some(received)) = ResponseParser::new().parse(input, to_head, &mut head) else {
        return;
    };
    for pieces in sizes(input) {
        let found = read_response(input, to_head, pieces);
        assert_eq!(found, Ok(Some(received)));
    }
    let framing = match received.body {
        BodyLength::None => answer::Framing::None,
        BodyLength::Length(length) => answer::Framing::Length(length),
        BodyLength::Chunked => answer::Framing::Chunked,
        BodyLength::UntilClose => answer::Framing::UntilClose,
    };
    let mut wire = Vec::new();
    let connection = Connection::Persists;
    answer::encode_head(&head, framing, connection, SERVER, DATE, &mut wire);
    let mut back = ResponseHead::new();
    let again = ResponseParser::new().parse(&wire, to_head, &mut back);
    let Ok(Some(again)) = again else {
        // With what we add, a head may have become too long, or have too many fields.
        let read = &input[..received.head_len];
        let has_grown = wire.len() > read.len() || lines(&wire) > lines(read);
        assert!(has_grown, "{again:?}");
        return;
    };
    assert_eq!((again.head_len, again.body), (wire.len(), received.body));
    assert_eq!(head.status(), back.status());
}

/// A chunked body: its data are the same whether it is decoded or passed on and decoded then.
pub(crate) fn chunked(input: &[u8]) {
    let whole = decode(input, input.len());
    let passed = pass(input, input.len());
    for pieces in sizes(input) {
        assert_eq!(decode(input, pieces), whole);
        assert_eq!(pass(input, pieces), passed);
    }
    let (wire, end) = passed;
    let (data, left, decoded) = whole;
    match (end, decoded) {
        (Ok(is_done), Ok(also_done)) => {
            assert_eq!(is_done, also_done);
            let (again, _, ended) = decode(&wire, wire.len());
            assert_eq!((again, ended), (data, Ok(is_done)));
        }
        // Sizes of more than eight digits are read, but not passed on.
        (Err(Malformed::Chunk), _) => {}
        (Err(one), Err(other)) => assert_eq!(one, other),
        (end, decoded) => panic!("{end:?} and {decoded:?}"),
    }
    assert!(left <= input.len());
}

fn sizes(input: &[u8]) -> impl Iterator<Item = usize> {
    let odd = input
        .first()
        .map_or(1, |first| usize::from(*first) % 61 + 1);
    [1, odd].into_iter().filter(|_| input.len() < 4096)
}

/// Ends of the pieces that the input comes in.
fn ends(len: usize, pieces: usize) -> impl Iterator<Item = usize> {
    let pieces = pieces.max(1);
    (pieces..len).step_by(pieces).chain([len])
}

fn read_request(input: &[u8], pieces: usize) -> Result<Option<(Received, RequestHead)>, Malformed> {
    let (mut parser, mut head) = (RequestParser::new(), RequestHead::new());
    for end in ends(input.len(), pieces) {
        if let Some(received) = parser.parse(&input[..end], &mut head)? {
            return Ok(Some((received, head)));
        }
    }
    Ok(None)
}

fn read_response(
    input: &[u8],
    to_head: bool,
    pieces: usize,
) -> Result<Option<response::Received>, Malformed> {
    let (mut parser, mut head) = (ResponseParser::new(), ResponseHead::new());
    for end in ends(input.len(), pieces) {
        if let Some(received) = parser.parse(&input[..end], to_head, &mut head)? {
            return Ok(Some(received));
        }
    }
    Ok(None)
}

/// The data, what is left behind the end, and whether there was one.
fn decode(input: &[u8], pieces: usize) -> (Vec<u8>, usize, Result<bool, Malformed>) {
    let mut decoder = Decoder::new(BodyLength::Chunked);
    let (mut data, mut at) = (Vec::new(), 0);
    for end in ends(input.len(), pieces) {
        while at < end && !decoder.is_done() {
            match decoder.decode(&input[at..end]) {
                Ok(step) => {
                    assert!(step.consumed > 0, "there is no standing still");
                    data.extend_from_slice(&input[at..end][step.data]);
                    at += step.consumed;
                }
                // Where exactly it was found depends on the pieces.
                Err(malformed) => return (data, 0, Err(malformed)),
            }
        }
    }
    (data, input.len() - at, Ok(decoder.is_done()))
}

/// What is passed on, and whether there was an end.
fn pass(input: &[u8], pieces: usize) -> (Vec<u8>, Result<bool, Malformed>) {
    let mut decoder = Decoder::new(BodyLength::Chunked);
    let (mut out, mut at) = (Vec::new(), 0);
    for end in ends(input.len(), pieces) {
        while at < end && !decoder.is_done() {
            match decoder.pass(&input[at..end]) {
                Ok(step) => {
                    assert!(step.consumed > 0, "there is no standing still");
                    out.extend_from_slice(&input[at..end][step.data]);
                    at += step.consumed;
                }
                Err(malformed) => return (out, Err(malformed)),
            }
        }
    }
    (out, Ok(decoder.is_done()))
}
