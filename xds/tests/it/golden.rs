//! Cases as data: each file in `tests/golden` holds resources as Envoy writes them, the problems they must give, and
//! requests with the answers they must get. Nothing more and nothing less: an unexpected problem fails too.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;
use xds::compile::compile;
use xds::config::{Config, ServedListener};
use xds::matcher::RequestView;
use xds::problem::Problem;
use xds::resource::Resource;
use xds::route::{Action, ClusterChoice, Route};
use xds::route_table::Lookup;
use xds::snapshot::Snapshot;
use xds::type_url::ResourceType;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    resources: Vec<Value>,
    #[serde(default)]
    problems: Vec<String>,
    /// `METHOD host/path?query [name=value …]` → `virtual host / route → what it does`.
    #[serde(default)]
    requests: BTreeMap<String, String>,
}

#[test]
fn every_case_gives_its_problems_and_its_answers() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut cases = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let case: Case = yaml_serde::from_str(&std::fs::read_to_string(&path).unwrap())
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        check(&path.file_name().unwrap().to_string_lossy(), case);
        cases += 1;
    }
    assert!(cases >= 6, "the cases are missing");
}

fn check(name: &str, case: Case) {
    let (snapshot, mut problems) = decode(&case.resources);
    let (config, unfit) = compile(&snapshot);
    problems.extend(unfit);
    let found: Vec<String> = problems
        .iter()
        .map(|problem| format!("{}: {problem}", problem.code))
        .collect();
    assert_eq!(found, case.problems, "{name}: problems");
    for (request, wanted) in &case.requests {
        assert_eq!(
            answer(&config, &Request::parse(request)),
            *wanted,
            "{name}: {request}"
        );
    }
}

fn decode(resources: &[Value]) -> (Snapshot, Vec<Problem>) {
    let (mut snapshot, mut problems) = (Snapshot::default(), Vec::new());
    for resource in resources {
        let (type_url, bytes) =
            proto::json::from_json(resource).unwrap_or_else(|error| panic!("{error}: {resource}"));
        let ty = ResourceType::from_type_url(&type_url)
            .unwrap_or_else(|| panic!("{type_url} is not a resource"));
        match Resource::decode(ty, bytes.into(), None) {
            Ok(resource) => snapshot.insert(Arc::new(resource)),
            Err(found) => problems.extend(found),
        }
    }
    (snapshot, problems)
}

fn answer(config: &Config, request: &Request) -> String {
    let listener: &ServedListener = config.listeners.first().expect("the case has a listener");
    match listener.routes.find(request) {
        Lookup::Found {
            virtual_host,
            route,
        } => format!("{} / {} → {}", virtual_host.name, route.name, action(route)),
        Lookup::NoRoute(virtual_host) => format!("{} / no route", virtual_host.name),
        Lookup::NoHost => "no host".into(),
    }
}

fn action(route: &Route) -> String {
    match &route.action {
        Action::Forward(forward) => match &forward.cluster {
            ClusterChoice::One(cluster) => cluster.to_string(),
            ClusterChoice::Weighted(weighted) => forward
                .cluster
                .names()
                .map(|name| {
                    let share = (0..weighted.total())
                        .filter(|draw| weighted.pick(*draw).name == *name)
                        .count();
                    format!("{name} {share}/{}", weighted.total())
                })
                .collect::<Vec<_>>()
                .join(", "),
        },
        Action::Redirect(redirect) => format!("redirect {}", redirect.status),
        Action::Respond(respond) => format!("respond {}", respond.status),
    }
}

struct Request {
    method: String,
    host: String,
    path: String,
    query: Option<String>,
    headers: Vec<(String, String)>,
}

impl Request {
    fn parse(text: &str) -> Self {
        let mut words = text.split(' ');
        let (method, target) = (words.next().unwrap(), words.next().unwrap());
        let (target, query) = target
            .split_once('?')
            .map_or((target, None), |(target, query)| (target, Some(query)));
        let (host, path) = target.split_at(target.find('/').unwrap());
        let headers = words
            .map(|word| word.split_once('=').unwrap())
            .map(|(name, value)| (name.into(), value.into()));
        Self {
            method: method.into(),
            host: host.into(),
            path: path.into(),
            query: query.map(Into::into),
            headers: headers.collect(),
        }
    }
}

impl RequestView for Request {
    fn host(&self) -> &str {
        &self.host
    }
    fn method(&self) -> &str {
        &self.method
    }
    fn path(&self) -> &str {
        &self.path
    }
    fn query(&self) -> Option<&str> {
        self.query.as_deref()
    }
    fn header(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        let value = self
            .headers
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value);
        value.map(|value| Cow::Borrowed(value.as_bytes()))
    }
}
