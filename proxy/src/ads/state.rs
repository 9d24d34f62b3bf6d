//! The client as a state machine, in its incremental variant (the other one is in `sotw`): a response comes in, an ACK or a NACK and the wire set come out. Pure.
//!
//! Acceptance is by resource: the good ones of a mixed response are taken, the bad ones keep their last good version
//! and are named in the NACK with every problem (gRFC A46). Names of routes and endpoints are asked for as long as
//! something refers to them.

mod sotw;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, Resource as ResourceEntry,
};
use envoy_types::pb::google::rpc;
use prost::Message as _;
use xds::names::Names;
use xds::problem::{Code, Problem, ResourceRef};
use xds::resource::cluster::Discovery;
use xds::resource::http_connection_manager::RouteSource;
use xds::resource::{Body, Resource};
use xds::reuse::Tally;
use xds::snapshot::Snapshot;
use xds::type_url::ResourceType;
use xds::version::Version;

use super::response::DeltaResponse;
use super::{addresses, clusters};

/// `google.rpc.Code.INVALID_ARGUMENT`, in every NACK.
const INVALID_ARGUMENT: i32 = 3;

/// The state of the client; it outlives streams.
#[derive(Debug, Default)]
pub struct ClientState {
    wire_set: Snapshot,
    tally: Tally,
    /// The names that its resources refer to.
    names: Names,
    types: [TypeState; ResourceType::ALL.len()],
    /// Endpoints that somebody else needs, whatever the wire set refers to.
    needed: BTreeSet<Arc<str>>,
}

#[derive(Debug, Default)]
struct TypeState {
    /// What was asked for, on this stream.
    asked: Interest,
    /// Whether the server has answered this type, on any stream.
    answered: bool,
    /// The last good version and the last nonce; deltas have a version for each resource, and need no nonce but in an ACK.
    version: String,
    nonce: String,
    /// What was wrong with its last response.
    refused: Vec<Problem>,
}

/// Which resources of a type are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Interest {
    #[default]
    Nothing,
    Everything,
    Names(BTreeSet<Arc<str>>),
}

/// What follows from a response.
#[derive(Debug)]
pub struct Reply<R = DeltaDiscoveryRequest> {
    /// The ACK or NACK, then what is asked for or left now.
    pub requests: Vec<R>,
    /// Whether the wire set, or what is known of it, changed.
    pub changed: bool,
}

impl ClientState {
    /// Begins with a wire set that a server has sent in an earlier life, or with none.
    pub(super) fn holding(wire_set: Snapshot) -> Self {
        let mut state = Self::default();
        for of_type in &mut state.types {
            of_type.answered = !wire_set.is_empty();
        }
        for resource in ResourceType::ALL
            .iter()
            .flat_map(|ty| wire_set.set(*ty).values())
        {
            state.tally.count(None, resource);
        }
        state.wire_set = wire_set;
        state
    }

    /// The virtual hosts that came, in this life of the proxy.
    pub(super) fn tally(&self) -> Tally {
        self.tally
    }

    /// What the deltas have built.
    pub fn wire_set(&self) -> &Snapshot {
        &self.wire_set
    }

    /// Asks for these endpoints as long as they are needed, beside those that the wire set refers to; returns the request for
    /// what that changes, if a stream is open.
    pub(super) fn need_endpoints(
        &mut self,
        names: BTreeSet<Arc<str>>,
    ) -> Option<DeltaDiscoveryRequest> {
        if self.needed == names {
            return None;
        }
        self.needed = names;
        self.ask(ResourceType::ClusterLoadAssignment)
    }

    /// Whether the server has answered everything that must be answered before anything can fit.
    pub(super) fn is_answered(&self) -> bool {
        ResourceType::ALL
            .into_iter()
            .filter(|ty| self.interest(*ty) == Interest::Everything)
            .all(|ty| self.types[ty.index()].answered)
    }

    /// What was refused and has not been mended since.
    pub fn refused(&self) -> impl Iterator<Item = &Problem> {
        self.types.iter().flat_map(|state| &state.refused)
    }

    /// The first requests of a new stream: what is wanted, and what is held already. Nonces do not survive.
    pub fn open(&mut self) -> Vec<DeltaDiscoveryRequest> {
        for state in &mut self.types {
            state.asked = Interest::Nothing;
        }
        ResourceType::ALL
            .into_iter()
            .filter_map(|ty| self.ask(ty))
            .collect()
    }

