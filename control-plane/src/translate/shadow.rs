//! Routes that no request can reach, because one that is asked before them takes all that they would. Pure: a config
//! comes in, such pairs go out. What is found is certain; what only several routes together take is not looked for,
//! nor what a regular expression means.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use crate::model::route::PathMatch;
use crate::model::{Config, Route};

use super::precedence;

/// A route that takes nothing for one of its hosts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Shadowed {
    /// The route.
    pub route: String,
    /// The host for which it takes nothing, as routes name it.
    pub host: String,
    /// The route that takes it all.
    pub by: String,
}

/// Every route that another shadows whole, on any listener.
pub fn find(config: &Config) -> BTreeSet<Shadowed> {
    let hosts = config
        .listeners
        .keys()
        .flat_map(|listener| precedence::by_host(config, listener));
    let found = hosts.flat_map(|(host, routes)| within(host, &routes));
    found.collect()
}

/// `routes` in the order in which they are asked.
fn within(host: &str, routes: &[&Arc<Route>]) -> Vec<Shadowed> {
    let mut before: HashMap<Key<'_>, Vec<&Route>> = HashMap::new();
    let mut found = Vec::new();
    for route in routes {
        let own = key(route.matching.path.as_ref());
        let shadow = covering(own).into_iter().find_map(|key| {
            let earlier = before.get(&key)?.iter().take(LOOKED_AT_MAX);
            earlier.copied().find(|earlier| takes_all(earlier, route))
        });
        if let Some(earlier) = shadow {
            found.push(Shadowed {
                route: route.name.clone(),
                host: host.to_owned(),
                by: earlier.name.clone(),
            });
        }
        before.entry(own).or_default().push(route);
    }
    found
}

/// So many routes with one condition on the path are compared with each that follows: ten thousand of them must not
/// take ten thousand times as long.
const LOOKED_AT_MAX: usize = 100;

/// A condition on a path, for looking it up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Key<'p> {
    Exact(&'p str),
    Prefix(&'p str),
    StringPrefix(&'p str),
    Regex(&'p str),
}

fn key(path: Option<&PathMatch>) -> Key<'_> {
    match path {
        None => Key::Prefix("/"),
        Some(PathMatch::Exact(path)) => Key::Exact(path),
        Some(PathMatch::Prefix(prefix)) => Key::Prefix(prefix),
        Some(PathMatch::StringPrefix(prefix)) => Key::StringPrefix(prefix),
        Some(PathMatch::Regex(pattern)) => Key::Regex(pattern),
    }
}

/// Every condition that holds for each path for which this one holds.
fn covering(own: Key<'_>) -> Vec<Key<'_>> {
    let mut keys = vec![own, Key::Prefix("/"), Key::StringPrefix("/")];
    if let Key::Exact(path) | Key::Prefix(path) | Key::StringPrefix(path) = own {
        // As text, `/a` begins `/ab` as well: it is no whole segment until a slash follows.
        let whole_segment = !matches!(own, Key::StringPrefix(_));
        let begins = (1..=path.len()).filter_map(|end| Some((end, path.get(..end)?)));
        for (end, begin) in begins {
            keys.push(Key::StringPrefix(begin));
            let ends_segment = path
                .as_bytes()
                .get(end)
                .map_or(whole_segment, |&b| b == b'/');
            if ends_segment {
                keys.push(Key::Prefix(begin));
            }
        }
    }
    keys
}

/// Whether every request that satisfies the other conditions of `later` satisfies those of `earlier`.
fn takes_all(earlier: &Route, later: &Route) -> bool {
    let (earlier, later) = (&earlier.matching, &later.matching);
    let methods = earlier.methods.is_empty()
        || !later.methods.is_empty() && is_subset(&later.methods, &earlier.methods);
    methods
        && is_subset(&earlier.headers, &later.headers)
        && is_subset(&earlier.query, &later.query)
}

fn is_subset<T: PartialEq>(some: &[T], of: &[T]) -> bool {
    some.iter().all(|item| of.contains(item))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::document::tests::config;

    fn found(routes: &str) -> Vec<String> {
        let yaml =
            format!("listeners: [{{name: web, address: 0.0.0.0, port: 80}}]\nroutes: [{routes}]");
        let shadowed = find(&config(&yaml)).into_iter();
        shadowed
            .map(|one| format!("{} {} {}", one.route, one.host, one.by))
            .collect()
    }

    #[test]
    fn a_route_that_an_earlier_one_takes_everything_from_is_found() {
        for (rule, routes) in [
            ("equal", "{name: a}, {name: z}"),
            (
                "a prefix of it, by priority",
                "{name: a, priority: 1, match: {path: {prefix: /x}}}, {name: z, match: {path: {exact: /x/y}}}",
            ),
            (
                "the same prefix",
                "{name: a, priority: 1, match: {path: {prefix: /x}}}, {name: z, match: {path: {prefix: /x}}}",
            ),
            (
                "text",
                "{name: a, priority: 1, match: {path: {string_prefix: /x}}}, {name: z, match: {path: {prefix: /xy}}}",
            ),
            (
                "everything",
                "{name: a, priority: 1}, {name: z, match: {path: {regex: '/.*'}}}",
            ),
            (
                "fewer conditions",
                "{name: a, priority: 1, match: {headers: [{name: h}]}}, {name: z, match: {headers: [{name: g}, {name: h}], methods: [GET]}}",
            ),
            (
                "more methods",
                "{name: a, match: {methods: [GET, HEAD]}}, {name: z, match: {methods: [HEAD]}}",
            ),
        ] {
            assert_eq!(found(routes), ["z * a"], "{rule}");
        }
    }

    #[test]
    fn a_route_that_some_request_reaches_is_not_found() {
        for routes in [
            "{name: a, match: {path: {exact: /x}}}, {name: z, match: {path: {prefix: /x}}}",
            "{name: a, priority: 1, match: {path: {prefix: /x}}}, {name: z, match: {path: {string_prefix: /x}}}",
            "{name: a, priority: 1, match: {path: {prefix: /x}}}, {name: z, match: {path: {exact: /xy}}}",
            "{name: a, priority: 1, match: {headers: [{name: h}]}}, {name: z}",
            "{name: a, match: {methods: [GET]}}, {name: z}",
            "{name: a, hosts: [x]}, {name: z}",
            "{name: a, listeners: [web]}, {name: z, hosts: ['*.x']}",
        ] {
            assert!(found(routes).is_empty(), "{routes}");
        }
    }

    #[test]
    fn only_the_hosts_for_which_nothing_is_left_are_named() {
        assert_eq!(
            found("{name: a, hosts: [x]}, {name: z, hosts: [x, y]}"),
            ["z x a"]
        );
    }
}
