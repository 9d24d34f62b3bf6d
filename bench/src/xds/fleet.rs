//! Many clients of one kind, each with a connection of its own. In: a control plane's address. Out: what they did, and when.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use envoy_types::pb::envoy::service::discovery::v3::{DeltaDiscoveryResponse, DiscoveryResponse};
use prost::Message;
use tokio::task::JoinSet;
use xds::type_url::ResourceType;

use super::board::Board;
use super::broken::Broken;
use super::client;
use super::kind::{Kind, Variant};
use super::speech::{Speech, Versions};
use super::traffic::Traffic;

/// What one client knows, and so all that are in the same state.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    /// What it holds, by type.
    held: [Versions; ResourceType::ALL.len()],
    /// Of which revision that is.
    pub(crate) revision: u64,
    /// The newest assignment that it was told.
    pub(crate) assignment: u64,
}

/// What the clients share.
#[derive(Debug)]
pub(crate) struct Fleet {
    kind: Kind,
    pub(crate) server: SocketAddr,
    pub(crate) speech: Speech,
    /// What the clients knew before they came back; nothing if they are new.
    pub(crate) before: Known,
    expected: [usize; ResourceType::ALL.len()],
    pub(crate) traffic: Arc<Traffic>,
    /// Holds everything, and if it is one of ours, serves it.
    pub(crate) ready: Board,
    /// Acknowledged a response that holds a changed route.
    pub(crate) acknowledged: Board,
    /// Reported its newest target as active.
    pub(crate) active: Board,
    pub(crate) broken: Broken,
    known: Mutex<Known>,
}

/// Clients that run; dropped, all their connections break at once.
pub(crate) struct Running {
    pub(crate) fleet: Arc<Fleet>,
    tasks: JoinSet<()>,
}

impl Running {
    /// Starts so many new clients, all at once. They are ready when they hold `expected` resources of each type.
    pub(crate) fn start(
        kind: Kind,
        clients: usize,
        server: SocketAddr,
        expected: [usize; ResourceType::ALL.len()],
    ) -> Self {
        Self::of(kind, clients, server, Known::default(), expected)
    }

    fn of(
        kind: Kind,
        clients: usize,
        server: SocketAddr,
        before: Known,
        expected: [usize; ResourceType::ALL.len()],
    ) -> Self {
        let fleet = Arc::new(Fleet {
            kind,
            server,
            speech: Speech::holding(kind, &before.held),
            known: Mutex::new(before.clone()),
            before,
            expected,
            traffic: Arc::default(),
            ready: Board::of("all hold the config", clients),
            acknowledged: Board::of("all acknowledge the change", clients),
            active: Board::of("all report the change as active", clients),
            broken: Broken::default(),
        });
        let mut tasks = JoinSet::new();
        for index in 0..clients {
            tasks.spawn(client::run(fleet.clone(), index));
        }
        Self { fleet, tasks }
    }

    /// Breaks all connections, and lets all clients come back with what they hold. Returns when the last one was broken.
    pub(crate) async fn come_back(self, clients: usize) -> (Self, Instant) {
        let Self { fleet, mut tasks } = self;
        tasks.shutdown().await;
        let broken = Instant::now();
        let mut known = fleet.known().clone();
        known.revision = known.revision.max(1);
        // A delta names only what is not held; the state of the world is always whole.
        let expected = match fleet.kind.variant {
            Variant::Delta => [0; ResourceType::ALL.len()],
            Variant::Sotw => fleet.expected,
        };
        let running = Self::of(fleet.kind, clients, fleet.server, known, expected);
        (running, broken)
    }

    /// How long after `start` each client was ready.
    pub(crate) async fn ready(&self, start: Instant, within: Duration) -> Result<Vec<Duration>> {
        self.fleet.ready.all(start, within).await
    }
}

impl Fleet {
    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// Whether its clients were here before.
    pub(crate) fn comes_back(&self) -> bool {
        self.before.revision > 0
    }

    /// How many resources of a type there are to come.
    pub(crate) fn expects(&self, ty: ResourceType) -> usize {
        self.expected[ty.index()]
    }

    /// Takes in what one response leaves a client with.
    pub(crate) fn learn(&self, message: &[u8]) -> Result<()> {
        let mut known = self.known();
        let Known { held, revision, .. } = &mut *known;
        match self.kind.variant {
            Variant::Delta => {
                let response = DeltaDiscoveryResponse::decode(message)?;
                *revision = response.system_version_info.parse().unwrap_or(*revision);
                if let Some(ty) = ResourceType::from_type_url(&response.type_url) {
                    let entries = response.resources.into_iter();
                    held[ty.index()].extend(entries.map(|entry| (entry.name, entry.version)));
                }
            }
            Variant::Sotw => {
                let response = DiscoveryResponse::decode(message)?;
                if let Some(ty) = ResourceType::from_type_url(&response.type_url) {
                    held[ty.index()].insert(String::new(), response.version_info);
                }
            }
        }
        Ok(())
    }

    /// A client cannot go on.
    pub(crate) fn fail(&self, reason: &str) {
        for board in [&self.ready, &self.acknowledged, &self.active] {
            board.fail(reason.to_owned());
        }
    }

    /// A client was told its target by this assignment.
    pub(crate) fn told(&self, assignment: u64) {
        let mut known = self.known();
        known.assignment = known.assignment.max(assignment);
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
