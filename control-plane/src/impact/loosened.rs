//! What would be less strict after a change, whatever traffic there is: the things that a review looks for and that no test of
//! today's traffic would show. Pure: two configs come in. What counts is listed in `docs/impact.md`.

use std::collections::BTreeSet;

use serde::Serialize;
use utoipa::ToSchema;

use crate::model::delta::{Changed, between};
use crate::model::duration::Duration;
use crate::model::route::{HeaderEdits, Scheme};
use crate::model::{Cluster, Config, Kind, Listener, Resource, ResourceId, Route};

/// Something that would be less strict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Loosened {
    /// The resource.
    #[schema(example = "routes/products")]
    pub resource: String,
    /// JSON pointer to the field.
    #[schema(example = "/timeout")]
    pub pointer: String,
    /// A sentence for people.
    pub detail: String,
}

/// What a route, or a cluster, has that does not say (`model::route`, `model::cluster`).
const TIMEOUT: Duration = Duration::from_millis(15_000);
const IDLE_TIMEOUT: Duration = Duration::from_millis(300_000);
const CONNECT_TIMEOUT: Duration = Duration::from_millis(5_000);

/// What would be less strict if `before` became `after`.
pub fn find(before: &Config, after: &Config) -> Vec<Loosened> {
    let mut found = Found::default();
    for changed in pairs::<Listener>(before, after) {
        if let (name, Some(before), Some(after)) = changed {
            found.of(Kind::Listener, name);
            found.listener(before, after);
        }
    }
    for changed in pairs::<Cluster>(before, after) {
        if let (name, Some(before), Some(after)) = changed {
            found.of(Kind::Cluster, name);
            found.longer(
                "/connect_timeout",
                (before.connect_timeout, after.connect_timeout),
                CONNECT_TIMEOUT,
            );
        }
    }
    // A denial that has got another name is still there.
    let is_elsewhere = |route: &Route| {
        let mut others = after.routes.values();
        route.respond.is_some()
            && others.any(|other| {
                other.respond == route.respond
                    && other.matching == route.matching
                    && other.hosts == route.hosts
                    && other.listeners == route.listeners
            })
    };
    for (name, old, new) in pairs::<Route>(before, after) {
        if let Some(old) = old
            && (new.is_some() || !is_elsewhere(old))
        {
            found.of(Kind::Route, name);
            found.route(old, new);
        }
    }
    found.list
}

type Pair<'c, T> = (&'c str, Option<&'c T>, Option<&'c T>);

fn pairs<'c, T: Resource>(
    before: &'c Config,
    after: &'c Config,
) -> impl Iterator<Item = Pair<'c, T>> {
    let changed = between(T::set(before), T::set(after));
    changed.map(|changed: Changed<'c, T>| {
        let value = |side: Option<&'c std::sync::Arc<T>>| side.map(|value| &**value);
        (&**changed.name, value(changed.before), value(changed.after))
    })
}

#[derive(Default)]
struct Found {
    resource: String,
    list: Vec<Loosened>,
}

impl Found {
    fn of(&mut self, kind: Kind, name: &str) {
        self.resource = ResourceId::new(kind, name).to_string();
    }

    fn tell(&mut self, pointer: &str, detail: String) {
        self.list.push(Loosened {
            resource: self.resource.clone(),
            pointer: pointer.to_owned(),
            detail,
        });
    }

    fn listener(&mut self, before: &Listener, after: &Listener) {
        if after.trusted_hops > before.trusted_hops {
            let detail = format!(
                "{} proxies in front are believed instead of {}",
                after.trusted_hops, before.trusted_hops
            );
            self.tell("/trusted_hops", detail);
        }
        let opens = after.address.is_unspecified() && !before.address.is_unspecified()
            || before.address.is_loopback() && !after.address.is_loopback();
        if opens {
            let detail = format!("listens on {} instead of {}", after.address, before.address);
            self.tell("/address", detail);
        }
    }

    fn route(&mut self, before: &Route, after: Option<&Route>) {
        self.denial(before, after);
        let Some(after) = after else { return };
        if before.forward.is_some() && after.forward.is_some() {
            self.longer("/timeout", (before.timeout, after.timeout), TIMEOUT);
            let idle = (before.idle_timeout, after.idle_timeout);
            self.longer("/idle_timeout", idle, IDLE_TIMEOUT);
            let edits = (&before.request_headers, &after.request_headers);
            self.edits("/request_headers", "what clients send as", edits);
        }
        let edits = (&before.response_headers, &after.response_headers);
        self.edits("/response_headers", "what clusters answer as", edits);
        self.asks_less(before, after);
        let to_https = |route: &Route| {
            let redirect = route.redirect.as_ref();
            redirect.is_some_and(|redirect| redirect.scheme == Some(Scheme::Https))
        };
        if to_https(before) && !to_https(after) {
            self.tell(
                "/redirect",
                "clients are no longer sent to https".to_owned(),
            );
        }
    }

    /// A route that turned requests away does so no more.
    fn denial(&mut self, before: &Route, after: Option<&Route>) {
        let status = |route: &Route| route.respond.as_ref().map(|respond| respond.status);
        let denies = |status: &u16| (400..500).contains(status);
        if let Some(denied) = status(before).filter(denies)
            && after.and_then(status).is_none_or(|status| !denies(&status))
        {
            let detail = format!("requests are no longer turned away with {denied}");
            self.tell("/respond", detail);
        }
    }

    fn longer(
        &mut self,
        pointer: &str,
        (before, after): (Option<Duration>, Option<Duration>),
        default: Duration,
    ) {
        let (before, after) = (before.unwrap_or(default), after.unwrap_or(default));
        if after > before {
            self.tell(pointer, format!("{after} instead of {before}"));
        }
    }

    /// What was taken out or put in place of what others say, and no longer is.
    fn edits(&mut self, pointer: &str, whose: &str, (before, after): (&HeaderEdits, &HeaderEdits)) {
        let lower = |name: &String| name.to_ascii_lowercase();
        let held = |edits: &HeaderEdits| -> BTreeSet<String> {
            let set = edits.set.keys().map(lower);
            set.chain(edits.remove.iter().map(lower)).collect()
        };
        let (before, after) = (held(before), held(after));
        for name in before.difference(&after) {
            self.tell(pointer, format!("{whose} {name} is no longer held back"));
        }
    }

    /// Conditions that are no longer asked.
    fn asks_less(&mut self, before: &Route, after: &Route) {
        let (old, new) = (&before.matching, &after.matching);
        let more_methods = !old.methods.is_empty()
            && (new.methods.is_empty()
                || new
                    .methods
                    .iter()
                    .any(|method| !old.methods.contains(method)));
        if more_methods {
            let detail = if new.methods.is_empty() {
                "takes every method".to_owned()
            } else {
                format!("takes {}", new.methods.join(", "))
            };
            self.tell("/match/methods", detail);
        }
        for header in &old.headers {
            let name = header.name.to_ascii_lowercase();
            let mut asked = new.headers.iter();
            if !asked.any(|header| header.name.to_ascii_lowercase() == name) {
                self.tell(
                    "/match/headers",
                    format!("no longer asks for header {name}"),
                );
            }
        }
        for query in &old.query {
            if !new.query.iter().any(|other| other.name == query.name) {
                let detail = format!("no longer asks for query parameter {}", query.name);
                self.tell("/match/query", detail);
            }
        }
    }
}
