//! The session: what our own proxies are told beside xDS, namely which revision to serve and by what sums they know that
//! they have it, and what they say of it. In: the snapshots that `ads` serves as well. Out: targets, and to `nodes` what
//! is live where.
//!
//! Here every node is told to activate the fleet's revision as soon as it has it.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::Arc;

use futures_util::Stream;
use proto::session::session_server::{Session, SessionServer};
use proto::session::{Phase, Problem, State, Status, Target, TypeSum};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Streaming};
use xds::node::ClientClass;

use crate::join::Joined;
use crate::model::timestamp::Timestamp;
use crate::nodes::{Nodes, Report};
use crate::reconciler::Reconciler;
use crate::snapshots::{Served, Snapshots};
use crate::store::node_status::Refusal;

/// The service.
#[derive(Clone, Debug)]
pub struct SessionService {
    reconciler: Arc<Reconciler>,
    snapshots: Arc<Snapshots>,
    nodes: Arc<Nodes>,
}

type Responses = mpsc::Sender<Result<Target, tonic::Status>>;

impl SessionService {
    /// A service that tells of `snapshots` and writes to `nodes`.
    pub fn new(reconciler: Arc<Reconciler>, snapshots: Arc<Snapshots>, nodes: Arc<Nodes>) -> Self {
        Self {
            reconciler,
            snapshots,
            nodes,
        }
    }

    /// The service as tonic serves it.
    pub fn into_server(self) -> SessionServer<Self> {
        SessionServer::new(self)
    }

    async fn run(self, joined: Joined, mut statuses: Streaming<Status>, responses: Responses) {
        if let Err(status) = self.serve(&joined, &mut statuses, &responses).await {
            // The receiver is gone if the connection broke; then there is nobody to tell.
            let _ = responses.send(Err(status)).await;
        }
    }

    async fn serve(
        &self,
        joined: &Joined,
        statuses: &mut Streaming<Status>,
        responses: &Responses,
    ) -> Result<(), tonic::Status> {
        let Some(first) = statuses.message().await? else {
            return Ok(());
        };
        joined.check(&first.fleet, &first.node_id)?;
        if let Err(error) = self.reconciler.refresh().await {
            tracing::warn!(%error, "a session is served from what is known already");
        }
        let (fleet, node) = (first.fleet.clone(), first.node_id.clone());
        let mut watched = self
            .snapshots
            .watch(&fleet, ClientClass::Signalbox)
            .ok_or_else(|| tonic::Status::not_found(format!("there is no fleet {fleet:?}")))?;
        let mut seen = first.assignment;
        self.take(&fleet, &node, &first);
        let mut news = true;
        loop {
            tokio::select! {
                status = statuses.message() => match status? {
                    Some(status) => {
                        seen = seen.max(status.assignment);
                        self.take(&fleet, &node, &status);
                    }
                    None => return Ok(()),
                },
                changed = watched.changed() => {
                    if changed.is_err() {
                        return Err(tonic::Status::not_found(format!("the fleet {fleet:?} is gone")));
                    }
                    news = true;
                }
                permit = responses.reserve(), if news => {
                    let Ok(permit) = permit else { return Ok(()) };
                    news = false;
                    // Who has seen more than this replica knows is not moved back; the next change brings more.
                    if let Some(target) = next_target(&mut watched, seen) {
                        permit.send(Ok(target));
                    }
                }
            }
        }
    }

    fn take(&self, fleet: &str, node: &str, status: &Status) {
        let refused = match status.state() {
            State::Refused => Some(refusal(status)),
            _ => None,
        };
        let revision = |number: u64| Some(number).filter(|number| *number > 0);
        let report = Report {
            live_revision: revision(status.live_revision),
            staged_revision: revision(status.staged_revision),
            refused,
        };
        if !self.nodes.report(fleet, node, report) {
            tracing::debug!(
                fleet,
                node,
                "a session reports for a node without an xDS stream"
            );
        }
    }
}

#[tonic::async_trait]
impl Session for SessionService {
    type FollowStream = Pin<Box<dyn Stream<Item = Result<Target, tonic::Status>> + Send>>;

    async fn follow(
        &self,
        request: Request<Streaming<Status>>,
    ) -> Result<Response<Self::FollowStream>, tonic::Status> {
        let joined = Joined::of(request.extensions())?;
        // One target waits at most: a slow proxy gets the newest when it can take it.
        let (responses, receiver) = mpsc::channel(1);
        tokio::spawn(self.clone().run(joined, request.into_inner(), responses));
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }
}

fn next_target(watched: &mut watch::Receiver<Arc<Served>>, seen: u64) -> Option<Target> {
    let served = watched.borrow_and_update();
    let target = target(&served);
    (target.assignment >= seen).then_some(target)
}

/// What to serve. While every node is to serve the newest revision, its number counts the assignments as well.
fn target(served: &Served) -> Target {
    let sums = served.snapshot().revision_sums();
    let sums = sums.iter().map(|(ty, sum)| TypeSum {
        type_url: ty.type_url().to_owned(),
        count: sum.count,
        sum: sum.to_bytes().to_vec(),
    });
    Target {
        assignment: served.revision(),
        revision: served.revision(),
        phase: Phase::Activate.into(),
        sums: sums.collect(),
    }
}

fn refusal(status: &Status) -> Refusal {
    let line = |problem: &Problem| match problem.name.as_str() {
        "" => problem.detail.clone(),
        name => format!("{name}: {}: {}", problem.path, problem.detail),
    };
    let lines: Vec<String> = status.problems.iter().map(line).collect();
    Refusal {
        revision: status.assignment,
        type_url: status
            .problems
            .first()
            .map(|problem| problem.type_url.clone())
            .unwrap_or_default(),
        resources: names(status),
        message: lines.join("\n"),
        at: Timestamp::now(),
    }
}

/// The names of what has problems, each once.
fn names(status: &Status) -> Vec<String> {
    let names = status.problems.iter().map(|problem| &problem.name);
    let names: BTreeSet<&String> = names.filter(|name| !name.is_empty()).collect();
    names.into_iter().cloned().collect()
}
