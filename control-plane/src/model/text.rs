//! The rules for texts: names, hosts, paths, headers, methods. Pure: a text goes in, a sentence says what is wrong.
//! Patterns are held to the form that a canonical request has, so that one which could never match is refused.

use std::net::{IpAddr, Ipv6Addr};

/// What a rule answers: `Err` is a sentence for the operator.
pub type Verdict = Result<(), String>;

/// Longest name: the limit of a DNS label (RFC 1035 section 2.3.4), so that a name fits everywhere a label does.
pub const NAME_MAX: usize = 63;

/// Longest host (RFC 1035 section 2.3.4, without the root's dot).
pub const HOST_MAX: usize = 253;

/// Longest path, pattern or value: Envoy refuses header values over 16 KiB, and more is a mistake.
pub const TEXT_MAX: usize = 16_384;

/// Longest header name; Envoy's limit for `HeaderValue.key` is the same as for values, but no real name comes near.
pub const HEADER_NAME_MAX: usize = 256;

/// Fields that frame a message or belong to one connection (RFC 9110 section 7.6.1, RFC 9112 section 6), and `host`,
/// by which requests are routed: editing them would break the message, so Envoy and our proxy refuse it.
const FRAMING: [&str; 9] = [
    "connection",
    "content-length",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

fn rule(holds: bool, sentence: &str) -> Verdict {
    if holds {
        Ok(())
    } else {
        Err(sentence.to_owned())
    }
}

/// A name of a resource or a fleet: a DNS label in lower case.
pub fn name(text: &str) -> Verdict {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let holds = (1..=NAME_MAX).contains(&text.len())
        && text.bytes().all(inner)
        && !text.starts_with('-')
        && !text.ends_with('-');
    rule(
        holds,
        "a name is 1 to 63 lower-case letters, digits and hyphens, without a hyphen at either end",
    )
}

/// A host of a route: `shop.example`, `*.shop.example`, `shop.*`, an IP address (IPv6 in brackets), or `*`.
pub fn host_pattern(text: &str) -> Verdict {
    if text == "*" {
        return Ok(());
    }
    let exact = text
        .strip_prefix("*.")
        .or_else(|| text.strip_suffix(".*"))
        .unwrap_or(text);
    host(exact)
}

/// A host without wildcards and port.
pub fn host(text: &str) -> Verdict {
    if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Err("hosts are written in lower case".to_owned());
    }
    if let Some(inner) = text.strip_prefix('[') {
        let address = inner
            .strip_suffix(']')
            .and_then(|inner| inner.parse::<Ipv6Addr>().ok());
        return rule(
            address.is_some_and(|address| text == format!("[{address}]")),
            "an IPv6 host is a canonical address in brackets, without a port",
        );
    }
    let label = |label: &str| {
        (1..=NAME_MAX).contains(&label.len())
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    rule(
        text.len() <= HOST_MAX && text.split('.').all(label),
        "a host is a DNS name or an IP address without a port; `*` stands alone, as its first label or as its last",
    )
}

/// A name that can be looked up; a dot at the end says that it is whole.
pub fn dns_name(text: &str) -> Verdict {
    if text.trim_matches(['[', ']']).parse::<IpAddr>().is_ok() {
        return Err("this is an IP address, not a name; it belongs into `endpoints`".to_owned());
    }
    if text.starts_with('[') {
        return Err("a host is a DNS name".to_owned());
    }
    host(text.strip_suffix('.').unwrap_or(text))
}

/// A path or the beginning of one, as a canonical request has it.
pub fn path(text: &str) -> Verdict {
    rule(text.starts_with('/'), "a path begins with `/`")?;
    rule(text.len() <= TEXT_MAX, "a path is at most 16384 bytes long")?;
    rule(
        text.bytes().all(|byte| byte.is_ascii_graphic()),
        "a path holds visible ASCII only; percent-encode the rest",
    )?;
    rule(
        !text.contains(['?', '#']),
        "a path ends before `?` and `#`; conditions on the query have their own field",
    )?;
    rule(
        !text.contains("//"),
        "repeated slashes are merged before a request is matched, so this could never match",
    )?;
    let escaped = text.to_ascii_lowercase();
    rule(
        !escaped
            .replace("%2e", ".")
            .split('/')
            .any(|segment| segment == "." || segment == ".."),
        "`.` and `..` are resolved before a request is matched, so this could never match",
    )?;
    rule(
        !text.contains('\\') && !escaped.contains("%2f") && !escaped.contains("%5c"),
        "backslashes and escaped slashes are refused before a request is matched, so this could never match",
    )
}

/// A prefix that matches whole segments.
pub fn segment_prefix(text: &str) -> Verdict {
    path(text)?;
    rule(
        text == "/" || !text.ends_with('/'),
        "a prefix matches whole segments, so leave out the slash at its end; `string_prefix` matches text",
    )
}

/// A method. They are case-sensitive (RFC 9110 section 9.1), and every registered one is in capitals.
pub fn method(text: &str) -> Verdict {
    rule(text != "CONNECT", "CONNECT is not routed")?;
    let inner = |byte: u8| {
        byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_'
    };
    rule(
        (1..=32).contains(&text.len()) && text.bytes().all(inner),
        "a method is written in capitals, such as GET",
    )
}

/// A field name: a token (RFC 9110 section 5.1), in any case.
pub fn header_name(text: &str) -> Verdict {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    rule(
        (1..=HEADER_NAME_MAX).contains(&text.len()) && text.bytes().all(token),
        "a header name is 1 to 256 letters, digits and the signs that RFC 9110 allows in a token",
    )
}

/// The name of a field that a route may look at. `host` is matched by the route's hosts, in its canonical form.
pub fn matchable_header_name(text: &str) -> Verdict {
    header_name(text)?;
    rule(
        !text.eq_ignore_ascii_case("host"),
        "the host is matched by `hosts`",
    )
}

/// The name of a field that may be edited.
pub fn editable_header_name(text: &str) -> Verdict {
    header_name(text)?;
    rule(
        !FRAMING.contains(&text.to_ascii_lowercase().as_str()),
        "this field frames the message or routes it, and cannot be edited",
    )
}

/// A value that a field is set to. Empty ones are refused: Envoy does not send them (`keep_empty_value`).
pub fn header_value(text: &str) -> Verdict {
    rule(
        !text.is_empty(),
        "a value must not be empty; `remove` takes the field out",
    )?;
    rule(
        text.len() <= TEXT_MAX,
        "a value is at most 16384 bytes long",
    )?;
    rule(
        text.bytes()
            .all(|byte| byte.is_ascii_graphic() || byte == b' ' || byte == b'\t')
            && text.trim() == text,
        "a value is visible ASCII, with spaces and tabs only inside",
    )
}

/// The name of a query parameter, compared as sent.
pub fn query_name(text: &str) -> Verdict {
    rule(
        (1..=1_024).contains(&text.len())
            && text
                .bytes()
                .all(|byte| byte.is_ascii_graphic() && !b"&=#".contains(&byte)),
        "a query parameter's name is 1 to 1024 visible ASCII characters without `&`, `=` and `#`, as it is sent",
    )
}

#[cfg(test)]
mod tests;
