//! What must hold for any bytes. In: one byte that chooses the type of resource, then the resource. Used by the fuzz
//! target and by the test that runs the corpus.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use xds::compile::compile;
use xds::config::Config;
use xds::explain::{Outcome, explain};
use xds::matcher::RequestView;
use xds::resource::Resource;
use xds::resource::virtual_host::{Domain, VirtualHost};
use xds::reuse::virtual_hosts_in;
use xds::route::{PathMatch, Route};
use xds::route_table::{Lookup, RouteTable};
use xds::snapshot::Snapshot;
use xds::type_url::ResourceType;

/// Of a large resource only so many virtual hosts, and of each only so many routes, are asked for.
const ASKED: usize = 8;

struct Request {
    host: String,
    path: String,
}

impl RequestView for Request {
    fn host(&self) -> &str {
        &self.host
    }
    fn method(&self) -> &'static str {
        "GET"
    }
    fn path(&self) -> &str {
        &self.path
    }
    fn query(&self) -> Option<&'static str> {
        Some("a=1&b")
    }
    fn header(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        name.len().is_multiple_of(2).then_some(Cow::Borrowed(b"on"))
    }
}

/// Decodes, compiles and asks.
pub(crate) fn check(input: &[u8]) {
    let Some((ty, bytes)) = input.split_first() else {
        return;
    };
    let ty = ResourceType::ALL[usize::from(*ty) % ResourceType::ALL.len()];
    match Resource::decode(ty, Bytes::copy_from_slice(bytes), None) {
        Err(problems) => assert!(!problems.is_empty(), "what is refused has a reason"),
        Ok(resource) => {
            assert_eq!(resource.ty(), ty);
            assert!(!resource.name().is_empty());
            assert!(!resource.delta_entry().is_empty());
            use_it(Arc::new(resource));
        }
    }
}

fn use_it(resource: Arc<Resource>) {
    let (config, _problems) = compile(&Snapshot::from_iter([resource.clone()]));
    let hosts = virtual_hosts_in(&resource);
    let (table, _refused) = RouteTable::new(hosts);
    for host in hosts.iter().take(ASKED) {
        for request in requests(host) {
            let found = table.find(&request);
            assert_eq!(position(found), walk(&table, &request), "{}", request.path);
            check_explained(&config, &request);
        }
    }
}

fn position(found: Lookup<'_>) -> Option<usize> {
    let Lookup::Found {
        virtual_host,
        route,
    } = found
    else {
        return None;
    };
    let mut routes = virtual_host.routes.routes().iter();
    routes.position(|other| Arc::ptr_eq(other, route))
}

/// The winner without the index.
fn walk(table: &RouteTable, request: &Request) -> Option<usize> {
    let host = table.virtual_host(&request.host)?;
    let mut routes = host.routes.routes().iter();
    routes.position(|route| route.matches(request))
}

fn check_explained(config: &Config, request: &Request) {
    for listener in &config.listeners {
        let explained = match explain(config, listener, request).outcome {
            Outcome::Route(winner) => Some(winner.position),
            Outcome::NoRoute | Outcome::NoHost => None,
        };
        assert_eq!(explained, position(listener.routes.find(request)));
    }
}

/// Requests near to what the virtual host asks for.
fn requests(host: &VirtualHost) -> Vec<Request> {
    let name = host.domains.first().map_or(String::new(), host_for);
    let routes = host.routes.routes().iter().take(ASKED);
    let mut paths: Vec<String> = routes.flat_map(|route| paths(route)).collect();
    paths.push("/".into());
    let request = |path| Request {
        host: name.clone(),
        path,
    };
    paths.into_iter().map(request).collect()
}

fn host_for(domain: &Domain) -> String {
    match domain {
        Domain::Exact(name) => name.to_string(),
        Domain::Suffix(suffix) => format!("x{suffix}"),
        Domain::Prefix(prefix) => format!("{prefix}x"),
        Domain::Any => "any.example".into(),
    }
}

fn paths(route: &Route) -> [String; 4] {
    let text = match &route.path {
        PathMatch::Exact(text) | PathMatch::Prefix(text) | PathMatch::SegmentPrefix(text) => {
            text.as_str()
        }
        PathMatch::Regex { pattern, .. } => pattern,
    };
    [
        text.to_owned(),
        format!("{text}/x"),
        format!("{text}x"),
        text.to_ascii_uppercase(),
    ]
}
