//! Which protocols a request may ask to switch to (RFC 9110 section 7.8), as one level of the config says it: a listener
//! or a route. Which level decides is said in [`Upgrades::allowed`].

/// What one level says of protocols; most say nothing.
#[derive(Clone, Debug, Default)]
pub struct Upgrades(Box<[(Box<str>, bool)]>);

impl Upgrades {
    /// Every protocol with whether it is allowed; protocols have no case, and none stands twice.
    pub fn new(protocols: impl IntoIterator<Item = (Box<str>, bool)>) -> Self {
        Self(protocols.into_iter().collect())
    }

    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What this level says of a protocol. A list of several is a protocol that nobody names, as in Envoy.
    pub fn says(&self, protocol: &[u8]) -> Option<bool> {
        let same = |(name, _): &&(Box<str>, bool)| name.as_bytes().eq_ignore_ascii_case(protocol);
        self.0.iter().find(same).map(|(_, allowed)| *allowed)
    }

    /// Whether a protocol is allowed: the route's word goes before the listener's, and silence is a no
    /// (Envoy's `HttpConnectionManagerConfig::createUpgradeFilterChain`).
    pub fn allowed(listener: &Self, route: Option<&Self>, protocol: &[u8]) -> bool {
        let by_route = route.and_then(|route| route.says(protocol));
        by_route
            .or_else(|| listener.says(protocol))
            .unwrap_or(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn level(list: &[(&str, bool)]) -> Upgrades {
        Upgrades::new(
            list.iter()
                .map(|(name, allowed)| (Box::from(*name), *allowed)),
        )
    }

    #[test]
    fn the_route_decides_and_then_the_listener() {
        let (yes, no) = (
            level(&[("websocket", true)]),
            level(&[("websocket", false)]),
        );
        let nothing = Upgrades::default();
        let allowed = |listener, route| Upgrades::allowed(listener, route, b"WebSocket");
        assert!(allowed(&yes, None) && allowed(&yes, Some(&nothing)));
        assert!(!allowed(&nothing, None) && !allowed(&no, Some(&nothing)));
        assert!(!allowed(&yes, Some(&no)));
        assert!(allowed(&no, Some(&yes)) && allowed(&nothing, Some(&yes)));
    }

    #[test]
    fn a_list_of_protocols_is_none_that_is_allowed() {
        let listener = level(&[("websocket", true)]);
        assert!(!Upgrades::allowed(&listener, None, b"websocket, other"));
        assert!(!Upgrades::allowed(&listener, None, b""));
    }
}
