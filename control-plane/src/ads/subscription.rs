//! What one stream is subscribed to, for one resource type, in both variants of the protocol.
//! Pure: names come in, "is this covered?" goes out. What the client holds of it is in `held`.

use std::collections::BTreeSet;
use std::sync::Arc;

use xds::type_url::ResourceType;

/// The names of one type that one stream asked for.
#[derive(Debug, Default)]
pub(super) struct Subscription {
    started: bool,
    /// A name was sent once: from then on an empty list, where lists are sent in full, asks for nothing.
    named: bool,
    wildcard: bool,
    names: BTreeSet<Arc<str>>,
}

/// What a request changed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Asked {
    /// Names that were asked for, also again: each must be answered, whether it changed or not.
    pub(super) names: Vec<Arc<str>>,
    /// Names that are no longer covered.
    pub(super) dropped: Vec<Arc<str>>,
    /// The wildcard was asked for: it must be answered, even if there is nothing.
    pub(super) wildcard: bool,
    /// The wildcard was put where there were only names before.
    pub(super) widened: bool,
}

impl Subscription {
    /// Takes in the names of one request.
    ///
    /// A first request without names asks for everything (the "legacy wildcard" of LDS and CDS); `*` does at any
    /// time. Names may stand beside the wildcard (xDS protocol, "How the client specifies what resources to return").
    pub(super) fn update(
        &mut self,
        ty: ResourceType,
        subscribe: &[String],
        unsubscribe: &[String],
    ) -> Asked {
        let mut asked = Asked::default();
        let legacy = !self.started
            && subscribe.is_empty()
            && matches!(ty, ResourceType::Listener | ResourceType::Cluster);
        if legacy || subscribe.iter().any(|name| name == "*") {
            asked.wildcard = true;
            asked.widened = self.started && !self.wildcard;
            self.wildcard = true;
        }
        self.started = true;
        for name in subscribe.iter().filter(|name| *name != "*") {
            let name: Arc<str> = name.as_str().into();
            self.names.insert(name.clone());
            asked.names.push(name);
        }
        for name in unsubscribe {
            self.unsubscribe(name, &mut asked);
        }
        asked
    }

    /// Takes in the names of one request of the state-of-the-world variant: they take the place of those before.
    ///
    /// A list without names asks for everything, for LDS and CDS, until a name was sent once; then it asks for nothing.
    pub(super) fn replace(&mut self, ty: ResourceType, names: &[String]) -> Asked {
        let mut asked = Asked::default();
        let legacy = names.is_empty()
            && !self.named
            && matches!(ty, ResourceType::Listener | ResourceType::Cluster);
        let wildcard = legacy || names.iter().any(|name| name == "*");
        if wildcard && !self.wildcard {
            asked.wildcard = true;
            asked.widened = self.started;
        }
        self.started = true;
        self.named |= !names.is_empty();
        self.wildcard = wildcard;
        let names = names.iter().filter(|name| *name != "*");
        let names: BTreeSet<Arc<str>> = names.map(|name| name.as_str().into()).collect();
        asked.names = names.difference(&self.names).cloned().collect();
        if !wildcard {
            asked.dropped = self.names.difference(&names).cloned().collect();
        }
        self.names = names;
        asked
    }

    /// Whether any request has come.
    pub(super) fn has_started(&self) -> bool {
        self.started
    }

    fn unsubscribe(&mut self, name: &str, asked: &mut Asked) {
        if name == "*" {
            self.wildcard = false;
        } else if let Some(name) = self.names.take(name) {
            // The rule for a name beside a wildcard: answer with what the wildcard covers, or that it is gone.
            if self.wildcard {
                asked.names.push(name);
            } else {
                asked.dropped.push(name);
            }
        }
    }

    /// Whether the client wants to hear of a resource of this name.
    pub(super) fn covers(&self, name: &str) -> bool {
        self.wildcard || self.names.contains(name)
    }

    /// Whether the client wants everything.
    pub(super) fn is_wildcard(&self) -> bool {
        self.wildcard
    }

    /// The names that were asked for one by one.
    pub(super) fn names(&self) -> impl Iterator<Item = &Arc<str>> {
        self.names.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn update(subscription: &mut Subscription, subscribe: &[&str], unsubscribe: &[&str]) -> Asked {
        subscription.update(
            ResourceType::Cluster,
            &names(subscribe),
            &names(unsubscribe),
        )
    }

    #[test]
    fn only_a_first_request_without_names_is_a_wildcard() {
        let mut first = Subscription::default();
        assert!(update(&mut first, &[], &[]).wildcard);
        assert!(first.covers("anything"));
        let mut named = Subscription::default();
        update(&mut named, &["a"], &[]);
        assert!(!update(&mut named, &[], &["a"]).wildcard);
        assert!(!named.covers("a") && !named.covers("b"));
    }

    #[test]
    fn a_first_request_without_names_asks_for_nothing_where_names_are_the_rule() {
        let mut endpoints = Subscription::default();
        assert_eq!(
            endpoints.update(ResourceType::ClusterLoadAssignment, &[], &[]),
            Asked::default()
        );
        assert!(!endpoints.covers("a"));
    }

    #[test]
    fn names_may_stand_beside_the_wildcard_and_survive_its_end() {
        let mut both = Subscription::default();
        update(&mut both, &["*", "a"], &[]);
        update(&mut both, &[], &["*"]);
        assert!(both.covers("a") && !both.covers("b"));
    }

    #[test]
    fn a_name_that_leaves_the_wildcard_is_answered_once_more() {
        let mut both = Subscription::default();
        update(&mut both, &["*", "a"], &[]);
        assert_eq!(update(&mut both, &[], &["a"]).names, ["a".into()]);
    }

    #[test]
    fn a_list_in_full_asks_for_everything_only_until_a_name_was_sent() {
        let mut list = Subscription::default();
        assert!(list.replace(ResourceType::Cluster, &[]).wildcard);
        assert!(list.covers("b"));
        let asked = list.replace(ResourceType::Cluster, &names(&["a"]));
        assert_eq!(asked.names, ["a".into()]);
        assert!(!list.covers("b"));
        let asked = list.replace(ResourceType::Cluster, &[]);
        assert_eq!(asked.dropped, ["a".into()]);
        assert!(!list.is_wildcard() && !list.covers("a"));
        assert!(
            list.replace(ResourceType::Cluster, &names(&["*", "a"]))
                .widened
        );
        assert!(list.covers("b"));
    }

    #[test]
    fn an_unknown_name_can_be_left_without_harm() {
        let mut subscription = Subscription::default();
        update(&mut subscription, &["a"], &[]);
        assert_eq!(update(&mut subscription, &[], &["b"]), Asked::default());
    }
}
