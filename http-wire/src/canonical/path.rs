//! The canonical path: whether a path is canonical, and if not, its canonical form, written behind what the buffer holds.
//! Order of work, as Envoy's: refuse escaped slashes, resolve dot segments, merge slashes. No case folding, and never two decodings.
//!
//! Envoy normalises with Chromium's canonicaliser (`url::CanonicalizePath` in `url/url_canon_path.cc`, called from Envoy's
//! `source/common/http/path_utility.cc`). Its table of bytes is what [`write`] follows: `\` becomes `/`, escapes of letters, digits and
//! `-._~` are decoded, other escapes keep their digits as they are, and ``"<>^`{|}`` are escaped. Envoy 1.40 also takes `..;x` for `..`
//! (`strip_dotdot_segments_with_parameters`), since Tomcat and its like do; `%2e%2e;x` it lets through, here it is the same.
//! Where this is stricter than Envoy: a `%` without two digits is refused.

use super::{Refusal, check_bytes};
use crate::octets;

const UPPER: &[u8; 16] = b"0123456789ABCDEF";

/// What a byte can do to a path, as bits; nothing for most.
type Class = u8;
const DOT: Class = 1;
const SLASH: Class = 2;
/// It begins an escape, or becomes one, or becomes a slash.
const CHANGED: Class = 4;
const ILLEGAL: Class = 8;

static CLASS: [Class; 256] = classes();

/// The most bytes that [`write`] adds: every byte may have to be escaped.
pub(super) fn longest(path: &[u8]) -> usize {
    path.len().saturating_mul(3)
}

/// Appends the canonical form of `path`, which starts with `/` and of which [`is_canonical`] has said that it is not.
/// On a refusal `out` holds what it held before.
pub(super) fn write(path: &[u8], out: &mut Vec<u8>) -> Result<(), Refusal> {
    check_escapes(path)?;
    let start = out.len();
    resolve(path, out);
    merge_slashes(start, out);
    Ok(())
}

/// True for a path that nothing would change; most are, and are copied in one go. Refuses bytes that no path has.
pub(super) fn is_canonical(path: &[u8]) -> Result<bool, Refusal> {
    let mut seen = 0;
    let mut previous = 0;
    for &byte in path {
        let class = CLASS[usize::from(byte)];
        // A dot or slash behind a slash is a change too.
        let is_behind_slash = previous & SLASH != 0 && class & (DOT | SLASH) != 0;
        seen |= class | if is_behind_slash { CHANGED } else { 0 };
        previous = class;
    }
    if seen & ILLEGAL != 0 {
        check_bytes(path)?;
    }
    Ok(seen & CHANGED == 0)
}

/// Every escape is whole, and none is a separator or an end in disguise.
fn check_escapes(path: &[u8]) -> Result<(), Refusal> {
    let mut rest = path;
    while let Some(mark) = rest.iter().position(|&byte| byte == b'%') {
        rest = &rest[mark + 1..];
        match unescape(rest).ok_or(Refusal::PathEscape)? {
            b'/' | b'\\' => return Err(Refusal::EscapedSlash),
            0 => return Err(Refusal::EscapedNul),
            _ => rest = &rest[2..],
        }
    }
    Ok(())
}

/// Writes the segments, without the dot segments and what `..` takes back; slashes are not yet merged, since an empty
/// segment is one that `..` takes back (RFC 3986 section 5.2.4).
fn resolve(path: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    out.push(b'/');
    let mut segments = path[1..]
        .split(|&byte| matches!(byte, b'/' | b'\\'))
        .peekable();
    while let Some(segment) = segments.next() {
        match dots(segment) {
            Some(1) => {}
            Some(_) => back_up(start, out),
            None => {
                write_segment(segment, out);
                if segments.peek().is_some() {
                    out.push(b'/');
                }
            }
        }
    }
}

/// 1 for a segment that means "here", 2 for one that means "up"; the dots may be escaped and have parameters.
fn dots(segment: &[u8]) -> Option<usize> {
    let mut rest = segment;
    let mut count = 0;
    loop {
        rest = match rest {
            [b'.', rest @ ..] | [b'%', b'2', b'e' | b'E', rest @ ..] => rest,
            [] | [b';', ..] if count > 0 => return Some(count),
            _ => return None,
        };
        count += 1;
        if count > 2 {
            return None;
        }
    }
}

/// Takes back the last segment of what was written since `start`, which ends in a slash and begins with one.
fn back_up(start: usize, out: &mut Vec<u8>) {
    let written = &out[start..out.len() - 1];
    if let Some(slash) = written.iter().rposition(|&byte| byte == b'/') {
        out.truncate(start + slash + 1);
    }
}

fn write_segment(segment: &[u8], out: &mut Vec<u8>) {
    let mut rest = segment;
    while let [byte, tail @ ..] = rest {
        rest = tail;
        match (*byte, unescape(tail)) {
            (b'%', Some(value)) => {
                rest = &tail[2..];
                if is_unreserved(value) {
                    out.push(value);
                } else {
                    out.extend_from_slice(&[b'%', tail[0], tail[1]]);
                }
            }
            (byte, _) if is_escaped(byte) => {
                out.extend_from_slice(&[
                    b'%',
                    UPPER[usize::from(byte >> 4)],
                    UPPER[usize::from(byte & 15)],
                ]);
            }
            (byte, _) => out.push(byte),
        }
    }
}

fn merge_slashes(start: usize, out: &mut Vec<u8>) {
    let mut kept = start;
    for index in start..out.len() {
        let byte = out[index];
        if byte != b'/' || kept == start || out[kept - 1] != b'/' {
            out[kept] = byte;
            kept += 1;
        }
    }
    out.truncate(kept);
}

/// The byte that the two digits at the front stand for.
fn unescape(digits: &[u8]) -> Option<u8> {
    let [high, low, ..] = digits else { return None };
    Some(octets::hex(*high)? << 4 | octets::hex(*low)?)
}

/// RFC 3986 section 2.3: escaped or not, these mean the same.
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// The visible bytes that Chromium's table escapes.
const fn is_escaped(byte: u8) -> bool {
    matches!(byte, b'"' | b'<' | b'>' | b'^' | b'`' | b'{' | b'|' | b'}')
}

const fn classes() -> [Class; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = match byte as u8 {
            b'.' => DOT,
            b'/' => SLASH,
            b'%' | b'\\' => CHANGED,
            byte if is_escaped(byte) => CHANGED,
            byte if octets::is_target(byte) => 0,
            _ => ILLEGAL,
        };
        byte += 1;
    }
    table
}
