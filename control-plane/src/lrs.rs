//! Load reports (LRS, `envoy/service/load_stats/v3/lrs.proto`): how requests fare behind stock Envoy and behind programs with
//! gRPC's xDS client. In: their reports. Out: to `traffic`, the same per cluster, under the revision that the node has.
//!
//! They are asked for while a gate needs them (`demand`). What such a report cannot tell is in docs/health-gates.md.

mod demand;
mod report;

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use envoy_types::pb::envoy::service::load_stats::v3::load_reporting_service_server::{
    LoadReportingService, LoadReportingServiceServer,
};
use envoy_types::pb::envoy::service::load_stats::v3::{LoadStatsRequest, LoadStatsResponse};
use envoy_types::pb::google::protobuf;
use futures_util::Stream;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};
use xds::node::Node;

use crate::join::Joined;
use crate::nodes::{Has, Nodes};
use crate::store::Store;
use crate::traffic::Traffic;

pub use self::demand::Demand;

/// How often a client from which nothing is asked says so: Envoy reports an empty list.
const IDLE: Duration = Duration::from_mins(1);
/// Largest report. Envoy names every cluster that it is asked for, idle or not, in some 100 bytes.
const REPORT_SIZE: usize = 16 * 1024 * 1024;
/// So many clusters are asked for by name. With more the list would outgrow what clients take in one message, and all that
/// they have are asked for. By name is better: Envoy then also reports a cluster that comes later from its first request on,
/// and not from its next report on (`source/common/upstream/load_stats_reporter.cc`).
const NAMED_MAX: usize = 20_000;

/// The service.
#[derive(Clone, Debug)]
pub struct LoadReports {
    /// Which revision a node has, if it is connected here.
    pub nodes: Arc<Nodes>,
    /// The same, if it is connected elsewhere.
    pub store: Arc<dyn Store>,
    /// Where reports go.
    pub traffic: Arc<Traffic>,
    /// Of which fleets they are needed.
    pub demand: Arc<Demand>,
    /// How often they are to come.
    pub interval: Duration,
}

type Clusters = Arc<BTreeSet<Arc<str>>>;
type Responses = mpsc::Sender<Result<LoadStatsResponse, Status>>;

impl LoadReports {
    /// The service as tonic serves it.
    pub fn into_server(self) -> LoadReportingServiceServer<Self> {
        LoadReportingServiceServer::new(self).max_decoding_message_size(REPORT_SIZE)
    }

    async fn run(
        self,
        joined: Joined,
        mut reports: Streaming<LoadStatsRequest>,
        responses: Responses,
    ) {
        if let Err(status) = self.serve(&joined, &mut reports, &responses).await {
            // The receiver is gone if the connection broke; then there is nobody to tell.
            let _ = responses.send(Err(status)).await;
        }
    }

    async fn serve(
        &self,
        joined: &Joined,
        reports: &mut Streaming<LoadStatsRequest>,
        responses: &Responses,
    ) -> Result<(), Status> {
        let Some(first) = reports.message().await? else {
            return Ok(());
        };
        let node = Node::from_proto(first.node.as_ref())
            .map_err(|error| Status::invalid_argument(error.to_string()))?;
        joined.check(&node.fleet, &node.id)?;
        let mut watched = self.demand.watch();
        let mut wanted = watched.borrow_and_update().get(&node.fleet).cloned();
        let mut news = true;
        let mut had = Has::default();
        loop {
            tokio::select! {
                report = reports.message() => match report? {
                    Some(report) => self.take(&node, wanted.as_ref(), &mut had, &report).await,
                    None => return Ok(()),
                },
                changed = watched.changed() => {
                    if changed.is_err() {
                        return Err(Status::unavailable("this control plane is about to end"));
                    }
                    let now = watched.borrow_and_update().get(&node.fleet).cloned();
                    news |= now != wanted;
                    wanted = now;
                }
                permit = responses.reserve(), if news => {
                    let Ok(permit) = permit else { return Ok(()) };
                    news = false;
                    had = self.has(&node).await;
                    permit.send(Ok(self.question(wanted.as_ref())));
                }
            }
        }
    }

    /// Takes a report. One over a time in which the node has changed its revision tells of neither: it is counted for none.
    async fn take(
        &self,
        node: &Node,
        wanted: Option<&Clusters>,
        had: &mut Has,
        report: &LoadStatsRequest,
    ) {
        let has = self.has(node).await;
        let whole = *had == has;
        *had = has;
        // A report without a question may be the answer to the one before.
        let Some(wanted) = wanted else { return };
        let revision = has.revision.filter(|_| whole).unwrap_or(0);
        if let Some(traffic) = report::traffic(revision, &report.cluster_stats, wanted) {
            self.traffic.add(&node.fleet, &traffic);
        }
    }

    /// What the node has. Its reports may come to another replica than its config does.
    async fn has(&self, node: &Node) -> Has {
        if let Some(has) = self.nodes.has(&node.fleet, &node.id) {
            return has;
        }
        match self.store.node(&node.fleet, &node.id).await {
            Ok(status) => Has {
                revision: status.and_then(|status| status.acked_revision),
                moves: 0,
            },
            Err(error) => {
                tracing::warn!(%error, node = node.id, "it is not known what a node has that reports its load");
                Has::default()
            }
        }
    }

    fn question(&self, wanted: Option<&Clusters>) -> LoadStatsResponse {
        let named = wanted.filter(|clusters| clusters.len() <= NAMED_MAX);
        let interval = if wanted.is_some() {
            self.interval
        } else {
            IDLE
        };
        LoadStatsResponse {
            clusters: named.map_or_else(Vec::new, |clusters| {
                clusters.iter().map(ToString::to_string).collect()
            }),
            send_all_clusters: wanted.is_some() && named.is_none(),
            load_reporting_interval: Some(protobuf::Duration {
                seconds: interval.as_secs() as i64,
                nanos: interval.subsec_nanos() as i32,
            }),
            report_endpoint_granularity: false,
        }
    }
}

#[tonic::async_trait]
impl LoadReportingService for LoadReports {
    type StreamLoadStatsStream =
        Pin<Box<dyn Stream<Item = Result<LoadStatsResponse, Status>> + Send>>;

    async fn stream_load_stats(
        &self,
        request: Request<Streaming<LoadStatsRequest>>,
    ) -> Result<Response<Self::StreamLoadStatsStream>, Status> {
        let joined = Joined::of(request.extensions())?;
        let (responses, receiver) = mpsc::channel(1);
        tokio::spawn(self.clone().run(joined, request.into_inner(), responses));
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }
}
