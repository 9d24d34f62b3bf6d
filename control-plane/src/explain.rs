//! Why a request goes where it goes, in the operator's words. Pure: a config and a question come in, an
//! [`Explanation`] goes out. The request is read as the proxy reads it (`http-wire`), and its way is found by the
//! proxy's own tables (`xds::explain`), so this is an answer and not a guess.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use http_wire::canonical::{self, Refusal, Target};
use http_wire::head::{Invalid, RequestHead, Version};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use xds::config::{Config as Compiled, ServedListener};
use xds::explain::{Condition, Effect, NO_ROUTE_STATUS, Outcome, Share};
use xds::matcher::RequestView;
use xds::node::ClientClass;
use xds::route_table::Lookup;
use xds::snapshot::Snapshot;

use crate::model::duration::Duration;
use crate::model::route::Scheme;
use crate::model::timestamp::Timestamp;
use crate::model::{Config, Route};
use crate::translate::{self, FastLane};

/// A request that somebody asks about.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// The method.
    #[serde(default = "get")]
    #[schema(default = "GET")]
    pub method: String,
    /// The scheme; it is told with the answer, and no route looks at it.
    #[serde(default)]
    pub scheme: Option<Scheme>,
    /// The host, with a port if it is sent with one.
    #[schema(example = "shop.example")]
    pub host: String,
    /// The path, with the query if there is one.
    #[schema(example = "/products?lang=en")]
    pub path: String,
    /// The other fields of the head.
    #[serde(default)]
    #[schema(example = json!({"x-beta": "1"}))]
    pub headers: BTreeMap<String, String>,
    /// The listener that it arrives at; may be left out if there is one only.
    #[serde(default)]
    pub listener: Option<String>,
    /// The revision that is asked; the newest if not given.
    #[serde(default)]
    pub revision: Option<u64>,
    /// The node whose revision is asked, instead: the one that it serves, or served at that time.
    #[serde(default)]
    #[schema(example = "edge-1")]
    pub node: Option<String>,
    /// The time at which that node is asked; now if not given.
    #[serde(default)]
    pub at: Option<Timestamp>,
}

/// The way of a request.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Explanation {
    /// The listener that was asked.
    pub listener: String,
    /// What happens to the request.
    pub outcome: Decision,
    /// The status of the answer, if the proxy gives it by itself.
    pub status: Option<u16>,
    /// Why the proxy refuses the request.
    pub refusal: Option<&'static str>,
    /// The request as it is matched.
    pub request: Option<CanonicalRequest>,
    /// The xDS name of the virtual host that answers for the request's host.
    #[schema(example = "web/shop.example")]
    pub virtual_host: Option<String>,
    /// The routes that were asked before, and why each of them did not take the request; all if none took it.
    pub passed_over: Vec<PassedOver>,
    /// How many more were passed over because of their path.
    pub omitted: usize,
    /// The route that takes the request.
    pub route: Option<Route>,
    /// Where it sends the request.
    pub clusters: Vec<ClusterShare>,
    /// Longest time from the whole request to the end of the response; absent = without limit.
    pub timeout: Option<Duration>,
    /// Longest pause in either direction; absent = without limit.
    pub idle_timeout: Option<Duration>,
}

/// What happens to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// It has no meaning that every server agrees on, or asks to switch to a protocol that is not allowed.
    Refused,
    /// No virtual host answers for its host.
    NoHost,
    /// No route of the virtual host takes it.
    NoRoute,
    /// It is sent to a cluster.
    Forward,
    /// It is answered with another place to go to.
    Redirect,
    /// It is answered.
    Respond,
}

/// A request as it is matched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct CanonicalRequest {
    /// The scheme that was asked with.
    pub scheme: Option<Scheme>,
    /// In lower case, without port.
    pub host: String,
    /// Normalised, without query.
    pub path: String,
    /// What follows the first `?`.
    pub query: Option<String>,
}

/// A route that did not take the request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct PassedOver {
    /// Its position in the virtual host, from 0.
    pub position: usize,
    /// The route.
    pub route: String,
    /// The first of its conditions that does not hold: `path`, `method`, `header` or `query`.
    #[schema(example = "header")]
    pub failed: &'static str,
    /// The header or query parameter that the condition is about.
    pub name: Option<String>,
}

