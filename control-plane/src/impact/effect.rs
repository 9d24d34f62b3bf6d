//! What becomes of a request, and in what two answers to that differ. Routes are compared by what the operator's document says,
//! but for what only says which requests they take: so a field that is added to a route is compared from its first day.

use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::lookup::End;
use crate::model::Route;
use crate::model::route::Forward;

/// A kind of change, from what clients notice most to what they do not notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// No listener would accept it any more.
    NoListener,
    /// No route would take it: 404.
    NoRoute,
    /// It would be answered in another way: forwarded where it was answered, another status, another place to go to.
    Answer,
    /// It would go to other clusters, or to the same ones by other weights.
    Cluster,
    /// It is answered with 404 today, and would have a route.
    NewRoute,
    /// It or its response would be rewritten in another way.
    Rewrite,
    /// Other timeouts or retries.
    Timeouts,
    /// Something else of its route is different.
    Policy,
    /// Another route would take it, and do the same. It does not count as changed.
    SameEffect,
    /// A value decides that was not told. It does not count as changed.
    NotKnown,
}

impl Kind {
    /// Whether such requests count as changed.
    pub const fn counts(self) -> bool {
        !matches!(self, Self::SameEffect | Self::NotKnown)
    }
}

/// In what two answers differ.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Changed {
    pub(super) kind: Kind,
    /// The route that takes it today, and the one that would.
    pub(super) before: Option<String>,
    pub(super) after: Option<String>,
    /// A sentence for people.
    pub(super) detail: String,
}

impl Changed {
    /// Of a request that perhaps this one takes today.
    pub(super) fn not_known(perhaps: Option<&End>) -> Self {
        Self {
            kind: Kind::NotKnown,
            before: perhaps.and_then(name),
            after: None,
            detail: "depends on a value that is not kept".to_owned(),
        }
    }
}

fn name(end: &End) -> Option<String> {
    match end {
        End::Route(name) => Some(name.to_string()),
        End::NoListener | End::NoRoute => None,
    }
}

/// What a route is found by, and not what it does.
const FINDS: [&str; 5] = ["name", "hosts", "priority", "listeners", "match"];
const REWRITES: [&str; 3] = ["rewrite", "request_headers", "response_headers"];

/// In what the answers differ; `None` if they do not.
pub(super) fn compare(
    (old_end, old): (&End, Option<&Route>),
    (new_end, new): (&End, Option<&Route>),
) -> Option<Changed> {
    let (before, after) = (name(old_end), name(new_end));
    let changed = |kind, detail| {
        Some(Changed {
            kind,
            before: before.clone(),
            after: after.clone(),
            detail,
        })
    };
    match (old_end, new_end) {
        (End::Route(_), End::Route(_)) => {}
        (old, new) if old == new => return None,
        (_, End::NoListener) => {
            return changed(Kind::NoListener, "its listener would be gone".to_owned());
        }
        (_, End::NoRoute) => return changed(Kind::NoRoute, "would be 404".to_owned()),
        (_, End::Route(_)) => {
            let what = new.map(action).unwrap_or_default();
            return changed(Kind::NewRoute, format!("had no route, {what}"));
        }
    }
    let (Some(old), Some(new)) = (old, new) else {
        // A compiled route is always one of its config.
        return None;
    };
    let (kind, detail) = match difference(old, new) {
        Some(found) => found,
        None if before != after => (Kind::SameEffect, "another route does the same".to_owned()),
        None => return None,
    };
    changed(kind, detail)
}

/// The worst difference between what two routes do.
fn difference(old: &Route, new: &Route) -> Option<(Kind, String)> {
    if old.redirect != new.redirect || old.respond != new.respond {
        return Some((
            Kind::Answer,
            format!("{}, was: {}", action(new), action(old)),
        ));
    }
    if old.forward.as_ref().map(shares) != new.forward.as_ref().map(shares) {
        let detail = format!("{}, was: {}", action(new), action(old));
        return Some((Kind::Cluster, detail));
    }
    let fields = different_fields(old, new);
    let kind_of = |field: &String| match field.as_str() {
        field if REWRITES.contains(&field) => Kind::Rewrite,
        field if field.contains("timeout") || field.contains("retr") => Kind::Timeouts,
        _ => Kind::Policy,
    };
    let kind = fields.iter().map(kind_of).min()?;
    Some((kind, format!("differs in {}", fields.join(", "))))
}