    /// Takes in one response.
    pub fn response(&mut self, response: DeltaResponse) -> Reply {
        let mut acknowledgement = DeltaDiscoveryRequest {
            type_url: response.type_url.clone(),
            response_nonce: response.nonce.clone(),
            ..Default::default()
        };
        let Some(ty) = ResourceType::from_type_url(&response.type_url) else {
            // A type that was never asked for: it must not end the stream, and there is nothing to do about it.
            return Reply {
                requests: vec![acknowledgement],
                changed: false,
            };
        };
        let problems = self.take(ty, response);
        if !problems.is_empty() {
            acknowledgement.error_detail = Some(error_detail(&problems));
        }
        let state = &mut self.types[ty.index()];
        state.answered = true;
        state.refused = problems;
        let mut requests = vec![acknowledgement];
        requests.extend(ResourceType::ALL.into_iter().filter_map(|ty| self.ask(ty)));
        Reply {
            requests,
            changed: true,
        }
    }

    /// Puts what is good of a response into the wire set; returns what is not.
    fn take(&mut self, ty: ResourceType, response: DeltaResponse) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut names: HashSet<Arc<str>> = HashSet::new();
        let mut changed = Vec::new();
        // Sharing the wire set makes its next change copy it, so only where it is needed.
        let before = (ty == ResourceType::Listener).then(|| self.wire_set.clone());
        for (index, entry) in response.resources.into_iter().enumerate() {
            let mut entry = match ResourceEntry::decode(entry) {
                Ok(entry) => entry,
                Err(error) => {
                    problems.push(no_entry(index, &error.to_string()));
                    continue;
                }
            };
            if names.contains(&*entry.name) {
                problems.push(about(
                    &entry.name,
                    Code::Duplicate,
                    "the resource stands twice in one response".into(),
                ));
                continue;
            }
            if !self.wants(ty, &entry.name) {
                names.insert(entry.name.into());
                continue;
            }
            let held = self.wire_set.get(ty, &entry.name);
            match decode(ty, &mut entry, held, &mut self.names) {
                Ok(resource) => {
                    // Its own name, not a copy: what is freed between things that stay leaves holes.
                    let name = resource.name().clone();
                    let unknown = clusters::unknown(&resource, &self.wire_set);
                    if unknown.is_empty() {
                        self.tally.count(held.map(AsRef::as_ref), &resource);
                        self.wire_set.insert(Arc::new(resource));
                        changed.push(name.clone());
                    }
                    names.insert(name);
                    problems.extend(unknown);
                }
                Err(found) => {
                    names.insert(entry.name.into());
                    problems.extend(found);
                }
            }
        }
        self.names.tidy();
        for name in &response.removed_resources {
            // Routes and endpoints stay in use until nothing refers to them, as in Envoy.
            if !matches!(
                ty,
                ResourceType::RouteConfiguration | ResourceType::ClusterLoadAssignment
            ) {
                self.wire_set.remove(ty, name);
            }
        }
        if let Some(before) = before {
            let taken = addresses::take_back_doubles(&mut self.wire_set, &before, &changed);
            problems.extend(taken);
        }
        problems
    }

    fn wants(&self, ty: ResourceType, name: &str) -> bool {
        match &self.types[ty.index()].asked {
            Interest::Nothing => false,
            Interest::Everything => true,
            Interest::Names(names) => names.contains(name),
        }
    }

    /// The request that brings what was asked for up to what is wanted; `None` if it is so already.
    fn ask(&mut self, ty: ResourceType) -> Option<DeltaDiscoveryRequest> {
        let wanted = self.interest(ty);
        let asked = &self.types[ty.index()].asked;
        if *asked == wanted {
            return None;
        }
        let first = *asked == Interest::Nothing;
        let (before, after) = (asked.names(), wanted.names());
        let request = DeltaDiscoveryRequest {
            type_url: ty.type_url().to_owned(),
            resource_names_subscribe: after
                .difference(&before)
                .map(|name| (**name).to_owned())
                .collect(),
            resource_names_unsubscribe: before
                .difference(&after)
                .map(|name| (**name).to_owned())
                .collect(),
            initial_resource_versions: if first {
                self.versions(ty, &wanted)
            } else {
                HashMap::new()
            },
            ..Default::default()
        };
        for name in &request.resource_names_unsubscribe {
            self.forget(ty, name);
        }
        let state = &mut self.types[ty.index()];
        state.answered &= wanted != Interest::Nothing;
        state.asked = wanted;
        Some(request)
    }

    /// Drops what is no longer wanted: all of a type with its wildcard.
    fn forget(&mut self, ty: ResourceType, name: &str) {
        if name == "*" {
            self.wire_set.replace(ty, Arc::default());
        } else {
            self.wire_set.remove(ty, name);
        }
    }

    /// What the wire set refers to.
    fn interest(&self, ty: ResourceType) -> Interest {
        match ty {
            ResourceType::Cluster | ResourceType::Listener => Interest::Everything,
            ResourceType::ClusterLoadAssignment => {
                let names = self.bodies(ResourceType::Cluster).filter_map(eds_name);
                Interest::of_names(names.chain(&self.needed))
            }
            ResourceType::RouteConfiguration => {
                Interest::of_names(self.bodies(ResourceType::Listener).filter_map(rds_name))
            }
            ResourceType::VirtualHost => {
                let routes = self
                    .bodies(ResourceType::RouteConfiguration)
                    .filter_map(Body::as_route_configuration);
                let inline = self
                    .bodies(ResourceType::Listener)
                    .filter_map(inline_routes);
                if routes.chain(inline).any(|routes| routes.vhds) {
                    Interest::Everything
                } else {
                    Interest::Nothing
                }
            }
        }
    }

    fn bodies(&self, ty: ResourceType) -> impl Iterator<Item = &Body> {
        self.wire_set
            .set(ty)
            .values()
            .map(|resource| resource.body())
    }

    fn versions(&self, ty: ResourceType, wanted: &Interest) -> HashMap<String, String> {
        let held = self
            .wire_set
            .set(ty)
            .iter()
            .filter(|(name, _)| match wanted {
                Interest::Nothing => false,
                Interest::Everything => true,
                Interest::Names(names) => names.contains(*name),
            });
        held.map(|(name, resource)| ((**name).to_owned(), resource.version().to_string()))
            .collect()
    }
}

