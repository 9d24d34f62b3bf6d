//! Documents: how an operator's JSON or YAML becomes resources. Every problem is found at once, each with a JSON
//! pointer: a value of the wrong type and an unknown field as well as what `check` says.
//! Not here: media types and requests (`api` knows them).

mod strict;

use std::cell::Cell;
use std::collections::{HashMap, HashSet};

use serde::de::{DeserializeOwned, DeserializeSeed as _};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use serde_path_to_error::Segment;
use utoipa::ToSchema;

use super::problem::{Code, Problem, Step};
use super::{Cluster, Config, Kind, Listener, Resource, ResourceId, Route};

/// The whole slow lane of a fleet, as a document.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ConfigDocument {
    /// The listeners.
    #[serde(default)]
    pub listeners: Vec<Listener>,
    /// The clusters.
    #[serde(default)]
    pub clusters: Vec<Cluster>,
    /// The routes.
    #[serde(default)]
    pub routes: Vec<Route>,
}

/// A config document that was read: its resources, and where in the document each of them stands.
#[derive(Clone, Debug, Default)]
pub struct Submitted {
    /// The resources.
    pub config: Config,
    /// Position of each in the list of its kind.
    pub positions: HashMap<ResourceId, usize>,
}

/// A config document of which not everything could be read.
#[derive(Clone, Debug)]
pub struct Unreadable {
    /// Why: faults of form.
    pub problems: Vec<Problem>,
    /// The resources that could be read.
    pub rest: Submitted,
    /// Names of resources that could not. In `rest.config` something stands in for each, so that nothing which refers
    /// to it looks wrong; what is found wrong with the stand-in itself means nothing.
    pub stand_ins: HashSet<ResourceId>,
}

/// So many problems are listed; a document with more has one cause.
const PROBLEMS_MAX: usize = 100;

/// Why a text is no document.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unread {
    /// It is not well-formed; a sentence with the place.
    #[error("{0}")]
    Malformed(String),
    /// Values stand in each other deeper than anything in the model does.
    #[error("values stand in each other more than {} deep", strict::DEPTH_MAX)]
    TooDeep,
}

/// Reads JSON text.
///
/// # Errors
/// It is not JSON, says something twice, or is nested too deeply.
pub fn json(bytes: &[u8]) -> Result<Value, Unread> {
    read(|reader| {
        let mut text = serde_json::Deserializer::from_slice(bytes);
        let value = reader.deserialize(&mut text)?;
        text.end().map(|()| value)
    })
}

/// Reads YAML text.
///
/// # Errors
/// It is not YAML, says something twice, or is nested too deeply.
pub fn yaml(bytes: &[u8]) -> Result<Value, Unread> {
    read(|reader| reader.deserialize(yaml_serde::Deserializer::from_slice(bytes)))
}

