//! The rules of bodies: every input is also fed one byte at a time and has to give the same.

use super::*;
use proptest::prelude::*;

/// The data, and how many bytes were left over; `None` left over while the body has not ended.
type Outcome = Result<(String, Option<usize>), Malformed>;

fn decode(length: BodyLength, wire: &[u8], piece: usize) -> Outcome {
    let mut decoder = Decoder::new(length);
    let mut data = Vec::new();
    let mut at = 0;
    for end in (0..=wire.len()).step_by(piece).chain([wire.len()]) {
        while at < end && !decoder.is_done() {
            let step = decoder.decode(&wire[at..end])?;
            data.extend_from_slice(&wire[at..end][step.data]);
            at += step.consumed;
            if step.consumed == 0 {
                break;
            }
        }
    }
    let left = decoder.is_done().then(|| wire.len() - at);
    Ok((String::from_utf8_lossy(&data).into_owned(), left))
}

fn check(length: BodyLength, wire: &str, expect: Outcome) {
    for piece in [1, 3, wire.len().max(1)] {
        assert_eq!(
            decode(length, wire.as_bytes(), piece),
            expect,
            "{wire:?} in pieces of {piece}"
        );
    }
}

/// An ended body with so many bytes left over.
fn done(data: &str, left: usize) -> (String, Option<usize>) {
    (data.to_owned(), Some(left))
}

#[test]
fn a_length_is_kept_to_the_byte() {
    check(BodyLength::Length(5), "helloX", Ok(done("hello", 1)));
    check(BodyLength::Length(5), "hell", Ok(("hell".to_owned(), None)));
    check(BodyLength::Length(0), "X", Ok(done("", 1)));
    check(BodyLength::None, "X", Ok(done("", 1)));
    check(
        BodyLength::UntilClose,
        "all of it",
        Ok(("all of it".to_owned(), None)),
    );
}

#[test]
fn the_end_of_the_connection_ends_a_body_only_where_it_may() {
    assert_eq!(Decoder::new(BodyLength::UntilClose).end(), Ok(()));
    assert_eq!(Decoder::new(BodyLength::None).end(), Ok(()));
    assert_eq!(
        Decoder::new(BodyLength::Length(1)).end(),
        Err(Malformed::Cut)
    );
    assert_eq!(Decoder::new(BodyLength::Chunked).end(), Err(Malformed::Cut));
}

#[test]
fn chunks_are_joined_and_what_surrounds_them_is_dropped() {
    let chunked = BodyLength::Chunked;
    check(chunked, "5\r\nhello\r\n0\r\n\r\nGET", Ok(done("hello", 3)));
    check(
        chunked,
        "1\r\na\r\n00002\r\nbc\r\n0\r\n\r\n",
        Ok(done("abc", 0)),
    );
    check(
        chunked,
        "A\r\n0123456789\r\n0\r\n\r\n",
        Ok(done("0123456789", 0)),
    );
    check(
        chunked,
        "1;a=b;c=\"d\"\r\nx\r\n0;last\r\n\r\n",
        Ok(done("x", 0)),
    );
    check(chunked, "0\r\nx-sum: 1\r\nx-two:\r\n\r\nX", Ok(done("", 1)));
    check(chunked, "3\r\nab", Ok(("ab".to_owned(), None)));
    check(chunked, "0\r\n\r", Ok((String::new(), None)));
}

#[test]
fn a_chunk_that_two_readers_could_end_in_two_places_is_refused() {
    let cases = [
        "\r\n",
        ";x\r\n",
        "g\r\n",
        "0x5\r\nhello",
        "+5\r\nhello",
        "-1\r\n",
        " 5\r\nhello",
        "5 \r\nhello",
        "5\t;x\r\n",
        "5\nhello",
        "5\r\r\n",
        "5\rhello",
        "00000000000000001\r\na",
        "fffffffffffffffff\r\n",
        "1\r\nab\r\n",
        "1\r\na\n0\r\n\r\n",
        "1\r\na0\r\n\r\n",
        "1\r\na\rb",
        "5_\r\n",
    ];
    for wire in cases {
        check(BodyLength::Chunked, wire, Err(Malformed::Chunk));
    }
}

#[test]
fn extensions_and_trailers_are_checked_and_bounded() {
    let chunked = BodyLength::Chunked;
    for wire in [
        "1;a\nb\r\n",
        "1;\0\r\n",
        "0\r\n x: 1\r\n\r\n",
        "0\r\nx 1\r\n\r\n",
        "0\r\nx : 1\r\n",
        "0\r\n: 1\r\n",
        "0\r\nx: 1\n\r\n",
        "0\r\nx: \0\r\n",
        "0\r\n\n",
    ] {
        check(chunked, wire, Err(Malformed::ChunkExtra));
    }
    check(chunked, "0\r\n\rX", Err(Malformed::ChunkExtra));
    let long = "a".repeat(MAX_EXTENSIONS as usize + 1);
    check(
        chunked,
        &format!("1;{long}\r\nx\r\n0\r\n\r\n"),
        Err(Malformed::ChunkExtra),
    );
    check(
        chunked,
        &format!("0\r\nx: {long}\r\n\r\n"),
        Err(Malformed::ChunkExtra),
    );
    let many = "1;abcdefgh\r\nx\r\n".repeat(MAX_EXTENSIONS as usize / 8 + 1);
    check(chunked, &many, Err(Malformed::ChunkExtra));
}

