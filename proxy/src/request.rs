//! The life of a request, top to bottom. [`answer`] calls the steps in their order; the steps are in `request/`, small,
//! and do not call each other. A request reads the live config once and keeps it to its end, and whatever happens
//! it ends in a response or in a cause that is counted.

mod body;
mod failure;
mod forward;
mod forwarded;
mod head;
mod in_flight;
mod local;
mod record;
mod redirect;
mod respond;
mod rewrite;
mod tunnel;

use std::rc::Rc;

use http::{Request, Response};
use http_body::Body as _;
use hyper::body::Incoming;
use tokio::time::Instant;
use xds::resource::virtual_host::VirtualHost;
use xds::route::{Action, Route, WeightedCluster};
use xds::route_table::Lookup;

use crate::cause::Cause;
use crate::live::LiveListener;
use crate::metrics::class_index;
use crate::worker::{Downstream, Pair, View};

pub(crate) use body::Body;
pub(crate) use tunnel::Switch;

use body::Content;
use failure::Failure;
use in_flight::Watch;
use record::Record;

/// Answers one request of a connection. If it switches to another protocol, what comes after the answer is in `switch`.
pub(crate) async fn answer(
    downstream: Rc<Downstream>,
    switch: Switch,
    request: Request<Incoming>,
) -> Response<Body> {
    let started = Instant::now();
    let watch = Watch::new(&downstream);
    let mut heads = downstream.worker().heads();
    let (mut parts, body) = request.into_parts();
    let (content, record) = match downstream.begin_request() {
        Some((view, position)) => {
            let listener = view.listener(position);
            listener
                .metrics
                .of(downstream.worker().index)
                .requests
                .inc();
            let call = Call {
                downstream: &downstream,
                view: &view,
                listener,
                started,
                record: Record::new(view.books(), started),
            };
            let outcome = handle(&call, &mut heads, &mut parts, body).await;
            let content = call.finish(outcome, &mut heads);
            (content, call.record)
        }
        None => {
            let content = local::failure(&Failure::of(Cause::NoRoute), &mut heads);
            (content, Record::new(None, started))
        }
    };
    watch.end();
    let content = content.hand_over(&switch);
    respond::response(downstream, &heads, content, parts, record)
}

/// What the steps of one request share.
struct Call<'c> {
    downstream: &'c Rc<Downstream>,
    /// The config that the request began with.
    view: &'c View,
    listener: &'c LiveListener,
    started: Instant,
    /// What will be reported of it.
    record: Record,
}

/// The steps. The answer's head is in `heads.response`, its content is returned.
async fn handle(
    call: &Call<'_>,
    heads: &mut Pair,
    parts: &mut http::request::Parts,
    body: Incoming,
) -> Result<Content, Failure> {
    head::read(parts, &mut heads.request)?;
    // Before the end of its body a request cannot switch, and we may take it as one that does not ask (RFC 9110 section 7.8).
    if body.is_end_stream() {
        heads.request.keep_upgrade()?;
    }
    forwarded::sanitise(
        &mut heads.request,
        call.downstream,
        &call.listener.served.listener.http,
    )?;
    let mut way = find_way(call, heads)?;
    tunnel::check(call, &way, heads)?;
    let content = match &way.route.action {
        Action::Respond(direct) => local::direct(direct, heads),
        Action::Redirect(redirect) => redirect::answer(redirect, way.route, heads)?,
        Action::Forward(forward) => {
            let (cluster, weighted) = forward.cluster.draw(|total| fastrand::u32(..total));
            way.weighted = weighted;
            match forward::send(call, forward, cluster, &way, heads, body).await {
                Ok(content) => content,
                Err(failure) => call.fail(&failure, heads),
            }
        }
    };
    rewrite::response(&call.listener.served, &way, &mut heads.response)?;
    Ok(content)
}

/// What the config has for a request.
struct Way<'c> {
    virtual_host: &'c VirtualHost,
    route: &'c Route,
    /// The cluster that was drawn, if the route has several by weight.
    weighted: Option<&'c WeightedCluster>,
}

fn find_way<'c>(call: &Call<'c>, heads: &Pair) -> Result<Way<'c>, Failure> {
    let routes = &call.listener.served.routes;
    match routes.find(&head::RoutingView(&heads.request)) {
        Lookup::Found {
            virtual_host,
            route,
        } => {
            let configuration = call.listener.served.configuration.as_deref();
            call.record.takes(configuration, virtual_host, route);
            Ok(Way {
                virtual_host,
                route,
                weighted: None,
            })
        }
        Lookup::NoRoute(_) | Lookup::NoHost => Err(Failure::of(Cause::NoRoute)),
    }
}

impl Call<'_> {
    /// The response to a failure, counted.
    fn fail(&self, failure: &Failure, heads: &mut Pair) -> Content {
        self.downstream.worker().count_failure(failure.cause);
        self.record.fails(failure.cause);
        local::failure(failure, heads)
    }

    /// The response, counted.
    fn finish(&self, outcome: Result<Content, Failure>, heads: &mut Pair) -> Content {
        let content = outcome.unwrap_or_else(|failure| self.fail(&failure, heads));
        local::settle_type(&content, &mut heads.response);
        let slot = self.listener.metrics.of(self.downstream.worker().index);
        let class = class_index(heads.response.status());
        slot.responses[class].inc();
        self.record.is_answered(class);
        content
    }
}
