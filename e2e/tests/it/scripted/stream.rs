//! One incremental stream of the scripted server, by the book where the script does not say otherwise: what differs is
//! sent, names that do not exist are said to be removed, and what a refused response held counts as not delivered.

use std::collections::{BTreeSet, HashMap};
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use envoy_types::pb::envoy::service::discovery::v3::aggregated_discovery_service_server::AggregatedDiscoveryService;
use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse, Resource,
};
use futures_util::Stream;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::{Exchange, Script, type_url};

pub(super) struct Service {
    pub(super) script: watch::Sender<Arc<Script>>,
    pub(super) exchange: Arc<Mutex<Exchange>>,
}

type Responses<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl AggregatedDiscoveryService for Service {
    type StreamAggregatedResourcesStream = Responses<DiscoveryResponse>;
    type DeltaAggregatedResourcesStream = Responses<DeltaDiscoveryResponse>;

    async fn stream_aggregated_resources(
        &self,
        _: Request<Streaming<DiscoveryRequest>>,
    ) -> Result<Response<Self::StreamAggregatedResourcesStream>, Status> {
        Err(Status::unimplemented("only delta"))
    }

    async fn delta_aggregated_resources(
        &self,
        request: Request<Streaming<DeltaDiscoveryRequest>>,
    ) -> Result<Response<Self::DeltaAggregatedResourcesStream>, Status> {
        let (responses, receiver) = mpsc::channel(16);
        let stream = OneStream {
            script: self.script.borrow().clone(),
            types: HashMap::new(),
            in_flight: HashMap::new(),
            nonce: 0,
            exchange: self.exchange.clone(),
            responses,
        };
        tokio::spawn(stream.run(request.into_inner(), self.script.subscribe()));
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }
}

struct OneStream {
    script: Arc<Script>,
    /// The types that were asked for.
    types: HashMap<String, Subscription>,
    /// The type and the names of responses that wait for an answer, by nonce.
    in_flight: HashMap<String, (String, Vec<String>)>,
    nonce: u64,
    exchange: Arc<Mutex<Exchange>>,
    responses: mpsc::Sender<Result<DeltaDiscoveryResponse, Status>>,
}

/// What was asked for of one type, and what is there.
#[derive(Default)]
struct Subscription {
    everything: bool,
    names: BTreeSet<String>,
    /// Versions by name; empty where nobody knows what the client has.
    held: HashMap<String, String>,
}

impl OneStream {
    async fn run(
        mut self,
        mut requests: Streaming<DeltaDiscoveryRequest>,
        mut scripts: watch::Receiver<Arc<Script>>,
    ) {
        self.exchange.lock().unwrap().unanswered.clear();
        scripts.mark_changed();
        loop {
            tokio::select! {
                request = requests.message() => match request {
                    Ok(Some(request)) => self.request(request).await,
                    _ => return,
                },
                changed = scripts.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    self.script = scripts.borrow_and_update().clone();
                    self.push().await;
                }
            }
        }
    }

    /// Sends what the script changed, type after type.
    async fn push(&mut self) {
        for type_url in self.script.order {
            if self.types.contains_key(type_url) {
                self.send(type_url, &[], false).await;
            }
        }
        self.exchange.lock().unwrap().script = self.script.number;
    }

    async fn request(&mut self, request: DeltaDiscoveryRequest) {
        self.answered(&request);
        let type_url = request.type_url;
        let first = !self.types.contains_key(&type_url);
        let subscription = self.types.entry(type_url.clone()).or_default();
        let asked = request.resource_names_subscribe;
        if first {
            subscription.everything = asked.is_empty();
            subscription.held = request.initial_resource_versions;
        }
        for name in request.resource_names_unsubscribe {
            subscription.leave(&name);
        }
        for name in &asked {
            subscription.ask(name, first);
        }
        if first || !asked.is_empty() {
            self.send(&type_url, &asked, first).await;
        }
    }

    fn answered(&mut self, request: &DeltaDiscoveryRequest) {
        let mut exchange = self.exchange.lock().unwrap();
        exchange.unanswered.remove(&request.response_nonce);
        let answered = self.in_flight.remove(&request.response_nonce);
        let (Some(error), Some((type_url, names))) = (&request.error_detail, answered) else {
            return;
        };
        exchange.refusals.push(error.message.clone());
        let subscription = self.types.entry(type_url).or_default();
        let unknown = names.into_iter().map(|name| (name, String::new()));
        subscription.held.extend(unknown);
    }

    /// Sends what differs from what is held. `asked` are names that must be answered in any case, `first` is a response
    /// that must come even if it is empty.
    async fn send(&mut self, type_url: &str, asked: &[String], first: bool) {
        let Some(subscription) = self.types.get_mut(type_url) else {
            return;
        };
        let resources = self.script.of_type(type_url);
        let (resources, removed_resources) = subscription.catch_up(resources, asked);
        if !first && resources.is_empty() && removed_resources.is_empty() {
            return;
        }
        let names: Vec<String> = resources.iter().map(|entry| entry.name.clone()).collect();
        if type_url == type_url::CLUSTER {
            self.send_endpoints_again(&names);
        }
        self.nonce += 1;
        let nonce = self.nonce.to_string();
        let sent = (type_url.to_owned(), names);
        self.in_flight.insert(nonce.clone(), sent);
        self.exchange.lock().unwrap().sent(&nonce);
        let response = DeltaDiscoveryResponse {
            type_url: type_url.to_owned(),
            nonce,
            resources,
            removed_resources,
            ..Default::default()
        };
        // Nobody takes it if the stream broke, whose end is seen by the reader.
        let _ = self.responses.send(Ok(response)).await;
    }

    /// A changed cluster warms until its endpoints come, though they did not change; Envoy does not ask for them again.
    fn send_endpoints_again(&mut self, clusters: &[String]) {
        if let Some(endpoints) = self.types.get_mut(type_url::ENDPOINTS) {
            for cluster in clusters {
                if let Some(version) = endpoints.held.get_mut(cluster) {
                    version.clear();
                }
            }
        }
    }
}

impl Subscription {
    fn ask(&mut self, name: &str, first: bool) {
        if name == "*" {
            self.everything = true;
        } else {
            self.names.insert(name.to_owned());
            if !first {
                // What is asked for again is sent again.
                self.held.remove(name);
            }
        }
    }

    fn leave(&mut self, name: &str) {
        if name == "*" {
            self.everything = false;
        } else {
            self.names.remove(name);
            self.held.remove(name);
        }
    }

    fn wants(&self, name: &str) -> bool {
        self.everything || self.names.contains(name)
    }

    /// What is wanted and not held, and the names that are held or asked for and do not exist. It counts as held now.
    fn catch_up<'s>(
        &mut self,
        resources: impl Iterator<Item = &'s Resource>,
        asked: &[String],
    ) -> (Vec<Resource>, Vec<String>) {
        let wanted: Vec<_> = resources.filter(|entry| self.wants(&entry.name)).collect();
        let versions = wanted
            .iter()
            .map(|entry| (entry.name.clone(), entry.version.clone()));
        let now: HashMap<String, String> = versions.collect();
        let before = std::mem::replace(&mut self.held, now);
        let changed = wanted
            .into_iter()
            .filter(|entry| before.get(&entry.name) != Some(&entry.version));
        let known: BTreeSet<&String> = before.keys().chain(asked).collect();
        let gone = known
            .into_iter()
            .filter(|name| *name != "*" && !self.held.contains_key(*name));
        (changed.cloned().collect(), gone.cloned().collect())
    }
}
