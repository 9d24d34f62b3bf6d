//! The resource types that Signalbox speaks, their type URLs and the order in which they are pushed.
//! The order is the make-before-break order of the xDS protocol specification, section
//! "Eventual consistency considerations".

use std::fmt;

/// A resource type. The order of the variants is the push order: what is referred to comes before
/// what refers to it. Removals go the other way round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ResourceType {
    /// `envoy.config.cluster.v3.Cluster`, by CDS.
    Cluster,
    /// `envoy.config.endpoint.v3.ClusterLoadAssignment`, by EDS.
    ClusterLoadAssignment,
    /// `envoy.config.listener.v3.Listener`, by LDS.
    Listener,
    /// `envoy.config.route.v3.RouteConfiguration`, by RDS.
    RouteConfiguration,
    /// `envoy.config.route.v3.VirtualHost`, by VHDS.
    VirtualHost,
}

impl ResourceType {
    /// Every type, in push order.
    pub const ALL: [Self; 5] = [
        Self::Cluster,
        Self::ClusterLoadAssignment,
        Self::Listener,
        Self::RouteConfiguration,
        Self::VirtualHost,
    ];

    /// The type URL as it stands in discovery requests, responses and every `Any`.
    pub const fn type_url(self) -> &'static str {
        match self {
            Self::Cluster => "type.googleapis.com/envoy.config.cluster.v3.Cluster",
            Self::ClusterLoadAssignment => {
                "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"
            }
            Self::Listener => "type.googleapis.com/envoy.config.listener.v3.Listener",
            Self::RouteConfiguration => {
                "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"
            }
            Self::VirtualHost => "type.googleapis.com/envoy.config.route.v3.VirtualHost",
        }
    }

    /// The type of a type URL, if it is one of ours.
    pub fn from_type_url(url: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|ty| ty.type_url() == url)
    }

    /// The message name without its package: `Cluster`, `ClusterLoadAssignment`, …
    pub const fn short_name(self) -> &'static str {
        match self {
            Self::Cluster => "Cluster",
            Self::ClusterLoadAssignment => "ClusterLoadAssignment",
            Self::Listener => "Listener",
            Self::RouteConfiguration => "RouteConfiguration",
            Self::VirtualHost => "VirtualHost",
        }
    }

    /// Position in [`ResourceType::ALL`], for arrays with one slot a type.
    pub const fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for ResourceType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.short_name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_is_found_by_its_url_and_sits_at_its_index() {
        for (index, ty) in ResourceType::ALL.into_iter().enumerate() {
            assert_eq!(ResourceType::from_type_url(ty.type_url()), Some(ty));
            assert_eq!(ty.index(), index);
        }
        assert_eq!(
            ResourceType::from_type_url("type.googleapis.com/envoy.config.cluster.v3.Nope"),
            None
        );
    }
}
