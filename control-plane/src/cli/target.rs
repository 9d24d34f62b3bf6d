//! Paths and queries of the API: names go into them percent-encoded (RFC 3986 section 2), whatever they hold.

use std::fmt;

/// The target of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target(String);

impl Target {
    /// A path of the API.
    pub(super) fn new<'a>(segments: impl IntoIterator<Item = &'a str>) -> Self {
        let mut target = "/v1".to_owned();
        for segment in segments {
            target.push('/');
            encode(segment, &mut target);
        }
        Self(target)
    }

    /// The same with one more parameter.
    #[must_use]
    pub(super) fn with(mut self, name: &str, value: &str) -> Self {
        self.0.push(if self.0.contains('?') { '&' } else { '?' });
        encode(name, &mut self.0);
        self.0.push('=');
        encode(value, &mut self.0);
        self
    }

    /// The same with a parameter, if it has a value.
    #[must_use]
    pub(super) fn with_some(self, name: &str, value: Option<&str>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Keeps what needs no encoding, and the colon, which stands before the verb of a path.
fn encode(text: &str, out: &mut String) {
    use std::fmt::Write as _;
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b':' => {
                out.push(char::from(byte));
            }
            _ => {
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stays_one_segment_and_a_value_one_value() {
        let target = Target::new(["fleets", "default", "nodes", "a/b c?"]);
        assert_eq!(target.to_string(), "/v1/fleets/default/nodes/a%2Fb%20c%3F");
        let target = Target::new(["fleets", "default:explain"])
            .with("message", "a&b=ü")
            .with_some("none", None)
            .with_some("some", Some("1"));
        assert_eq!(
            target.to_string(),
            "/v1/fleets/default:explain?message=a%26b%3D%C3%BC&some=1"
        );
    }
}
