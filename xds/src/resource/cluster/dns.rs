//! Endpoints by name: what a cluster of type `STRICT_DNS` or `LOGICAL_DNS` says of them, and the endpoints that come of the
//! answers. Looking names up is the proxy's business. Envoy: "Service discovery", and the `dns_*` fields of `Cluster`.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use envoy_types::pb::envoy::config::cluster::v3::cluster::{
    DnsLookupFamily, RefreshRate as RefreshRateMessage,
};
use envoy_types::pb::envoy::config::endpoint::v3::ClusterLoadAssignment as ClusterLoadAssignmentMessage;
use envoy_types::pb::envoy::extensions::clusters::common::dns::v3::DnsLookupFamily as CommonFamily;
use envoy_types::pb::envoy::extensions::clusters::dns::v3::DnsCluster;
use envoy_types::pb::envoy::extensions::clusters::dns::v3::dns_cluster::RefreshRate as ExtensionRefreshRate;
use envoy_types::pb::google::protobuf::Duration as DurationMessage;

use crate::problem::{Check, Code, refuse_if_set};
use crate::resource::endpoint::{self, Endpoint};
use crate::resource::value;

/// `dns_refresh_rate` if it is not set, as Envoy documents.
const DEFAULT_REFRESH: Duration = Duration::from_secs(5);
/// Intervals must be longer than this: the validation rules of Envoy's messages.
const INTERVAL_MIN: Duration = Duration::from_millis(1);
/// `max_interval` if it is not set is so many times the base, as Envoy documents.
const DEFAULT_MAX_FACTOR: u32 = 10;
/// Longest name and label (RFC 1035, section 2.3.4).
const NAME_MAX: usize = 253;
const LABEL_MAX: usize = 63;

/// Endpoints that are found by name.
#[derive(Debug)]
pub struct Dns {
    /// What of an answer counts.
    pub kind: Kind,
    /// The names, with what every address of theirs gets.
    pub endpoints: Box<[Endpoint<(Host, u16)>]>,
}

/// What of an answer counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Every address is an endpoint (`STRICT_DNS`).
    Strict,
    /// There is one endpoint: new connections go to the first address (`LOGICAL_DNS`).
    Logical,
}

/// What stands in the place of an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// An address, after all.
    Address(IpAddr),
    /// A name.
    Name(Arc<Query>),
}

/// A question that is asked again and again. Clusters that ask the same share the answers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Query {
    /// The name, in lower case.
    pub name: Box<str>,
    /// How it is asked for.
    pub lookup: Lookup,
}

/// How names are looked up, and how often.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Lookup {
    /// Which addresses are wanted.
    pub family: Family,
    /// From an answer to the next question.
    pub refresh: Duration,
    /// If so, the answer's time to live takes the place of `refresh`.
    pub respect_ttl: bool,
    /// The next question comes later by up to this much.
    pub jitter: Duration,
    /// From a failure to the next question, if that is not `refresh`.
    pub failure: Option<Backoff>,
}

/// Pauses that double with every failure in a row and are drawn below that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Backoff {
    /// The first bound.
    pub base: Duration,
    /// The last one.
    pub max: Duration,
}

/// Which addresses of a name are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// IPv6, or else IPv4 (`AUTO`).
    V6Preferred,
    /// IPv4, or else IPv6.
    V4Preferred,
    /// IPv4.
    V4Only,
    /// IPv6.
    V6Only,
    /// Both.
    All,
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Name(query) => f.write_str(&query.name),
        }
    }
}

impl Dns {
    /// Reads what stands in `load_assignment`.
    pub(super) fn convert(
        check: &mut Check,
        kind: Kind,
        lookup: Lookup,
        load_assignment: Option<ClusterLoadAssignmentMessage>,
    ) -> Self {
        let host = |check: &mut Check, text: &str| convert_host(check, text, lookup);
        let (_, mut endpoints) = check.at("load_assignment", |check| {
            let message = load_assignment.unwrap_or_default();
            let read = endpoint::convert_list(check, message, |check, address| {
                value::host_and_port(check, address, host)
            });
            if kind == Kind::Logical && read.1.len() != 1 {
                check.problem_at(
                    "endpoints",
                    Code::Invalid,
                    "a cluster of type LOGICAL_DNS has exactly one endpoint",
                );
            }
            read
        });
        for endpoint in &mut endpoints {
            let name = || endpoint.address.0.to_string().into();
            endpoint.hostname.get_or_insert_with(name);
        }
        Self {
            kind,
            endpoints: endpoints.into(),
        }
    }

    /// What must be asked.
    pub fn queries(&self) -> impl Iterator<Item = &Arc<Query>> {
        self.endpoints
            .iter()
            .filter_map(|endpoint| match &endpoint.address.0 {
                Host::Name(query) => Some(query),
                Host::Address(_) => None,
            })
    }

