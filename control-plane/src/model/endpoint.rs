//! Endpoints: the addresses of a cluster, in the cluster itself or put at any time through the fast lane.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::is_default;
use super::problem::{Check, Code, Problem};

/// The endpoints of a cluster with `discovery: api`. They are not part of a revision: proxies get them at once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Endpoints {
    /// The endpoints; may be empty.
    pub endpoints: Vec<Endpoint>,
}

/// One address that requests are sent to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Endpoint {
    /// An IP address, never a name.
    #[schema(value_type = String, example = "127.0.0.1")]
    pub address: IpAddr,
    /// The TCP port.
    #[schema(minimum = 1, example = 9001)]
    pub port: u16,
    /// The zone it is in.
    #[serde(default, skip_serializing_if = "is_default")]
    pub zone: String,
    /// Its share against the other endpoints.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    #[schema(minimum = 1, default = 1)]
    pub weight: u32,
}

/// Longest name of a zone.
const ZONE_MAX: usize = 63;

impl Endpoints {
    /// What is wrong with them; pointers are from the document.
    pub fn problems(&self) -> Vec<Problem> {
        let mut check = Check::new(None);
        check_list(&mut check, &self.endpoints);
        check.finish()
    }
}

/// Checks the field `endpoints`, wherever it stands.
pub(super) fn check_list(check: &mut Check, endpoints: &[Endpoint]) {
    check.each("endpoints", endpoints, |check, endpoint| {
        endpoint.check(check);
    });
    check.distinct(
        "endpoints",
        endpoints
            .iter()
            .map(|endpoint| (endpoint.address, endpoint.port)),
        "address",
    );
    let total: u64 = endpoints
        .iter()
        .map(|endpoint| u64::from(endpoint.weight))
        .sum();
    if total > u64::from(u32::MAX) {
        // The limit of `LocalityLbEndpoints.lb_endpoints` in Envoy, taken over all zones.
        check.problem_at(
            "endpoints",
            Code::Invalid,
            "the weights sum up to more than 4294967295",
        );
    }
}

impl Endpoint {
    fn check(&self, check: &mut Check) {
        if self.port == 0 {
            check.problem_at("port", Code::Invalid, "a port is 1 to 65535");
        }
        if self.weight == 0 {
            check.problem_at(
                "weight",
                Code::Invalid,
                "a weight is at least 1; leave the endpoint out to send it nothing",
            );
        }
        let visible =
            |text: &str| text.len() <= ZONE_MAX && text.bytes().all(|byte| byte.is_ascii_graphic());
        if !visible(&self.zone) {
            check.problem_at(
                "zone",
                Code::Invalid,
                "a zone is at most 63 visible ASCII characters",
            );
        }
    }
}

pub(super) const fn one() -> u32 {
    1
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde's skip_serializing_if passes a reference"
)]
pub(super) const fn is_one(weight: &u32) -> bool {
    *weight == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pointers(json: &str) -> Vec<String> {
        let endpoints: Endpoints = serde_json::from_str(json).unwrap();
        endpoints
            .problems()
            .into_iter()
            .map(|problem| problem.pointer)
            .collect()
    }

    #[test]
    fn every_problem_of_a_list_is_found_with_its_place() {
        let json = r#"{"endpoints":[
            {"address":"127.0.0.1","port":1},
            {"address":"127.0.0.1","port":1,"zone":"b"},
            {"address":"::1","port":0,"weight":0,"zone":"a b"}]}"#;
        assert_eq!(
            pointers(json),
            [
                "/endpoints/2/port",
                "/endpoints/2/weight",
                "/endpoints/2/zone",
                "/endpoints/1"
            ]
        );
    }

    #[test]
    fn weights_that_overflow_are_refused() {
        let json = r#"{"endpoints":[
            {"address":"127.0.0.1","port":1,"weight":4294967295},
            {"address":"127.0.0.1","port":2,"zone":"b"}]}"#;
        assert_eq!(pointers(json), ["/endpoints"]);
        assert!(pointers(r#"{"endpoints":[]}"#).is_empty());
    }
}
