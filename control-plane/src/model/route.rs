//! Route: which requests, and what happens to them: forwarded, redirected or answered.

pub mod action;
pub mod condition;
pub mod headers;
pub mod matching;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use self::action::{Forward, Redirect, Respond, Rewrite, Scheme, WeightedCluster};
pub use self::condition::{Condition, HeaderMatch, QueryMatch};
pub use self::headers::HeaderEdits;
pub use self::matching::{Match, PathMatch};

use super::duration::Duration;
use super::problem::{Check, Code};
use super::{is_default, slow_lane, text};

/// Which requests, and what happens to them. Exactly one of `forward`, `redirect` and `respond` is given.
///
/// Of the routes that name the most specific matching host the first that matches wins, in this order: higher
/// priority; exact path, then regex (longer first), then prefix (longer first, segment before string); more header
/// conditions; more query conditions; methods given; name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// Its name.
    #[schema(pattern = "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", example = "products")]
    pub name: String,
    /// The hosts it answers for: `shop.example`, `*.shop.example`, `shop.*`; every host that no other route names if
    /// not given (`*`).
    #[serde(default, skip_serializing_if = "is_default")]
    pub hosts: Vec<String>,
    /// A higher one stands before a lower one, whatever they match.
    #[serde(default, skip_serializing_if = "is_default")]
    pub priority: i32,
    /// The listeners it is served on; all if not given.
    #[serde(default, skip_serializing_if = "is_default")]
    pub listeners: Vec<String>,
    /// What a request must look like; everything matches if not given.
    #[serde(default, rename = "match", skip_serializing_if = "is_default")]
    pub matching: Match,
    /// Send the request to a cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forward: Option<Forward>,
    /// Answer with another place to go to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redirect: Option<Redirect>,
    /// Answer at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub respond: Option<Respond>,
    /// Change the path of a forwarded request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rewrite: Option<Rewrite>,
    /// Longest time from a whole request to the end of its response; 15 s if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    /// Longest pause of a forwarded request in either direction; 5 min if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_timeout: Option<Duration>,
    /// Edits of a forwarded request.
    #[serde(default, skip_serializing_if = "is_default")]
    pub request_headers: HeaderEdits,
    /// Edits of the response.
    #[serde(default, skip_serializing_if = "is_default")]
    pub response_headers: HeaderEdits,
}

slow_lane!(Route, Route, routes);

/// What a route does, once it is known to do exactly one thing.
#[derive(Clone, Copy, Debug)]
pub enum Action<'a> {
    /// Send the request to a cluster.
    Forward(&'a Forward),
    /// Answer with another place to go to.
    Redirect(&'a Redirect),
    /// Answer at once.
    Respond(&'a Respond),
}

impl Route {
    /// The hosts it answers for, `*` if it names none.
    pub fn host_patterns(&self) -> impl Iterator<Item = &str> {
        let any = self.hosts.is_empty().then_some("*");
        any.into_iter().chain(self.hosts.iter().map(String::as_str))
    }

    /// Whether it is served on a listener.
    pub fn serves(&self, listener: &str) -> bool {
        self.listeners.is_empty() || self.listeners.iter().any(|name| name == listener)
    }

    /// What it does; the first, should it say more than one thing.
    pub fn action(&self) -> Option<Action<'_>> {
        let forward = self.forward.as_ref().map(Action::Forward);
        let redirect = self.redirect.as_ref().map(Action::Redirect);
        forward
            .or(redirect)
            .or(self.respond.as_ref().map(Action::Respond))
    }

    fn check(&self, check: &mut Check) {
        check.rule("name", text::name(&self.name));
        check.each("hosts", &self.hosts, |check, host| {
            if let Err(detail) = text::host_pattern(host) {
                check.problem(Code::Invalid, detail);
            }
        });
        check.distinct("hosts", &self.hosts, "host");
        check.distinct("listeners", &self.listeners, "listener");
        check.at("match", |check| self.matching.check(check));
        self.check_action(check);
        self.check_what_forwarding_needs(check);
        check.at("request_headers", |check| self.request_headers.check(check));
        check.at("response_headers", |check| {
            self.response_headers.check(check);
        });
    }

    fn check_action(&self, check: &mut Check) {
        let given = [
            ("forward", self.forward.is_some()),
            ("redirect", self.redirect.is_some()),
            ("respond", self.respond.is_some()),
        ];
        let mut given = given
            .into_iter()
            .filter_map(|(field, is)| is.then_some(field));
        match given.next() {
            None => check.problem(
                Code::Required,
                "a route has one of `forward`, `redirect` and `respond`",
            ),
            Some(first) => given.for_each(|other| {
                check.problem_at(
                    other,
                    Code::Invalid,
                    format!("a route does one thing, and this one has `{first}`"),
                );
            }),
        }
        if let Some(forward) = &self.forward {
            check.at("forward", |check| forward.check(check));
        }
        if let Some(redirect) = &self.redirect {
            check.at("redirect", |check| {
                redirect.check(check, self.matching.path.as_ref());
            });
        }
        if let Some(respond) = &self.respond {
            check.at("respond", |check| respond.check(check));
            let twice = |name: &&String| self.response_headers.set.contains_key(*name);
            for name in respond.headers.keys().filter(twice) {
                check.at("response_headers", |check| {
                    let detail = "`respond.headers` sets this field already";
                    check.at("set", |check| {
                        check.problem_at(name.as_str(), Code::Duplicate, detail);
                    });
                });
            }
        }
    }

    /// What has an effect only on a forwarded request is refused elsewhere: accepting it would mean ignoring it.
    fn check_what_forwarding_needs(&self, check: &mut Check) {
        if self.forward.is_none() && (self.redirect.is_some() || self.respond.is_some()) {
            let given = [
                ("rewrite", self.rewrite.is_some()),
                ("timeout", self.timeout.is_some()),
                ("idle_timeout", self.idle_timeout.is_some()),
                (
                    "request_headers",
                    self.request_headers != HeaderEdits::default(),
                ),
            ];
            for (field, _) in given.into_iter().filter(|(_, given)| *given) {
                check.problem_at(
                    field,
                    Code::Invalid,
                    "this has no effect on a route that does not forward",
                );
            }
        }
        for (field, timeout) in [
            ("timeout", self.timeout),
            ("idle_timeout", self.idle_timeout),
        ] {
            if timeout.is_some_and(|timeout| timeout.as_millis() == 0) {
                check.problem_at(field, Code::Invalid, "a timeout is longer than 0");
            }
        }
        if let Some(rewrite) = &self.rewrite {
            check.at("rewrite", |check| {
                action::check_new_prefix(check, &rewrite.path_prefix, self.matching.path.as_ref());
            });
        }
    }
}

#[cfg(test)]
mod tests;
