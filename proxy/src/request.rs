//! The life of a request, top to bottom. [`answer`] calls the steps in their order; the steps are in `request/`, small,
//! and do not call each other. A request reads the live config once and keeps it to its end, and whatever happens
//! it ends in a response or in a cause that is counted.

mod answer;
mod failure;
mod forward;
mod forwarded;
mod head;
mod in_flight;
mod local;
mod record;
mod redirect;
mod rewrite;
mod tunnel;

use std::future::poll_fn;
use std::rc::Rc;

use http_wire::h1::Malformed;
use tokio::time::Instant;
use xds::resource::virtual_host::VirtualHost;
use xds::route::{Action, Route, WeightedCluster};
use xds::route_table::Lookup;

use crate::cause::Cause;
use crate::client::RequestBody;
use crate::live::LiveListener;
use crate::metrics::class_index;
use crate::worker::{Downstream, Pair, View};

pub(crate) use answer::Answer;
pub(crate) use failure::Failure;
pub(crate) use head::read;
pub(crate) use tunnel::Tunnel;

use answer::Content;
use in_flight::Watch;
use record::Record;

/// Answers one request of a connection, which has been [`read`]; `body` is what will come behind its head. The answer's head
/// is in `heads.response`, the rest in `answer`.
pub(crate) async fn answer(
    heads: &mut Pair,
    reading: Result<(), Failure>,
    body: Option<RequestBody>,
    answer: &mut Answer,
) {
    let Answer {
        content,
        downstream,
        record,
    } = answer;
    let downstream = &*downstream;
    let watch = Watch::new(downstream);
    match downstream.begin_request() {
        Some((view, position)) => {
            let listener = view.listener(position);
            listener
                .metrics
                .of(downstream.worker().index)
                .requests
                .inc();
            record.opens(view.books());
            let call = Call {
                downstream,
                view: &view,
                listener,
                started: record.started(),
                record,
            };
            let outcome = match reading {
                Ok(()) => handle(&call, heads, body, content).await,
                Err(failure) => Err(failure),
            };
            call.finish(outcome, heads, content);
        }
        None => *content = local::failure(&Failure::of(Cause::NoRoute), heads),
    }
    watch.end();
}

/// The answer to what is no request.
pub(crate) fn refuse(
    downstream: &Rc<Downstream>,
    heads: &mut Pair,
    malformed: Malformed,
) -> Answer {
    tracing::debug!(peer = %downstream.peer(), cause = malformed.code(), "no request");
    give_up(downstream, heads, &malformed.into())
}

/// The answer to a head that took too long.
pub(crate) fn hurry(downstream: &Rc<Downstream>, heads: &mut Pair) -> Answer {
    give_up(downstream, heads, &Failure::of(Cause::HeadTimeout))
}

fn give_up(downstream: &Rc<Downstream>, heads: &mut Pair, failure: &Failure) -> Answer {
    downstream.worker().count_failure(failure.cause);
    let mut answer = Answer::awaited(downstream);
    answer.content = local::failure(failure, heads);
    local::settle_type(&answer.content, &mut heads.response);
    answer
}

/// What the steps of one request share.
struct Call<'c> {
    downstream: &'c Rc<Downstream>,
    /// The config that the request began with.
    view: &'c View,
    listener: &'c LiveListener,
    started: Instant,
    /// What will be reported of it.
    record: &'c Record,
}

/// The steps. The answer's head is in `heads.response`, what comes behind it in `content`.
async fn handle(
    call: &Call<'_>,
    heads: &mut Pair,
    body: Option<RequestBody>,
    content: &mut Content,
) -> Result<(), Failure> {
    // Before the end of its body a request cannot switch, and we may take it as one that does not ask (RFC 9110 section 7.8).
    if body.is_none() {
        heads.request.keep_upgrade()?;
    }
    forwarded::sanitise(
        &mut heads.request,
        call.downstream,
        &call.listener.served.listener.http,
    )?;
    let (worker, listener) = (call.downstream.worker(), &call.listener.served.listener);
    worker
        .sampler
        .see(call.started, &listener.name, &heads.request);
    let mut way = find_way(call, heads)?;
    tunnel::check(call, &way, heads)?;
    match &way.route.action {
        Action::Respond(direct) => *content = local::direct(direct, heads),
        Action::Redirect(redirect) => *content = redirect::answer(redirect, way.route, heads)?,
        Action::Forward(forward) => {
            let (cluster, weighted) = forward.cluster.draw(|total| fastrand::u32(..total));
            way.weighted = weighted;
            // Not matched on while it waits: the future would have room for it twice.
            let mut asking = match forward::begin(call, forward, cluster, &way, heads, body) {
                Ok(asking) => asking,
                Err(failure) => {
                    *content = call.fail(&failure, heads);
                    return rewrite::response(&call.listener.served, &way, &mut heads.response);
                }
            };
            let sent = match poll_fn(|cx| asking.poll(heads, cx)).await {
                Ok(()) => asking.finish(heads, content),
                Err(failure) => Err(failure),
            };
            if let Err(failure) = sent {
                *content = call.fail(&failure, heads);
            }
        }
    }
    rewrite::response(&call.listener.served, &way, &mut heads.response)
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
    fn finish(&self, outcome: Result<(), Failure>, heads: &mut Pair, content: &mut Content) {
        if let Err(failure) = outcome {
            *content = self.fail(&failure, heads);
        }
        local::settle_type(content, &mut heads.response);
        let slot = self.listener.metrics.of(self.downstream.worker().index);
        let class = class_index(heads.response.status());
        slot.responses[class].inc();
        self.record.is_answered(class);
    }
}
