//! Which items of a list are asked for. Each list has its own typed parameters; those that are not given let
//! everything pass, and several are joined by "and".

use serde::Deserialize;
use serde::de::DeserializeOwned;
use utoipa::IntoParams;

use crate::model::route::Forward;
use crate::model::{Resource, Route};
use crate::store::node_status::NodeStatus;

use super::query::Paging;

/// The parameters of a list of `T`.
pub(super) trait Filter<T>: DeserializeOwned + Send + Sync {
    /// Which part is asked for.
    fn paging(&self) -> Paging;

    /// Whether an item is asked for.
    fn takes(&self, item: &T) -> bool;
}

/// For lists of which the name is all that tells items apart.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ByName {
    /// Only those whose name begins so.
    name_prefix: Option<String>,
    /// How many items at most.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    /// Where to go on: `next_page_token` of the page before.
    page_token: Option<String>,
}

/// For lists of routes.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct RoutesBy {
    /// Only those whose name begins so.
    name_prefix: Option<String>,
    /// Only those that answer for this host, as routes name it; `*` are those that name none.
    #[param(example = "*.shop.example")]
    host: Option<String>,
    /// Only those that forward to this cluster.
    cluster: Option<String>,
    /// Only those that are served on this listener.
    listener: Option<String>,
    /// How many items at most.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    /// Where to go on: `next_page_token` of the page before.
    page_token: Option<String>,
}

/// For lists of nodes.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct NodesBy {
    /// Only those that are connected, or are not.
    connected: Option<bool>,
    /// Only those of this class.
    #[param(example = "envoy")]
    class: Option<String>,
    /// Only those in this zone.
    zone: Option<String>,
    /// Only those that have refused something since they last acknowledged, or have not.
    refused: Option<bool>,
    /// How many items at most.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    /// Where to go on: `next_page_token` of the page before.
    page_token: Option<String>,
}

impl ByName {
    /// Which part is asked for.
    pub(super) fn paging(&self) -> Paging {
        Paging {
            limit: self.limit,
            page_token: self.page_token.clone(),
        }
    }

    /// Whether an item of this name is asked for.
    pub(super) fn takes_name(&self, name: &str) -> bool {
        begins(self.name_prefix.as_deref(), name)
    }
}

impl<T: Resource> Filter<T> for ByName {
    fn paging(&self) -> Paging {
        self.paging()
    }

    fn takes(&self, resource: &T) -> bool {
        self.takes_name(resource.name())
    }
}

impl Filter<Route> for RoutesBy {
    fn paging(&self) -> Paging {
        Paging {
            limit: self.limit,
            page_token: self.page_token.clone(),
        }
    }

    fn takes(&self, route: &Route) -> bool {
        let mut clusters = route.forward.iter().flat_map(Forward::targets);
        begins(self.name_prefix.as_deref(), &route.name)
            && given(self.host.as_ref(), |host| {
                route.host_patterns().any(|pattern| pattern == host)
            })
            && given(self.cluster.as_ref(), |cluster| {
                clusters.any(|(name, _)| name == cluster)
            })
            && given(self.listener.as_ref(), |listener| route.serves(listener))
    }
}

impl Filter<NodeStatus> for NodesBy {
    fn paging(&self) -> Paging {
        Paging {
            limit: self.limit,
            page_token: self.page_token.clone(),
        }
    }

    fn takes(&self, node: &NodeStatus) -> bool {
        given(self.connected, |connected| node.connected == connected)
            && given(self.class.as_ref(), |class| node.class == *class)
            && given(self.zone.as_ref(), |zone| node.zone == *zone)
            && given(self.refused, |refused| node.refused.is_some() == refused)
    }
}

fn begins(prefix: Option<&str>, name: &str) -> bool {
    given(prefix, |prefix| name.starts_with(prefix))
}

fn given<T>(value: Option<T>, holds: impl FnOnce(T) -> bool) -> bool {
    value.is_none_or(holds)
}
