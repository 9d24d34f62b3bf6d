//! The one reading of a request's host and path.
//! A request target and the `Host` field go in; host, authority, path and query go into the head, or a [`Refusal`] comes out,
//! which the caller answers with 400. The proxy matches, authorises and forwards the very strings that are written here;
//! the control plane explains with them. Rewriting and routing are not here.
//!
//! Where Envoy has an opinion (with `normalize_path`, `merge_slashes` and escaped slashes rejected) the answer is Envoy's;
//! where Envoy lets something through that two servers may read in two ways, it is refused.

mod host;
mod path;
#[cfg(test)]
mod tests;

use crate::head::{
    CanonicalTarget, FieldId, Fields, Invalid, RequestHead, Span, Text, TextSpan, Version,
};
use crate::octets;

/// Why a request has no canonical form. Every variant is the client's fault: 400.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The target is neither `/path`, nor `http(s)://host/path`, nor `*` for OPTIONS.
    TargetForm,
    /// HTTP/1.1 or 2 without a host.
    HostMissing,
    /// More than one `Host` field.
    HostRepeated,
    /// The host or port holds something that no host or port holds.
    HostInvalid,
    /// The target names another host than the `Host` field.
    HostMismatch,
    /// A path or query holds a control byte, white space or a byte above ASCII.
    TargetByte,
    /// A `#` in the target: a fragment never leaves a client.
    Fragment,
    /// A `%` in the path without two hexadecimal digits.
    PathEscape,
    /// `%2F` or `%5C` in the path: servers disagree on whether it separates segments.
    EscapedSlash,
    /// `%00` in the path: servers disagree on whether the path ends there.
    EscapedNul,
    /// The head would outgrow its buffer.
    TooLarge,
}

impl Refusal {
    /// A short stable cause for logs and metrics.
    pub const fn code(self) -> &'static str {
        match self {
            Refusal::TargetForm => "target_form",
            Refusal::HostMissing => "host_missing",
            Refusal::HostRepeated => "host_repeated",
            Refusal::HostInvalid => "host_invalid",
            Refusal::HostMismatch => "host_mismatch",
            Refusal::TargetByte => "target_byte",
            Refusal::Fragment => "fragment",
            Refusal::PathEscape => "path_escape",
            Refusal::EscapedSlash => "escaped_slash",
            Refusal::EscapedNul => "escaped_nul",
            Refusal::TooLarge => "head_too_large",
        }
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.code())
    }
}

impl std::error::Error for Refusal {}

impl From<Invalid> for Refusal {
    /// Only checked bytes are stored here, so size is all that can be wrong with them.
    fn from(_: Invalid) -> Self {
        Refusal::TooLarge
    }
}

/// A request target in its parts, not yet checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target<'a> {
    /// Host and port of an absolute target, or HTTP/2's `:authority`.
    pub authority: Option<&'a [u8]>,
    /// The path; `*` for the asterisk form; empty where the form has none.
    pub path: &'a [u8],
    /// What follows the first `?`.
    pub query: Option<&'a [u8]>,
}

impl<'a> Target<'a> {
    /// Splits a target as it stands in a request line (RFC 9112 section 3.2). The authority form belongs to CONNECT alone
    /// and is refused: the caller answers CONNECT before it asks for a path.
    pub fn parse(target: &'a [u8]) -> Result<Self, Refusal> {
        if target.starts_with(b"/") || target == b"*" {
            let (path, query) = split_query(target);
            return Ok(Target {
                authority: None,
                path,
                query,
            });
        }
        let rest = strip_scheme(target).ok_or(Refusal::TargetForm)?;
        let end = rest
            .iter()
            .position(|byte| b"/?#".contains(byte))
            .unwrap_or(rest.len());
        let (authority, rest) = rest.split_at(end);
        let (path, query) = split_query(rest);
        let path = if path.is_empty() { b"/" } else { path };
        Ok(Target {
            authority: Some(authority),
            path,
            query,
        })
    }
}

