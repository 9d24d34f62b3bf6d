//! RouteConfiguration: the virtual hosts of a listener. `envoy.config.route.v3.RouteConfiguration`.

use std::collections::HashSet;
use std::sync::Arc;

use envoy_types::pb::envoy::config::route::v3::{
    RouteConfiguration as RouteConfigurationMessage, Vhds,
};

use crate::problem::{Check, Code, Problem, refuse_if_set};
use crate::type_url::ResourceType;

use super::value;
use super::virtual_host::{self, VirtualHost};

/// A validated route configuration. Hosts are matched without their port (`ignore_port_in_host_matching: true`).
#[derive(Debug)]
pub struct RouteConfiguration {
    /// Its name; listeners refer to it, and the names of its virtual hosts that come by VHDS begin with it.
    pub name: Arc<str>,
    /// The virtual hosts that stand in it.
    pub virtual_hosts: Box<[Arc<VirtualHost>]>,
    /// More virtual hosts come as resources of their own, named `<this name>/<host>`.
    pub vhds: bool,
}

/// Reads a route configuration that came as a resource of its own.
pub(super) fn convert(
    message: RouteConfigurationMessage,
) -> Result<RouteConfiguration, Vec<Problem>> {
    let mut check = Check::new(ResourceType::RouteConfiguration, &message.name);
    let routes = convert_in(&mut check, message);
    check.finish(Some(routes))
}

/// Reads a route configuration where it stands; what is wrong is noted in `check`.
pub(super) fn convert_in(
    check: &mut Check,
    message: RouteConfigurationMessage,
) -> RouteConfiguration {
    let RouteConfigurationMessage {
        name,
        virtual_hosts,
        vhds,
        internal_only_headers,
        response_headers_to_add,
        response_headers_to_remove,
        request_headers_to_add,
        request_headers_to_remove,
        // Matters only between levels, and there is one level.
        most_specific_header_mutations_wins: _,
        validate_clusters,
        max_direct_response_body_size_bytes,
        cluster_specifier_plugins,
        request_mirror_policies,
        // Hosts are always matched without their port: one reading of a request for everybody.
        ignore_port_in_host_matching: _,
        vhost_header,
        ignore_path_parameters_in_path_matching,
        typed_per_filter_config,
        // Opaque to a proxy whose filters do not read it.
        metadata: _,
        route_specifiers,
    } = message;
    refuse_if_set!(
        check,
        internal_only_headers,
        response_headers_to_add,
        response_headers_to_remove
    );
    refuse_if_set!(
        check,
        request_headers_to_add,
        request_headers_to_remove,
        max_direct_response_body_size_bytes
    );
    refuse_if_set!(
        check,
        cluster_specifier_plugins,
        request_mirror_policies,
        vhost_header
    );
    refuse_if_set!(
        check,
        ignore_path_parameters_in_path_matching,
        typed_per_filter_config,
        route_specifiers
    );
    if validate_clusters.is_some_and(|validate| validate.value) {
        check.problem_at(
            "validate_clusters",
            Code::Unsupported,
            "a route to a missing cluster is served with its cluster-not-found status",
        );
    }
    let has_vhds = vhds.is_some();
    if let Some(Vhds { config_source }) = vhds {
        check.at("vhds", |check| {
            value::ads_source(check, "config_source", config_source);
        });
    }
    let hosts: Vec<Arc<VirtualHost>> = check.at("virtual_hosts", |check| {
        let read = virtual_hosts.into_iter().enumerate();
        read.filter_map(|(index, message)| {
            check
                .at(index, |check| virtual_host::convert_in(check, message))
                .map(Arc::new)
        })
        .collect()
    });
    refuse_twice(check, &hosts);
    RouteConfiguration {
        name: name.into(),
        virtual_hosts: hosts.into(),
        vhds: has_vhds,
    }
}

/// A domain may stand once in a route configuration, and so may a virtual host's name.
fn refuse_twice(check: &mut Check, hosts: &[Arc<VirtualHost>]) {
    let (mut domains, mut names) = (HashSet::new(), HashSet::new());
    check.at("virtual_hosts", |check| {
        for (index, host) in hosts.iter().enumerate() {
            check.at(index, |check| {
                if !names.insert(&host.name) {
                    check.problem_at(
                        "name",
                        Code::Duplicate,
                        format!("the name {:?} stands twice", host.name),
                    );
                }
                for domain in &host.domains {
                    if !domains.insert(domain) {
                        check.problem_at(
                            "domains",
                            Code::Duplicate,
                            format!("the domain {domain} stands twice"),
                        );
                    }
                }
            });
        }
    });
}
