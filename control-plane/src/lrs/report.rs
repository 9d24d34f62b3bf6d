//! A load report as traffic of a revision. Pure.

use std::collections::BTreeSet;
use std::sync::Arc;

use envoy_types::pb::envoy::config::endpoint::v3::ClusterStats;
use proto::session::{CauseCount, ClusterTraffic, Outcomes, RevisionTraffic};

/// The cause of requests that the client's own limits kept from an endpoint; Envoy's response flag of a circuit breaker that
/// is open is the closest.
const DROPPED: &str = "UO";

/// What a report says of the clusters that were asked for, all of it under one revision. `None` if it says nothing: Envoy
/// also reports clusters that had no request. What is not asked for is left out, such as the cluster of the control plane.
pub(super) fn traffic(
    revision: u64,
    reported: &[ClusterStats],
    wanted: &BTreeSet<Arc<str>>,
) -> Option<RevisionTraffic> {
    let mut total = Counts::default();
    let mut clusters = Vec::new();
    for stats in reported {
        let counts = Counts::of(stats);
        if counts.is_zero() || !wanted.contains(stats.cluster_name.as_str()) {
            continue;
        }
        total = total.plus(counts);
        clusters.push(ClusterTraffic {
            cluster: stats.cluster_name.clone(),
            outcomes: Some(counts.outcomes()),
        });
    }
    (!clusters.is_empty()).then(|| RevisionTraffic {
        revision,
        total: Some(total.outcomes()),
        clusters,
        ..RevisionTraffic::default()
    })
}

/// Requests that ended. Those that have only begun (`total_issued_requests`, `total_requests_in_progress`) are counted when
/// they end.
#[derive(Clone, Copy, Default)]
struct Counts {
    /// Answers that Envoy counts as good: all but 5xx; of gRPC all but the statuses that the endpoint is to blame for.
    successes: u64,
    /// 5xx, connections that broke, and those statuses of gRPC (`UpstreamEndpointStats.total_error_requests`).
    errors: u64,
    /// Requests that were kept from any endpoint, by a circuit breaker or a policy (`ClusterStats.total_dropped_requests`): the
    /// client was answered with 503.
    dropped: u64,
}

impl Counts {
    fn of(stats: &ClusterStats) -> Self {
        let dropped = Self {
            dropped: stats.total_dropped_requests,
            ..Self::default()
        };
        let localities = stats.upstream_locality_stats.iter();
        localities.fold(dropped, |sum, locality| {
            sum.plus(Self {
                successes: locality.total_successful_requests,
                errors: locality.total_error_requests,
                dropped: 0,
            })
        })
    }

    fn plus(self, more: Self) -> Self {
        Self {
            successes: self.successes.saturating_add(more.successes),
            errors: self.errors.saturating_add(more.errors),
            dropped: self.dropped.saturating_add(more.dropped),
        }
    }

    fn is_zero(self) -> bool {
        self.successes == 0 && self.errors == 0 && self.dropped == 0
    }

    /// The class of a success is not known, nor how long it took.
    fn outcomes(self) -> Outcomes {
        let errors = self.errors.saturating_add(self.dropped);
        let dropped = CauseCount {
            cause: DROPPED.to_owned(),
            count: self.dropped,
        };
        Outcomes {
            requests: self.successes.saturating_add(errors),
            classes: vec![0, 0, 0, 0, errors],
            causes: Some(dropped)
                .filter(|_| self.dropped > 0)
                .into_iter()
                .collect(),
            latencies: None,
            unanswered: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use envoy_types::pb::envoy::config::endpoint::v3::UpstreamLocalityStats;

    use super::*;

    fn stats(name: &str, localities: &[(u64, u64)], dropped: u64) -> ClusterStats {
        let locality = |(successes, errors): &(u64, u64)| UpstreamLocalityStats {
            total_successful_requests: *successes,
            total_error_requests: *errors,
            total_issued_requests: 1_000,
            total_requests_in_progress: 5,
            ..UpstreamLocalityStats::default()
        };
        ClusterStats {
            cluster_name: name.to_owned(),
            upstream_locality_stats: localities.iter().map(locality).collect(),
            total_dropped_requests: dropped,
            ..ClusterStats::default()
        }
    }

    fn wanted() -> BTreeSet<Arc<str>> {
        ["a", "b"].map(Arc::from).into()
    }

    #[test]
    fn localities_of_clusters_that_are_asked_for_add_up() {
        let reported = [
            stats("a", &[(10, 1), (5, 2)], 3),
            stats("b", &[(1, 0)], 0),
            stats("xds", &[(7, 7)], 7),
        ];
        let traffic = traffic(4, &reported, &wanted()).unwrap();
        let total = traffic.total.unwrap();
        assert_eq!((traffic.revision, total.requests), (4, 22));
        assert_eq!(total.classes, [0, 0, 0, 0, 6]);
        let names: Vec<_> = traffic
            .clusters
            .iter()
            .map(|c| c.cluster.as_str())
            .collect();
        assert_eq!(names, ["a", "b"]);
        let a = traffic.clusters[0].outcomes.as_ref().unwrap();
        assert_eq!((a.requests, a.classes[4], a.causes[0].count), (21, 6, 3));
    }

    #[test]
    fn idle_clusters_are_no_traffic() {
        assert_eq!(traffic(4, &[stats("a", &[(0, 0)], 0)], &wanted()), None);
    }

    #[test]
    fn counts_that_are_lies_do_not_overflow() {
        let reported = [stats("a", &[(u64::MAX, u64::MAX), (1, 1)], u64::MAX)];
        let total = traffic(4, &reported, &wanted()).unwrap().total.unwrap();
        assert_eq!(total.requests, u64::MAX);
    }
}