impl Interest {
    fn of_names<'n>(names: impl Iterator<Item = &'n Arc<str>>) -> Self {
        let names: BTreeSet<Arc<str>> = names.cloned().collect();
        if names.is_empty() {
            Self::Nothing
        } else {
            Self::Names(names)
        }
    }

    /// The names as they stand in a request.
    fn names(&self) -> BTreeSet<Arc<str>> {
        match self {
            Self::Nothing => BTreeSet::new(),
            Self::Everything => BTreeSet::from(["*".into()]),
            Self::Names(names) => names.clone(),
        }
    }
}

fn eds_name(body: &Body) -> Option<&Arc<str>> {
    match &body.as_cluster()?.discovery {
        Discovery::Eds(name) => Some(name),
        Discovery::Static(_) | Discovery::Dns(_) => None,
    }
}

fn rds_name(body: &Body) -> Option<&Arc<str>> {
    match &body.as_listener()?.http.routes {
        RouteSource::Rds(name) => Some(name),
        RouteSource::Inline(_) => None,
    }
}

fn inline_routes(
    body: &Body,
) -> Option<&Arc<xds::resource::route_configuration::RouteConfiguration>> {
    match &body.as_listener()?.http.routes {
        RouteSource::Inline(routes) => Some(routes),
        RouteSource::Rds(_) => None,
    }
}

/// Reads what takes the place of `before`: what did not change within it keeps its compiled form.
fn decode(
    ty: ResourceType,
    entry: &mut ResourceEntry,
    before: Option<&Arc<Resource>>,
    names: &mut Names,
) -> Result<Resource, Vec<Problem>> {
    let Some(any) = entry.resource.take() else {
        return Err(vec![about(
            &entry.name,
            Code::Required,
            "the entry holds no resource".into(),
        )]);
    };
    if any.type_url != ty.type_url() {
        let detail = format!(
            "the resource has the type {:?}, the response {:?}",
            any.type_url,
            ty.type_url()
        );
        return Err(vec![about(&entry.name, Code::Invalid, detail)]);
    }
    let version = Version::stated(&entry.version);
    let before = before.map(AsRef::as_ref);
    let bytes = Bytes::from(any.value);
    let resource = Resource::decode_sharing(ty, bytes, Some(version), before, names);
    let resource = resource.map_err(|problems| named(problems, ty, &entry.name))?;
    if **resource.name() != *entry.name {
        let detail = format!("the resource calls itself {:?}", resource.name());
        return Err(vec![about(&entry.name, Code::Invalid, detail)]);
    }
    Ok(resource)
}

/// Bytes that are no message do not tell their name; the entry does.
fn named(problems: Vec<Problem>, ty: ResourceType, name: &str) -> Vec<Problem> {
    let of_entry = ResourceRef {
        ty,
        name: name.into(),
    };
    let problems = problems.into_iter().map(|problem| Problem {
        resource: problem.resource.or_else(|| Some(of_entry.clone())),
        ..problem
    });
    problems.collect()
}

/// A problem with an entry that cannot be read, and so has no name.
fn no_entry(index: usize, error: &str) -> Problem {
    Problem {
        resource: None,
        path: format!("resources[{index}]"),
        code: Code::Undecodable,
        detail: format!("not a resource: {error}"),
    }
}

/// A problem with an entry whose resource does not tell its name.
fn about(name: &str, code: Code, detail: String) -> Problem {
    Problem {
        resource: None,
        path: String::new(),
        code,
        detail: format!("{name:?}: {detail}"),
    }
}

/// All problems, one a line.
fn error_detail(problems: &[Problem]) -> rpc::Status {
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    rpc::Status {
        code: INVALID_ARGUMENT,
        message: lines.join("\n"),
        details: Vec::new(),
    }
}

#[cfg(test)]
mod tests;
