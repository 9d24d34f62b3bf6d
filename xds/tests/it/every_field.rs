//! "Nothing is accepted and ignored", field by field: every field of every accepted message is set alone in a resource that is
//! valid otherwise. Then there is a problem that names the field, or the decoded resource is another one, or the
//! field stands in the list of those without an effect, with its reason. The fields come from Envoy's descriptors, so that
//! a new one is tested when the descriptors are brought up to date.

mod places;
mod values;
mod without_effect;

use std::collections::{BTreeMap, BTreeSet};

use prost_reflect::FieldDescriptor;
use serde_json::Value;
use xds::problem::Problem;
use xds::resource::Resource;
use xds::type_url::ResourceType;

use places::Place;
use without_effect::{NAMES_ANOTHER, WITHOUT_EFFECT};

const BASES: &str = include_str!("every_field/bases.yaml");

/// What must be among the messages that are tested; the bases hold them.
const ACCEPTED: [&str; 39] = [
    "Listener",
    "ApiListener",
    "FilterChain",
    "Filter",
    "HttpConnectionManager",
    "HttpFilter",
    "HttpProtocolOptions",
    "Rds",
    "Router",
    "RouteConfiguration",
    "Vhds",
    "VirtualHost",
    "Route",
    "RouteMatch",
    "HeaderMatcher",
    "QueryParameterMatcher",
    "StringMatcher",
    "RegexMatcher",
    "RouteAction",
    "RegexMatchAndSubstitute",
    "WeightedCluster",
    "ClusterWeight",
    "RedirectAction",
    "DirectResponseAction",
    "DataSource",
    "HeaderValueOption",
    "HeaderValue",
    "Cluster",
    "EdsClusterConfig",
    "RefreshRate",
    "CustomClusterType",
    "DnsCluster",
    "ConfigSource",
    "ClusterLoadAssignment",
    "Policy",
    "LocalityLbEndpoints",
    "LbEndpoint",
    "Endpoint",
    "SocketAddress",
];

/// What became of a field in one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    Ignored,
    RefusedElsewhere,
    Honoured,
}

#[test]
fn a_field_that_is_set_has_an_effect_or_a_problem_that_names_it() {
    let bases: Vec<Value> = yaml_serde::from_str(BASES).unwrap();
    let places: Vec<Place> = bases.iter().flat_map(Place::all_of).collect();
    let covered: BTreeSet<String> = places.iter().map(Place::message).collect();
    for name in ACCEPTED {
        assert!(covered.contains(name), "no base holds a {name}");
    }
    // The best of what became of a setting in all places of its message.
    let mut outcomes: BTreeMap<String, Outcome> = BTreeMap::new();
    for place in &places {
        for field in place.descriptor.fields() {
            for (name, outcome) in settings(place, &field, &covered) {
                let best = outcomes.entry(name).or_insert(outcome);
                *best = outcome.max(*best);
            }
        }
    }
    assert!(outcomes.len() > 400, "only {} settings", outcomes.len());
    let expected = |name: &str| {
        let listed = |list: &[(&str, &str)]| list.iter().any(|(listed, _)| *listed == name);
        match (listed(WITHOUT_EFFECT), listed(NAMES_ANOTHER)) {
            (true, _) => Outcome::Ignored,
            (false, true) => Outcome::RefusedElsewhere,
            (false, false) => Outcome::Honoured,
        }
    };
    let bad: Vec<String> = outcomes
        .iter()
        .filter(|(name, outcome)| **outcome != expected(name))
        .map(|(name, outcome)| format!("{name}: {outcome:?}"))
        .collect();
    assert!(bad.is_empty(), "{}", bad.join("\n"));
    for (name, _) in WITHOUT_EFFECT.iter().chain(NAMES_ANOTHER) {
        assert!(outcomes.contains_key(*name), "there is no {name}");
    }
}

/// What became of a field in a place: one entry for the field, or one for each value if it is an enumeration.
fn settings(
    place: &Place,
    field: &FieldDescriptor,
    covered: &BTreeSet<String>,
) -> Vec<(String, Outcome)> {
    let name = format!("{}.{}", place.message(), field.name());
    // That such a message is there says nothing; what stands in it is tested by itself.
    if values::message_name(field).is_some_and(|message| covered.contains(&message)) {
        return vec![(name, Outcome::Honoured)];
    }
    let reference = Reference::new(place, field);
    if let Some(values) = values::of_enumeration(field, place.value().get(field.name())) {
        return values
            .into_iter()
            .map(|(label, value)| {
                (
                    format!("{name}={label}"),
                    reference.judge(place, field, value),
                )
            })
            .collect();
    }
    let outcomes = values::of(field)
        .into_iter()
        .map(|value| reference.judge(place, field, value));
    vec![(name, outcomes.max().unwrap_or(Outcome::Ignored))]
}

/// The resource without the other members of the field's `oneof`: what setting the field is compared with.
struct Reference {
    message: Value,
    /// The decoded resource as text; `None` if it is not valid without them.
    decoded: Option<String>,
}

impl Reference {
    fn new(place: &Place, field: &FieldDescriptor) -> Self {
        let mut message = place.value().clone();
        if let Some(oneof) = field.containing_oneof() {
            let fields = message.as_object_mut().unwrap();
            for other in oneof.fields().filter(|other| other != field) {
                fields.remove(other.name());
            }
        }
        Self {
            decoded: decode(&place.with(message.clone())).ok(),
            message,
        }
    }

    fn judge(&self, place: &Place, field: &FieldDescriptor, value: Value) -> Outcome {
        let mut message = self.message.clone();
        message[field.name()] = value;
        match decode(&place.with(message)) {
            Ok(decoded) if self.decoded.as_ref() == Some(&decoded) => Outcome::Ignored,
            Ok(_) => Outcome::Honoured,
            Err(problems) => {
                let path = place.path_of(field.name());
                if problems.iter().any(|problem| names(problem, &path)) {
                    Outcome::Honoured
                } else {
                    Outcome::RefusedElsewhere
                }
            }
        }
    }
}

/// Whether the problem is about the field or something in it.
fn names(problem: &Problem, path: &str) -> bool {
    problem
        .path
        .strip_prefix(path)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

fn decode(resource: &Value) -> Result<String, Vec<Problem>> {
    let (type_url, bytes) =
        proto::json::from_json(resource).unwrap_or_else(|error| panic!("{error}: {resource}"));
    let ty = ResourceType::from_type_url(&type_url).unwrap();
    let resource = Resource::decode(ty, bytes.into(), None)?;
    Ok(format!("{:?}", resource.body()))
}

#[test]
fn the_bases_are_valid() {
    let bases: Vec<Value> = yaml_serde::from_str(BASES).unwrap();
    for base in bases {
        assert_eq!(decode(&base).err(), None, "{base}");
    }
}
