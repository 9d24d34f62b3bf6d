//! A cluster in use: its endpoints with what is in flight to them, and the chooser among them. A cluster that did not
//! change is the same object in the next config; one that did change hands over the state of what it keeps.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use ahash::RandomState;
use xds::config::ServedCluster;
use xds::resource::cluster::Discovery;
use xds::resource::cluster::dns::Kind;
use xds::resource::endpoint::Endpoint;

use crate::metrics::{ClusterSlot, Counter, Metrics, PerWorker};
use crate::upstream::balancer::Balancer;

/// How many former addresses of a logical name are remembered.
const FORMER_MAX: usize = 16;

/// A cluster in use.
#[derive(Debug)]
pub(crate) struct LiveCluster {
    served: ServedCluster,
    endpoints: Box<[Arc<LiveEndpoint>]>,
    /// Where the one endpoint of a logical name was before, the newest first: connections to there are not drained.
    former: Box<[SocketAddr]>,
    balancer: Balancer,
    /// Where each worker's round through the endpoints stands.
    cursors: Arc<PerWorker<Cursor>>,
    /// Its counters.
    pub(crate) metrics: Arc<PerWorker<ClusterSlot>>,
}

/// An endpoint in use.
#[derive(Debug)]
pub(crate) struct LiveEndpoint {
    /// Where it is reached.
    pub(crate) address: SocketAddr,
    /// Requests in flight, by worker.
    pub(crate) active: PerWorker<Counter>,
}

/// Begins anywhere, so that the workers and proxies of a fleet do not march in step.
#[derive(Debug)]
struct Cursor(Counter);

impl Default for Cursor {
    fn default() -> Self {
        let cursor = Counter::default();
        cursor.add(fastrand::u64(..1 << 32));
        Self(cursor)
    }
}

impl LiveCluster {
    /// The cluster in use that follows `before`.
    pub(super) fn following(
        before: Option<&Arc<Self>>,
        served: &ServedCluster,
        metrics: &Metrics,
    ) -> Arc<Self> {
        if let Some(same) = before.filter(|before| before.serves(served)) {
            return same.clone();
        }
        let list = endpoints_of(served);
        let known: HashMap<SocketAddr, &Arc<LiveEndpoint>, RandomState> = before
            .into_iter()
            .flat_map(|before| &before.endpoints)
            .map(|endpoint| (endpoint.address, endpoint))
            .collect();
        let keep_or_make = |endpoint: &Endpoint| match known.get(&endpoint.address) {
            Some(known) => Arc::clone(known),
            None => Arc::new(LiveEndpoint {
                address: endpoint.address,
                active: PerWorker::new(metrics.workers()),
            }),
        };
        Arc::new(Self {
            former: before
                .map(|before| before.former(served))
                .unwrap_or_default(),
            endpoints: list.iter().map(keep_or_make).collect(),
            balancer: Balancer::new(served.cluster.lb_policy, list),
            cursors: match before {
                Some(before) => before.cursors.clone(),
                None => Arc::new(PerWorker::new(metrics.workers())),
            },
            metrics: metrics.cluster(&served.cluster.name),
            served: served.clone(),
        })
    }

    /// Its name.
    pub(crate) fn name(&self) -> &Arc<str> {
        &self.served.cluster.name
    }

    /// The resource.
    pub(crate) fn served(&self) -> &ServedCluster {
        &self.served
    }

    /// The addresses of its endpoints.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.endpoints.iter().map(|endpoint| endpoint.address)
    }

    /// The addresses that connections may be kept to.
    pub(crate) fn kept_addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.addresses().chain(self.former.iter().copied())
    }

    /// An endpoint by its position.
    pub(crate) fn endpoint(&self, position: usize) -> &LiveEndpoint {
        &self.endpoints[position]
    }

    /// The name of an endpoint, if it has one.
    pub(crate) fn hostname(&self, position: usize) -> Option<&str> {
        endpoints_of(&self.served)[position].hostname.as_deref()
    }

    /// Chooses the endpoint for the next request of a worker; gives its position.
    pub(crate) fn pick(&self, worker: usize) -> Option<usize> {
        let active = |position: usize| self.endpoints[position].active.of(worker).get();
        self.balancer.pick(&self.cursors.of(worker).0, active)
    }

    /// What of this cluster's addresses stays known in the one that follows. Envoy never drains connections of `LOGICAL_DNS`:
    /// answers that rotate would close them all the time.
    fn former(&self, next: &ServedCluster) -> Box<[SocketAddr]> {
        let is_logical = |served: &ServedCluster| matches!(&served.cluster.discovery, Discovery::Dns(dns) if dns.kind == Kind::Logical);
        if !is_logical(&self.served) || !is_logical(next) {
            return Box::default();
        }
        let mut former = Vec::with_capacity(FORMER_MAX);
        for address in self.kept_addresses() {
            let is_current = endpoints_of(next)
                .iter()
                .any(|endpoint| endpoint.address == address);
            if !is_current && !former.contains(&address) && former.len() < FORMER_MAX {
                former.push(address);
            }
        }
        former.into()
    }

    fn serves(&self, served: &ServedCluster) -> bool {
        let same_endpoints = match (&self.served.endpoints, &served.endpoints) {
            (Some(ours), Some(theirs)) => Arc::ptr_eq(ours, theirs),
            (ours, theirs) => ours.is_none() && theirs.is_none(),
        };
        same_endpoints && Arc::ptr_eq(&self.served.cluster, &served.cluster)
    }
}

