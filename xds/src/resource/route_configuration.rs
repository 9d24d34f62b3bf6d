//! RouteConfiguration: the virtual hosts of a listener. `envoy.config.route.v3.RouteConfiguration`.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use envoy_types::pb::envoy::config::route::v3::{
    RouteConfiguration as RouteConfigurationMessage, Vhds, VirtualHost as VirtualHostMessage,
};

use crate::problem::{Check, Code, Problem, refuse_if_set};
use crate::route::LevelEdits;
use crate::type_url::ResourceType;

use super::virtual_host::{self, Content, VirtualHost};
use super::{header_edits, value};

/// `max_direct_response_body_size_bytes` if it is not set, as Envoy documents.
const DEFAULT_MAX_BODY_SIZE: usize = 4096;

/// A validated route configuration. Hosts are matched without their port (`ignore_port_in_host_matching: true`).
#[derive(Debug)]
pub struct RouteConfiguration {
    /// Its name; listeners refer to it, and the names of its virtual hosts that come by VHDS begin with it.
    pub name: Arc<str>,
    /// The virtual hosts that stand in it.
    pub virtual_hosts: Box<[Arc<VirtualHost>]>,
    /// What each of them was read from.
    contents: Box<[Content]>,
    /// More virtual hosts come as resources of their own, named `<this name>/<host>`.
    pub vhds: bool,
    /// Edits of heads, for all its virtual hosts.
    pub edits: LevelEdits,
    /// The last word in edits of heads has the route, not the route configuration.
    pub most_specific_header_mutations_wins: bool,
    /// A client that finds routes to clusters which are not there refuses the whole; else such routes answer by themselves.
    pub validates_clusters: bool,
    /// Longest body of a direct response, in bytes; Envoy's default is 4096.
    pub max_direct_response_body_size: usize,
}

impl RouteConfiguration {
    /// The routes of one of its virtual hosts whose direct response has a longer body than is allowed, by their
    /// position in the list, each with a sentence.
    pub(crate) fn oversized_bodies<'h>(
        &self,
        host: &'h VirtualHost,
    ) -> impl Iterator<Item = (usize, String)> + use<'h> {
        let max = self.max_direct_response_body_size;
        let routes = (host.longest_body > max).then(|| host.routes.routes());
        let lengths = routes.into_iter().flatten().map(|route| route.body_len());
        let oversized = lengths.enumerate().filter(move |(_, len)| *len > max);
        oversized.map(move |(index, len)| {
            let sentence = format!(
                "the body has {len} bytes, more than the {max} that the route configuration allows"
            );
            (index, sentence)
        })
    }
}

/// Reads a route configuration that came as a resource of its own. Virtual hosts that stand in the one `before` with the
/// same content keep their compiled form.
pub(super) fn convert(
    message: RouteConfigurationMessage,
    before: Option<&RouteConfiguration>,
) -> Result<RouteConfiguration, Vec<Problem>> {
    let mut check = Check::new(ResourceType::RouteConfiguration, &message.name);
    let routes = convert_in(&mut check, message, before);
    check.finish(Some(routes))
}

/// Reads a route configuration where it stands; what is wrong is noted in `check`.
pub(super) fn convert_in(
    check: &mut Check,
    message: RouteConfigurationMessage,
    before: Option<&RouteConfiguration>,
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
        most_specific_header_mutations_wins,
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
    let has_vhds = vhds.is_some();
    let validates_clusters = validate_clusters.is_some_and(|validate| validate.value);
    if validates_clusters && has_vhds {
        check.problem_at(
            "validate_clusters",
            Code::Unsupported,
            "virtual hosts that come by themselves cannot be held to it",
        );
    }
    if let Some(Vhds { config_source }) = vhds {
        check.at("vhds", |check| {
            value::ads_source(check, "config_source", config_source);
        });
    }
    let (hosts, contents) = convert_hosts(check, virtual_hosts, before);
    refuse_twice(check, &hosts);
    let edits = header_edits::convert(
        check,
        header_edits::Fields {
            request_headers_to_add,
            request_headers_to_remove,
            response_headers_to_add,
            response_headers_to_remove,
        },
    );
    let max_direct_response_body_size = max_direct_response_body_size_bytes
        .map_or(DEFAULT_MAX_BODY_SIZE, |max| {
            usize::try_from(max.value).unwrap_or(usize::MAX)
        });
    let configuration = RouteConfiguration {
        name: name.into(),
        virtual_hosts: hosts.into(),
        contents: contents.into(),
        vhds: has_vhds,
        edits,
        most_specific_header_mutations_wins,
        validates_clusters,
        max_direct_response_body_size,
    };
    refuse_oversized_bodies(check, &configuration);
    configuration
}

fn convert_hosts(
    check: &mut Check,
    messages: Vec<VirtualHostMessage>,
    before: Option<&RouteConfiguration>,
) -> (Vec<Arc<VirtualHost>>, Vec<Content>) {
    let known: HashMap<&Content, &Arc<VirtualHost>> = before
        .into_iter()
        .flat_map(|before| before.contents.iter().zip(&before.virtual_hosts))
        .collect();
    check.at("virtual_hosts", |check| {
        let read = messages.into_iter().enumerate();
        read.filter_map(|(index, message)| {
            let content = Content::of(&message);
            let host = match known.get(&content) {
                Some(host) => (*host).clone(),
                None => {
                    Arc::new(check.at(index, |check| virtual_host::convert_in(check, message))?)
                }
            };
            Some((host, content))
        })
        .unzip()
    })
}

fn refuse_oversized_bodies(check: &mut Check, configuration: &RouteConfiguration) {
    check.at("virtual_hosts", |check| {
        for (index, host) in configuration.virtual_hosts.iter().enumerate() {
            for (route, sentence) in configuration.oversized_bodies(host) {
                check.at(index, |check| {
                    check.at("routes", |check| {
                        check.at(route, |check| {
                            check.problem_at("direct_response", Code::Invalid, sentence);
                        });
                    });
                });
            }
        }
    });
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
