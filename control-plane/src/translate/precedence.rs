//! The order of routes. The API is an unordered set; on the wire the order of the list decides, first match wins. This
//! file alone turns one into the other: first the host, then the route within it.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::route::PathMatch;
use crate::model::{Config, Route};

/// The routes that a listener serves for each host, in the order in which they are asked. A route stands with every
/// host it names; one that names none stands with `*`.
pub fn by_host<'c>(config: &'c Config, listener: &str) -> BTreeMap<&'c str, Vec<&'c Arc<Route>>> {
    by_host_among(config.routes.values(), listener, |_| true)
}

/// As [`by_host`], of some routes for some hosts.
pub fn by_host_among<'c>(
    routes: impl Iterator<Item = &'c Arc<Route>>,
    listener: &str,
    wanted: impl Fn(&str) -> bool,
) -> BTreeMap<&'c str, Vec<&'c Arc<Route>>> {
    let mut ordered: Vec<_> = routes.filter(|route| route.serves(listener)).collect();
    ordered.sort_by_cached_key(|route| rank(route));
    let mut hosts: BTreeMap<&str, Vec<&Arc<Route>>> = BTreeMap::new();
    for route in ordered {
        for host in route.host_patterns().filter(|host| wanted(host)) {
            let routes = hosts.entry(host).or_default();
            // A route that names a host twice is refused; until it is, it stands there once.
            if !routes.last().is_some_and(|last| Arc::ptr_eq(last, route)) {
                routes.push(route);
            }
        }
    }
    hosts
}

/// Most specific first: the order in which a request's host is looked for among patterns.
pub fn host_rank(pattern: &str) -> (u8, Reverse<usize>, &str) {
    let kind = match pattern {
        "*" => 3,
        _ if pattern.ends_with('*') => 2,
        _ if pattern.starts_with('*') => 1,
        _ => 0,
    };
    (kind, Reverse(pattern.len()), pattern)
}

/// What is compared, from the most to the least important; smaller comes first.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Rank<'r> {
    priority: Reverse<i32>,
    path: PathRank,
    headers: Reverse<usize>,
    query: Reverse<usize>,
    any_method: bool,
    name: &'r str,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum PathRank {
    /// All alike: of two exact paths at most one matches, unless they are equal.
    Exact,
    /// The longer pattern first.
    Regex(Reverse<usize>),
    /// The longer first; of equal length the one by segments (`false`) before the one by text.
    Prefix(Reverse<usize>, bool),
}

fn rank(route: &Route) -> Rank<'_> {
    let conditions = &route.matching;
    Rank {
        priority: Reverse(route.priority),
        path: path_rank(conditions.path.as_ref()),
        headers: Reverse(conditions.headers.len()),
        query: Reverse(conditions.query.len()),
        any_method: conditions.methods.is_empty(),
        name: &route.name,
    }
}

fn path_rank(path: Option<&PathMatch>) -> PathRank {
    match path {
        Some(PathMatch::Exact(_)) => PathRank::Exact,
        Some(PathMatch::Regex(pattern)) => PathRank::Regex(Reverse(pattern.len())),
        Some(PathMatch::Prefix(prefix)) => PathRank::Prefix(Reverse(prefix.len()), false),
        Some(PathMatch::StringPrefix(prefix)) => PathRank::Prefix(Reverse(prefix.len()), true),
        // No condition is the prefix `/`.
        None => PathRank::Prefix(Reverse(1), false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::document::tests::config;

    fn order(yaml: &str) -> Vec<String> {
        let config = config(yaml);
        by_host(&config, "web")
            .remove("*")
            .unwrap()
            .iter()
            .map(|route| route.name.clone())
            .collect()
    }

    /// Each row names two routes, of which the first stands before the second, although its name comes after.
    #[test]
    fn each_rule_of_precedence_decides_where_the_rules_before_it_do_not() {
        let rows = [
            (
                "priority",
                "priority: 1, match: {path: {prefix: /}}",
                "match: {path: {exact: /a}}",
            ),
            (
                "exact before regex",
                "match: {path: {exact: /a}}",
                "match: {path: {regex: '/a[a-z0-9]{1,100}'}}",
            ),
            (
                "regex before prefix",
                "match: {path: {regex: '/.'}}",
                "match: {path: {prefix: /a/long/prefix}}",
            ),
            (
                "longer regex",
                "match: {path: {regex: '/a.'}}",
                "match: {path: {regex: '/.'}, headers: [{name: a}]}",
            ),
            (
                "longer prefix",
                "match: {path: {string_prefix: /ab}}",
                "match: {path: {prefix: /a}, headers: [{name: a}]}",
            ),
            (
                "segment before string",
                "match: {path: {prefix: /ab}}",
                "match: {path: {string_prefix: /ab}, methods: [GET]}",
            ),
            (
                "any path is the prefix /",
                "match: {path: {prefix: /a}}",
                "priority: 0",
            ),
            (
                "more headers",
                "match: {headers: [{name: a}, {name: b}]}",
                "match: {headers: [{name: a}], query: [{name: q}, {name: r}]}",
            ),
            (
                "more query",
                "match: {query: [{name: q}]}",
                "match: {methods: [GET]}",
            ),
            ("methods", "match: {methods: [GET, HEAD]}", "priority: 0"),
        ];
        for (rule, first, second) in rows {
            let yaml = format!("routes: [{{name: z, {first}}}, {{name: a, {second}}}]");
            assert_eq!(order(&yaml), ["z", "a"], "{rule}");
        }
    }

    #[test]
    fn the_name_decides_last() {
        assert_eq!(
            order("routes: [{name: b}, {name: a}, {name: c}]"),
            ["a", "b", "c"]
        );
    }

    #[test]
    fn a_route_stands_with_each_of_its_hosts_and_on_its_listeners_only() {
        let config = config(
            "
            routes:
              - {name: a, hosts: [x, '*.x', x]}
              - {name: b, hosts: [x], listeners: [web]}
              - {name: c, hosts: [x], listeners: [other]}",
        );
        let hosts = by_host(&config, "web");
        let names = |host: &str| {
            hosts[host]
                .iter()
                .map(|route| route.name.as_str())
                .collect::<Vec<_>>()
        };
        assert_eq!(hosts.keys().copied().collect::<Vec<_>>(), ["*.x", "x"]);
        assert_eq!(names("x"), ["a", "b"]);
        assert_eq!(names("*.x"), ["a"]);
    }

    #[test]
    fn hosts_are_looked_for_from_the_most_specific_to_the_least() {
        let mut patterns = ["*", "a.*", "*.b", "b.long.*", "*.a.b", "x"];
        patterns.sort_by_key(|pattern| host_rank(pattern));
        assert_eq!(patterns, ["x", "*.a.b", "*.b", "b.long.*", "a.*", "*"]);
    }
}