fn endpoints_of(served: &ServedCluster) -> &[Endpoint] {
    served
        .endpoints
        .as_ref()
        .map_or(&[], |assignment| &assignment.endpoints)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use xds::resource::cluster::dns::Dns;
    use xds::resource::cluster::{Cluster, LbPolicy};
    use xds::resource::endpoint::{ClusterLoadAssignment, HealthStatus};

    use super::*;

    fn served(ports: &[u16]) -> ServedCluster {
        let name: Arc<str> = "a".into();
        let endpoint = |port: &u16| Endpoint {
            address: SocketAddr::from(([127, 0, 0, 1], *port)),
            hostname: None,
            weight: 1,
            zone: "".into(),
            health: HealthStatus::Healthy,
        };
        let assignment = ClusterLoadAssignment {
            cluster_name: name.clone(),
            endpoints: ports.iter().map(endpoint).collect(),
        };
        let cluster = Cluster {
            name,
            discovery: Discovery::Eds("a".into()),
            lb_policy: LbPolicy::RoundRobin,
            connect_timeout: Duration::from_secs(1),
        };
        ServedCluster {
            cluster: Arc::new(cluster),
            endpoints: Some(Arc::new(assignment)),
        }
    }

    #[test]
    fn a_cluster_that_did_not_change_is_the_same_object() {
        let metrics = Metrics::new(1);
        let served = served(&[1]);
        let first = LiveCluster::following(None, &served, &metrics);
        assert!(Arc::ptr_eq(
            &first,
            &LiveCluster::following(Some(&first), &served, &metrics)
        ));
    }

    #[test]
    fn an_endpoint_that_stays_keeps_its_requests_and_the_round_goes_on() {
        let metrics = Metrics::new(1);
        let first = LiveCluster::following(None, &served(&[1, 2]), &metrics);
        first.endpoint(1).active.of(0).inc();
        let second = LiveCluster::following(Some(&first), &served(&[2, 3]), &metrics);
        assert_eq!(second.endpoint(0).active.of(0).get(), 1);
        assert_eq!(second.endpoint(1).active.of(0).get(), 0);
        let turn = first.pick(0);
        assert_ne!(second.pick(0), turn, "the next one in turn");
    }

    #[test]
    fn connections_to_where_a_logical_name_was_before_are_kept_and_those_of_others_are_not() {
        let metrics = Metrics::new(1);
        let logical = |ports: &[u16]| {
            let mut served = served(ports);
            let dns = Dns {
                kind: Kind::Logical,
                endpoints: Box::default(),
            };
            Arc::get_mut(&mut served.cluster).unwrap().discovery = Discovery::Dns(dns);
            served
        };
        let kept = |cluster: &LiveCluster| -> Vec<u16> {
            let addresses = cluster.kept_addresses();
            addresses.map(|address| address.port()).collect()
        };
        let mut cluster = LiveCluster::following(None, &logical(&[1]), &metrics);
        for port in [2, 1, 3] {
            cluster = LiveCluster::following(Some(&cluster), &logical(&[port]), &metrics);
        }
        assert_eq!(kept(&cluster), [3, 1, 2]);
        for port in 4..100 {
            cluster = LiveCluster::following(Some(&cluster), &logical(&[port]), &metrics);
        }
        assert_eq!(kept(&cluster).len(), 1 + FORMER_MAX);
        let other = LiveCluster::following(Some(&cluster), &served(&[5]), &metrics);
        assert_eq!(kept(&other), [5]);
    }

    #[test]
    fn a_cluster_that_waits_for_its_endpoints_has_none_to_choose() {
        let waiting = ServedCluster {
            endpoints: None,
            ..served(&[])
        };
        let cluster = LiveCluster::following(None, &waiting, &Metrics::new(1));
        assert_eq!(cluster.pick(0), None);
    }
}
