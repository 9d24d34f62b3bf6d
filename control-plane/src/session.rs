//! The session: what our own proxies are told beside xDS, namely which revision to serve and by what sums they know that
//! they have it, and what they say of it. In: the snapshots that `ads` serves as well. Out: targets, and to `nodes` what
//! is live where.
//!
//! Every node is told how far to go with the revision that is picked for it: to get ready, or to serve it as soon as it has it,
//! for good or for a time.

mod renewal;
mod targets;

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::Stream;
use proto::session::session_server::{Session, SessionServer};
use proto::session::{Phase, Problem, ReportTaken, State, Status, Target, TypeSum};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Streaming};
use xds::node::ClientClass;

use crate::join::Joined;
use crate::model;
use crate::model::timestamp::Timestamp;
use crate::nodes::{Nodes, Report, SessionHandle};
use crate::reconciler::Reconciler;
use crate::refusals::Refusals;
use crate::rollout::observed::Refused;
use crate::rollout::selection::Member;
use crate::rollout::want;
use crate::samples::Samples;
use crate::snapshots::{Picked, Serving, Snapshots};
use crate::store::node_status::Refusal;
use crate::traffic::Traffic;
use crate::traffic::numbered::Reporter;

use self::renewal::Renewal;
use self::targets::Targets;

/// The service.
#[derive(Clone, Debug)]
pub struct SessionService {
    reconciler: Arc<Reconciler>,
    snapshots: Arc<Snapshots>,
    nodes: Arc<Nodes>,
    refusals: Arc<Refusals>,
    traffic: Arc<Traffic>,
    samples: Arc<Samples>,
}

type Responses = mpsc::Sender<Result<Target, tonic::Status>>;

