//! The state-of-the-world variant of the client, for control planes that know no deltas: every request names all that is
//! wanted, every response of clusters and listeners holds all there is, so what is missing from it is gone. Of other types a
//! response holds what changed, and nothing can be taken away. Virtual hosts as resources of their own do not exist here.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use envoy_types::pb::envoy::service::discovery::v3::{DiscoveryRequest, DiscoveryResponse};
use envoy_types::pb::google::protobuf::Any;
use xds::problem::{Code, Problem};
use xds::resource::Resource;
use xds::type_url::ResourceType;

use super::super::{addresses, clusters};
use super::{ClientState, Interest, Reply, about, error_detail};

/// The types of this variant.
const TYPES: [ResourceType; 4] = [
    ResourceType::Cluster,
    ResourceType::ClusterLoadAssignment,
    ResourceType::Listener,
    ResourceType::RouteConfiguration,
];

impl ClientState {
    /// The first requests of a new stream. The versions of the last one are named; nonces do not survive.
    pub fn open_sotw(&mut self) -> Vec<DiscoveryRequest> {
        for state in &mut self.types {
            state.asked = Interest::Nothing;
            state.nonce.clear();
        }
        TYPES
            .into_iter()
            .filter_map(|ty| self.ask_sotw(ty))
            .collect()
    }

    /// Takes in one response.
    pub fn response_sotw(&mut self, response: DiscoveryResponse) -> Reply<DiscoveryRequest> {
        let known = ResourceType::from_type_url(&response.type_url);
        let Some(ty) = known.filter(|ty| TYPES.contains(ty)) else {
            // A type that was never asked for: it must not end the stream, and there is nothing to do about it.
            let acknowledgement = DiscoveryRequest {
                type_url: response.type_url,
                response_nonce: response.nonce,
                version_info: response.version_info,
                ..Default::default()
            };
            return Reply {
                requests: vec![acknowledgement],
                changed: false,
            };
        };
        let problems = self.take_sotw(ty, response.resources);
        let state = &mut self.types[ty.index()];
        state.nonce = response.nonce;
        state.answered = true;
        // The version in a NACK is that of the last response that was good as a whole.
        let error_detail = (!problems.is_empty()).then(|| error_detail(&problems));
        if error_detail.is_none() {
            state.version = response.version_info;
        }
        state.refused = problems;
        let acknowledgement = DiscoveryRequest {
            error_detail,
            ..self.request_sotw(ty)
        };
        let mut requests = vec![acknowledgement];
        requests.extend(TYPES.into_iter().filter_map(|ty| self.ask_sotw(ty)));
        Reply {
            requests,
            changed: true,
        }
    }

    fn take_sotw(&mut self, ty: ResourceType, resources: Vec<Any>) -> Vec<Problem> {
        let before = (ty == ResourceType::Listener).then(|| self.wire_set.clone());
        let (mut problems, mut names, mut changed) = (Vec::new(), HashSet::new(), Vec::new());
        // A resource that was refused but has told its name is not gone; one that has not may be any.
        let mut all_named = true;
        for any in resources {
            match decode(ty, any) {
                Ok(resource) if !names.insert(resource.name().to_string()) => {
                    let twice = "the resource stands twice in one response".into();
                    problems.push(about(resource.name(), Code::Duplicate, twice));
                }
                Ok(resource) if self.wants(ty, resource.name()) => {
                    let unknown = clusters::unknown(&resource, &self.wire_set);
                    if unknown.is_empty() {
                        let held = self.wire_set.get(ty, resource.name());
                        self.tally.count(held.map(AsRef::as_ref), &resource);
                        changed.push(resource.name().clone());
                        self.wire_set.insert(Arc::new(resource));
                    }
                    problems.extend(unknown);
                }
                Ok(_) => {}
                Err(found) => {
                    let refused = found.iter().filter_map(|problem| problem.resource.as_ref());
                    names.extend(refused.map(|resource| resource.name.to_string()));
                    all_named &= found.iter().all(|problem| problem.resource.is_some());
                    problems.extend(found);
                }
            }
        }
        if all_named && matches!(ty, ResourceType::Cluster | ResourceType::Listener) {
            self.remove_all_but(ty, &names);
        }
        if let Some(before) = before {
            problems.extend(addresses::take_back_doubles(
                &mut self.wire_set,
                &before,
                &changed,
            ));
        }
        problems
    }

    fn remove_all_but(&mut self, ty: ResourceType, names: &HashSet<String>) {
        let held = self
            .wire_set
            .set(ty)
            .keys()
            .filter(|name| !names.contains(&***name));
        for name in held.cloned().collect::<Vec<_>>() {
            self.wire_set.remove(ty, &name);
        }
    }

