//! Which bytes may stand where in a message: field names, field values, request targets.
//! Tables and predicates only; who refuses what, and with which error, is decided by the callers.

/// 1 for each byte that may stand in a token (RFC 9110 section 5.6.2), 0 for every other.
static TOKEN: [u8; 256] = token_table();

/// True for bytes that a field value may hold (RFC 9110 section 5.5): no control byte but HTAB, so no CR, LF or NUL.
pub(crate) const fn is_value_byte(byte: u8) -> bool {
    matches!(byte, b'\t' | b' '..=b'~' | 0x80..)
}

/// True when all bytes may stand in a field value. It looks at every byte: without an early end the compiler makes vectors of it.
pub(crate) fn is_value(value: &[u8]) -> bool {
    value
        .iter()
        .fold(true, |is_legal, &byte| is_legal & is_value_byte(byte))
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
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t');
    let start = value
        .iter()
        .position(|byte| !is_space(byte))
        .unwrap_or(value.len());
    let end = value
        .iter()
        .rposition(|byte| !is_space(byte))
        .map_or(start, |last| last + 1);
    &value[start..end]
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
