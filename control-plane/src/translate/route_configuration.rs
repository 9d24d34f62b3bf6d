//! The routes of a listener → a `RouteConfiguration` of the same name and a `VirtualHost` for each host, named
//! `<route configuration>/<host>`. Our proxy gets the virtual hosts as resources of their own, so that one changed
//! route is one changed resource; every other client gets them inside.

use std::sync::Arc;

use envoy_types::pb::envoy::config::route::v3::{RouteConfiguration, Vhds, VirtualHost};
use xds::node::ClientClass;
use xds::type_url::ResourceType;

use crate::model::{Config, Listener, Route};

use super::origin::{Host, Origin};
use super::{Translated, precedence, route, value};

pub(super) fn translate(
    config: &Config,
    listener: &Listener,
    class: ClientClass,
    translated: &mut Translated,
) {
    let hosts = precedence::by_host(config, &listener.name).into_iter();
    let hosts = hosts.map(|(pattern, routes)| virtual_host(listener, pattern, &routes));
    let mut message = RouteConfiguration {
        name: listener.name.clone(),
        ignore_port_in_host_matching: true,
        ..Default::default()
    };
    let mut inside = Vec::new();
    match class {
        ClientClass::Signalbox => {
            message.vhds = Some(Vhds {
                config_source: Some(value::ads()),
            });
            for (host, origin) in hosts {
                translated.add(
                    ResourceType::VirtualHost,
                    &host.name,
                    &host,
                    Origin::VirtualHost(origin),
                );
            }
        }
        ClientClass::Envoy | ClientClass::Grpc => (message.virtual_hosts, inside) = hosts.unzip(),
    }
    let origin = Origin::RouteConfiguration(inside);
    translated.add(
        ResourceType::RouteConfiguration,
        &listener.name,
        &message,
        origin,
    );
}

fn virtual_host(listener: &Listener, pattern: &str, routes: &[&Arc<Route>]) -> (VirtualHost, Host) {
    let mut origin = Host {
        pattern: pattern.to_owned(),
        routes: Vec::with_capacity(routes.len()),
    };
    let mut messages = Vec::with_capacity(routes.len());
    for &route in routes {
        for message in route::translate(route) {
            messages.push(message);
            origin.routes.push(route.clone());
        }
    }
    let message = VirtualHost {
        name: format!("{}/{pattern}", listener.name),
        domains: vec![pattern.to_owned()],
        routes: messages,
        ..Default::default()
    };
    (message, origin)
}