/// Reads the target and the `Host` field of `head` and writes host, authority, path and query into it; the field goes.
///
/// The authority of the target wins over `Host` (RFC 9112 section 3.2.2), but both have to name the same host: a ported default
/// (80 or 443) equals none. `Host` is required in HTTP/1.1 (section 3.2); HTTP/2 and explaining bring an authority instead.
pub fn read(head: &mut RequestHead, target: &Target<'_>) -> Result<(), Refusal> {
    let is_options = head.method() == "OPTIONS";
    let version = head.version();
    let (fields, text) = head.parts_mut();
    let authority = authority(fields, target, version)?;
    let host = match authority {
        Some(authority) => {
            let authority = fields.slice(authority);
            text.store_lower(&authority[host::parse(authority)?.host])?
        }
        None => TextSpan::default(),
    };
    let path = store_path(fields, text, target.path, is_options)?;
    let query = target
        .query
        .map(|query| store_query(text, query))
        .transpose()?;
    fields.remove(FieldId::Host);
    head.set_target(CanonicalTarget {
        path,
        query,
        host,
        authority: authority.unwrap_or_default(),
    });
    Ok(())
}

/// The one authority of the request; `None` only for HTTP/1.0 without any.
fn authority(
    fields: &mut Fields,
    target: &Target<'_>,
    version: Version,
) -> Result<Option<Span>, Refusal> {
    let (field, repeated) = fields.span(FieldId::Host);
    if repeated {
        return Err(Refusal::HostRepeated);
    }
    let is_old = version == Version::Http10;
    let field = field.filter(|&span| !(is_old && fields.slice(span).is_empty()));
    match (target.authority, field) {
        (Some(_), None) if version == Version::Http11 => Err(Refusal::HostMissing),
        (None, None) if !is_old => Err(Refusal::HostMissing),
        (None, field) => Ok(field),
        (Some(authority), field) => {
            let from_target = host::parse(authority)?;
            if let Some(field) = field {
                let value = fields.slice(field);
                let from_field = host::parse(value)?;
                let is_same = authority[from_target.host.clone()]
                    .eq_ignore_ascii_case(&value[from_field.host.clone()]);
                if !is_same || !host::same_port(from_target.port, from_field.port) {
                    return Err(Refusal::HostMismatch);
                }
            }
            Ok(Some(fields.store(authority)?))
        }
    }
}

fn store_path(
    fields: &mut Fields,
    text: &mut Text,
    path: &[u8],
    is_options: bool,
) -> Result<TextSpan, Refusal> {
    if path == b"*" && is_options {
        return Ok(text.store(path)?);
    }
    if !path.starts_with(b"/") {
        return Err(Refusal::TargetForm);
    }
    if path::is_canonical(path)? {
        return Ok(text.store(path)?);
    }
    fields.reserve(path::longest(path))?;
    let start = fields.mark();
    path::write(path, fields.buffer())?;
    Ok(text.store(fields.slice(fields.since(start)))?)
}

/// The query is nobody's business but the server's: it is checked and kept byte for byte, as Envoy does.
fn store_query(text: &mut Text, query: &[u8]) -> Result<TextSpan, Refusal> {
    check_bytes(query)?;
    Ok(text.store(query)?)
}

fn check_bytes(part: &[u8]) -> Result<(), Refusal> {
    match part.iter().find(|&&byte| !octets::is_target(byte)) {
        None => Ok(()),
        Some(b'#') => Err(Refusal::Fragment),
        Some(_) => Err(Refusal::TargetByte),
    }
}

fn split_query(rest: &[u8]) -> (&[u8], Option<&[u8]>) {
    match rest.iter().position(|&byte| byte == b'?') {
        Some(mark) => (&rest[..mark], Some(&rest[mark + 1..])),
        None => (rest, None),
    }
}

fn strip_scheme(target: &[u8]) -> Option<&[u8]> {
    [&b"http://"[..], b"https://"].iter().find_map(|scheme| {
        let (start, rest) = target.split_at_checked(scheme.len())?;
        start.eq_ignore_ascii_case(scheme).then_some(rest)
    })
}
