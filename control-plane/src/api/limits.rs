//! How much a fleet may have, and how long a request may take. What one may bring is bounded elsewhere: its body in `api`
//! and `document`, its depth and names in `model`.

use std::time::Duration;

use axum::extract::{MatchedPath, Request};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::model::{Config, Kind as ResourceKind};

use super::problem::{Kind, Problem, Result};
use super::rollouts;

/// Most resources of each kind. Proxies are measured with 100,000 routes.
const RESOURCES_MAX: [(ResourceKind, usize); 3] = [
    (ResourceKind::Listener, 1_000),
    (ResourceKind::Cluster, 50_000),
    (ResourceKind::Route, 200_000),
];
/// Most endpoints of one cluster.
const ENDPOINTS_MAX: usize = 10_000;

/// Longest time from a request's head to its answer.
const REQUEST_TIME: Duration = Duration::from_secs(10);
/// The same for those that may change every resource: 100,000 routes are stored in a few seconds, or several times as many
/// where others use the machine too.
const WHOLE_CONFIG_TIME: Duration = Duration::from_mins(1);
/// The requests that may change every resource, as the router knows them.
const WHOLE_CONFIG: [(Method, &str); 2] = [
    (Method::PUT, "/v1/fleets/{fleet}/config"),
    (
        Method::POST,
        "/v1/fleets/{fleet}/revisions/{number}/~revert",
    ),
];

/// The layer that ends requests that take too long.
pub(super) async fn in_time(route: Option<MatchedPath>, request: Request, next: Next) -> Response {
    let time = allowed(request.method(), route.as_ref().map(MatchedPath::as_str));
    // What was asked to wait may.
    let time = time + rollouts::patience(request.uri());
    let answer = tokio::time::timeout(time, next.run(request)).await;
    // `finish` says the rest.
    answer.unwrap_or_else(|_| StatusCode::SERVICE_UNAVAILABLE.into_response())
}

fn allowed(method: &Method, route: Option<&str>) -> Duration {
    let mut whole = WHOLE_CONFIG.iter();
    if whole.any(|(of, path)| of == method && route == Some(path)) {
        WHOLE_CONFIG_TIME
    } else {
        REQUEST_TIME
    }
}

/// Refuses a config that has more of a kind than it had, and more than there may be: who has too much already can
/// still take some away.
pub(super) fn check_growth(base: &Config, next: &Config) -> Result<()> {
    for (kind, max) in RESOURCES_MAX {
        let (before, after) = (count(base, kind), count(next, kind));
        if after > max && after > before {
            let what = format!("{} {}", after, kind.plural());
            return Err(too_many(&what, "fleet", max));
        }
    }
    Ok(())
}

/// Refuses more endpoints than a cluster may have.
pub(super) fn check_endpoints(count: usize) -> Result<()> {
    if count > ENDPOINTS_MAX {
        return Err(too_many(
            &format!("{count} endpoints"),
            "cluster",
            ENDPOINTS_MAX,
        ));
    }
    Ok(())
}

fn count(config: &Config, kind: ResourceKind) -> usize {
    match kind {
        ResourceKind::Listener => config.listeners.len(),
        ResourceKind::Cluster => config.clusters.len(),
        ResourceKind::Route => config.routes.len(),
    }
}

fn too_many(what: &str, whose: &str, max: usize) -> Problem {
    let detail = format!("this {whose} would have {what}; it may have {max}");
    Problem::new(Kind::TooMany, detail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::document::tests::config;
    use crate::model::{Cluster, Listener};

    #[test]
    fn what_may_change_every_resource_may_take_longer_and_there_is_such_a_route() {
        let document = serde_json::to_value(super::super::routes().into_openapi()).unwrap();
        for (method, path) in WHOLE_CONFIG {
            assert_eq!(allowed(&method, Some(path)), WHOLE_CONFIG_TIME);
            let item = &document["paths"][path];
            let method = method.as_str().to_lowercase();
            assert!(item.get(&method).is_some(), "{method} {path}");
            assert_eq!(allowed(&Method::GET, Some(path)), REQUEST_TIME);
        }
        assert_eq!(allowed(&Method::PUT, None), REQUEST_TIME);
    }

    #[test]
    fn a_fleet_that_has_too_much_may_shrink_and_may_not_grow() {
        let listeners = |count: usize| {
            let one = config("listeners: [{name: web, address: 0.0.0.0, port: 80}]");
            let mut config = config("clusters: [{name: a, discovery: api}]");
            for index in 0..count {
                config.put(Listener {
                    name: format!("l{index}"),
                    ..(*one.listeners["web"]).clone()
                });
            }
            config
        };
        let refused = |before, after| check_growth(&listeners(before), &listeners(after)).is_err();
        assert!(!refused(0, 1_000));
        assert!(refused(0, 1_001) && refused(1_001, 1_002));
        assert!(!refused(1_002, 1_001) && !refused(1_001, 1_001));
        assert!(listeners(0).get::<Cluster>("a").is_some());
        assert!(check_endpoints(10_000).is_ok() && check_endpoints(10_001).is_err());
    }
}
