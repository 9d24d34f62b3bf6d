//! The kinds of things that `get`, `describe` and `delete` know: their names, where the API has them, what a table says
//! of each.

use clap::ValueEnum;
use clap::builder::{EnumValueParser, PossibleValue, StringValueParser, TypedValueParser};
use yaml_serde::Value;

use super::client::Client;
use super::target::Target;

/// A kind, by its plural, its singular or its short name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Kind {
    /// Addresses that proxies listen on (listener, li)
    #[value(aliases = ["listener", "li"])]
    Listeners,
    /// Which requests, and what happens to them (route, rt)
    #[value(aliases = ["route", "rt"])]
    Routes,
    /// Groups of endpoints (cluster, cl)
    #[value(aliases = ["cluster", "cl"])]
    Clusters,
    /// The fast lane: endpoints of clusters with `discovery: api` (endpoint, ep)
    #[value(aliases = ["endpoint", "ep"])]
    Endpoints,
    /// Sets of proxies with one config (fleet, fl)
    #[value(aliases = ["fleet", "fl"])]
    Fleets,
    /// Proxies that are, or were, connected (node, no)
    #[value(aliases = ["node", "no"])]
    Nodes,
    /// States of the config (revision, rev)
    #[value(aliases = ["revision", "rev"])]
    Revisions,
}

/// What stands first: `routes`, or `routes/hello`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Choice {
    pub(super) kind: Kind,
    pub(super) name: Option<String>,
}

/// Reads a [`Choice`], and tells the kinds to `--help` and to completions.
#[derive(Clone, Copy, Debug)]
pub(super) struct ChoiceParser;

/// Things of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Chosen {
    pub(super) kind: Kind,
    /// None: all of them.
    pub(super) names: Vec<String>,
}

impl Kind {
    /// Its name in URLs, and in ids such as `routes/hello`.
    pub(super) fn plural(self) -> &'static str {
        match self {
            Self::Listeners => "listeners",
            Self::Routes => "routes",
            Self::Clusters => "clusters",
            Self::Endpoints => "endpoints",
            Self::Fleets => "fleets",
            Self::Nodes => "nodes",
            Self::Revisions => "revisions",
        }
    }

    /// The name of one.
    pub(super) fn singular(self) -> &'static str {
        match self {
            Self::Endpoints => "endpoints of cluster",
            _ => self.plural().trim_end_matches('s'),
        }
    }

    /// The field that tells one from another.
    fn key(self) -> &'static str {
        match self {
            Self::Listeners | Self::Routes | Self::Clusters | Self::Fleets => "name",
            Self::Endpoints => "cluster",
            Self::Nodes => "id",
            Self::Revisions => "number",
        }
    }

    /// The name of an item.
    pub(super) fn name(self, item: &Value) -> String {
        text(item, self.key())
    }

    /// Where all are.
    pub(super) fn all(self, client: &Client) -> Target {
        match self {
            Self::Fleets => Target::new(["fleets"]),
            _ => client.of_fleet([self.plural()]),
        }
    }

    /// Where one is.
    pub(super) fn one(self, client: &Client, name: &str) -> Target {
        match self {
            Self::Fleets => Target::new(["fleets", name]),
            _ => client.of_fleet([self.plural(), name]),
        }
    }

    /// The head of its table.
    pub(super) fn head(self) -> &'static [&'static str] {
        match self {
            Self::Listeners => &["NAME", "ADDRESS", "PORT"],
            Self::Routes => &["NAME", "HOSTS", "MATCH", "ACTION"],
            Self::Clusters => &["NAME", "ENDPOINTS", "LOAD BALANCING"],
            Self::Endpoints => &["CLUSTER", "ENDPOINTS"],
            Self::Fleets => &["NAME", "REVISION", "CREATED"],
            Self::Nodes => &[
                "ID",
                "CLASS",
                "CONNECTED",
                "SENT",
                "ACKED",
                "LIVE",
                "ZONE",
                "REFUSED",
            ],
            Self::Revisions => &["REVISION", "AUTHOR", "CREATED", "MESSAGE"],
        }
    }

    /// The row of an item.
    pub(super) fn row(self, item: &Value) -> Vec<String> {
        let fields = |names: &[&str]| names.iter().map(|name| text(item, name)).collect();
        match self {
            Self::Listeners => fields(&["name", "address", "port"]),
            Self::Routes => vec![
                text(item, "name"),
                hosts(item),
                matching(item),
                action(item),
            ],
            Self::Clusters => vec![text(item, "name"), endpoints(item), load_balancing(item)],
            Self::Endpoints => vec![text(item, "cluster"), endpoints(item)],
            Self::Fleets => fields(&["name", "revision", "created_at"]),
            Self::Nodes => node(item),
            Self::Revisions => fields(&["number", "author", "created_at", "message"]),
        }
    }
}

