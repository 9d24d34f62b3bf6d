//! Forwarding: which cluster, and what of the request changes on its way there. `envoy.config.route.v3.RouteAction`.

use std::sync::Arc;
use std::time::Duration;

use super::header_edits::LevelEdits;
use super::substitution::Substitution;
use super::upgrades::Upgrades;

/// `envoy.config.route.v3.RouteAction`.
#[derive(Debug)]
pub struct Forward {
    /// Where to.
    pub cluster: ClusterChoice,
    /// The answer if the cluster is not there.
    pub cluster_not_found: ClusterNotFound,
    /// What it changes in path and host; apart from the rest, since most routes change nothing and routes are many.
    pub rewrite: Option<Box<Rewrite>>,
    /// Its timeouts, if they are not those that every route has.
    pub timeouts: Option<Box<Timeouts>>,
    /// What it says of protocols that a request may switch to; apart from the rest, since most routes say nothing.
    pub upgrades: Option<Box<Upgrades>>,
}

impl Forward {
    /// How long a request may take, and pause.
    pub fn timeouts(&self) -> Timeouts {
        self.timeouts.as_deref().copied().unwrap_or_default()
    }
}

/// The answer if a cluster is not there. `RouteAction.ClusterNotFoundResponseCode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClusterNotFound {
    /// 503, unless the route says otherwise.
    ServiceUnavailable,
    /// 404
    NotFound,
    /// 500
    InternalServerError,
}

impl ClusterNotFound {
    /// The status.
    pub fn status(self) -> u16 {
        match self {
            Self::ServiceUnavailable => 503,
            Self::NotFound => 404,
            Self::InternalServerError => 500,
        }
    }
}

/// The timeouts of a route. `RouteAction.timeout` and `idle_timeout`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// From the whole request's arrival to the response's end; `None` = without limit.
    pub total: Option<Duration>,
    /// Longest pause in either direction; `None` = the listener's.
    pub idle: Option<Option<Duration>>,
}

/// Those of a route that sets none: 15 s in all, as Envoy documents.
impl Default for Timeouts {
    fn default() -> Self {
        Self {
            total: Some(Duration::from_secs(15)),
            idle: None,
        }
    }
}

/// What a route changes in path and host.
#[derive(Clone, Debug, Default)]
pub struct Rewrite {
    /// What happens to the path.
    pub path: Option<PathRewrite>,
    /// What goes upstream as `Host` instead of the client's word.
    pub host: Option<HostRewrite>,
    /// The host before it is rewritten is appended to `X-Forwarded-Host`.
    pub append_x_forwarded_host: bool,
}

/// How the path changes. The query stays.
#[derive(Clone, Debug)]
pub enum PathRewrite {
    /// This takes the place of the part that the route's prefix matched (or of the whole exact path).
    Prefix(Box<str>),
    /// Every match in the path is replaced.
    Regex(Substitution),
}

/// Where the new `Host` comes from.
#[derive(Clone, Debug)]
pub enum HostRewrite {
    /// It is this one.
    Literal(Box<str>),
    /// The first value of this field, by its lower-case name; without such a field the host stays.
    Header(Box<str>),
    /// The path, before it is rewritten, with every match replaced.
    Path(Substitution),
    /// The name of the endpoint that was chosen; without a name the host stays.
    Endpoint,
}

/// The cluster of a request.
#[derive(Debug)]
pub enum ClusterChoice {
    /// Always this one.
    One(Arc<str>),
    /// One of several, by weight.
    Weighted(Box<WeightedClusters>),
}

impl ClusterChoice {
    /// Every cluster that may be chosen.
    pub fn names(&self) -> impl Iterator<Item = &Arc<str>> {
        let (one, weighted) = match self {
            Self::One(name) => (Some(name), None),
            Self::Weighted(weighted) => (
                None,
                Some(weighted.entries.iter().map(|(cluster, _)| &cluster.name)),
            ),
        };
        one.into_iter().chain(weighted.into_iter().flatten())
    }

    /// The cluster for one request. `random` gives a number below the one it gets; it is asked only if there are several.
    pub fn draw(&self, random: impl FnOnce(u32) -> u32) -> (&Arc<str>, Option<&WeightedCluster>) {
        match self {
            Self::One(name) => (name, None),
            Self::Weighted(weighted) => {
                let drawn = weighted.pick(random(weighted.total()));
                (&drawn.name, Some(drawn))
            }
        }
    }
}

/// One of several clusters, with what it changes beyond the route. `WeightedCluster.ClusterWeight`.
#[derive(Debug)]
pub struct WeightedCluster {
    /// Its name.
    pub name: Arc<str>,
    /// Edits of heads.
    pub edits: LevelEdits,
    /// What goes upstream as `Host`, unless the route itself rewrites it.
    pub host_rewrite: Option<HostRewrite>,
}

/// A cluster that changes nothing beyond the route.
impl<T: Into<Arc<str>>> From<T> for WeightedCluster {
    fn from(name: T) -> Self {
        Self {
            name: name.into(),
            edits: LevelEdits::default(),
            host_rewrite: None,
        }
    }
}

/// Clusters with weights; the sum is at least 1 and fits 32 bits.
#[derive(Debug)]
pub struct WeightedClusters {
    /// The cluster, and the sum of the weights up to and with this one.
    entries: Box<[(WeightedCluster, u32)]>,
}

impl WeightedClusters {
    /// `None` if the weights sum up to zero or to more than 32 bits.
    pub fn new<C: Into<WeightedCluster>>(weights: Vec<(C, u32)>) -> Option<Self> {
        let mut total = 0u32;
        let mut entries = Vec::with_capacity(weights.len());
        for (cluster, weight) in weights {
            total = total.checked_add(weight)?;
            entries.push((cluster.into(), total));
        }
        (total > 0).then(|| Self {
            entries: entries.into(),
        })
    }

    /// The sum of all weights.
    pub fn total(&self) -> u32 {
        self.entries.last().map_or(0, |(_, total)| *total)
    }

    /// The cluster for one draw from `0..total()`.
    pub fn pick(&self, draw: u32) -> &WeightedCluster {
        let index = self.entries.partition_point(|(_, upto)| *upto <= draw);
        &self.entries[index.min(self.entries.len() - 1)].0
    }

    /// Every cluster with its weight, in list order.
    pub fn weights(&self) -> impl Iterator<Item = (&WeightedCluster, u32)> {
        let mut before = 0;
        self.entries.iter().map(move |(cluster, upto)| {
            let weight = upto - before;
            before = *upto;
            (cluster, weight)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_draw_goes_to_the_cluster_that_owns_it() {
        let weighted = WeightedClusters::new(vec![("a", 2), ("zero", 0), ("b", 1)]).unwrap();
        let picked: Vec<&str> = (0..weighted.total())
            .map(|draw| &*weighted.pick(draw).name)
            .collect();
        assert_eq!(picked, ["a", "a", "b"]);
        let weights: Vec<u32> = weighted.weights().map(|(_, weight)| weight).collect();
        assert_eq!(weights, [2, 0, 1]);
    }

    #[test]
    fn weights_that_sum_up_to_nothing_or_too_much_are_refused() {
        assert!(WeightedClusters::new(vec![("a", 0)]).is_none());
        assert!(WeightedClusters::new(vec![("a", u32::MAX), ("b", 1)]).is_none());
    }
}
