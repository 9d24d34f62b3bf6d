//! The rules of bodies: every input is also fed one byte at a time and has to give the same.

use super::*;

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
