//! A foreign control plane that says what the test tells it to say, and remembers what it was answered.

mod entry;
mod stream;

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Result;
use e2e::wait;
use envoy_types::pb::envoy::service::discovery::v3::Resource;
use envoy_types::pb::envoy::service::discovery::v3::aggregated_discovery_service_server::AggregatedDiscoveryServiceServer;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::TcpListenerStream;

pub(crate) use self::entry::{Entry, type_url};

const WITHIN: Duration = Duration::from_secs(10);

/// The order in which additions are pushed: make before break.
pub(crate) const PUSH_ORDER: [&str; 5] = [
    type_url::CLUSTER,
    type_url::ENDPOINTS,
    type_url::LISTENER,
    type_url::ROUTES,
    type_url::VIRTUAL_HOST,
];

/// A running server; dropping it ends it.
pub(crate) struct Scripted {
    pub(crate) address: SocketAddr,
    script: watch::Sender<Arc<Script>>,
    exchange: Arc<Mutex<Exchange>>,
    server: JoinHandle<()>,
}

/// What is to be said.
struct Script {
    /// Counts the scripts of one server.
    number: u64,
    entries: Vec<Entry>,
    /// The types in the order in which they are sent.
    order: [&'static str; 5],
}

impl Script {
    fn of_type(&self, type_url: &str) -> impl Iterator<Item = &Resource> {
        let entries = self.entries.iter();
        entries.filter_map(move |entry| entry.sent_in(type_url))
    }
}

/// What went over the streams.
#[derive(Default)]
struct Exchange {
    /// The newest script whose changes have been sent.
    script: u64,
    /// Nonces of responses that wait for an answer.
    unanswered: HashSet<String>,
    /// The texts of NACKs.
    refusals: Vec<String>,
}

impl Exchange {
    fn sent(&mut self, nonce: &str) {
        self.unanswered.insert(nonce.to_owned());
    }
}

impl Scripted {
    /// Serves these resources, each as Envoy writes it in JSON, to everybody.
    pub(crate) async fn start(resources: &[Value]) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let script = watch::Sender::new(Arc::new(Script {
            number: 0,
            entries: entries(resources)?,
            order: PUSH_ORDER,
        }));
        let exchange = Arc::<Mutex<Exchange>>::default();
        let service = stream::Service {
            script: script.clone(),
            exchange: exchange.clone(),
        };
        let server = tonic::transport::Server::builder()
            .add_service(AggregatedDiscoveryServiceServer::new(service))
            .serve_with_incoming(TcpListenerStream::new(listener));
        let server = tokio::spawn(async move { server.await.unwrap() });
        Ok(Self {
            address,
            script,
            exchange,
            server,
        })
    }

    /// Serves these resources from now on.
    pub(crate) fn serve(&self, resources: &[Value]) -> Result<()> {
        self.serve_entries(entries(resources)?, PUSH_ORDER);
        Ok(())
    }

    /// Serves these entries from now on; what changed is sent in this order of types.
    pub(crate) fn serve_entries(&self, entries: Vec<Entry>, order: [&'static str; 5]) {
        let number = self.script.borrow().number + 1;
        self.script.send_replace(Arc::new(Script {
            number,
            entries,
            order,
        }));
    }

    /// Whether all that changed has been sent, and every response answered.
    pub(crate) fn is_settled(&self) -> bool {
        let exchange = self.exchange.lock().unwrap();
        exchange.script == self.script.borrow().number && exchange.unanswered.is_empty()
    }

    /// The texts of the NACKs since the last call of [`Self::forget_refusals`].
    pub(crate) fn refusals(&self) -> Vec<String> {
        self.exchange.lock().unwrap().refusals.clone()
    }

    pub(crate) fn forget_refusals(&self) {
        self.exchange.lock().unwrap().refusals.clear();
    }

    /// The text of the first NACK that holds `part`.
    pub(crate) async fn refusal(&self, part: &str) -> Result<String> {
        wait::until("a NACK", WITHIN, async || {
            let refusals = self.refusals();
            refusals
                .iter()
                .find(|text| text.contains(part))
                .cloned()
                .ok_or_else(|| format!("{refusals:?}"))
        })
        .await
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn entries(resources: &[Value]) -> Result<Vec<Entry>> {
    resources.iter().map(Entry::json).collect()
}
