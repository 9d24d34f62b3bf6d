//! What this process counts, and its text form for `/metrics` (OpenMetrics). Names begin with `signalbox_`.

use std::fmt;
use std::sync::atomic::AtomicI64;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// The media type of the text that [`Metrics::render`] writes.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The counters of one process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Requests to the admin API.
    pub api_requests: Family<ApiRequest, Counter>,
    /// Revisions stored.
    pub commits: Counter,
    /// Failures of the database.
    pub store_errors: Family<StoreFailure, Counter>,
    /// Nodes that are connected to this replica.
    pub nodes_connected: Gauge<i64, AtomicI64>,
    /// Responses sent on xDS streams.
    pub xds_pushes: Counter,
    /// Responses that a client accepted.
    pub xds_acks: Counter,
    /// Responses that a client refused.
    pub xds_nacks: Counter,
}

/// One series of requests. The route is a template, never a path: the number of series is bounded.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ApiRequest {
    /// The route's template; empty if none matched.
    pub route: String,
    /// The method; `OTHER` if it is none of HTTP's.
    pub method: String,
    /// The class of the status: `2xx`.
    pub status: String,
}

/// One series of failures.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct StoreFailure {
    /// `unavailable`, `corrupt` or `refused`.
    pub kind: &'static str,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("signalbox"),
            api_requests: Family::default(),
            commits: Counter::default(),
            store_errors: Family::default(),
            nodes_connected: Gauge::default(),
            xds_pushes: Counter::default(),
            xds_acks: Counter::default(),
            xds_nacks: Counter::default(),
        };
        let registry = &mut metrics.registry;
        registry.register(
            "api_requests",
            "Requests to the admin API",
            metrics.api_requests.clone(),
        );
        registry.register("commits", "Revisions stored", metrics.commits.clone());
        registry.register(
            "store_errors",
            "Failures of the database",
            metrics.store_errors.clone(),
        );
        registry.register(
            "nodes_connected",
            "Nodes connected to this replica",
            metrics.nodes_connected.clone(),
        );
        registry.register(
            "xds_pushes",
            "Responses sent on xDS streams",
            metrics.xds_pushes.clone(),
        );
        registry.register(
            "xds_acks",
            "Responses that a client accepted",
            metrics.xds_acks.clone(),
        );
        registry.register(
            "xds_nacks",
            "Responses that a client refused",
            metrics.xds_nacks.clone(),
        );
        metrics
    }
}

impl Metrics {
    /// Shows the series of somebody who knows them.
    pub fn show(&mut self, series: impl Collector) {
        self.registry.register_collector(Box::new(series));
    }

    /// All series as text.
    ///
    /// # Errors
    /// A label or a value cannot be written.
    pub fn render(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_counted_is_in_the_text() {
        let metrics = Metrics::default();
        metrics.commits.inc();
        let request = ApiRequest {
            route: "/v1".into(),
            method: "GET".into(),
            status: "2xx".into(),
        };
        metrics.api_requests.get_or_create(&request).inc();
        let text = metrics.render().unwrap();
        assert!(text.contains("signalbox_commits_total 1\n"), "{text}");
        assert!(
            text.contains(
                r#"signalbox_api_requests_total{route="/v1",method="GET",status="2xx"} 1"#
            ),
            "{text}"
        );
    }
}
