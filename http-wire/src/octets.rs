//! Which bytes may stand where in a message: field names, field values, request targets.
//! Tables and predicates only; who refuses what, and with which error, is decided by the callers.

/// 1 for each byte that may stand in a token (RFC 9110 section 5.6.2), 0 for every other.
static TOKEN: [u8; 256] = token_table();

/// True for bytes that a field value may hold (RFC 9110 section 5.5): no control byte but HTAB, so no CR, LF or NUL.
pub(crate) const fn is_value_byte(byte: u8) -> bool {
    matches!(byte, b'\t' | b' '..=b'~' | 0x80..)
}

/// True when all bytes may stand in a field value.
pub(crate) fn is_value(value: &[u8]) -> bool {
    let (words, rest) = value.as_chunks();
    let is_legal = |word: &[u8; 8]| outside::<b' '>(u64::from_le_bytes(*word)) == 0;
    let bytewise = |bytes: &[u8]| bytes.iter().all(|&byte| is_value_byte(byte));
    match value.last_chunk() {
        // The last word begins among what was looked at already.
        Some(last) if words.iter().all(is_legal) && is_legal(last) => true,
        None => bytewise(rest),
        // Illegal, or it has a tab.
        Some(_) => bytewise(value),
    }
}

/// Where the first byte stands, from `from` on, that no field value holds; the end of `input` if there is none.
pub(crate) fn value_end(input: &[u8], from: usize) -> usize {
    let mut at = from;
    loop {
        at = visible_end::<b' '>(input, at);
        if input.get(at) != Some(&b'\t') {
            return at;
        }
        at += 1;
    }
}

/// Where the first byte stands, from `from` on, that is less than `LEAST` or DEL; the end of `input` if there is none. Eight
/// bytes at a time: this is what most bytes of a head cost.
pub(crate) fn visible_end<const LEAST: u8>(input: &[u8], from: usize) -> usize {
    let is_outside = |&byte: &u8| byte < LEAST || byte == 0x7f;
    find(input, from, outside::<LEAST>, is_outside)
}

/// Where the first colon stands, from `from` on; the end of `input` if there is none.
pub(crate) fn colon(input: &[u8], from: usize) -> usize {
    let colons = |word: u64| zeros(word ^ (ONES * u64::from(b':')));
    find(input, from, colons, |&byte| byte == b':')
}

/// Where the first byte stands, from `from` on, that no token holds; the end of `input` if there is none.
pub(crate) fn token_end(input: &[u8], from: usize) -> usize {
    let rest = input.get(from..).unwrap_or_default();
    let len = rest.iter().position(|&byte| !is_token_byte(byte));
    len.map_or(input.len(), |len| from + len)
}

const ONES: u64 = u64::from_ne_bytes([1; 8]);
const HIGH: u64 = 0x80 * ONES;

/// The highest bits of the bytes that are less than `LEAST`, which is ASCII, or DEL: right in the first byte that has it set, and
/// 0 in a word without such bytes. Taking from a byte what it does not have sets this bit, and the borrow troubles none but the
/// bytes behind it.
const fn outside<const LEAST: u8>(word: u64) -> u64 {
    let less = word.wrapping_sub(ONES * LEAST as u64) & !word & HIGH;
    less | zeros(word ^ (ONES * 0x7f))
}

/// The same of the bytes that are 0.
const fn zeros(word: u64) -> u64 {
    word.wrapping_sub(ONES) & !word & HIGH
}