impl Choice {
    /// Joins what stands first with the names behind it.
    pub(super) fn with(&self, more: &[String]) -> Result<Vec<Chosen>, String> {
        let Some(first) = &self.name else {
            return Ok(vec![Chosen {
                kind: self.kind,
                names: more.to_vec(),
            }]);
        };
        let chosen = |kind, name: &str| Chosen {
            kind,
            names: vec![name.to_owned()],
        };
        let mut all = vec![chosen(self.kind, first)];
        for id in more {
            let (kind, name) = id
                .split_once('/')
                .ok_or_else(|| format!("{id:?} is no KIND/NAME, as what stands before it is"))?;
            all.push(chosen(Kind::from_str(kind, false)?, name));
        }
        Ok(all)
    }
}

impl TypedValueParser for ChoiceParser {
    type Value = Choice;

    fn parse_ref(
        &self,
        command: &clap::Command,
        argument: Option<&clap::Arg>,
        value: &std::ffi::OsStr,
    ) -> Result<Choice, clap::Error> {
        let text = StringValueParser::new().parse_ref(command, argument, value)?;
        let (kind, name) = match text.split_once('/') {
            Some((kind, name)) => (kind, Some(name.to_owned())),
            None => (text.as_str(), None),
        };
        let kind = EnumValueParser::<Kind>::new().parse_ref(command, argument, kind.as_ref())?;
        Ok(Choice { kind, name })
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        let kinds = Kind::value_variants().iter();
        Some(Box::new(kinds.filter_map(Kind::to_possible_value)))
    }
}

/// A field as text; empty if it is not there.
pub(super) fn text(item: &Value, field: &str) -> String {
    match item.get(field) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        Some(Value::Bool(flag)) => flag.to_string(),
        Some(other) => serde_json::to_string(other).unwrap_or_default(),
    }
}

/// A field as a list; empty if it is not there.
pub(super) fn list<'v>(item: &'v Value, field: &str) -> &'v [Value] {
    item.get(field)
        .and_then(Value::as_sequence)
        .map_or(&[], Vec::as_slice)
}

fn words(item: &Value, field: &str) -> Vec<String> {
    let words = list(item, field).iter().filter_map(Value::as_str);
    words.map(str::to_owned).collect()
}

fn hosts(route: &Value) -> String {
    match words(route, "hosts") {
        hosts if hosts.is_empty() => "*".to_owned(),
        hosts => hosts.join(", "),
    }
}

/// `GET prefix /products, 1 header`
fn matching(route: &Value) -> String {
    let Some(matching) = route.get("match") else {
        return "everything".to_owned();
    };
    let mut parts = Vec::new();
    let methods = words(matching, "methods").join("|");
    let path = matching.get("path").and_then(Value::as_mapping);
    let path = path
        .and_then(|path| path.iter().next())
        .map(|(kind, value)| {
            format!(
                "{} {}",
                kind.as_str().unwrap_or_default(),
                value.as_str().unwrap_or_default()
            )
        });
    let first = [Some(methods).filter(|methods| !methods.is_empty()), path];
    parts.extend(
        first
            .into_iter()
            .flatten()
            .reduce(|methods, path| format!("{methods} {path}")),
    );
    for (field, one) in [("headers", "header"), ("query", "query parameter")] {
        match list(matching, field).len() {
            0 => {}
            1 => parts.push(format!("1 {one}")),
            count => parts.push(format!("{count} {one}s")),
        }
    }
    parts.join(", ")
}

/// `forward catalog 90, catalog-next 10`
fn action(route: &Value) -> String {
    if let Some(forward) = route.get("forward") {
        let weighted = list(forward, "clusters").iter();
        let weighted =
            weighted.map(|target| format!("{} {}", text(target, "name"), text(target, "weight")));
        let targets = match forward.get("cluster").and_then(Value::as_str) {
            Some(cluster) => cluster.to_owned(),
            None => weighted.collect::<Vec<_>>().join(", "),
        };
        return format!("forward {targets}");
    }
    match (route.get("redirect"), route.get("respond")) {
        (Some(redirect), _) => format!(
            "redirect {} {}",
            text(redirect, "status"),
            text(redirect, "host")
        )
        .trim_end()
        .replace("  ", " "),
        (None, Some(respond)) => format!("respond {}", text(respond, "status")),
        (None, None) => String::new(),
    }
}

