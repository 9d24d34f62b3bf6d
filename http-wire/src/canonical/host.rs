//! Host and port as they may stand in a `Host` field or an absolute target.
//! Bytes go in, the host's range and the port come out. Lower case and storage are the caller's.

use super::Refusal;
use std::ops::Range;

/// Longest host name in text (RFC 1035 section 2.3.4), one trailing dot included.
const MAX_NAME: usize = 254;

/// An authority in its parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Authority {
    /// Where the host stands in the authority: without port and trailing dot, with the brackets of an IPv6 address.
    pub(super) host: Range<usize>,
    /// The port; `None` if there is none or it is empty, which RFC 3986 section 3.2.3 holds to be the same.
    pub(super) port: Option<u16>,
}

/// Splits and checks an authority. User information, lists, escapes and empty labels are refused: what upstreams make of
/// them differs, and no DNS name or address needs them.
pub(super) fn parse(authority: &[u8]) -> Result<Authority, Refusal> {
    let (host, end) = if authority.starts_with(b"[") {
        let close = authority
            .iter()
            .position(|&byte| byte == b']')
            .ok_or(Refusal::HostInvalid)?;
        check_v6(&authority[1..close])?;
        (close + 1, close + 1)
    } else {
        name(authority)?
    };
    Ok(Authority {
        host: 0..host,
        port: parse_port(&authority[end..])?,
    })
}

/// True when both mean the same port: the default ones, 80 and 443, equal an absent one.
pub(super) fn same_port(one: Option<u16>, other: Option<u16>) -> bool {
    let is_default = |port: Option<u16>| matches!(port, None | Some(80 | 443));
    one == other || (one.is_none() && is_default(other)) || (other.is_none() && is_default(one))
}

/// A DNS name or IPv4 address: where it ends without its trailing dot, and with it. What follows is the caller's.
fn name(authority: &[u8]) -> Result<(usize, usize), Refusal> {
    // As if a dot stood in front: no label is empty if no dot follows a dot, and one is last only behind a label.
    let mut label = 0;
    let mut end = 0;
    for &byte in authority {
        match NAME[usize::from(byte)] {
            Class::Plain => label += 1,
            Class::Dot if label > 0 => label = 0,
            Class::Dot => return Err(Refusal::HostInvalid),
            Class::Other => break,
        }
        end += 1;
    }
    if end == 0 || end > MAX_NAME {
        return Err(Refusal::HostInvalid);
    }
    Ok((if label > 0 { end } else { end - 1 }, end))
}

/// What a byte is in a name. `_` is legal: container names have it.
#[derive(Clone, Copy)]
enum Class {
    Plain,
    Dot,
    Other,
}

static NAME: [Class; 256] = classes();

const fn classes() -> [Class; 256] {
    let mut table = [Class::Other; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = match byte as u8 {
            b'.' => Class::Dot,
            b'-' | b'_' | b'~' => Class::Plain,
            byte if byte.is_ascii_alphanumeric() => Class::Plain,
            _ => Class::Other,
        };
        byte += 1;
    }
    table
}

/// The inside of the brackets. A zone has no meaning beyond its own machine and is refused.
fn check_v6(address: &[u8]) -> Result<(), Refusal> {
    let text = std::str::from_utf8(address).map_err(|_| Refusal::HostInvalid)?;
    text.parse::<std::net::Ipv6Addr>()
        .map(drop)
        .map_err(|_| Refusal::HostInvalid)
}

fn parse_port(port: &[u8]) -> Result<Option<u16>, Refusal> {
    match port {
        [] | [b':'] => Ok(None),
        [b':', digits @ ..] if digits.len() <= 5 && digits.iter().all(u8::is_ascii_digit) => {
            let value = digits
                .iter()
                .fold(0_u32, |value, digit| value * 10 + u32::from(digit - b'0'));
            u16::try_from(value)
                .map(Some)
                .map_err(|_| Refusal::HostInvalid)
        }
        _ => Err(Refusal::HostInvalid),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(authority: &str) -> Result<(&str, Option<u16>), Refusal> {
        parse(authority.as_bytes()).map(|parts| (&authority[parts.host], parts.port))
    }

    #[test]
    fn host_and_port_are_split_and_one_trailing_dot_goes() {
        assert_eq!(read("Shop.example."), Ok(("Shop.example", None)));
        assert_eq!(read("shop.example.:8080"), Ok(("shop.example", Some(8080))));
        assert_eq!(read("h:"), Ok(("h", None)));
        assert_eq!(read("[2001:db8::1]:443"), Ok(("[2001:db8::1]", Some(443))));
        assert_eq!(read("my_service"), Ok(("my_service", None)));
        assert_eq!(read("127.0.0.1:0"), Ok(("127.0.0.1", Some(0))));
    }

    #[test]
    fn what_upstreams_read_in_two_ways_is_refused() {
        let bad = [
            "",
            ".",
            "..",
            "a..b",
            ".a",
            "a..",
            "u@h",
            "a,b",
            "a/b",
            "a b",
            "a\0b",
            "a%41",
            "a?b",
            "a#b",
            "a\\b",
            "ä",
            "*.a",
            "h:x",
            "h:80:90",
            "h:65536",
            "h:123456",
            "h: 80",
            "h:+80",
            ":80",
            "[::1",
            "[::1]x",
            "[::1]]",
            "[fe80::1%25eth0]",
            "[]",
            "[g::]",
            "[1.2.3.4]",
            "::1",
            "a[b]",
        ];
        for authority in bad {
            assert_eq!(read(authority), Err(Refusal::HostInvalid), "{authority:?}");
        }
        assert_eq!(read(&"a".repeat(255)), Err(Refusal::HostInvalid));
    }

    #[test]
    fn a_default_port_equals_none_and_nothing_else() {
        assert!(
            same_port(None, Some(80))
                && same_port(Some(443), None)
                && same_port(Some(81), Some(81))
        );
        assert!(!same_port(Some(80), Some(443)) && !same_port(None, Some(81)));
    }
}
