//! One case: a server, a client, what is on its way between them, and what must hold at the end.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use control_plane::ads::{DeltaState, SotwState, Variant};
use control_plane::snapshots::Served;
use envoy_types::pb::envoy::service::discovery::v3::DiscoveryResponse;
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use prost::Message;
use proxy::ads::{ClientState, DeltaResponse};
use tokio::time::Instant;
use xds::node::ClientClass;
use xds::snapshot::Snapshot;
use xds::type_url::ResourceType;

use super::pool::{Target, mended, snapshot};

/// More than any case needs from its last change on until it is quiet; beyond it something is sent again and again.
const ENOUGH: usize = 60;

/// What may happen.
#[derive(Clone, Debug)]
pub(super) enum Action {
    /// The server may send a response.
    Send,
    /// A response arrives.
    TakeResponse,
    /// A request arrives.
    TakeRequest,
    /// Something else is to be served.
    Target(Target),
    /// Longer than the server is patient.
    Wait,
    /// The stream breaks and the client comes back; what was on its way is lost.
    Reconnect,
}

/// The client's side of a variant.
pub(super) trait Client: Variant {
    fn open(client: &mut ClientState) -> Vec<Self::Request>;
    fn take(client: &mut ClientState, response: &[u8]) -> Vec<Self::Request>;
}

impl Client for DeltaState {
    fn open(client: &mut ClientState) -> Vec<Self::Request> {
        client.open()
    }

    fn take(client: &mut ClientState, response: &[u8]) -> Vec<Self::Request> {
        let response = DeltaResponse::decode(response).unwrap();
        client.response(response).requests
    }
}

impl Client for SotwState {
    fn open(client: &mut ClientState) -> Vec<Self::Request> {
        client.open_sotw()
    }

    fn take(client: &mut ClientState, response: &[u8]) -> Vec<Self::Request> {
        let response = DiscoveryResponse::decode(response).unwrap();
        client.response_sotw(response).requests
    }
}

/// Plays the actions, then changes the target once more, lets everything arrive, and looks.
pub(super) fn run<V: Client>(
    class: ClientClass,
    actions: Vec<Action>,
    last: &Target,
) -> Result<(), TestCaseError> {
    let mut case = Case::<V>::new(class);
    for action in actions {
        case.play(action);
    }
    case.retarget(snapshot(last));
    case.settle()?;
    case.check_what_is_not_refused()?;
    // Whatever was refused on the way: mended, all of it comes.
    case.retarget(mended(last));
    case.settle()?;
    prop_assert!(case.server.is_settled(), "the server does not know it");
    prop_assert_eq!(case.client.refused().count(), 0);
    case.check_everything()
}

struct Case<V: Client> {
    class: ClientClass,
    server: V,
    client: ClientState,
    responses: VecDeque<Vec<u8>>,
    requests: VecDeque<V::Request>,
    target: Arc<Served>,
    now: Instant,
}

impl<V: Client> Case<V> {
    fn new(class: ClientClass) -> Self {
        let target = Served::new(1, Snapshot::default());
        let now = Instant::now();
        let mut client = ClientState::default();
        Self {
            class,
            server: V::new(target.clone(), class, now),
            requests: V::open(&mut client).into(),
            client,
            responses: VecDeque::new(),
            target,
            now,
        }
    }

    fn play(&mut self, action: Action) {
        match action {
            Action::Send => {
                self.send();
            }
            Action::TakeResponse => {
                self.take_response();
            }
            Action::TakeRequest => {
                self.take_request();
            }
            Action::Target(target) => self.retarget(snapshot(&target)),
            Action::Wait => self.now += Duration::from_secs(6),
            Action::Reconnect => {
                self.server = V::new(self.target.clone(), self.class, self.now);
                self.responses.clear();
                self.requests = V::open(&mut self.client).into();
            }
        }
    }

    fn retarget(&mut self, snapshot: Snapshot) {
        let revision = self.target.revision() + 1;
        self.target = Served::new(revision, snapshot);
        self.server.retarget(self.target.clone(), self.now);
    }

    fn send(&mut self) -> bool {
        let response = self.server.next_response("test", self.now);
        let sends = response.is_some();
        self.responses
            .extend(response.map(|response| response.to_vec()));
        sends
    }

