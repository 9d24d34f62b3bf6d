//! RouteConfiguration: the virtual hosts of a listener. `envoy.config.route.v3.RouteConfiguration`.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use envoy_types::pb::envoy::config::route::v3::{
    RouteConfiguration as RouteConfigurationMessage, Vhds,
};
use prost::Message as _;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};

use crate::names::Names;
use crate::problem::{Check, Code, Problem, refuse_if_set};
use crate::route::LevelEdits;
use crate::type_url::ResourceType;

use super::virtual_host::{self, Content, Parts, VirtualHost};
use super::{header_edits, value};

/// `max_direct_response_body_size_bytes` if it is not set, as Envoy documents.
const DEFAULT_MAX_BODY_SIZE: usize = 4096;

/// The tag of `RouteConfiguration.virtual_hosts`.
const VIRTUAL_HOSTS_TAG: u32 = 2;

/// A validated route configuration. Hosts are matched without their port (`ignore_port_in_host_matching: true`).
#[derive(Debug)]
pub struct RouteConfiguration {
    /// Its name; listeners refer to it, and the names of its virtual hosts that come by VHDS begin with it.
    pub name: Arc<str>,
    /// The virtual hosts that stand in it.
    pub virtual_hosts: Box<[Arc<VirtualHost>]>,
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
        let lengths = host.routes.routes().iter().map(|route| route.body_len());
        let oversized = lengths.enumerate().filter(move |(_, len)| *len > max);
        oversized.map(move |(index, len)| {
            let sentence = format!(
                "the body has {len} bytes, more than the {max} that the route configuration allows"
            );
            (index, sentence)
        })
    }
}

/// Virtual hosts that were compiled already, by what they were read from.
#[derive(Debug, Default)]
pub(super) struct Known<'h>(HashMap<&'h Content, &'h Arc<VirtualHost>>);

impl<'h> FromIterator<&'h Arc<VirtualHost>> for Known<'h> {
    fn from_iter<I: IntoIterator<Item = &'h Arc<VirtualHost>>>(hosts: I) -> Self {
        Self(
            hosts
                .into_iter()
                .map(|host| (&host.content, host))
                .collect(),
        )
    }
}

/// A virtual host in a route configuration that is read.
#[derive(Debug)]
pub(super) enum Found<'b> {
    /// It was compiled before.
    Known(Arc<VirtualHost>),
    /// It is to be compiled.
    New(Box<Parts<'b>>, Content),
}

/// A route configuration apart from its virtual hosts, and those. Of what is known nothing but the hash is taken, so that
/// one changed host among ten thousand costs little more than itself. `None` if the bytes are no such message: whoever
/// reads them as one says why.
pub(super) fn read<'b>(
    bytes: &'b [u8],
    known: &Known<'_>,
) -> Option<(RouteConfigurationMessage, Vec<Found<'b>>)> {
    let (mut rest, mut frame, mut hosts) = (bytes, Vec::new(), Vec::new());
    while !rest.is_empty() {
        let field = rest;
        let (tag, wire_type) = decode_key(&mut rest).ok()?;
        if (tag, wire_type) == (VIRTUAL_HOSTS_TAG, WireType::LengthDelimited) {
            let length = usize::try_from(decode_varint(&mut rest).ok()?).ok()?;
            let (host, after) = rest.split_at_checked(length)?;
            hosts.push(read_host(host, known)?);
            rest = after;
        } else {
            skip_field(wire_type, tag, &mut rest, DecodeContext::default()).ok()?;
            frame.extend_from_slice(&field[..field.len() - rest.len()]);
        }
    }
    Some((RouteConfigurationMessage::decode(&*frame).ok()?, hosts))
}

fn read_host<'b>(bytes: &'b [u8], known: &Known<'_>) -> Option<Found<'b>> {
    let content = Content::of(bytes);
    if let Some(&host) = known.0.get(&content) {
        return Some(Found::Known(host.clone()));
    }
    let parts = Parts::of(bytes)?;
    Some(Found::New(Box::new(parts), content))
}

/// Reads a route configuration that came as a resource of its own.
pub(super) fn convert(
    message: RouteConfigurationMessage,
    hosts: Vec<Found<'_>>,
    names: &mut Names,
) -> Result<RouteConfiguration, Vec<Problem>> {
    let mut check = Check::new(ResourceType::RouteConfiguration, &message.name).sharing(names);
    let routes = convert_with(&mut check, message, hosts);
    check.give_back(names);
    check.finish(Some(routes))
}

/// As [`convert`], of a message that still has its virtual hosts.
pub(super) fn convert_whole(
    message: RouteConfigurationMessage,
) -> Result<RouteConfiguration, Vec<Problem>> {
    let mut check = Check::new(ResourceType::RouteConfiguration, &message.name);
    let routes = convert_in(&mut check, message);
    check.finish(Some(routes))
}

/// Reads a route configuration where it stands; what is wrong is noted in `check`.
pub(super) fn convert_in(
    check: &mut Check,
    mut message: RouteConfigurationMessage,
) -> RouteConfiguration {
    let hosts = std::mem::take(&mut message.virtual_hosts);
    let encoded: Vec<_> = hosts.iter().map(prost::Message::encode_to_vec).collect();
    let hosts = encoded.iter().filter_map(|bytes| {
        let parts = Parts::of(bytes)?;
        Some(Found::New(Box::new(parts), Content::of(bytes)))
    });
    convert_with(check, message, hosts.collect())
}

/// Reads a message whose virtual hosts were taken out.
fn convert_with(
    check: &mut Check,
    message: RouteConfigurationMessage,
    hosts: Vec<Found<'_>>,
) -> RouteConfiguration {
    let RouteConfigurationMessage {
        name,
        virtual_hosts: _,
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
    let hosts = convert_hosts(check, hosts);
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
        vhds: has_vhds,
        edits,
        most_specific_header_mutations_wins,
        validates_clusters,
        max_direct_response_body_size,
    };
    refuse_oversized_bodies(check, &configuration);
    configuration
}

fn convert_hosts(check: &mut Check, hosts: Vec<Found<'_>>) -> Vec<Arc<VirtualHost>> {
    check.at("virtual_hosts", |check| {
        let read = hosts.into_iter().enumerate();
        read.filter_map(|(index, host)| match host {
            Found::Known(host) => Some(host),
            Found::New(parts, content) => {
                let host = check.at(index, |check| {
                    virtual_host::convert_in(check, *parts, content)
                });
                host.map(Arc::new)
            }
        })
        .collect()
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