#[test]
fn the_largest_chunk_size_does_not_overflow() {
    check(
        BodyLength::Chunked,
        "ffffffffffffffff\r\nab",
        Ok(("ab".to_owned(), None)),
    );
    check(
        BodyLength::Length(u64::MAX),
        "ab",
        Ok(("ab".to_owned(), None)),
    );
}

/// What [`Decoder::pass`] lets through.
fn pass(wire: &[u8], piece: usize) -> (String, Result<bool, Malformed>) {
    let mut decoder = Decoder::new(BodyLength::Chunked);
    let (mut out, mut at) = (Vec::new(), 0);
    for end in (0..=wire.len()).step_by(piece).chain([wire.len()]) {
        while at < end && !decoder.is_done() {
            let step = match decoder.pass(&wire[at..end]) {
                Ok(step) => step,
                Err(malformed) => {
                    return (String::from_utf8_lossy(&out).into_owned(), Err(malformed));
                }
            };
            assert!(step.consumed > 0, "there is no standing still");
            out.extend_from_slice(&wire[at..end][step.data]);
            at += step.consumed;
        }
    }
    let is_done = decoder.is_done();
    (String::from_utf8_lossy(&out).into_owned(), Ok(is_done))
}

#[test]
fn chunks_are_passed_on_without_what_surrounds_them() {
    for (wire, passed) in [
        ("5\r\nhello\r\n0\r\n\r\nGET", "5\r\nhello\r\n0\r\n\r\n"),
        (
            "1;a=b;c=\"d\"\r\nx\r\n2;\r\nyz\r\n0;last\r\n\r\n",
            "1\r\nx\r\n2\r\nyz\r\n0\r\n\r\n",
        ),
        ("0\r\nx-sum: 1\r\nx-two:\r\n\r\nX", "0\r\n\r\n"),
        (
            "00000002\r\nbc\r\n000\r\nx: y\r\n\r\n",
            "00000002\r\nbc\r\n000\r\n\r\n",
        ),
    ] {
        for piece in [1, 3, 1000] {
            let (out, end) = pass(wire.as_bytes(), piece);
            assert_eq!((&*out, end), (passed, Ok(true)), "{wire:?} by {piece}");
        }
    }
}

#[test]
fn what_is_malformed_is_not_passed_on_but_what_came_before_is() {
    for piece in [1, 3, 1000] {
        let (out, end) = pass(b"1\r\na\r\nzz", piece);
        assert_eq!((&*out, end), ("1\r\na\r\n", Err(Malformed::Chunk)));
        let (_, end) = pass(b"0\r\nx : 1\r\n\r\n", piece);
        assert_eq!(end, Err(Malformed::ChunkExtra));
    }
    // A reader with 32 bits would find another end.
    let (_, end) = pass(b"100000001\r\na", 1000);
    assert_eq!(end, Err(Malformed::Chunk));
}

fn wire() -> impl Strategy<Value = Vec<u8>> {
    let chunk = (
        prop::collection::vec(any::<u8>(), 1..40),
        prop_oneof![Just(""), Just(";a=b"), Just(";c=\"d e\"")],
    );
    let end = prop_oneof![
        Just("0\r\n\r\n"),
        Just("0;x\r\na: b\r\n\r\n"),
        Just("0\r\n")
    ];
    let noise = prop::collection::vec(prop::sample::select(b"05afz;\r\n: x".to_vec()), 0..6);
    (prop::collection::vec(chunk, 0..6), end, noise).prop_map(|(chunks, end, noise)| {
        let mut wire = Vec::new();
        for (data, extension) in chunks {
            wire.extend_from_slice(format!("{:x}{extension}\r\n", data.len()).as_bytes());
            wire.extend_from_slice(&data);
            wire.extend_from_slice(b"\r\n");
        }
        wire.extend_from_slice(end.as_bytes());
        wire.extend_from_slice(&noise);
        wire
    })
}

proptest! {
    /// However the bytes come, what is passed on is the same, and holds the same data as the original.
    #[test]
    fn passing_and_decoding_agree(wire in wire(), piece in 1_usize..50) {
        let (passed, end) = pass(&wire, piece);
        prop_assert_eq!(&(passed.clone(), end), &pass(&wire, wire.len()));
        let decoded = decode(BodyLength::Chunked, &wire, piece);
        match (end, decoded) {
            (Ok(true), Ok((data, Some(_)))) => {
                if !passed.contains('\u{fffd}') {
                    let again = decode(BodyLength::Chunked, passed.as_bytes(), piece);
                    prop_assert_eq!(again, Ok((data, Some(0))));
                }
            }
            (Ok(false), Ok((_, None))) => {}
            (Err(malformed), Err(other)) => prop_assert_eq!(malformed, other),
            (end, decoded) => prop_assert!(false, "{:?} and {:?}", end, decoded),
        }
    }
}
