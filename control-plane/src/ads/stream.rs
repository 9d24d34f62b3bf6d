//! The I/O of one stream, in either variant: reads requests, watches what the fleet is served, picks what its node is, and
//! writes a response whenever the client can take one. No lock is held while it waits; all decisions are in `delta` and `sotw`.

use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tonic::Status;
use xds::node::Node;
use xds::type_url::ResourceType;

use crate::join::Joined;
use crate::model::timestamp::Timestamp;
use crate::nodes::{NodeHandle, Refused};
use crate::rollout::observed;
use crate::rollout::selection::Member;
use crate::snapshots::Serving;

use super::StreamContext;
use super::delta::Meaning;
use super::requests::Requests;
use super::variant::Variant;
use super::wire::Encoded;

type Responses = mpsc::Sender<Result<Encoded, Status>>;

/// Serves one stream until the client ends it; a stream of `only` one type if it is not an aggregated one.
pub(super) async fn run<V: Variant>(
    context: Arc<StreamContext>,
    joined: Joined,
    only: Option<ResourceType>,
    mut requests: Requests<V::Request>,
    responses: Responses,
) {
    if let Err(status) = serve::<V>(&context, &joined, only, &mut requests, &responses).await {
        // The receiver is gone if the connection broke; then there is nobody to tell.
        let _ = responses.send(Err(status)).await;
    }
}

async fn serve<V: Variant>(
    context: &StreamContext,
    joined: &Joined,
    only: Option<ResourceType>,
    requests: &mut Requests<V::Request>,
    responses: &Responses,
) -> Result<(), Status> {
    let Some(first) = requests.message().await? else {
        return Ok(());
    };
    let node = Node::from_proto(V::node(&first))
        .map_err(|error| Status::invalid_argument(error.to_string()))?;
    joined.check(&node.fleet, &node.id)?;
    tokio::time::sleep_until(context.turnstile.admit(Instant::now())).await;
    // This replica may lag behind: a client that comes from another one must not be moved back. While the store is away,
    // what is known has to do.
    if let Err(error) = context.reconciler.refresh().await {
        tracing::warn!(%error, "a stream is served from what is known already");
    }
    let mut watched = context
        .snapshots
        .watch(&node.fleet, V::class(node.class()))
        .ok_or_else(|| Status::not_found(format!("there is no fleet {:?}", node.fleet)))?;
    tracing::info!(fleet = %node.fleet, node = %node.id, class = %node.class(), "xDS stream opened");
    let target = watched.borrow_and_update().pick(member(&node)).served;
    let handle = context
        .nodes
        .connect(&node, V::class(node.class()), only, target.revision());
    let mut session = Session {
        context,
        only,
        state: V::new(target, node.class(), Instant::now()),
        handle,
        node,
        sent: [None; ResourceType::ALL.len()],
        unknown_type: None,
    };
    let begun = session.request(&first);
    // Who comes back begins with the names of all that it holds: not to be kept for as long as the stream lives.
    drop(first);
    let result = match begun {
        Ok(()) => session.drive(requests, &mut watched, responses).await,
        Err(status) => Err(status),
    };
    tracing::info!(fleet = %session.node.fleet, node = %session.node.id, "xDS stream closed");
    result
}

struct Session<'c, V> {
    context: &'c StreamContext,
    only: Option<ResourceType>,
    state: V,
    handle: NodeHandle,
    node: Node,
    /// Of which revision the last response was, by type.
    sent: [Option<u64>; ResourceType::ALL.len()],
    /// The answer to a type that we do not serve.
    unknown_type: Option<Encoded>,
}

impl<V: Variant> Session<'_, V> {
    async fn drive(
        &mut self,
        requests: &mut Requests<V::Request>,
        watched: &mut watch::Receiver<Serving>,
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
                        self.request(&request)?;
                        pending = true;
                    }
                    None => return Ok(()),
                },
                changed = watched.changed() => {
                    if changed.is_err() {
                        return Err(Status::not_found(format!("the fleet {:?} is gone", self.node.fleet)));
                    }
                    pending |= self.look(watched);
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

    /// Looks what the node is served now; `true` if that is something else.
    fn look(&mut self, watched: &mut watch::Receiver<Serving>) -> bool {
        let target = watched.borrow_and_update().pick(member(&self.node)).served;
        if Arc::ptr_eq(&target, self.state.target()) {
            return false;
        }
        self.handle.wanted(target.revision());
        self.state.retarget(target, Instant::now());
        true
    }

    fn request(&mut self, request: &V::Request) -> Result<(), Status> {
        let Some(ty) = self.type_of(V::type_url(request))? else {
            // It must not end an aggregated stream.
            self.unknown_type = V::unknown(request);
            return Ok(());
        };
        match self.state.request(ty, request) {
            Meaning::Names => {}
            Meaning::Ack => {
                self.context.metrics.xds_acks.inc();
            }
            Meaning::Nack { message, resources } => self.refused(ty, message, resources),
        }
        Ok(())
    }

    /// It refuses the last response of a type, which may be of a revision that it is no longer to have.
    fn refused(&mut self, ty: ResourceType, message: String, resources: Vec<Arc<str>>) {
        let sent = self.sent[ty.index()];
        let revision = sent.unwrap_or_else(|| self.state.target().revision());
        let Node { fleet, id, .. } = &self.node;
        tracing::warn!(%fleet, node = %id, %ty, revision, %message, "config refused");
        self.context.metrics.xds_nacks.inc();
        let refused = observed::Refused {
            node: id.clone(),
            type_url: ty.type_url().to_owned(),
            resources: resources.iter().map(ToString::to_string).collect(),
            message: message.clone(),
            reverted: false,
            at: Timestamp::now(),
        };
        self.context.refusals.note(fleet, revision, refused);
        self.handle.refused(Refused {
            revision,
            ty,
            resources,
            message,
        });
    }

    /// The type that a request is about; `None` if it is not served. On a stream of one type none need be named, and no
    /// other may be.
    fn type_of(&self, type_url: &str) -> Result<Option<ResourceType>, Status> {
        match self.only {
            None => Ok(ResourceType::from_type_url(type_url).filter(|ty| V::serves(*ty))),
            Some(only) if type_url.is_empty() || type_url == only.type_url() => Ok(Some(only)),
            Some(only) => Err(Status::invalid_argument(format!(
                "this stream is for {}, not for {type_url:?}",
                only.type_url()
            ))),
        }
    }

    fn next_response(&mut self) -> Option<Encoded> {
        if let Some(response) = self.unknown_type.take() {
            return Some(response);
        }
        let revision = self.state.target().revision();
        let now = Instant::now();
        let Some(response) = self.state.next_response(&self.context.control_plane, now) else {
            self.handle.sent(revision);
            if self.state.is_settled() {
                self.handle.acknowledged(revision);
            }
            return None;
        };
        if let Some(ty) = response.ty() {
            self.sent[ty.index()] = Some(revision);
        }
        self.context.metrics.xds_pushes.inc();
        Some(response)
    }
}

fn member(node: &Node) -> Member<'_> {
    Member {
        id: &node.id,
        zone: &node.zone,
        labels: &node.labels,
    }
}

async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}
