//! Cluster: a group of endpoints and how requests are balanced over them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::duration::Duration;
use super::endpoint::{Endpoint, check_list};
use super::problem::{Check, Code};
use super::{is_default, slow_lane, text};

/// Where requests are sent. Its endpoints stand in it, come through the API or are found by name: one of the three.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Cluster {
    /// Its name; routes refer to it.
    #[schema(pattern = "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", example = "catalog")]
    pub name: String,
    /// Its endpoints, as part of the revision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoints: Option<Vec<Endpoint>>,
    /// Where its endpoints come from, if they do not stand here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub discovery: Option<Discovery>,
    /// The name that its endpoints are found by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dns: Option<Dns>,
    /// How one endpoint among many is chosen.
    #[serde(default, skip_serializing_if = "is_default")]
    pub load_balancing: LoadBalancing,
    /// Longest time to open a connection; 5 s if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connect_timeout: Option<Duration>,
}

/// Where endpoints come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Discovery {
    /// They are put through the API, at any time.
    Api,
}

/// A name whose every address is an endpoint. Proxies look it up every few seconds and keep what they know while they get no
/// answer. IPv4 addresses count, or IPv6 ones if the name has no others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Dns {
    /// The name of a host.
    #[schema(example = "catalog.internal")]
    pub host: String,
    /// The TCP port at every address.
    #[schema(minimum = 1, example = 9001)]
    pub port: u16,
}

/// The load-balancing algorithm.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LoadBalancing {
    /// In turn, by weight.
    #[default]
    RoundRobin,
    /// The less loaded of two drawn at random.
    LeastRequest,
    /// At random, by weight.
    Random,
    /// By consistent hashing on a ring; not supported yet.
    RingHash,
    /// By consistent hashing with Maglev's table; not supported yet.
    Maglev,
}

slow_lane!(Cluster, Cluster, clusters);

impl Cluster {
    fn check(&self, check: &mut Check) {
        check.rule("name", text::name(&self.name));
        let sources = [
            ("endpoints", self.endpoints.is_some()),
            ("discovery", self.discovery.is_some()),
            ("dns", self.dns.is_some()),
        ];
        let mut given = sources.into_iter().filter(|(_, is_given)| *is_given);
        if given.next().is_none() {
            check.problem(
                Code::Required,
                "a cluster has `endpoints`, `discovery: api` or `dns`",
            );
        }
        for (field, _) in given {
            check.problem_at(
                field,
                Code::Invalid,
                "a cluster has one of `endpoints`, `discovery` and `dns`",
            );
        }
        check_list(check, self.endpoints.as_deref().unwrap_or_default());
        if let Some(dns) = &self.dns {
            check.at("dns", |check| dns.check(check));
        }
        if matches!(
            self.load_balancing,
            LoadBalancing::RingHash | LoadBalancing::Maglev
        ) {
            check.problem_at(
                "load_balancing",
                Code::Unsupported,
                "consistent hashing is not supported yet",
            );
        }
        if self
            .connect_timeout
            .is_some_and(|timeout| timeout.as_millis() == 0)
        {
            check.problem_at(
                "connect_timeout",
                Code::Invalid,
                "a timeout is longer than 0",
            );
        }
    }

    /// Whether its endpoints come through the fast lane.
    pub fn takes_endpoints(&self) -> bool {
        self.discovery == Some(Discovery::Api)
    }
}

impl Dns {
    fn check(&self, check: &mut Check) {
        check.rule("host", text::dns_name(&self.host));
        if self.port == 0 {
            check.problem_at("port", Code::Invalid, "a port is 1 to 65535");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pointers(json: &str) -> Vec<(String, Code)> {
        let cluster: Cluster = serde_json::from_str(json).unwrap();
        let mut check = Check::new(None);
        cluster.check(&mut check);
        check
            .finish()
            .into_iter()
            .map(|problem| (problem.pointer, problem.code))
            .collect()
    }

    #[test]
    fn endpoints_come_from_exactly_one_place() {
        assert_eq!(
            pointers(r#"{"name":"a"}"#),
            [(String::new(), Code::Required)]
        );
        assert_eq!(
            pointers(r#"{"name":"a","endpoints":[],"discovery":"api"}"#),
            [("/discovery".to_owned(), Code::Invalid)]
        );
        assert_eq!(
            pointers(
                r#"{"name":"a","endpoints":[],"discovery":"api","dns":{"host":"b","port":1}}"#
            ),
            [
                ("/discovery".to_owned(), Code::Invalid),
                ("/dns".to_owned(), Code::Invalid)
            ]
        );
        assert!(pointers(r#"{"name":"a","dns":{"host":"b.example","port":1}}"#).is_empty());
        assert!(pointers(r#"{"name":"a","discovery":"api"}"#).is_empty());
        assert!(pointers(r#"{"name":"a","endpoints":[]}"#).is_empty());
    }

    #[test]
    fn a_name_must_be_one_that_can_be_looked_up() {
        assert_eq!(
            pointers(r#"{"name":"a","dns":{"host":"b..example","port":0}}"#),
            [
                ("/dns/host".to_owned(), Code::Invalid),
                ("/dns/port".to_owned(), Code::Invalid)
            ]
        );
    }

    #[test]
    fn what_is_not_honoured_is_refused_by_name() {
        assert_eq!(
            pointers(
                r#"{"name":"a","discovery":"api","load_balancing":"maglev","connect_timeout":"0s"}"#
            ),
            [
                ("/load_balancing".to_owned(), Code::Unsupported),
                ("/connect_timeout".to_owned(), Code::Invalid)
            ]
        );
    }
}