/// The fields in which two routes differ, but for those that are compared by their meaning.
fn different_fields(old: &Route, new: &Route) -> Vec<String> {
    let (old, new) = (document(old), document(new));
    let mut names: Vec<&String> = old.keys().chain(new.keys()).collect();
    names.sort_unstable();
    names.dedup();
    let differ = names
        .into_iter()
        .filter(|name| old.get(*name) != new.get(*name));
    differ.cloned().collect()
}

fn document(route: &Route) -> Map<String, Value> {
    let Ok(Value::Object(mut fields)) = serde_json::to_value(route) else {
        return Map::new();
    };
    fields.retain(|name, _| !FINDS.contains(&name.as_str()) && name != "forward");
    fields
}

/// Each cluster with its part of all requests, in lowest terms: however it is written.
fn shares(forward: &Forward) -> Vec<(&str, u32)> {
    let targets = forward.targets().filter(|(_, weight)| *weight > 0);
    let mut shares: Vec<(&str, u32)> = targets.collect();
    let divisor = shares
        .iter()
        .fold(0, |divisor, (_, weight)| gcd(divisor, *weight));
    for (_, weight) in &mut shares {
        *weight /= divisor.max(1);
    }
    shares.sort_unstable();
    shares
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// What a route does, in a few words.
fn action(route: &Route) -> String {
    if let Some(forward) = &route.forward {
        let shares = shares(forward);
        let total: u64 = shares.iter().map(|(_, weight)| u64::from(*weight)).sum();
        let share = |(cluster, weight): &(&str, u32)| match shares.len() {
            1 => (*cluster).to_owned(),
            _ => {
                let percent = 100.0 * f64::from(*weight) / total.max(1) as f64;
                format!("{cluster} {percent:.0} %")
            }
        };
        let shares: Vec<String> = shares.iter().map(share).collect();
        return format!("to cluster {}", shares.join(", "));
    }
    if let Some(redirect) = &route.redirect {
        let part = |text: &Option<String>| text.clone().unwrap_or_default();
        let path = part(&redirect.path) + &part(&redirect.path_prefix);
        let place = format!("{}{path}", part(&redirect.host));
        return format!("redirected {} {place}", redirect.status)
            .trim_end()
            .to_owned();
    }
    match &route.respond {
        Some(respond) => format!("answered {}", respond.status),
        None => "nothing".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::document::tests::config;

    fn route(yaml: &str) -> Route {
        let config = config(&format!(
            "{{clusters: [{{name: a, discovery: api}}, {{name: b, discovery: api}}], routes: [{yaml}]}}"
        ));
        Route::clone(config.routes.values().next().unwrap())
    }

    fn kind(old: &str, new: &str) -> Option<Kind> {
        let (old, new) = (route(old), route(new));
        let end = |route: &Route| End::Route(route.name.as_str().into());
        compare((&end(&old), Some(&old)), (&end(&new), Some(&new))).map(|found| found.kind)
    }

    #[test]
    fn routes_are_told_apart_by_what_they_do() {
        let r = "{name: r, forward: {cluster: a}}";
        for (new, expected) in [
            (
                "{name: r, priority: 3, hosts: [x], forward: {clusters: [{name: a, weight: 7}, {name: b, weight: 0}]}}",
                None,
            ),
            ("{name: s, forward: {cluster: a}}", Some(Kind::SameEffect)),
            ("{name: r, forward: {cluster: b}}", Some(Kind::Cluster)),
            (
                "{name: r, forward: {clusters: [{name: a}, {name: b}]}}",
                Some(Kind::Cluster),
            ),
            ("{name: r, respond: {status: 200}}", Some(Kind::Answer)),
            (
                "{name: s, timeout: 1s, rewrite: {path_prefix: /x}, forward: {cluster: a}}",
                Some(Kind::Rewrite),
            ),
            (
                "{name: r, idle_timeout: 1s, forward: {cluster: a}}",
                Some(Kind::Timeouts),
            ),
        ] {
            assert_eq!(kind(r, new), expected, "{new}");
        }
    }
}