/// Where the first byte stands, from `from` on, that is looked for: by the word, and where no whole word is left by the byte.
fn find(
    input: &[u8],
    from: usize,
    in_word: impl Fn(u64) -> u64,
    is_it: impl Fn(&u8) -> bool,
) -> usize {
    let rest = input.get(from..).unwrap_or_default();
    let (words, tail) = rest.as_chunks();
    let mut at = from;
    for word in words {
        let found = in_word(u64::from_le_bytes(*word));
        if found != 0 {
            return at + (found.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    at + tail.iter().position(is_it).unwrap_or(tail.len())
}

/// True for bytes that a path or query may hold here: visible ASCII without `#`.
/// RFC 3986 allows fewer; clients send the others all the same, and Envoy's HTTP/1 codec takes exactly this set.
pub(crate) const fn is_target(byte: u8) -> bool {
    matches!(byte, b'!'..=b'~') && byte != b'#'
}

/// True for bytes that a token may hold.
pub(crate) fn is_token_byte(byte: u8) -> bool {
    TOKEN[usize::from(byte)] != 0
}

/// True when `name` is a token, that is a legal field name or method. It looks at every byte: names are short, and an early
/// end costs more than it saves.
pub(crate) fn is_token(name: &[u8]) -> bool {
    let is_legal = name
        .iter()
        .fold(1, |is_legal, &byte| is_legal & TOKEN[usize::from(byte)]);
    is_legal != 0 && !name.is_empty()
}

/// `value` without the optional white space around it (RFC 9110 section 5.6.3).
pub(crate) fn trim(value: &[u8]) -> &[u8] {
    let mut value = value;
    while let [first, rest @ ..] = value
        && is_space(*first)
    {
        value = rest;
    }
    while let [rest @ .., last] = value
        && is_space(*last)
    {
        value = rest;
    }
    value
}

/// True for optional white space (RFC 9110 section 5.6.3).
pub(crate) const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// The members of a comma-separated list field, without empty ones (RFC 9110 section 5.6.1).
pub(crate) fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value
        .split(|&byte| byte == b',')
        .map(trim)
        .filter(|member| !member.is_empty())
}

/// The value of a hexadecimal digit.
pub(crate) const fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

const fn token_table() -> [u8; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let is_mark = matches!(
            byte as u8,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        );
        table[byte] = (is_mark || (byte as u8).is_ascii_alphanumeric()) as u8;
        byte += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_the_fifteen_marks_letters_and_digits() {
        let count = (0..=255).filter(|&byte| is_token_byte(byte)).count();
        assert_eq!(count, 15 + 26 * 2 + 10);
        assert!(is_token(b"X-Forwarded-For"));
        for bad in [&b""[..], b"a b", b"a:", b"a\r", b"\xc3\xa4", b"a\0"] {
            assert!(!is_token(bad), "{bad:?}");
        }
    }

    #[test]
    fn a_scan_ends_at_the_first_byte_that_does_not_belong_wherever_it_stands() {
        for byte in 0..=u8::MAX {
            for place in 0..20 {
                for filler in [b' ', b'a', b'~', 0x80, 0xff, b'\t'] {
                    let mut text = [filler; 20];
                    text[place] = byte;
                    let place_or_end = |belongs| if belongs { text.len() } else { place };
                    let end = place_or_end(is_value_byte(byte));
                    assert_eq!(value_end(&text, 0), end, "{text:?}");
                    for len in [3, 8, 12, 20] {
                        let is_legal = end >= len;
                        assert_eq!(is_value(&text[..len]), is_legal, "{text:?} to {len}");
                    }
                    if byte == b':' {
                        assert_eq!(colon(&text, 0), place);
                    }
                    if filler > b' ' {
                        let end = place_or_end(byte > b' ' && byte != 0x7f);
                        assert_eq!(visible_end::<b'!'>(&text, 0), end, "{text:?}");
                    }
                }
            }
        }
        assert_eq!(value_end(b"\na\nb", 1), 2);
        assert_eq!((value_end(b"ab", 2), token_end(b"ab:", 1)), (2, 2));
    }

    #[test]
    fn list_members_are_trimmed_and_empty_ones_dropped() {
        let members: Vec<&[u8]> = list(b" close ,, TE\t, ").collect();
        assert_eq!(members, [&b"close"[..], b"TE"]);
    }

    #[test]
    fn trimming_nothing_but_space_gives_nothing() {
        assert_eq!(trim(b" \t "), b"");
        assert_eq!(trim(b""), b"");
        assert_eq!(trim(b" a b "), b"a b");
    }
}