/// A cluster's part of the requests: `weight` in `total`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ClusterShare {
    /// The cluster.
    pub cluster: String,
    /// Its weight.
    pub weight: u32,
    /// The sum of all weights.
    pub total: u32,
    /// How many endpoints it has at the moment.
    pub endpoints: usize,
}

/// Why a question cannot be answered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExplainError {
    /// The listener is not there.
    #[error("there is no listener {0:?} at this revision")]
    NoSuchListener(String),
    /// It is not clear which one is meant.
    #[error("this revision has {0} listeners; say which one the request arrives at")]
    WhichListener(usize),
    /// What is stored cannot be served.
    #[error("what is stored at this revision cannot be served")]
    Unservable,
}

/// What a request gets that asks for a protocol which nobody allows, as from Envoy.
const UPGRADE_REFUSED_STATUS: u16 = 403;

/// A head as routing sees it.
struct View<'h>(&'h RequestHead);

fn get() -> String {
    "GET".to_owned()
}

/// Explains what our proxy does with a request.
///
/// # Errors
/// The question does not say which listener, or the config cannot be served.
pub fn explain(
    config: &Arc<Config>,
    fast_lane: &FastLane,
    served: &[Snapshot],
    question: &Question,
) -> Result<Explanation, ExplainError> {
    let name = listener(config, question)?;
    let mut explanation = Explanation::refused(name);
    let head = match read(question) {
        Ok(head) => head,
        Err(refusal) => {
            explanation.status = Some(400);
            explanation.refusal = Some(refusal);
            return Ok(explanation);
        }
    };
    explanation.request = Some(CanonicalRequest {
        scheme: question.scheme,
        host: head.host().to_owned(),
        path: head.path().to_owned(),
        query: head.query().map(str::to_owned),
    });
    if head.method() == "CONNECT" {
        // No route is for CONNECT.
        explanation.outcome = Decision::NoRoute;
        explanation.status = Some(NO_ROUTE_STATUS);
        return Ok(explanation);
    }
    let snapshot = translate::snapshot(config, fast_lane, ClientClass::Signalbox, served)
        .map_err(|_| ExplainError::Unservable)?;
    let (compiled, _) = xds::compile::compile(&snapshot);
    let served = compiled
        .listeners
        .iter()
        .find(|served| *served.listener.name == *name)
        .ok_or(ExplainError::Unservable)?;
    explanation.follow(config, &compiled, served, &View(&head));
    Ok(explanation)
}

fn listener<'c>(config: &'c Config, question: &Question) -> Result<&'c str, ExplainError> {
    let names = &mut config.listeners.keys();
    match &question.listener {
        Some(asked) => names
            .find(|name| ***name == **asked)
            .map(|name| &**name)
            .ok_or_else(|| ExplainError::NoSuchListener(asked.clone())),
        None => match (names.next(), names.next()) {
            (Some(only), None) => Ok(only),
            _ => Err(ExplainError::WhichListener(config.listeners.len())),
        },
    }
}

/// Reads the request as the proxy does, whose clients speak HTTP/1.1.
fn read(question: &Question) -> Result<RequestHead, &'static str> {
    let mut head = RequestHead::new();
    head.begin(&question.method, Version::Http11)
        .map_err(illegal)?;
    head.fields_mut()
        .push(b"host", question.host.as_bytes())
        .map_err(illegal)?;
    for (name, value) in &question.headers {
        let fields = head.fields_mut();
        fields
            .push(name.as_bytes(), value.as_bytes())
            .map_err(illegal)?;
    }
    let target = Target::parse(question.path.as_bytes()).map_err(Refusal::code)?;
    if target.authority.is_some() {
        return Err(Refusal::TargetForm.code());
    }
    canonical::read(&mut head, &target).map_err(Refusal::code)?;
    head.keep_upgrade().map_err(illegal)?;
    head.fields_mut().remove_hop_by_hop();
    Ok(head)
}