    /// The endpoints that come of the answers, in an order that does not follow the rotation of answers.
    pub(crate) fn endpoints<'a>(
        &self,
        answer: impl Fn(&Query) -> Option<&'a [IpAddr]>,
    ) -> Box<[Endpoint]> {
        let mut found = Vec::new();
        for named in &self.endpoints {
            let (host, port) = &named.address;
            let mut addresses = match host {
                Host::Address(address) => vec![*address],
                Host::Name(query) => answer(query).unwrap_or_default().to_vec(),
            };
            match self.kind {
                Kind::Strict => addresses.sort_unstable(),
                Kind::Logical => addresses.truncate(1),
            }
            let endpoints = addresses.into_iter();
            found.extend(endpoints.map(|address| named.at(SocketAddr::new(address, *port))));
        }
        endpoint::distinct(found)
    }
}

/// The fields of `Cluster` that say how names are looked up.
pub(super) struct DnsFields {
    pub(super) dns_refresh_rate: Option<DurationMessage>,
    pub(super) dns_jitter: Option<DurationMessage>,
    pub(super) dns_failure_refresh_rate: Option<RefreshRateMessage>,
    pub(super) respect_dns_ttl: bool,
    pub(super) dns_lookup_family: i32,
}

impl DnsFields {
    /// They mean nothing in a cluster without names.
    pub(super) fn refuse(self, check: &mut Check) {
        let Self {
            dns_refresh_rate,
            dns_jitter,
            dns_failure_refresh_rate,
            respect_dns_ttl,
            dns_lookup_family,
        } = self;
        refuse_if_set!(
            check,
            dns_refresh_rate,
            dns_jitter,
            dns_failure_refresh_rate,
            respect_dns_ttl,
            dns_lookup_family
        );
    }

    pub(super) fn convert(self, check: &mut Check, kind: Kind) -> Lookup {
        let family = match DnsLookupFamily::try_from(self.dns_lookup_family) {
            Ok(DnsLookupFamily::Auto) => Some(Family::V6Preferred),
            Ok(DnsLookupFamily::V4Only) => Some(Family::V4Only),
            Ok(DnsLookupFamily::V6Only) => Some(Family::V6Only),
            Ok(DnsLookupFamily::V4Preferred) => Some(Family::V4Preferred),
            Ok(DnsLookupFamily::All) => Some(Family::All),
            Err(_) => None,
        };
        let failure = self.dns_failure_refresh_rate.map(|message| {
            let RefreshRateMessage {
                base_interval,
                max_interval,
            } = message;
            (base_interval, max_interval)
        });
        Lookup {
            family: check_family(check, kind, family),
            refresh: interval(check, "dns_refresh_rate", self.dns_refresh_rate)
                .unwrap_or(DEFAULT_REFRESH),
            respect_ttl: self.respect_dns_ttl,
            jitter: value::duration(check, "dns_jitter", self.dns_jitter).unwrap_or_default(),
            failure: failure.and_then(|failure| backoff(check, failure)),
        }
    }
}

/// Reads `envoy.extensions.clusters.dns.v3.DnsCluster`.
pub(super) fn convert_extension(check: &mut Check, message: DnsCluster) -> (Kind, Lookup) {
    let DnsCluster {
        dns_refresh_rate,
        dns_failure_refresh_rate,
        respect_dns_ttl,
        dns_jitter,
        typed_dns_resolver_config,
        dns_lookup_family,
        all_addresses_in_single_endpoint,
        dns_min_refresh_rate,
    } = message;
    refuse_if_set!(check, typed_dns_resolver_config, dns_min_refresh_rate);
    let kind = if all_addresses_in_single_endpoint {
        Kind::Logical
    } else {
        Kind::Strict
    };
    let family = match CommonFamily::try_from(dns_lookup_family) {
        Ok(CommonFamily::Unspecified | CommonFamily::Auto) => Some(Family::V6Preferred),
        Ok(CommonFamily::V4Only) => Some(Family::V4Only),
        Ok(CommonFamily::V6Only) => Some(Family::V6Only),
        Ok(CommonFamily::V4Preferred) => Some(Family::V4Preferred),
        Ok(CommonFamily::All) => Some(Family::All),
        Err(_) => None,
    };
    let failure = dns_failure_refresh_rate.map(|message| {
        let ExtensionRefreshRate {
            base_interval,
            max_interval,
        } = message;
        (base_interval, max_interval)
    });
    let lookup = Lookup {
        family: check_family(check, kind, family),
        refresh: interval(check, "dns_refresh_rate", dns_refresh_rate).unwrap_or(DEFAULT_REFRESH),
        respect_ttl: respect_dns_ttl,
        jitter: value::duration(check, "dns_jitter", dns_jitter).unwrap_or_default(),
        failure: failure.and_then(|failure| backoff(check, failure)),
    };
    (kind, lookup)
}

