//! What is taken of a head: everything that a route table reads but for values. A head of which not all of that can be kept
//! is not taken: a name that is missing would be told as one that was not there.

use http_wire::head::RequestHead;
use proto::session::Sample;

/// Longest method, host and path, in bytes. Longer ones are rare, and a text that is cut would be matched as another.
const METHOD_MAX: usize = 32;
const HOST_MAX: usize = 255;
const PATH_MAX: usize = 1_024;
/// Most names of fields and of query parameters, and the longest of them, in bytes.
const NAMES_MAX: usize = 64;
const NAME_MAX: usize = 64;

/// The sample of a head that came to a listener; `None` if it is too large.
pub(super) fn of(listener: &str, head: &RequestHead, requests: u64) -> Option<Sample> {
    let fits = head.method().len() <= METHOD_MAX
        && head.host().len() <= HOST_MAX
        && head.path().len() <= PATH_MAX;
    if !fits {
        return None;
    }
    // What a client asks to switch to does not stand among the fields (`RequestHead::matched_field`).
    let upgrade = head.upgrade().map(|_| "upgrade".to_owned());
    let fields = head.fields().iter();
    let fields = fields.map(|field| String::from_utf8_lossy(field.name).to_ascii_lowercase());
    let query = head.query().into_iter().flat_map(|query| query.split('&'));
    let query = query.map(|pair| pair.split('=').next().unwrap_or_default().to_owned());
    Some(Sample {
        listener: listener.to_owned(),
        method: head.method().to_owned(),
        host: head.host().to_owned(),
        path: head.path().to_owned(),
        headers: names(fields.chain(upgrade))?,
        query: names(query)?,
        requests,
    })
}

/// Each once, in order; `None` if there are too many or one is too long.
fn names(of: impl Iterator<Item = String>) -> Option<Vec<String>> {
    let mut names: Vec<String> = of.take(NAMES_MAX + 1).collect();
    if names.len() > NAMES_MAX || names.iter().any(|name| name.len() > NAME_MAX) {
        return None;
    }
    names.sort_unstable();
    names.dedup();
    Some(names)
}

#[cfg(test)]
mod tests {
    use http_wire::canonical::{self, Target};
    use http_wire::head::Version;

    use super::*;

    fn head(target: &str, fields: &[(&str, &str)]) -> RequestHead {
        let mut head = RequestHead::new();
        head.begin("GET", Version::Http11).unwrap();
        for (name, value) in fields {
            head.fields_mut().append(*name, value.as_bytes()).unwrap();
        }
        let target = Target::parse(target.as_bytes()).unwrap();
        canonical::read(&mut head, &target).unwrap();
        head
    }

    #[test]
    fn names_are_taken_and_no_values() {
        let fields = [
            ("host", "Shop.Example:80"),
            ("X-Beta", "secret"),
            ("authorization", "Bearer secret"),
            ("x-beta", "secret"),
        ];
        let taken = of(
            "web",
            &head("/a/../b?q=secret&lang=secret&q=secret", &fields),
            7,
        )
        .unwrap();
        assert_eq!((&*taken.host, &*taken.path), ("shop.example", "/b"));
        assert!(taken.headers.contains(&"authorization".to_owned()));
        assert_eq!(taken.headers.iter().filter(|it| *it == "x-beta").count(), 1);
        assert_eq!(taken.query, ["lang", "q"]);
        assert_eq!(taken.requests, 7);
        assert!(!format!("{taken:?}").contains("secret"));
    }

    #[test]
    fn a_head_that_cannot_be_kept_whole_is_not_taken() {
        let host = ("host", "a");
        let taken = |target: &str, fields: &[(&str, &str)]| of("web", &head(target, fields), 1);
        assert!(taken("/", &[host]).is_some());
        assert!(taken(&format!("/{}", "x".repeat(PATH_MAX)), &[host]).is_none());
        let name = "x".repeat(NAME_MAX + 1);
        assert!(taken("/", &[host, (&name, "")]).is_none());
        assert!(taken(&format!("/?{name}=1"), &[host]).is_none());
        let many: Vec<String> = (0..=NAMES_MAX)
            .map(|number| format!("x-{number}"))
            .collect();
        let many: Vec<_> = many.iter().map(|name| (&**name, "")).collect();
        assert!(taken("/", &[&[host], &*many].concat()).is_none());
    }
}