    fn take_response(&mut self) -> bool {
        let Some(response) = self.responses.pop_front() else {
            return false;
        };
        self.requests.extend(V::take(&mut self.client, &response));
        true
    }

    fn take_request(&mut self) -> bool {
        let Some(request) = self.requests.pop_front() else {
            return false;
        };
        let ty = ResourceType::from_type_url(V::type_url(&request)).unwrap();
        if V::serves(ty) {
            self.server.request(ty, &request);
        }
        true
    }

    /// Lets everything arrive until nothing is on its way, also not after a while.
    fn settle(&mut self) -> Result<(), TestCaseError> {
        let mut sent = 0;
        for _ in 0..2 {
            loop {
                let took = self.take_response() | self.take_request();
                let sends = self.send();
                sent += usize::from(sends);
                prop_assert!(sent < ENOUGH, "responses without end");
                if !took && !sends {
                    break;
                }
            }
            self.now += Duration::from_secs(6);
        }
        Ok(())
    }

    /// No listener that is refused keeps anything else back.
    fn check_what_is_not_refused(&self) -> Result<(), TestCaseError> {
        // While something is refused, a stock client is left what it has.
        let target = self.target.snapshot();
        for ty in [ResourceType::Cluster, ResourceType::ClusterLoadAssignment] {
            for (name, held) in self.client.wire_set().set(ty).iter() {
                if let Some(wanted) = target.get(ty, name) {
                    prop_assert_eq!(held.version(), wanted.version(), "{} {}", ty, name);
                }
            }
        }
        for name in target.set(ResourceType::Cluster).keys() {
            let held = self.client.wire_set().get(ResourceType::Cluster, name);
            prop_assert!(held.is_some(), "cluster {} is missing", name);
        }
        Ok(())
    }

    /// The client has all clusters and listeners, of the other types all it refers to, everything as it is to be served,
    /// and nothing that is gone.
    fn check_everything(&self) -> Result<(), TestCaseError> {
        let (held, target) = (self.client.wire_set(), self.target.snapshot());
        for ty in [ResourceType::Cluster, ResourceType::Listener] {
            prop_assert_eq!(held.sum(ty), target.sum(ty), "{}", ty);
        }
        for (ty, names) in [
            (ResourceType::ClusterLoadAssignment, self.endpoints_wanted()),
            (ResourceType::RouteConfiguration, self.routes_wanted()),
        ] {
            for name in held.set(ty).keys() {
                prop_assert!(names.contains(name), "{} {} is left over", ty, name);
            }
            for name in &names {
                let (held, wanted) = (held.get(ty, name), target.get(ty, name));
                // What is gone without its parent stays in use.
                if let Some(wanted) = wanted {
                    let held = held.map(|held| held.version());
                    prop_assert_eq!(held, Some(wanted.version()), "{} {}", ty, name);
                }
            }
        }
        let on_demand = held
            .set(ResourceType::RouteConfiguration)
            .values()
            .any(|routes| {
                let routes = routes.body().as_route_configuration();
                routes.is_some_and(|routes| routes.vhds)
            });
        if V::serves(ResourceType::VirtualHost) && on_demand {
            let ty = ResourceType::VirtualHost;
            prop_assert_eq!(held.sum(ty), target.sum(ty), "{}", ty);
        }
        Ok(())
    }

    fn endpoints_wanted(&self) -> Vec<Arc<str>> {
        use xds::resource::cluster::Discovery;
        let clusters = self.client.wire_set().set(ResourceType::Cluster).values();
        let names = clusters.filter_map(|cluster| match &cluster.body().as_cluster()?.discovery {
            Discovery::Eds(name) => Some(name.clone()),
            Discovery::Static(_) | Discovery::Dns(_) => None,
        });
        names.collect()
    }

    fn routes_wanted(&self) -> Vec<Arc<str>> {
        use xds::resource::http_connection_manager::RouteSource;
        let listeners = self.client.wire_set().set(ResourceType::Listener).values();
        let names =
            listeners.filter_map(
                |listener| match &listener.body().as_listener()?.http.routes {
                    RouteSource::Rds(name) => Some(name.clone()),
                    RouteSource::Inline(_) => None,
                },
            );
        names.collect()
    }
}