fn check_family(check: &mut Check, kind: Kind, family: Option<Family>) -> Family {
    match family {
        None => check.problem_at(
            "dns_lookup_family",
            Code::Invalid,
            "not a family of addresses",
        ),
        Some(Family::All) if kind == Kind::Logical => check.problem_at(
            "dns_lookup_family",
            Code::Unsupported,
            "ALL is supported where every address is an endpoint; here only the first one is used",
        ),
        Some(_) => {}
    }
    family.unwrap_or(Family::V6Preferred)
}

fn interval(
    check: &mut Check,
    field: &'static str,
    value: Option<DurationMessage>,
) -> Option<Duration> {
    let interval = value::duration(check, field, value)?;
    if interval <= INTERVAL_MIN {
        check.problem_at(field, Code::Invalid, "must be longer than 1 ms");
    }
    Some(interval)
}

fn backoff(
    check: &mut Check,
    (base, max): (Option<DurationMessage>, Option<DurationMessage>),
) -> Option<Backoff> {
    check.at("dns_failure_refresh_rate", |check| {
        if base.is_none() {
            check.problem_at("base_interval", Code::Required, "an interval is needed");
        }
        let base = interval(check, "base_interval", base);
        let max = interval(check, "max_interval", max);
        let base = base?;
        if max.is_some_and(|max| max < base) {
            check.problem_at(
                "max_interval",
                Code::Invalid,
                "must not be shorter than base_interval",
            );
        }
        Some(Backoff {
            base,
            max: max.unwrap_or(base.saturating_mul(DEFAULT_MAX_FACTOR)),
        })
    })
}

fn convert_host(check: &mut Check, text: &str, lookup: Lookup) -> Option<Host> {
    if let Ok(address) = text.parse() {
        return Some(Host::Address(address));
    }
    if !is_name(text) {
        check.problem(
            Code::Invalid,
            format!("{text:?} is neither the name of a host nor an IP address"),
        );
        return None;
    }
    Some(Host::Name(Arc::new(Query {
        name: text.to_ascii_lowercase().into(),
        lookup,
    })))
}

/// Whether the text can be looked up: labels of letters, digits, `-` and `_`; a dot at the end is the root.
fn is_name(text: &str) -> bool {
    let text = text.strip_suffix('.').unwrap_or(text);
    let is_label = |label: &str| {
        let known = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        (1..=LABEL_MAX).contains(&label.len()) && label.bytes().all(known)
    };
    text.len() <= NAME_MAX && text.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::endpoint::HealthStatus;

    const LOOKUP: Lookup = Lookup {
        family: Family::V4Only,
        refresh: DEFAULT_REFRESH,
        respect_ttl: false,
        jitter: Duration::ZERO,
        failure: None,
    };

    fn dns(kind: Kind, hosts: &[&str]) -> Dns {
        let mut check = Check::new(crate::type_url::ResourceType::Cluster, "c");
        let endpoint = |host: &&str| Endpoint {
            address: (convert_host(&mut check, host, LOOKUP).unwrap(), 80),
            hostname: None,
            weight: 3,
            zone: "z".into(),
            health: HealthStatus::Healthy,
        };
        Dns {
            kind,
            endpoints: hosts.iter().map(endpoint).collect(),
        }
    }

    fn found(dns: &Dns, answer: &[IpAddr]) -> Vec<String> {
        let endpoints = dns.endpoints(|query| (&*query.name == "a.example").then_some(answer));
        let endpoints = endpoints.iter();
        endpoints
            .map(|endpoint| endpoint.address.to_string())
            .collect()
    }

    #[test]
    fn every_address_of_every_name_is_an_endpoint_once_whatever_the_order() {
        let dns = dns(Kind::Strict, &["A.example", "127.0.0.9", "b.example"]);
        let (one, two) = ([127, 0, 0, 1].into(), [127, 0, 0, 9].into());
        let expected = ["127.0.0.1:80", "127.0.0.9:80"];
        assert_eq!(found(&dns, &[one, two]), expected);
        assert_eq!(found(&dns, &[two, one]), expected);
        assert_eq!(dns.queries().count(), 2);
    }

    #[test]
    fn of_a_logical_name_the_first_address_counts() {
        let dns = dns(Kind::Logical, &["a.example"]);
        let (one, two) = ([127, 0, 0, 1].into(), [127, 0, 0, 9].into());
        assert_eq!(found(&dns, &[two, one]), ["127.0.0.9:80"]);
        assert_eq!(found(&dns, &[]), Vec::<String>::new());
    }

    #[test]
    fn a_name_is_made_of_labels() {
        for name in ["localhost", "a.example.", "_http._tcp.a-b.example", "7"] {
            assert!(is_name(name), "{name}");
        }
        for wrong in ["", ".", "a..b", ".a", "a b", "a:80", "é.example"] {
            assert!(!is_name(wrong), "{wrong}");
        }
        assert!(!is_name(&"a".repeat(64)));
    }
}
