//! What the proxy serves now: a [`Config`] together with the parts that only a running proxy has (sockets, balancer
//! state, counters). A `Live` is a value: the [`Writer`] builds the next one beside it and puts it in its place with one
//! store; a request reads it once and keeps it to its end. How a worker reads it is in `worker`.

mod cluster;
mod retired;
mod sockets;
mod writer;

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use ahash::RandomState;
use arc_swap::ArcSwap;
use xds::config::{Config, ServedListener};
use xds::problem::Problem;

use crate::metrics::{ListenerSlot, Metrics, PerWorker};
use crate::outcomes::Outcomes;

pub(crate) use cluster::LiveCluster;
pub(crate) use retired::Retired;
pub(crate) use sockets::Handover;
pub use writer::Writer;

/// A config in use. The default is the empty one.
#[derive(Debug, Default)]
pub(crate) struct Live {
    /// Counts configs; 0 is the empty one that a proxy starts with.
    pub(crate) generation: u64,
    /// What it serves, in the order of `config.listeners`.
    pub(crate) listeners: Box<[LiveListener]>,
    clusters: Box<[Arc<LiveCluster>]>,
    cluster_index: HashMap<Arc<str>, u32, RandomState>,
    listener_index: HashMap<SocketAddr, u32, RandomState>,
    endpoint_addresses: HashSet<SocketAddr, RandomState>,
    /// Where its requests are counted, if they are.
    pub(crate) outcomes: Option<Arc<Outcomes>>,
}

/// A listener in use.
#[derive(Debug)]
pub(crate) struct LiveListener {
    /// What it serves.
    pub(crate) served: Arc<ServedListener>,
    /// The address it is reached at; `None` if that could not be bound.
    pub(crate) address: Option<SocketAddr>,
    /// Its counters.
    pub(crate) metrics: Arc<PerWorker<ListenerSlot>>,
}

impl Live {
    /// The config in use that follows `before`. What did not change keeps its state.
    fn following(
        before: &Self,
        config: &Config,
        addresses: &[Option<SocketAddr>],
        metrics: &Metrics,
        outcomes: Option<Arc<Outcomes>>,
    ) -> Self {
        let listeners: Box<[LiveListener]> = config
            .listeners
            .iter()
            .zip(addresses)
            .map(|(served, address)| LiveListener {
                served: served.clone(),
                address: *address,
                metrics: metrics.listener(&served.listener.name),
            })
            .collect();
        let clusters: Box<[Arc<LiveCluster>]> = config
            .clusters
            .values()
            .map(|served| {
                LiveCluster::following(before.cluster_named(&served.cluster.name), served, metrics)
            })
            .collect();
        Self {
            generation: before.generation + 1,
            cluster_index: (0u32..)
                .zip(&clusters)
                .map(|(index, cluster)| (cluster.name().clone(), index))
                .collect(),
            listener_index: (0u32..)
                .zip(&listeners)
                .filter_map(|(index, listener)| Some((listener.address?, index)))
                .collect(),
            endpoint_addresses: clusters
                .iter()
                .flat_map(|cluster| cluster.kept_addresses())
                .collect(),
            listeners,
            clusters,
            outcomes,
        }
    }

    /// Whether it is a config but for endpoints, which come and go by themselves.
    fn has_listeners_of(&self, config: &Config) -> bool {
        let served = self.listeners.iter().map(|listener| &listener.served);
        self.listeners.len() == config.listeners.len()
            && served
                .zip(&config.listeners)
                .all(|(ours, theirs)| Arc::ptr_eq(ours, theirs))
    }

    /// The position of a cluster.
    pub(crate) fn cluster_position(&self, name: &str) -> Option<usize> {
        self.cluster_index.get(name).map(|index| *index as usize)
    }

    /// The clusters; positions are those of [`Live::cluster_position`].
    pub(crate) fn clusters(&self) -> &[Arc<LiveCluster>] {
        &self.clusters
    }

    /// The position of the listener that is reached at an address.
    pub(crate) fn listener_at(&self, address: &SocketAddr) -> Option<usize> {
        self.listener_index
            .get(address)
            .map(|index| *index as usize)
    }

    /// The position of a listener by its name.
    pub(crate) fn listener_named(&self, name: &str) -> Option<usize> {
        self.listeners
            .binary_search_by(|listener| (*listener.served.listener.name).cmp(name))
            .ok()
    }

    /// Whether an endpoint of some cluster has this address, or had it and keeps its connections.
    pub(crate) fn has_endpoint(&self, address: &SocketAddr) -> bool {
        self.endpoint_addresses.contains(address)
    }

    fn cluster_named(&self, name: &str) -> Option<&Arc<LiveCluster>> {
        self.cluster_position(name)
            .map(|index| &self.clusters[index])
    }
}

/// What the writer shares with everybody else: the live config, and what is known about it.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    current: ArcSwap<Live>,
    /// The generation of `current`, for one cheap look when a request starts.
    generation: AtomicU64,
    draining: AtomicBool,
    status: Mutex<Status>,
    kept: Mutex<Kept>,
}

/// What is kept on disk for the next start.
#[derive(Clone, Debug, Default)]
pub(crate) struct Kept {
    /// The config that was stored last in this life of the proxy.
    pub(crate) last: Option<Stored>,
    /// Why the last attempt failed, if it did: then the next start finds an older config.
    pub(crate) last_error: Option<String>,
    /// How many attempts have failed.
    pub(crate) failures: u64,
}

/// A config on disk.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    /// Its revision; 0 with a foreign control plane.
    pub(crate) revision: u64,
    /// Its generation.
    pub(crate) generation: u64,
    /// When it was stored.
    pub(crate) at: SystemTime,
}

/// What is known of the live config beside itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct Status {
    /// When it went live.
    pub(crate) since: Option<SystemTime>,
    /// What this machine refused of it: addresses that could not be bound.
    pub(crate) problems: Vec<Problem>,
}

impl Shared {
    /// The live config.
    pub(crate) fn current(&self) -> Arc<Live> {
        self.current.load_full()
    }

    /// Its generation.
    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Whether the proxy is on its way out.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Says that the proxy is on its way out.
    pub(crate) fn start_draining(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// What is known of it.
    pub(crate) fn status(&self) -> MutexGuard<'_, Status> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is kept on disk.
    pub(crate) fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a config in the place of the live one, and gives that back.
    fn publish(&self, live: Arc<Live>) -> Arc<Live> {
        let generation = live.generation;
        let before = self.current.swap(live);
        // After the swap: who sees the new generation finds at least that config.
        self.generation.store(generation, Ordering::Release);
        before
    }
}
