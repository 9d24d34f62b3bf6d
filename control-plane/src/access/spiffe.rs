//! Which fleet a client's certificate is for: `spiffe://TRUST-DOMAIN/fleet/FLEET[/node/NODE]` among its names. Pure.
//! Sources: SPIFFE-ID sections 2.1 to 2.3, X509-SVID sections 2 and 5.2.
//!
//! Not here: whether the certificate is genuine (`tls`). Which trust domains there are is decided by the roots that the port
//! is given, so any is as good as another.

const SCHEME: &str = "spiffe://";
/// Longest id, in bytes (SPIFFE-ID section 2.3).
const ID_MAX: usize = 2048;

/// For whom a certificate speaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Binding {
    /// It names no fleet.
    Unbound,
    /// For proxies of one fleet, or one of them.
    Fleet {
        /// The fleet.
        fleet: String,
        /// The node, if it is for one alone.
        node: Option<String>,
    },
}

/// Why a certificate's names mean nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpiffeError {
    /// X509-SVID section 2: exactly one URI.
    #[error("a certificate with a SPIFFE ID has no other URI among its names")]
    Several,
    /// Characters or parts that no id has.
    #[error("the SPIFFE ID in the certificate is not one")]
    Malformed,
    /// It begins as ours do and goes on in another way: whoever made it meant a fleet.
    #[error(
        "the SPIFFE ID in the certificate is not of the form spiffe://TRUST-DOMAIN/fleet/FLEET or …/fleet/FLEET/node/NODE"
    )]
    Form,
}

impl Binding {
    /// What the URIs among the names of a certificate say.
    ///
    /// # Errors
    /// There is a SPIFFE ID among them that cannot be followed; then nothing is guessed.
    pub fn of_uris(uris: &[String]) -> Result<Self, SpiffeError> {
        let is_spiffe = |uri: &&String| {
            let scheme = uri.get(..SCHEME.len());
            scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case(SCHEME))
        };
        let Some(id) = uris.iter().find(is_spiffe) else {
            return Ok(Self::Unbound);
        };
        if uris.len() > 1 {
            return Err(SpiffeError::Several);
        }
        of_id(id)
    }

    /// Whether proxies of `fleet`, and `node` among them, may show such a certificate. `Unbound` speaks for nobody.
    pub fn speaks_for(&self, fleet: &str, node: &str) -> bool {
        match self {
            Self::Unbound => false,
            Self::Fleet {
                fleet: own,
                node: one,
            } => own == fleet && one.as_deref().is_none_or(|one| one == node),
        }
    }
}

fn of_id(id: &str) -> Result<Binding, SpiffeError> {
    // The scheme and the trust domain are in lower case; there is no port, user, query or fragment.
    let rest = id.strip_prefix(SCHEME).ok_or(SpiffeError::Malformed)?;
    let mut parts = rest.split('/');
    let domain = parts.next().unwrap_or_default();
    let path: Vec<_> = parts.collect();
    let is_domain = !domain.is_empty() && domain.bytes().all(is_of_domain);
    if id.len() > ID_MAX || !is_domain || !path.iter().all(|part| is_segment(part)) {
        return Err(SpiffeError::Malformed);
    }
    let (fleet, node) = match path[..] {
        ["fleet", fleet] => (fleet, None),
        ["fleet", fleet, "node", node] => (fleet, Some(node.to_owned())),
        ["fleet", ..] => return Err(SpiffeError::Form),
        _ => return Ok(Binding::Unbound),
    };
    Ok(Binding::Fleet {
        fleet: fleet.to_owned(),
        node,
    })
}

fn is_of_domain(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_')
}

/// No percent signs, and nothing relative.
fn is_segment(part: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    !matches!(part, "" | "." | "..") && part.bytes().all(known)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(uris: &[&str]) -> Result<Binding, SpiffeError> {
        let uris: Vec<_> = uris.iter().map(ToString::to_string).collect();
        Binding::of_uris(&uris)
    }

    #[test]
    fn an_id_names_a_fleet_or_a_node_of_it() {
        let fleet = of(&["spiffe://prod.example/fleet/edge"]).unwrap();
        assert!(fleet.speaks_for("edge", "a") && fleet.speaks_for("edge", "b"));
        assert!(!fleet.speaks_for("core", "a"));
        let node = of(&["spiffe://prod.example/fleet/edge/node/a"]).unwrap();
        assert!(node.speaks_for("edge", "a"));
        assert!(!node.speaks_for("edge", "b") && !node.speaks_for("core", "a"));
    }

    #[test]
    fn other_names_bind_to_nothing_and_open_nothing() {
        for uris in [
            &[][..],
            &["https://example/fleet/edge"],
            &["urn:uuid:1", "urn:uuid:2"],
            &["spiffe://cluster.local/ns/shop/sa/edge"],
            &["spiffe://prod.example"],
        ] {
            assert_eq!(of(uris), Ok(Binding::Unbound), "{uris:?}");
        }
        assert!(!Binding::Unbound.speaks_for("edge", "a"));
    }

    #[test]
    fn what_is_nearly_an_id_is_refused_and_not_guessed() {
        let several = ["spiffe://d/fleet/a", "spiffe://d/fleet/b"];
        assert_eq!(of(&several), Err(SpiffeError::Several));
        assert_eq!(of(&["urn:x", several[0]]), Err(SpiffeError::Several));
        for id in [
            "spiffe://d/fleet",
            "spiffe://d/fleet/a/node",
            "spiffe://d/fleet/a/b",
            "spiffe://d/fleet/a/node/b/c",
        ] {
            assert_eq!(of(&[id]), Err(SpiffeError::Form), "{id}");
        }
        for id in [
            "spiffe:///fleet/a",
            "SPIFFE://d/fleet/a",
            "spiffe://D/fleet/a",
            "spiffe://d:1/fleet/a",
            "spiffe://u@d/fleet/a",
            "spiffe://d/fleet/",
            "spiffe://d/fleet//a",
            "spiffe://d/fleet/..",
            "spiffe://d/fleet/a%2Fnode",
            "spiffe://d/fleet/a?b",
            "spiffe://d/fleet/a#b",
        ] {
            assert_eq!(of(&[id]), Err(SpiffeError::Malformed), "{id}");
        }
    }

    proptest! {
        /// Whatever stands in a certificate, it speaks for the one fleet that its id spells out, or for none.
        #[test]
        fn an_id_speaks_for_no_fleet_but_the_one_it_spells(
            id in "(spiffe://)?[a-zD%:./]{0,8}/(fleet|node|[a-z.]{0,3})(/[a-zA%.-]{0,3}){0,4}",
            fleet in "[a-zA%.-]{1,3}",
        ) {
            let binding = Binding::of_uris(std::slice::from_ref(&id));
            if binding.is_ok_and(|binding| binding.speaks_for(&fleet, "n")) {
                let spelt = format!("/fleet/{fleet}");
                prop_assert!(id.ends_with(&spelt) || id.ends_with(&format!("{spelt}/node/n")), "{id}");
            }
        }
    }
}