/// The addresses, as far as a line has room for them.
fn endpoints(cluster: &Value) -> String {
    const SHOWN: usize = 3;
    if cluster.get("endpoints").is_none() {
        return match cluster.get("dns") {
            Some(dns) => format!("dns {}:{}", text(dns, "host"), text(dns, "port")),
            None => format!("discovery {}", text(cluster, "discovery")),
        };
    }
    let all = list(cluster, "endpoints");
    let address = |endpoint: &Value| match text(endpoint, "address") {
        address if address.contains(':') => format!("[{address}]:{}", text(endpoint, "port")),
        address => format!("{address}:{}", text(endpoint, "port")),
    };
    let mut shown: Vec<String> = all.iter().take(SHOWN).map(address).collect();
    match all.len().saturating_sub(SHOWN) {
        _ if all.is_empty() => shown.push("none".to_owned()),
        0 => {}
        more => shown.push(format!("{more} more")),
    }
    shown.join(", ")
}

fn load_balancing(cluster: &Value) -> String {
    match text(cluster, "load_balancing") {
        default if default.is_empty() => "round_robin".to_owned(),
        other => other,
    }
}

fn node(node: &Value) -> Vec<String> {
    let connected = node.get("connected").and_then(Value::as_bool);
    let refused = node.get("refused").filter(|refused| !refused.is_null());
    let refused = refused.map(|refused| {
        format!(
            "{}: {}",
            text(refused, "revision"),
            text(refused, "message")
        )
    });
    let yes = if connected == Some(true) { "yes" } else { "no" };
    let revisions =
        ["sent_revision", "acked_revision", "live_revision"].map(|field| text(node, field));
    let mut row = vec![text(node, "id"), text(node, "class"), yes.to_owned()];
    row.extend(revisions);
    row.extend([text(node, "zone"), refused.unwrap_or_default()]);
    row
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(kind: Kind, yaml: &str) -> String {
        kind.row(&yaml_serde::from_str(yaml).unwrap()).join(" | ")
    }

    #[test]
    fn a_row_says_what_a_route_does() {
        let routes = [
            (
                "{name: a, hosts: [x, y], match: {path: {prefix: /p}, methods: [GET, HEAD], headers: [1]}, forward: {clusters: [{name: c, weight: 90}, {name: d, weight: 10}]}}",
                "a | x, y | GET|HEAD prefix /p, 1 header | forward c 90, d 10",
            ),
            (
                "{name: b, redirect: {host: n.example, status: 301}}",
                "b | * | everything | redirect 301 n.example",
            ),
            (
                "{name: c, match: {query: [1, 2]}, respond: {status: 200}}",
                "c | * | 2 query parameters | respond 200",
            ),
        ];
        for (route, expected) in routes {
            assert_eq!(row(Kind::Routes, route), expected);
        }
    }

    #[test]
    fn a_row_says_where_a_cluster_has_its_endpoints_from() {
        assert_eq!(
            row(
                Kind::Clusters,
                "{name: a, endpoints: [{address: \"::1\", port: 1}, {address: 1.2.3.4, port: 2}, {address: b, port: 3}, {address: c, port: 4}]}"
            ),
            "a | [::1]:1, 1.2.3.4:2, b:3, 1 more | round_robin"
        );
        assert_eq!(
            row(
                Kind::Clusters,
                "{name: a, discovery: api, load_balancing: random}"
            ),
            "a | discovery api | random"
        );
        assert_eq!(
            row(Kind::Endpoints, "{cluster: a, endpoints: []}"),
            "a | none"
        );
    }

    #[test]
    fn names_stand_behind_their_kind_or_are_ids_all_of_them() {
        let choice = |name: Option<&str>| Choice {
            kind: Kind::Routes,
            name: name.map(str::to_owned),
        };
        let chosen = |kind, names: &[&str]| Chosen {
            kind,
            names: names.iter().map(|name| (*name).to_owned()).collect(),
        };
        let more = ["a".to_owned(), "b/c".to_owned()];
        assert_eq!(
            choice(None).with(&more),
            Ok(vec![chosen(Kind::Routes, &["a", "b/c"])])
        );
        assert_eq!(
            choice(Some("x")).with(&["cl/y".to_owned()]),
            Ok(vec![
                chosen(Kind::Routes, &["x"]),
                chosen(Kind::Clusters, &["y"])
            ])
        );
        assert!(choice(Some("x")).with(&more).is_err());
    }
}
