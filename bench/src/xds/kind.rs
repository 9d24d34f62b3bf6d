//! What kind of clients are simulated: variant of the protocol and user agent, what they ask for, and in which order. Pure.

use clap::ValueEnum;
use xds::node::SIGNALBOX_USER_AGENT;
use xds::type_url::ResourceType::{self, Cluster, Listener, RouteConfiguration, VirtualHost};

/// The listener of the config, and so the name of its routes.
pub(crate) const LISTENER: &str = "web";

/// A variant of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Variant {
    Delta,
    Sotw,
}

/// Who a delta client says it is. A client of the state of the world is always Envoy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum UserAgent {
    /// Our own proxy: virtual hosts one by one, and a session beside.
    SignalboxProxy,
    /// Virtual hosts inside their route configuration.
    Envoy,
}

/// A kind of client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kind {
    pub(crate) variant: Variant,
    pub(crate) user_agent: UserAgent,
}

impl Kind {
    pub(crate) fn of(variant: Variant, user_agent: UserAgent) -> Self {
        let user_agent = match variant {
            Variant::Delta => user_agent,
            Variant::Sotw => UserAgent::Envoy,
        };
        Self {
            variant,
            user_agent,
        }
    }

    /// Whether it is one of ours, which opens a session as well.
    pub(crate) fn is_ours(self) -> bool {
        self.user_agent == UserAgent::SignalboxProxy
    }

    pub(crate) fn name(self) -> &'static str {
        match (self.variant, self.user_agent) {
            (Variant::Delta, UserAgent::SignalboxProxy) => "delta, signalbox-proxy",
            (Variant::Delta, UserAgent::Envoy) => "delta, envoy",
            (Variant::Sotw, _) => "sotw, envoy",
        }
    }

    pub(crate) fn user_agent_name(self) -> &'static str {
        match self.user_agent {
            UserAgent::SignalboxProxy => SIGNALBOX_USER_AGENT,
            UserAgent::Envoy => "envoy",
        }
    }

    /// The method of the aggregated service.
    pub(crate) fn method(self) -> &'static str {
        match self.variant {
            Variant::Delta => "DeltaAggregatedResources",
            Variant::Sotw => "StreamAggregatedResources",
        }
    }

    /// What it asks for, in this order.
    pub(crate) fn types(self) -> &'static [ResourceType] {
        if self.is_ours() {
            &[Cluster, Listener, RouteConfiguration, VirtualHost]
        } else {
            &[Cluster, Listener, RouteConfiguration]
        }
    }

    /// What it asks for when a type was answered for the first time; `None` stands for the beginning. Our proxy begins with
    /// clusters and listeners, Envoy with clusters; routes are asked for when a listener names them, virtual hosts when the routes say so.
    pub(crate) fn asks_after(self, answered: Option<ResourceType>) -> &'static [ResourceType] {
        match (answered, self.is_ours()) {
            (None, true) => &[Cluster, Listener],
            (None, false) => &[Cluster],
            (Some(Cluster), false) => &[Listener],
            (Some(Listener), _) => &[RouteConfiguration],
            (Some(RouteConfiguration), true) => &[VirtualHost],
            _ => &[],
        }
    }

    /// The names that it asks for; everything if there are none.
    pub(crate) fn names(ty: ResourceType) -> &'static [&'static str] {
        match ty {
            RouteConfiguration => &[LISTENER],
            _ => &[],
        }
    }

    /// The type that one changed route comes in.
    pub(crate) fn changes(self) -> ResourceType {
        if self.is_ours() {
            VirtualHost
        } else {
            RouteConfiguration
        }
    }
}