impl SessionService {
    /// A service that tells of `snapshots` and writes to `nodes`, `refusals`, `traffic` and `samples`.
    pub fn new(
        reconciler: Arc<Reconciler>,
        snapshots: Arc<Snapshots>,
        nodes: Arc<Nodes>,
        refusals: Arc<Refusals>,
        traffic: Arc<Traffic>,
        samples: Arc<Samples>,
    ) -> Self {
        Self {
            reconciler,
            snapshots,
            nodes,
            refusals,
            traffic,
            samples,
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
        let mut watched = self
            .snapshots
            .watch(&first.fleet, ClientClass::Signalbox)
            .ok_or_else(|| {
                tonic::Status::not_found(format!("there is no fleet {:?}", first.fleet))
            })?;
        let labels: BTreeMap<_, _> = first.labels.clone().into_iter().collect();
        let node = Member {
            id: &first.node_id,
            zone: &first.zone,
            labels: &labels,
        };
        let mut targets = Targets::new(first.assignment);
        let session = self.nodes.session(&first.fleet, &first.node_id);
        let reporter = Reporter::new(&first.fleet, &first.node_id, first.reporter);
        let mut taken = reporter.taken();
        // That this control plane says what it takes is said before all else.
        let mut is_taken = reporter.number > 0;
        self.take(&session, &reporter, &first, &mut targets);
        let mut renewal = Renewal::default();
        let mut news = true;
        loop {
            tokio::select! {
                status = statuses.message() => match status? {
                    Some(status) => self.take(&session, &reporter, &status, &mut targets),
                    None => return Ok(()),
                },
                changed = watched.changed() => {
                    if changed.is_err() {
                        return Err(tonic::Status::not_found(format!("the fleet {:?} is gone", first.fleet)));
                    }
                    news = true;
                }
                () = renewal.due(), if !news => news = true,
                // Its sender is `reporter`'s.
                _ = taken.changed() => is_taken = true,
                permit = responses.reserve(), if news || is_taken => {
                    let Ok(permit) = permit else { return Ok(()) };
                    if std::mem::take(&mut is_taken) {
                        let sequence = *taken.borrow_and_update();
                        permit.send(Ok(Target {
                            report_taken: Some(ReportTaken { sequence }),
                            ..Target::default()
                        }));
                        continue;
                    }
                    news = false;
                    let may_renew = self.snapshots.may_renew();
                    let target =
                        next_target(&mut watched, &mut targets, &mut renewal, may_renew, node);
                    if let Some(target) = target {
                        permit.send(Ok(target));
                    }
                }
            }
        }
    }

    /// Takes in what a proxy says, who has said in its first status who it is.
    fn take(
        &self,
        session: &SessionHandle,
        from: &Reporter,
        status: &Status,
        targets: &mut Targets,
    ) {
        targets.sees(status.assignment);
        self.traffic.report(from, status.traffic.as_ref());
        self.samples.take(&from.fleet, status.samples.as_ref());
        let refused = match status.state() {
            // A proxy that does not say which revision it speaks of speaks of the one it was told here.
            State::Refused | State::Reverted => Some(status.state_revision)
                .filter(|revision| *revision > 0)
                .or_else(|| targets.revision(status.assignment)),
            _ => None,
        };
        let refused = refused.map(|revision| refusal(status, revision));
        if let Some(refused) = &refused {
            let told = Refused {
                node: from.node.clone(),
                type_url: refused.type_url.clone(),
                resources: refused.resources.clone(),
                message: refused.message.clone(),
                reverted: refused.reverted,
                at: refused.at,
            };
            self.refusals.note(&from.fleet, refused.revision, told);
        }
        let revision = |number: u64| Some(number).filter(|number| *number > 0);
        session.report(Report {
            live_revision: revision(status.live_revision),
            staged_revision: revision(status.staged_revision),
            refused,
        });
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

/// What to tell a proxy, if it is news to it or is to be said again. What it is to serve for a time is said only by one who has
/// heard of the store lately. Who has seen more than this replica knows is not moved back; the next change
/// brings more.
fn next_target(
    watched: &mut watch::Receiver<Serving>,
    targets: &mut Targets,
    renewal: &mut Renewal,
    may_renew: bool,
    node: Member<'_>,
) -> Option<Target> {
    let now = Instant::now();
    let renews = renewal.is_due(now);
    let picked = {
        let serving = watched.borrow_and_update();
        if targets.has_seen_more_than(serving.assignment) {
            tracing::warn!(
                node = node.id,
                assignment = serving.assignment,
                "a node has seen more than this control plane knows; it waits"
            );
            // Nor is its lease renewed by that.
            renewal.told(None, now);
            return None;
        }
        serving.pick(node)
    };
    let lease = picked.want.lease;
    let lease = lease.map(|lease| Duration::from_millis(lease.as_millis()));
    if lease.is_some() && !may_renew {
        renewal.told(lease, now);
        return None;
    }
    let is_news = targets.tell(picked.assignment, picked.want);
    if is_news || renews {
        renewal.told(lease, now);
        return Some(target(&picked));
    }
    None
}

fn target(picked: &Picked) -> Target {
    let Picked {
        served,
        assignment,
        want,
    } = picked;
    let sums = served.snapshot().revision_sums();
    let sums = sums.iter().map(|(ty, sum)| TypeSum {
        type_url: ty.type_url().to_owned(),
        count: sum.count,
        sum: sum.to_bytes().to_vec(),
    });
    Target {
        assignment: *assignment,
        revision: served.revision(),
        phase: phase(want.phase).into(),
        sums: sums.collect(),
        lease_ms: want.lease.map_or(0, model::duration::Duration::as_millis),
        ..Target::default()
    }
}

const fn phase(phase: want::Phase) -> Phase {
    match phase {
        want::Phase::Stage => Phase::Stage,
        want::Phase::Activate => Phase::Activate,
    }
}

fn refusal(status: &Status, revision: u64) -> Refusal {
    let line = |problem: &Problem| match problem.name.as_str() {
        "" => problem.detail.clone(),
        name => format!("{name}: {}: {}", problem.path, problem.detail),
    };
    let lines: Vec<String> = status.problems.iter().map(line).collect();
    let reverted = status.state() == State::Reverted;
    let message = if reverted && lines.is_empty() {
        format!(
            "it heard of no control plane in time, and serves revision {}",
            status.live_revision
        )
    } else {
        lines.join("\n")
    };
    Refusal {
        revision,
        type_url: status
            .problems
            .first()
            .map(|problem| problem.type_url.clone())
            .unwrap_or_default(),
        resources: names(status),
        message,
        reverted,
        at: Timestamp::now(),
    }
}

/// The names of what has problems, each once.
fn names(status: &Status) -> Vec<String> {
    let names = status.problems.iter().map(|problem| &problem.name);
    let names: BTreeSet<&String> = names.filter(|name| !name.is_empty()).collect();
    names.into_iter().cloned().collect()
}