fn read<E: std::fmt::Display>(
    read: impl FnOnce(strict::Reader<'_>) -> Result<Value, E>,
) -> Result<Value, Unread> {
    let too_deep = Cell::new(false);
    read(strict::Reader::new(&too_deep)).map_err(|error| {
        if too_deep.get() {
            Unread::TooDeep
        } else {
            Unread::Malformed(error.to_string())
        }
    })
}

/// Reads a config document. What is wrong with its form does not hide what is wrong with the rest: see [`Unreadable`].
pub fn config(document: &Value) -> Result<Submitted, Box<Unreadable>> {
    let mut submitted = Submitted::default();
    let mut problems = Vec::new();
    let none = serde_json::Map::new();
    let fields = document.as_object().unwrap_or(&none);
    if !document.is_object() {
        let detail = "a config is an object of `listeners`, `clusters` and `routes`";
        problems.push(of_document(String::new(), Code::Invalid, detail));
    }
    for (field, list) in fields {
        match Kind::of_plural(field) {
            Some(Kind::Listener) => read_list::<Listener>(list, &mut submitted, &mut problems),
            Some(Kind::Cluster) => read_list::<Cluster>(list, &mut submitted, &mut problems),
            Some(Kind::Route) => read_list::<Route>(list, &mut submitted, &mut problems),
            None => {
                let detail = "a config has `listeners`, `clusters` and `routes`";
                problems.push(of_document(
                    pointer([Step::from(field.as_str())]),
                    Code::Unsupported,
                    detail,
                ));
            }
        }
    }
    if problems.is_empty() {
        return Ok(submitted);
    }
    let stand_ins = stand_in(document, &mut submitted.config);
    Err(Box::new(Unreadable {
        problems,
        rest: submitted,
        stand_ins,
    }))
}

/// Puts something in place of what routes may refer to and could not be read.
fn stand_in(document: &Value, config: &mut Config) -> HashSet<ResourceId> {
    let listeners = stand_in_for::<Listener>(
        document,
        config,
        |name| json!({"name": name, "address": "0.0.0.0", "port": 1}),
    );
    let clusters = stand_in_for::<Cluster>(
        document,
        config,
        |name| json!({"name": name, "discovery": "api"}),
    );
    listeners.into_iter().chain(clusters).collect()
}

fn stand_in_for<T: Resource>(
    document: &Value,
    config: &mut Config,
    smallest: impl Fn(&str) -> Value,
) -> Vec<ResourceId> {
    let items = document[T::KIND.plural()].as_array().into_iter().flatten();
    let names = items.filter_map(|item| item["name"].as_str());
    let mut stand_ins = Vec::new();
    for name in names {
        let readable = config.get::<T>(name).is_some();
        if let Some(resource) = decode::<T>(&smallest(name), "").ok().filter(|_| !readable) {
            config.put(resource);
            stand_ins.push(ResourceId::new(T::KIND, name));
        }
    }
    stand_ins
}

/// Reads one resource. A document that does not say its name gets the one of its URL.
pub fn resource<T: Resource>(document: &Value, name: &str) -> Result<T, Vec<Problem>> {
    let mut document = document.clone();
    if let Some(fields) = document.as_object_mut() {
        fields.entry("name").or_insert_with(|| Value::from(name));
    }
    let resource: T = decode(&document, "")?;
    if resource.name() == name {
        return Ok(resource);
    }
    let detail = format!("the URL names {name:?}");
    Err(vec![of_document(
        "/name".to_owned(),
        Code::Invalid,
        &detail,
    )])
}

/// Reads any value of the model. `base` is the pointer from the whole document to it.
pub fn decode<T: DeserializeOwned>(document: &Value, base: &str) -> Result<T, Vec<Problem>> {
    let mut problems: Vec<Problem> = Vec::new();
    let mut rest = document.clone();
    // A deserializer stops at the first fault. Taking the faulty field out and reading again finds the next one.
    while problems.len() < PROBLEMS_MAX {
        let error = match serde_path_to_error::deserialize::<_, T>(&rest) {
            Ok(value) if problems.is_empty() => return Ok(value),
            Ok(_) => break,
            Err(error) => error,
        };
        let (local, code, detail) = explain(&error);
        let pointer = format!("{base}{local}");
        let known = problems.iter().any(|problem| problem.pointer == pointer);
        if !known {
            problems.push(of_document(pointer, code, &detail));
        }
        if known || !take_out(&mut rest, &local) {
            break;
        }
    }
    Err(problems)
}

impl From<&Config> for ConfigDocument {
    fn from(config: &Config) -> Self {
        fn list<T: Resource>(config: &Config) -> Vec<T> {
            T::set(config)
                .values()
                .map(|resource| T::clone(resource))
                .collect()
        }
        Self {
            listeners: list(config),
            clusters: list(config),
            routes: list(config),
        }
    }
}

fn read_list<T: Resource>(list: &Value, submitted: &mut Submitted, problems: &mut Vec<Problem>) {
    let field = T::KIND.plural();
    let Some(items) = list.as_array() else {
        problems.push(of_document(
            format!("/{field}"),
            Code::Invalid,
            "this is a list",
        ));
        return;
    };
    for (position, item) in items.iter().enumerate() {
        let resource = match decode::<T>(item, &format!("/{field}/{position}")) {
            Ok(resource) => resource,
            Err(found) => {
                problems.extend(found);
                continue;
            }
        };
        let id = ResourceId::new(T::KIND, resource.name());
        if submitted.positions.insert(id, position).is_some() {
            let detail = format!("another {} has this name", T::KIND);
            problems.push(of_document(
                format!("/{field}/{position}/name"),
                Code::Duplicate,
                &detail,
            ));
        }
        submitted.config.put(resource);
    }
}

/// Where serde stopped, and why.
fn explain(error: &serde_path_to_error::Error<serde_json::Error>) -> (String, Code, String) {
    let mut local = pointer(error.path().iter().filter_map(|segment| match segment {
        Segment::Seq { index } => Some(Step::Index(*index)),
        Segment::Map { key } => Some(Step::Key(key.clone())),
        Segment::Enum { variant } => Some(Step::Key(variant.clone())),
        Segment::Unknown => None,
    }));
    let detail = error.inner().to_string();
    let code = if detail.starts_with("unknown field") {
        Code::Unsupported
    } else if let Some(field) = detail.strip_prefix("missing field `") {
        Step::from(field.trim_end_matches('`')).push_to(&mut local);
        Code::Required
    } else {
        Code::Invalid
    };
    (local, code, detail)
}

/// Removes what a pointer points at; `false` if it cannot be removed.
fn take_out(document: &mut Value, pointer: &str) -> bool {
    let Some((parent, key)) = pointer.rsplit_once('/') else {
        return false;
    };
    let key = key.replace("~1", "/").replace("~0", "~");
    let fields = document.pointer_mut(parent).and_then(Value::as_object_mut);
    fields.is_some_and(|fields| fields.remove(&key).is_some())
}

fn pointer(steps: impl IntoIterator<Item = Step>) -> String {
    let mut pointer = String::new();
    for step in steps {
        step.push_to(&mut pointer);
    }
    pointer
}

fn of_document(pointer: String, code: Code, detail: &str) -> Problem {
    Problem {
        resource: None,
        pointer,
        code,
        detail: detail.to_owned(),
    }
}

#[cfg(test)]
pub(crate) mod tests;
