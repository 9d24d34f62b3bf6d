//! The routes of a listener → a `RouteConfiguration` of the same name and a `VirtualHost` for each host, named
//! `<route configuration>/<host>`. Our proxy gets the virtual hosts as resources of their own, so that one changed
//! route is one changed resource; every other client gets them inside.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use envoy_types::pb::envoy::config::route::v3::{RouteConfiguration, Vhds, VirtualHost};
use prost::Message as _;
use prost::encoding::{WireType, encode_key, encode_varint};
use xds::type_url::ResourceType;

use crate::model::Route;

use super::change::{ByHost, Change};
use super::host::{Host, Hosts};
use super::step::Step;
use super::{route, value};

/// The tag of `RouteConfiguration.virtual_hosts`.
const VIRTUAL_HOSTS_TAG: u32 = 2;

/// The names of the virtual hosts of each listener that were translated anew, or are gone.
pub(super) type Touched<'c> = BTreeMap<&'c str, Vec<Arc<str>>>;

/// Brings the virtual hosts of all listeners up to date; how many routes were translated for it.
pub(super) fn update<'c>(change: &Change<'c>, hosts: &mut Hosts) -> (Touched<'c>, usize) {
    let (mut touched, mut translated) = (Touched::new(), 0);
    let gone = change.listeners.iter().filter(|it| it.after.is_none());
    for changed in gone {
        let names = of_listener(hosts, changed.name).map(|(name, _)| name.clone());
        let names: Vec<_> = names.collect();
        for name in &names {
            hosts.remove(name);
        }
        touched.insert(changed.name, names);
    }
    for listener in change.after.listeners.keys() {
        let mut new = change.listeners.iter().filter(|it| it.before.is_none());
        let by_host = if new.any(|changed| changed.name == listener) {
            change.all_hosts(listener)
        } else {
            change.hosts(listener)
        };
        let names = update_one(listener, by_host, hosts, &mut translated);
        touched.insert(listener, names);
    }
    (touched, translated)
}

fn update_one(
    listener: &str,
    by_host: ByHost<'_>,
    hosts: &mut Hosts,
    translated: &mut usize,
) -> Vec<Arc<str>> {
    let mut names = Vec::with_capacity(by_host.len());
    for (pattern, routes) in by_host {
        let name: Arc<str> = format!("{listener}/{pattern}").into();
        if routes.is_empty() {
            hosts.remove(&name);
        } else {
            *translated += routes.len();
            hosts.insert(
                name.clone(),
                Arc::new(virtual_host(&name, pattern, &routes)),
            );
        }
        names.push(name);
    }
    names
}

/// The virtual hosts of a listener. No listener's name has a slash in it.
pub(super) fn of_listener<'h>(
    hosts: &'h Hosts,
    listener: &str,
) -> impl Iterator<Item = (&'h Arc<str>, &'h Arc<Host>)> {
    let prefix: Arc<str> = format!("{listener}/").into();
    let from = hosts.range(prefix.clone()..);
    from.take_while(move |(name, _)| name.starts_with(&*prefix))
}

/// The resources of our own proxy. The route configuration does not change with its routes.
pub(super) fn apart(
    listener: &str,
    is_new: bool,
    touched: &[Arc<str>],
    hosts: &Hosts,
    step: &mut Step,
) {
    for name in touched {
        match hosts.get(name) {
            Some(host) => step.put_bytes(ResourceType::VirtualHost, name, host.bytes.clone()),
            None => step.remove(ResourceType::VirtualHost, name),
        }
    }
    if is_new {
        let vhds = Vhds {
            config_source: Some(value::ads()),
        };
        let message = RouteConfiguration {
            vhds: Some(vhds),
            ..frame(listener)
        };
        step.put(ResourceType::RouteConfiguration, listener, &message);
    }
}

/// The resource of everybody else.
pub(super) fn inside(listener: &str, hosts: &Hosts, step: &mut Step) {
    let hosts = of_listener(hosts, listener).map(|(_, host)| &host.bytes);
    let bytes = join(&frame(listener), hosts);
    step.put_bytes(ResourceType::RouteConfiguration, listener, bytes);
}

fn frame(listener: &str) -> RouteConfiguration {
    RouteConfiguration {
        name: listener.to_owned(),
        ignore_port_in_host_matching: true,
        ..Default::default()
    }
}

/// Encodes a route configuration with virtual hosts that are encoded already, as if it had been encoded in one go: fields
/// stand in the order of their tags, and only the name comes before the virtual hosts.
fn join<'h>(frame: &RouteConfiguration, hosts: impl Iterator<Item = &'h Bytes>) -> Bytes {
    let name = RouteConfiguration {
        name: frame.name.clone(),
        ..Default::default()
    };
    let mut bytes = name.encode_to_vec();
    let rest = frame.encode_to_vec().split_off(bytes.len());
    for host in hosts {
        encode_key(VIRTUAL_HOSTS_TAG, WireType::LengthDelimited, &mut bytes);
        encode_varint(host.len() as u64, &mut bytes);
        bytes.extend_from_slice(host);
    }
    bytes.extend(rest);
    bytes.into()
}

fn virtual_host(name: &str, pattern: &str, routes: &[&Arc<Route>]) -> Host {
    let mut origins = Vec::with_capacity(routes.len());
    let mut messages = Vec::with_capacity(routes.len());
    for &route in routes {
        for message in route::translate(route) {
            messages.push(message);
            origins.push(route.clone());
        }
    }
    let message = VirtualHost {
        name: name.to_owned(),
        domains: vec![pattern.to_owned()],
        routes: messages,
        ..Default::default()
    };
    Host {
        pattern: pattern.to_owned(),
        routes: origins,
        bytes: message.encode_to_vec().into(),
        has_stand_in: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_joined_has_the_bytes_of_what_is_encoded_in_one_go() {
        let hosts: Vec<_> = ["a", "b", ""]
            .map(|domain| VirtualHost {
                name: format!("web/{domain}"),
                domains: vec![domain.repeat(100)],
                ..Default::default()
            })
            .into();
        let encoded: Vec<Bytes> = hosts
            .iter()
            .map(|host| host.encode_to_vec().into())
            .collect();
        let whole = RouteConfiguration {
            virtual_hosts: hosts,
            ..frame("web")
        };
        assert_eq!(join(&frame("web"), encoded.iter()), whole.encode_to_vec());
        let none = join(&frame("web"), [].iter());
        assert_eq!(none, frame("web").encode_to_vec());
    }
}
