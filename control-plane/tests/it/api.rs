//! The admin API: the real router over a fresh real database.

mod access;
mod away;
mod conditions;
mod config;
mod events;
mod failures;
mod history;
mod lists;
mod patch;
mod plan;
mod race;
mod reading;
mod rollouts;
mod samples;
mod terms;
mod traffic;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use control_plane::api::{Access, ApiState, Turns, router};
use control_plane::metrics::Metrics;
use control_plane::reconciler::Reconciler;
use control_plane::rollout::{Rollout, State};
use control_plane::snapshots::Snapshots;
use control_plane::store::Store;
use control_plane::store::rollout::Step;
use control_plane::store::sql::{Database, SqlStore};
use http::{HeaderMap, Request};
use serde_json::Value;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

const SHOP: &str = include_str!("../../../examples/shop.yaml");
/// Between what any body may have, and what makes a test slow.
const MAX_CONFIG_BYTES: usize = 9 * 1024 * 1024;
const CONFIG: &str = "/v1/fleets/default/config";

struct Api {
    router: Router,
    store: Arc<dyn Store>,
    reconciler: Reconciler,
    shutdown: CancellationToken,
    _folder: TempDir,
}

#[derive(Debug)]
struct Answer {
    status: u16,
    headers: HeaderMap,
    text: String,
}

impl Api {
    async fn new() -> Self {
        Self::with_access(Access::on_loopback).await
    }

    async fn with_access(access: impl FnOnce(Arc<dyn Store>) -> Access) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::Sqlite(folder.path().join("signalbox.db"));
        Self::start(database, folder, access).await
    }

    async fn on(database: Database, folder: TempDir) -> Self {
        Self::start(database, folder, Access::on_loopback).await
    }

    async fn start(
        database: Database,
        folder: TempDir,
        access: impl FnOnce(Arc<dyn Store>) -> Access,
    ) -> Self {
        let store: Arc<dyn Store> = Arc::new(SqlStore::open(&database).await.unwrap());
        let shutdown = CancellationToken::new();
        let snapshots = Arc::new(Snapshots::default());
        let state = ApiState {
            workbench: Arc::default(),
            webhook_hosts: Arc::default(),
            turns: Turns::default(),
            max_config_bytes: MAX_CONFIG_BYTES,
            store: store.clone(),
            access: access(store.clone()),
            snapshots: snapshots.clone(),
            metrics: Arc::new(Metrics::default()),
            shutdown: shutdown.clone(),
        };
        Self {
            router: router(state),
            reconciler: Reconciler::new(store.clone(), snapshots, Arc::default()),
            store,
            shutdown,
            _folder: folder,
        }
    }

    /// With the example applied.
    async fn with_shop() -> Self {
        let api = Self::new().await;
        api.send("PUT", CONFIG, &[("content-type", "application/yaml")], SHOP)
            .await
            .expect(200);
        api
    }

    /// Ends the active rollout of the default fleet as if all its waves had passed; nobody drives it here.
    async fn complete_rollout(&self) {
        let mut active = self.store.active_rollouts().await.unwrap();
        let active = active.pop().expect("one is active");
        let next = Rollout {
            state: State::Completed,
            ended_at: Some(self.store.clock().await.unwrap()),
            ..active
        };
        let step = Step {
            next: &next,
            events: &[],
            by: None,
        };
        self.store.step_rollout(step).await.unwrap();
    }

    async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = self
            .router
            .clone()
            .oneshot(request.body(body.into()).unwrap())
            .await
            .unwrap();
        let (parts, body) = response.into_parts();
        let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        Answer {
            status: parts.status.as_u16(),
            headers: parts.headers,
            text,
        }
    }

    async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], "").await
    }

    async fn put(&self, path: &str, headers: &[(&str, &str)], body: &Value) -> Answer {
        self.send("PUT", path, headers, body.to_string()).await
    }

    async fn patch(&self, path: &str, headers: &[(&str, &str)], body: &Value) -> Answer {
        let media_type = ("content-type", "application/merge-patch+json");
        let headers = [&[media_type], headers].concat();
        self.send("PATCH", path, &headers, body.to_string()).await
    }

    async fn post(&self, path: &str, headers: &[(&str, &str)], body: &Value) -> Answer {
        self.send("POST", path, headers, body.to_string()).await
    }

    async fn delete(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.send("DELETE", path, headers, "").await
    }
}

impl Answer {
    #[track_caller]
    fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text);
        self
    }

    /// Expects a problem of a kind.
    #[track_caller]
    fn problem(self, status: u16, kind: &str) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        assert_eq!(self.header("content-type"), "application/problem+json");
        let problem = self.json();
        assert_eq!(problem["type"], format!("urn:signalbox:problem:{kind}"));
        assert_eq!(problem["status"], status);
        assert_eq!(problem["request_id"], self.header("x-request-id"));
        problem
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map(|value| value.to_str().unwrap())
            .unwrap_or_default()
    }

    fn names(&self) -> Vec<String> {
        let items = self.json();
        let name = |item: &Value| item["name"].as_str().unwrap().to_owned();
        items["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(name)
            .collect()
    }
}

/// The pointers of a validation problem, with their codes.
fn errors(problem: &Value) -> Vec<String> {
    let error = |error: &Value| {
        let place = error["pointer"]
            .as_str()
            .or(error["resource"].as_str())
            .unwrap_or_default();
        format!("{place} {}", error["code"].as_str().unwrap())
    };
    let mut errors: Vec<_> = problem["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(error)
        .collect();
    errors.sort();
    errors
}