    /// The request that brings what was asked for up to what is wanted; `None` if it is so already.
    fn ask_sotw(&mut self, ty: ResourceType) -> Option<DiscoveryRequest> {
        let wanted = self.interest(ty);
        let asked = std::mem::replace(&mut self.types[ty.index()].asked, wanted.clone());
        if asked == wanted {
            return None;
        }
        for name in asked.names().difference(&wanted.names()) {
            self.forget(ty, name);
        }
        self.types[ty.index()].answered &= wanted != Interest::Nothing;
        Some(self.request_sotw(ty))
    }

    /// All that is wanted of a type, with the version and the nonce that were seen last.
    fn request_sotw(&self, ty: ResourceType) -> DiscoveryRequest {
        let state = &self.types[ty.index()];
        let names = match &state.asked {
            // An empty list asks for everything, as long as no name was ever sent.
            Interest::Nothing | Interest::Everything => Vec::new(),
            Interest::Names(names) => names.iter().map(ToString::to_string).collect(),
        };
        DiscoveryRequest {
            type_url: ty.type_url().to_owned(),
            resource_names: names,
            version_info: state.version.clone(),
            response_nonce: state.nonce.clone(),
            ..Default::default()
        }
    }
}

fn decode(ty: ResourceType, any: Any) -> Result<Resource, Vec<Problem>> {
    if any.type_url != ty.type_url() {
        let detail = format!(
            "a resource has the type {:?}, its response {:?}",
            any.type_url,
            ty.type_url()
        );
        return Err(vec![Problem {
            resource: None,
            path: String::new(),
            code: Code::Invalid,
            detail,
        }]);
    }
    // Responses have one version for all; the content tells what changed.
    Resource::decode(ty, Bytes::from(any.value), None)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{broken_cluster, cluster, eds_cluster, endpoints};
    use super::*;

    const CDS: ResourceType = ResourceType::Cluster;
    const EDS: ResourceType = ResourceType::ClusterLoadAssignment;

    fn response(ty: ResourceType, version: &str, resources: Vec<Any>) -> DiscoveryResponse {
        DiscoveryResponse {
            type_url: ty.type_url().into(),
            version_info: version.into(),
            nonce: format!("n{version}"),
            resources,
            ..Default::default()
        }
    }

    fn any(entry: envoy_types::pb::envoy::service::discovery::v3::Resource) -> Any {
        entry.resource.unwrap()
    }

    fn opened() -> ClientState {
        let mut state = ClientState::default();
        state.open_sotw();
        state
    }

    #[test]
    fn what_is_missing_from_a_response_of_clusters_is_gone_but_not_what_was_refused() {
        let mut state = opened();
        state.response_sotw(response(
            CDS,
            "1",
            vec![any(cluster("a")), any(cluster("b"))],
        ));
        let reply = state.response_sotw(response(CDS, "2", vec![any(broken_cluster("b"))]));
        let nack = &reply.requests[0];
        assert!(
            nack.error_detail
                .as_ref()
                .unwrap()
                .message
                .contains("Cluster \"b\"")
        );
        assert_eq!(
            (nack.version_info.as_str(), nack.response_nonce.as_str()),
            ("1", "n2")
        );
        assert!(state.wire_set().get(CDS, "a").is_none());
        assert!(state.wire_set().get(CDS, "b").is_some());
    }

    #[test]
    fn names_stand_in_full_in_every_request_and_what_nothing_refers_to_is_dropped() {
        let mut state = opened();
        let reply = state.response_sotw(response(
            CDS,
            "1",
            vec![any(eds_cluster("a")), any(eds_cluster("b"))],
        ));
        assert_eq!(reply.requests[1].resource_names, ["a", "b"]);
        let reply = state.response_sotw(response(
            EDS,
            "1",
            vec![any(endpoints("a")), any(endpoints("b"))],
        ));
        assert_eq!(reply.requests[0].resource_names, ["a", "b"]);
        // A response of endpoints with one of them takes the other away from nobody.
        state.response_sotw(response(EDS, "2", vec![any(endpoints("a"))]));
        assert!(state.wire_set().get(EDS, "b").is_some());
        let reply = state.response_sotw(response(CDS, "2", vec![any(eds_cluster("a"))]));
        assert_eq!(reply.requests[1].resource_names, ["a"]);
        assert!(state.wire_set().get(EDS, "b").is_none());
    }

    #[test]
    fn a_new_stream_names_the_last_versions_and_no_nonces() {
        let mut state = opened();
        state.response_sotw(response(CDS, "7", vec![any(cluster("a"))]));
        let first = &state.open_sotw()[0];
        assert_eq!(
            (first.version_info.as_str(), first.response_nonce.as_str()),
            ("7", "")
        );
    }
}
