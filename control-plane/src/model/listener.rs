//! Listener: an address that proxies accept HTTP on.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::problem::{Check, Code};
use super::{is_default, slow_lane, text};

/// An address that every proxy of the fleet listens on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Listener {
    /// Its name; routes refer to it.
    #[schema(pattern = "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", example = "web")]
    pub name: String,
    /// The IP address to listen on. For a wildcard address a proxy may be told another one when it starts.
    #[schema(value_type = String, example = "0.0.0.0")]
    pub address: IpAddr,
    /// The TCP port to listen on.
    #[schema(minimum = 1, example = 10_000)]
    pub port: u16,
    /// How many proxies in front of this one may write `X-Forwarded-For`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub trusted_hops: u32,
}

slow_lane!(Listener, Listener, listeners);

impl Listener {
    fn check(&self, check: &mut Check) {
        check.rule("name", text::name(&self.name));
        if self.port == 0 {
            check.problem_at("port", Code::Invalid, "a port is 1 to 65535");
        }
    }
}
