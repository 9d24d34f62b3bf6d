//! What differs between two configs, for people: what happens to each resource, and what each of its fields was and is.
//! Pure: two configs come in, differences in a stable order go out. Not here: what a commit writes ([`Change`]).

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::{Change, Verb, changes_of};
use crate::model::problem::Step;
use crate::model::{Cluster, Config, Listener, Resource, Route};

/// What happens to one resource.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ResourceDiff {
    /// The resource.
    #[schema(example = "routes/products")]
    pub resource: String,
    /// What kind of change it is.
    pub change: Verb,
    /// Where it differs. Of what is created or deleted it is the whole, with an empty pointer.
    pub fields: Vec<FieldDiff>,
}

/// One place in a resource that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct FieldDiff {
    /// JSON pointer into the resource.
    #[schema(example = "/forward/clusters/0/weight")]
    pub pointer: String,
    /// What stood there; absent if nothing did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub old: Option<Value>,
    /// What stands there; absent if nothing does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new: Option<Value>,
}

/// What turns `base` into `next`.
pub fn diff(base: &Config, next: &Config) -> Vec<ResourceDiff> {
    let mut found = of_kind::<Listener>(base, next);
    found.extend(of_kind::<Cluster>(base, next));
    found.extend(of_kind::<Route>(base, next));
    found
}

fn of_kind<T: Resource>(base: &Config, next: &Config) -> Vec<ResourceDiff> {
    let value = |config: &Config, name: &str| {
        let resource = config.get::<T>(name)?;
        Some(serde_json::to_value(&**resource).expect("the model is text, numbers and lists"))
    };
    let changes = changes_of::<T>(base, next).into_iter();
    changes
        .map(|Change { id, verb, .. }| {
            let (old, new) = (value(base, &id.name), value(next, &id.name));
            let mut fields = Vec::new();
            compare("", old, new, &mut fields);
            ResourceDiff {
                resource: id.to_string(),
                change: verb,
                fields,
            }
        })
        .collect()
}

/// Goes down as long as both sides are objects, or both are lists.
fn compare(pointer: &str, old: Option<Value>, new: Option<Value>, found: &mut Vec<FieldDiff>) {
    match (old, new) {
        (old, new) if old == new => {}
        (Some(Value::Object(mut old)), Some(Value::Object(mut new))) => {
            let keys: Vec<String> = old.keys().chain(new.keys()).cloned().collect();
            for key in keys {
                // A key that both have comes twice; the second time there is nothing left of it.
                let (old, new) = (old.remove(&key), new.remove(&key));
                compare(&below(pointer, key.as_str()), old, new, found);
            }
        }
        (Some(Value::Array(old)), Some(Value::Array(new))) => {
            let (mut old, mut new) = (old.into_iter(), new.into_iter());
            for index in 0.. {
                let (old, new) = (old.next(), new.next());
                if old.is_none() && new.is_none() {
                    break;
                }
                compare(&below(pointer, index), old, new, found);
            }
        }
        (old, new) => found.push(FieldDiff {
            pointer: pointer.to_owned(),
            old,
            new,
        }),
    }
}

fn below(pointer: &str, step: impl Into<Step>) -> String {
    let mut pointer = pointer.to_owned();
    step.into().push_to(&mut pointer);
    pointer
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::document::tests::config;
    use serde_json::json;

    #[test]
    fn a_difference_is_told_by_the_field_that_differs() {
        let before = config(
            "
            clusters: [{name: a, discovery: api}, {name: gone, discovery: api}]
            routes: [{name: r, timeout: 5s, forward: {clusters: [{name: a, weight: 90}]}}]",
        );
        let after = config(
            "
            clusters: [{name: a, discovery: api}, {name: b, discovery: api}]
            routes: [{name: r, priority: 1, forward: {clusters: [{name: a, weight: 80}, {name: b, weight: 20}]}}]",
        );
        let told = serde_json::to_value(diff(&before, &after)).unwrap();
        assert_eq!(
            told,
            json!([
                {"resource": "clusters/b", "change": "created",
                 "fields": [{"pointer": "", "new": {"name": "b", "discovery": "api"}}]},
                {"resource": "clusters/gone", "change": "deleted",
                 "fields": [{"pointer": "", "old": {"name": "gone", "discovery": "api"}}]},
                {"resource": "routes/r", "change": "updated", "fields": [
                    {"pointer": "/forward/clusters/0/weight", "old": 90, "new": 80},
                    {"pointer": "/forward/clusters/1", "new": {"name": "b", "weight": 20}},
                    {"pointer": "/timeout", "old": "5s"},
                    {"pointer": "/priority", "new": 1},
                ]},
            ])
        );
        assert!(diff(&after, &after).is_empty());
    }
}