/// What no client can send: the proxy's codec refuses it before anybody asks what it means.
fn illegal(invalid: Invalid) -> &'static str {
    match invalid {
        Invalid::Name => "name_invalid",
        Invalid::Value | Invalid::Target => "value_invalid",
        Invalid::TooLarge => Refusal::TooLarge.code(),
    }
}

impl Explanation {
    fn refused(listener: &str) -> Self {
        Self {
            listener: listener.to_owned(),
            outcome: Decision::Refused,
            status: None,
            refusal: None,
            request: None,
            virtual_host: None,
            passed_over: Vec::new(),
            omitted: 0,
            route: None,
            clusters: Vec::new(),
            timeout: None,
            idle_timeout: None,
        }
    }

    fn follow(
        &mut self,
        config: &Config,
        compiled: &Compiled,
        listener: &ServedListener,
        request: &View<'_>,
    ) {
        let found = xds::explain::explain(compiled, listener, request);
        self.virtual_host = found.virtual_host.as_deref().map(str::to_owned);
        self.omitted = found.omitted;
        self.passed_over = found
            .passed_over
            .into_iter()
            .map(PassedOver::from)
            .collect();
        match found.outcome {
            Outcome::NoHost => self.answered(Decision::NoHost, NO_ROUTE_STATUS),
            Outcome::NoRoute => self.answered(Decision::NoRoute, NO_ROUTE_STATUS),
            Outcome::Route(winner) => {
                self.route = config
                    .routes
                    .get(&*winner.route)
                    .map(|route| Route::clone(route));
                self.take(compiled, winner.effect);
                if may_not_switch(listener, request) {
                    self.answered(Decision::Refused, UPGRADE_REFUSED_STATUS);
                    self.refusal = Some("upgrade_refused");
                    self.clusters.clear();
                }
            }
        }
    }

    fn answered(&mut self, outcome: Decision, status: u16) {
        self.outcome = outcome;
        self.status = Some(status);
    }

    fn take(&mut self, compiled: &Compiled, effect: Effect) {
        let duration = |time: Option<std::time::Duration>| {
            let ms = time?.as_millis();
            Some(Duration::from_millis(u64::try_from(ms).unwrap_or(u64::MAX)))
        };
        match effect {
            Effect::Redirect { status } => self.answered(Decision::Redirect, status),
            Effect::Respond { status } => self.answered(Decision::Respond, status),
            Effect::Forward {
                clusters,
                timeout,
                idle_timeout,
                ..
            } => {
                self.outcome = Decision::Forward;
                self.clusters = clusters
                    .into_iter()
                    .map(|share| cluster_share(compiled, &share))
                    .collect();
                self.timeout = duration(timeout);
                self.idle_timeout = duration(idle_timeout);
            }
        }
    }
}

/// Whether the request asks to switch to a protocol that neither its route nor the listener allows.
fn may_not_switch(listener: &ServedListener, request: &View<'_>) -> bool {
    match (request.0.upgrade(), listener.routes.find(request)) {
        (Some(protocol), Lookup::Found { route, .. }) => !listener.allows_upgrade(route, protocol),
        _ => false,
    }
}

fn cluster_share(compiled: &Compiled, share: &Share) -> ClusterShare {
    let cluster = compiled.clusters.get(&share.cluster);
    let endpoints = cluster.and_then(|cluster| cluster.endpoints.as_ref());
    ClusterShare {
        cluster: share.cluster.to_string(),
        weight: share.weight,
        total: share.total,
        endpoints: endpoints.map_or(0, |endpoints| endpoints.endpoints.len()),
    }
}

impl From<xds::explain::PassedOver> for PassedOver {
    fn from(passed: xds::explain::PassedOver) -> Self {
        let (failed, name) = match passed.failed {
            Condition::Path => ("path", None),
            Condition::Method => ("method", None),
            Condition::Header(name) => ("header", Some(name.into())),
            Condition::Query(name) => ("query", Some(name.into())),
        };
        Self {
            position: passed.position,
            route: passed.route.into(),
            failed,
            name,
        }
    }
}

