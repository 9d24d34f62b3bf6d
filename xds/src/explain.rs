//! Why a request goes where it goes: the answer of `RouteTable::find` with its reasons. It walks down the list, which
//! the request path never does, so it is for people who ask, not for traffic.

use std::sync::Arc;
use std::time::Duration;

use crate::config::{Config, ServedListener};
use crate::matcher::{HeaderKey, RequestView};
use crate::resource::virtual_host::VirtualHost;
use crate::route::{Action, ClusterChoice, Forward, Route};

/// What a request gets that no route takes, as from Envoy.
pub const NO_ROUTE_STATUS: u16 = 404;
/// With so many routes listed, those that are merely for another path are counted only.
pub const PASSED_OVER_MAX: usize = 1_000;

/// The way of one request through the routes of a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The virtual host that answers for the request's host.
    pub virtual_host: Option<Arc<str>>,
    /// The routes before the winner, in list order; all of them if there is no winner.
    pub passed_over: Vec<PassedOver>,
    /// How many more were passed over because of their path, beyond [`PASSED_OVER_MAX`].
    pub omitted: usize,
    /// What the request gets.
    pub outcome: Outcome,
}

/// A route that did not take the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PassedOver {
    /// Its position in the virtual host's list, from 0.
    pub position: usize,
    /// Its name; may be empty.
    pub route: Box<str>,
    /// The first of its conditions that the request does not satisfy.
    pub failed: Condition,
}

/// One condition of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// On the path.
    Path,
    /// On the method.
    Method,
    /// On the header of this lower-case name.
    Header(Box<str>),
    /// On the query parameter of this name.
    Query(Box<str>),
}

/// Who takes the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// No virtual host answers for its host: [`NO_ROUTE_STATUS`].
    NoHost,
    /// No route of the virtual host takes it: [`NO_ROUTE_STATUS`].
    NoRoute,
    /// This route.
    Route(Winner),
}

/// The route that takes the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Winner {
    /// Its position in the virtual host's list, from 0.
    pub position: usize,
    /// Its name; may be empty.
    pub route: Box<str>,
    /// What it does.
    pub effect: Effect,
}

/// What the winner does with the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Sends it to one of these clusters.
    Forward {
        /// The clusters, in list order.
        clusters: Vec<Share>,
        /// The status if the cluster that was drawn is not there.
        cluster_not_found_status: u16,
        /// From the whole request's arrival to the response's end; `None` = without limit.
        timeout: Option<Duration>,
        /// Longest pause in either direction, the listener's if the route has none; `None` = without limit.
        idle_timeout: Option<Duration>,
    },
    /// Answers with this status and another place to go to.
    Redirect {
        /// 301, 302, 303, 307 or 308.
        status: u16,
    },
    /// Answers by itself.
    Respond {
        /// The status.
        status: u16,
    },
}

/// A cluster's part of the requests: `weight` in `total`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    /// The cluster.
    pub cluster: Arc<str>,
    /// Its weight.
    pub weight: u32,
    /// The sum of all weights; at least 1.
    pub total: u32,
    /// Whether the config has the cluster.
    pub exists: bool,
}

/// Explains what `listener`, one of `config`'s, does with a request.
pub fn explain<R: RequestView + ?Sized>(
    config: &Config,
    listener: &ServedListener,
    request: &R,
) -> Explanation {
    let mut explanation = Explanation {
        virtual_host: None,
        passed_over: Vec::new(),
        omitted: 0,
        outcome: Outcome::NoHost,
    };
    let Some(host) = listener.routes.virtual_host(request.host()) else {
        return explanation;
    };
    explanation.virtual_host = Some(host.name.clone());
    explanation.outcome = match explanation.pass_over(host, request) {
        None => Outcome::NoRoute,
        Some((position, route)) => Outcome::Route(Winner {
            position,
            route: route.name.clone(),
            effect: effect(config, listener, &route.action),
        }),
    };
    explanation
}

impl Explanation {
    /// Walks down the list to the first route that takes the request, and notes why the others do not.
    fn pass_over<'h, R: RequestView + ?Sized>(
        &mut self,
        host: &'h VirtualHost,
        request: &R,
    ) -> Option<(usize, &'h Route)> {
        for (position, route) in host.routes.routes().iter().enumerate() {
            let failed = first_failure(route, request);
            match failed {
                None => return Some((position, route)),
                Some(Condition::Path) if self.passed_over.len() >= PASSED_OVER_MAX => {
                    self.omitted += 1;
                }
                Some(failed) => self.passed_over.push(PassedOver {
                    position,
                    route: route.name.clone(),
                    failed,
                }),
            }
        }
        None
    }
}

/// The first condition that does not hold, in the order in which `Route::matches` asks.
fn first_failure<R: RequestView + ?Sized>(route: &Route, request: &R) -> Option<Condition> {
    if !route.path.matches(request.path()) {
        return Some(Condition::Path);
    }
    let conditions = route.conditions.as_ref()?;
    let mut headers = conditions.headers.iter();
    let header = headers.find(|header| !header.matches(request));
    if let Some(header) = header {
        return Some(match &header.key {
            HeaderKey::Method => Condition::Method,
            HeaderKey::Field(name) => Condition::Header(name.clone()),
        });
    }
    let query = request.query();
    let mut parameters = conditions.query.iter();
    let parameter = parameters.find(|parameter| !parameter.matches(query));
    parameter.map(|parameter| Condition::Query(parameter.name.clone()))
}

fn effect(config: &Config, listener: &ServedListener, action: &Action) -> Effect {
    match action {
        Action::Forward(forward) => Effect::Forward {
            clusters: shares(config, forward),
            cluster_not_found_status: forward.cluster_not_found.status(),
            timeout: forward.timeouts().total,
            idle_timeout: forward
                .timeouts()
                .idle
                .unwrap_or(listener.listener.http.stream_idle_timeout),
        },
        Action::Redirect(redirect) => Effect::Redirect {
            status: redirect.status,
        },
        Action::Respond(respond) => Effect::Respond {
            status: respond.status,
        },
    }
}

fn shares(config: &Config, forward: &Forward) -> Vec<Share> {
    let share = |cluster: &Arc<str>, weight, total| Share {
        cluster: cluster.clone(),
        weight,
        total,
        exists: config.clusters.contains_key(cluster),
    };
    match &forward.cluster {
        ClusterChoice::One(cluster) => vec![share(cluster, 1, 1)],
        ClusterChoice::Weighted(weighted) => {
            let total = weighted.total();
            weighted
                .weights()
                .map(|(cluster, weight)| share(&cluster.name, weight, total))
                .collect()
        }
    }
}
