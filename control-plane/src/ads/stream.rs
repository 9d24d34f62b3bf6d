//! The I/O of one stream: reads requests, watches the fleet's snapshot, and writes a response whenever the client can
//! take one. No lock is held while it waits; all decisions are in `delta`.

use std::sync::Arc;

use envoy_types::pb::envoy::service::discovery::v3::DeltaDiscoveryRequest;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tonic::{Status, Streaming};
use xds::node::{ClientClass, Node};
use xds::type_url::ResourceType;

use crate::join::Joined;
use crate::nodes::NodeHandle;
use crate::snapshots::Served;

use super::StreamContext;
use super::delta::{DeltaState, Meaning, Removals};
use super::wire::Encoded;

type Responses = mpsc::Sender<Result<Encoded, Status>>;

/// Serves one stream until the client ends it.
pub(super) async fn run(
    context: Arc<StreamContext>,
    joined: Joined,
    mut requests: Streaming<DeltaDiscoveryRequest>,
    responses: Responses,
) {
    if let Err(status) = serve(&context, &joined, &mut requests, &responses).await {
        // The receiver is gone if the connection broke; then there is nobody to tell.
        let _ = responses.send(Err(status)).await;
    }
}

async fn serve(
    context: &StreamContext,
    joined: &Joined,
    requests: &mut Streaming<DeltaDiscoveryRequest>,
    responses: &Responses,
) -> Result<(), Status> {
    let Some(first) = requests.message().await? else {
        return Ok(());
    };
    let node = Node::from_proto(first.node.as_ref())
        .map_err(|error| Status::invalid_argument(error.to_string()))?;
    joined.check(&node.fleet)?;
    // This replica may lag behind: a client that comes from another one must not be moved back. While the store is away,
    // what is known has to do.
    if let Err(error) = context.reconciler.refresh().await {
        tracing::warn!(%error, "a stream is served from what is known already");
    }
    let mut watched = context
        .snapshots
        .watch(&node.fleet, node.class())
        .ok_or_else(|| Status::not_found(format!("there is no fleet {:?}", node.fleet)))?;
    tracing::info!(fleet = %node.fleet, node = %node.id, class = %node.class(), "xDS stream opened");
    let target = watched.borrow_and_update().clone();
    let mut session = Session {
        context,
        state: DeltaState::new(target, removals(node.class()), Instant::now()),
        handle: context.nodes.connect(&node),
        node,
        unknown_type: None,
    };
    session.request(&first);
    let result = session.drive(requests, &mut watched, responses).await;
    tracing::info!(fleet = %session.node.fleet, node = %session.node.id, "xDS stream closed");
    result
}

struct Session<'c> {
    context: &'c StreamContext,
    state: DeltaState,
    handle: NodeHandle,
    node: Node,
    /// The answer to a type that we do not know: its names do not exist.
    unknown_type: Option<Encoded>,
}

impl Session<'_> {
    async fn drive(
        &mut self,
        requests: &mut Streaming<DeltaDiscoveryRequest>,
        watched: &mut watch::Receiver<Arc<Served>>,
        responses: &Responses,
    ) -> Result<(), Status> {
        let mut pending = true;
        loop {
            let removals_due = if pending {
                None
            } else {
                self.state.removals_due()
            };
            tokio::select! {
                request = requests.message() => match request? {
                    Some(request) => {
                        self.request(&request);
                        pending = true;
                    }
                    None => return Ok(()),
                },
                changed = watched.changed() => {
                    if changed.is_err() {
                        return Err(Status::not_found(format!("the fleet {:?} is gone", self.node.fleet)));
                    }
                    let target = watched.borrow_and_update().clone();
                    self.state.retarget(target, Instant::now());
                    pending = true;
                }
                permit = responses.reserve(), if pending => {
                    let Ok(permit) = permit else { return Ok(()) };
                    match self.next_response() {
                        Some(response) => permit.send(Ok(response)),
                        None => pending = false,
                    }
                }
                () = sleep_until(removals_due) => pending = true,
            }
        }
    }

    fn request(&mut self, request: &DeltaDiscoveryRequest) {
        let Some(ty) = ResourceType::from_type_url(&request.type_url) else {
            self.unknown_type =
                Encoded::nothing_of(&request.type_url, &request.resource_names_subscribe);
            return;
        };
        match self.state.request(ty, request) {
            Meaning::Names => {}
            Meaning::Ack => {
                self.context.metrics.xds_acks.inc();
            }
            Meaning::Nack(message) => {
                let revision = self.state.target().revision();
                tracing::warn!(fleet = %self.node.fleet, node = %self.node.id, %ty, revision, %message, "config refused");
                self.context.metrics.xds_nacks.inc();
                self.handle.refused(revision, ty, message);
            }
        }
    }

    fn next_response(&mut self) -> Option<Encoded> {
        if let Some(response) = self.unknown_type.take() {
            return Some(response);
        }
        let revision = self.state.target().revision();
        let Some(response) = self.state.next_response(Instant::now()) else {
            self.handle.sent(revision);
            if self.state.is_settled() {
                self.handle.acknowledged(revision);
            }
            return None;
        };
        self.context.metrics.xds_pushes.inc();
        Some(Encoded::new(
            &response,
            revision,
            &self.context.control_plane,
        ))
    }
}

fn removals(class: ClientClass) -> Removals {
    match class {
        ClientClass::Signalbox => Removals::AtOnce,
        ClientClass::Envoy => Removals::AfterAcknowledgement,
    }
}

async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}