impl RequestView for View<'_> {
    fn host(&self) -> &str {
        self.0.host()
    }

    fn method(&self) -> &str {
        self.0.method()
    }

    fn path(&self) -> &str {
        self.0.path()
    }

    fn query(&self) -> Option<&str> {
        self.0.query()
    }

    fn header(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        self.0.matched_field(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::document::tests::config;

    fn ask(question: &str) -> Explanation {
        let config = Arc::new(config(include_str!("../../examples/shop.yaml")));
        let question: Question = serde_json::from_str(question).unwrap();
        explain(&config, &FastLane::new(), &[], &question).unwrap()
    }

    #[test]
    fn the_winner_and_those_before_it_are_the_operator_s_routes() {
        let told = ask(
            r#"{"host": "SHOP.example:80", "path": "/products/./7?lang=eng", "headers": {"x-beta": "1"}}"#,
        );
        assert_eq!(told.outcome, Decision::Forward);
        assert_eq!(told.request.unwrap().path, "/products/7");
        assert_eq!(told.virtual_host.as_deref(), Some("web/shop.example"));
        let route = told.route.unwrap();
        assert_eq!(route.name, "products");
        assert!(route.rewrite.is_some());
        let passed = &told.passed_over[0];
        assert_eq!(
            (passed.route.as_str(), passed.failed, passed.name.as_deref()),
            ("products-beta", "query", Some("lang"))
        );
        let shares: Vec<_> = told
            .clusters
            .iter()
            .map(|share| {
                (
                    share.cluster.as_str(),
                    share.weight,
                    share.total,
                    share.endpoints,
                )
            })
            .collect();
        assert_eq!(
            shares,
            [("catalog", 90, 100, 2), ("catalog-next", 10, 100, 1)]
        );
        assert_eq!(told.timeout, Some(Duration::from_millis(5_000)));
    }

    #[test]
    fn what_the_proxy_answers_by_itself_has_its_status() {
        let outcome = |question: &str| {
            let told = ask(question);
            (told.outcome, told.status, told.refusal)
        };
        let none = None;
        for (question, expected) in [
            (
                r#"{"host": "old.example", "path": "/"}"#,
                (Decision::Redirect, Some(301), none),
            ),
            (
                r#"{"host": "x", "path": "/hello"}"#,
                (Decision::Respond, Some(200), none),
            ),
            (
                r#"{"host": "x", "path": "/nowhere"}"#,
                (Decision::NoRoute, Some(404), none),
            ),
            (
                r#"{"host": "x", "path": "/a%2Fb"}"#,
                (Decision::Refused, Some(400), Some("escaped_slash")),
            ),
            (
                r#"{"host": "x", "path": "http://y/"}"#,
                (Decision::Refused, Some(400), Some("target_form")),
            ),
            (
                r#"{"host": "x y", "path": "/"}"#,
                (Decision::Refused, Some(400), Some("host_invalid")),
            ),
            (
                r#"{"host": "x", "path": "/hello", "headers": {"connection": "upgrade", "upgrade": "other"}}"#,
                (Decision::Refused, Some(403), Some("upgrade_refused")),
            ),
            (
                r#"{"host": "x", "path": "/", "method": "CONNECT"}"#,
                (Decision::NoRoute, Some(404), none),
            ),
        ] {
            assert_eq!(outcome(question), expected, "{question}");
        }
    }

    #[test]
    fn a_listener_is_named_unless_there_is_one_only() {
        let question = |listener: &str| Question {
            listener: (!listener.is_empty()).then(|| listener.to_owned()),
            ..serde_json::from_str(r#"{"host": "x", "path": "/"}"#).unwrap()
        };
        let two = Arc::new(config(
            "listeners: [{name: a, address: 0.0.0.0, port: 1}, {name: b, address: 0.0.0.0, port: 2}]",
        ));
        let ask = |listener: &str| {
            explain(&two, &FastLane::new(), &[], &question(listener)).map(|told| told.listener)
        };
        assert_eq!(ask("b"), Ok("b".to_owned()));
        assert_eq!(ask(""), Err(ExplainError::WhichListener(2)));
        assert_eq!(ask("c"), Err(ExplainError::NoSuchListener("c".to_owned())));
    }
}
