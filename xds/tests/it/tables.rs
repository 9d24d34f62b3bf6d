//! Large generated tables, and the requests that ask them. The benches use them too.

use std::borrow::Cow;
use std::sync::Arc;

use envoy_types::pb::envoy::config::route::v3::route_match::PathSpecifier;
use envoy_types::pb::envoy::config::route::v3::{
    DirectResponseAction, Route, RouteMatch, VirtualHost as VirtualHostMessage, route,
};
use envoy_types::pb::envoy::r#type::matcher::v3::RegexMatcher;
use prost::Message;
use xds::matcher::RequestView;
use xds::resource::Resource;
use xds::resource::virtual_host::VirtualHost;
use xds::route_table::RouteTable;
use xds::type_url::ResourceType;

/// A GET without headers.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) host: String,
    pub(crate) path: String,
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
    fn query(&self) -> Option<&str> {
        None
    }
    fn header(&self, _name: &str) -> Option<Cow<'_, [u8]>> {
        None
    }
}

/// A request for one host of the tables.
pub(crate) fn get(host: impl Into<String>, path: impl Into<String>) -> Request {
    let (host, path) = (host.into(), path.into());
    Request { host, path }
}

/// One host with `count` paths: prefixes on segment borders, prefixes and exact ones, some under others.
pub(crate) fn paths(count: usize) -> VirtualHostMessage {
    let specifier = |index: usize| {
        let path = path(index);
        match index % 4 {
            0 => PathSpecifier::PathSeparatedPrefix(path),
            1 => PathSpecifier::Prefix(path),
            _ => PathSpecifier::Path(path),
        }
    };
    host("paths", "paths.example", (0..count).map(specifier))
}

/// The path of the route at `index` in [`paths`].
pub(crate) fn path(index: usize) -> String {
    let (area, item) = (index % 97, index / 97);
    format!("/area{area}/item{item}")
}

/// In [`regexes`], only so many of the first routes are without a fixed text: a quarter of them.
const WITHOUT_TEXT: usize = 1_000;

/// One host with `count` regular expressions of the kinds that people write.
pub(crate) fn regexes(count: usize) -> VirtualHostMessage {
    let regex = |index: usize| {
        let regex = match index % 4 {
            3 if index < WITHOUT_TEXT => format!("/[a-z]+/[0-9]{{{}}}", index % 40 + 1),
            2 => format!(".*/inner{index}/.*"),
            1 => format!("/svc{index}/[0-9]+/x"),
            _ => format!("/api/v1/[^/]+/orders{index}(/.*)?"),
        };
        PathSpecifier::SafeRegex(RegexMatcher {
            regex,
            ..Default::default()
        })
    };
    host("regexes", "regexes.example", (0..count).map(regex))
}

/// A path that the route at `index` in [`regexes`] matches.
pub(crate) fn regex_path(index: usize) -> String {
    match index % 4 {
        3 if index < WITHOUT_TEXT => format!("/items/{:0width$}", 7, width = index % 40 + 1),
        2 => format!("/a/b{index}/inner{index}/c"),
        1 => format!("/svc{index}/{index}/x"),
        _ => format!("/api/v1/x{index}/orders{index}/y"),
    }
}

/// `count` hosts with one route each: every fourth a wildcard.
pub(crate) fn hosts(count: usize) -> impl Iterator<Item = VirtualHostMessage> {
    (0..count).map(|index| {
        let domain = match index % 8 {
            0 => format!("*.team{index}.example"),
            1 => format!("team{index}.*"),
            _ => format!("team{index}.example"),
        };
        let all = PathSpecifier::Prefix("/".into());
        host(&format!("host{index}"), &domain, std::iter::once(all))
    })
}

/// A host that the virtual host at `index` in [`hosts`] answers for.
pub(crate) fn host_name(index: usize) -> String {
    match index % 8 {
        0 => format!("www.team{index}.example"),
        1 => format!("team{index}.test"),
        _ => format!("team{index}.example"),
    }
}

/// A virtual host with a route for each specifier, named by its position.
pub(crate) fn host(
    name: &str,
    domain: &str,
    specifiers: impl Iterator<Item = PathSpecifier>,
) -> VirtualHostMessage {
    let route = |(index, specifier)| Route {
        name: format!("{index}"),
        r#match: Some(RouteMatch {
            path_specifier: Some(specifier),
            ..Default::default()
        }),
        action: Some(route::Action::DirectResponse(DirectResponseAction {
            status: 200,
            ..Default::default()
        })),
        ..Default::default()
    };
    VirtualHostMessage {
        name: name.to_owned(),
        domains: vec![domain.to_owned()],
        routes: specifiers.enumerate().map(route).collect(),
        ..Default::default()
    }
}

/// The message as a resource.
pub(crate) fn resource(message: &VirtualHostMessage) -> Resource {
    let bytes = message.encode_to_vec().into();
    Resource::decode(ResourceType::VirtualHost, bytes, None).unwrap()
}

/// The message as the request path uses it.
pub(crate) fn compiled(message: &VirtualHostMessage) -> Arc<VirtualHost> {
    resource(message).body().as_virtual_host().unwrap().clone()
}

/// A table of these hosts alone.
pub(crate) fn table(hosts: &[Arc<VirtualHost>]) -> RouteTable {
    let (table, refused) = RouteTable::new(hosts);
    assert!(refused.is_empty());
    table
}
