//! The messages in a resource that is written as JSON: where each stands, and of what type it is.

use prost_reflect::{Kind, MessageDescriptor};
use serde_json::Value;

/// A message in a resource.
pub(super) struct Place {
    pub(super) descriptor: MessageDescriptor,
    resource: Value,
    /// A JSON pointer.
    pointer: String,
    /// The same as problems write it.
    path: String,
}

impl Place {
    /// Every message in a resource, itself first.
    pub(super) fn all_of(resource: &Value) -> Vec<Self> {
        let mut places = Vec::new();
        collect(
            resource,
            of_any(resource),
            String::new(),
            String::new(),
            &mut |descriptor, pointer, path| {
                places.push(Self {
                    descriptor,
                    resource: resource.clone(),
                    pointer,
                    path,
                });
            },
        );
        places
    }

    /// The name of its type, without the package.
    pub(super) fn message(&self) -> String {
        self.descriptor.name().to_owned()
    }

    /// The message.
    pub(super) fn value(&self) -> &Value {
        self.resource.pointer(&self.pointer).unwrap()
    }

    /// The resource with another message in this place.
    pub(super) fn with(&self, message: Value) -> Value {
        let mut resource = self.resource.clone();
        *resource.pointer_mut(&self.pointer).unwrap() = message;
        resource
    }

    /// The path of one of its fields.
    pub(super) fn path_of(&self, field: &str) -> String {
        join(&self.path, field)
    }
}

fn collect(
    value: &Value,
    descriptor: MessageDescriptor,
    pointer: String,
    path: String,
    found: &mut impl FnMut(MessageDescriptor, String, String),
) {
    found(descriptor.clone(), pointer.clone(), path.clone());
    for (name, inner) in value.as_object().unwrap() {
        let Some(field) = descriptor.get_field_by_name(name) else {
            assert_eq!(name, "@type");
            continue;
        };
        let Kind::Message(of_field) = field.kind() else {
            continue;
        };
        let (pointer, path) = (format!("{pointer}/{name}"), join(&path, name));
        let inner: Vec<(&Value, String, String)> = match inner.as_array() {
            None => vec![(inner, pointer, path)],
            Some(list) => (0..)
                .zip(list)
                .map(|(index, inner): (usize, _)| {
                    (
                        inner,
                        format!("{pointer}/{index}"),
                        format!("{path}[{index}]"),
                    )
                })
                .collect(),
        };
        for (inner, pointer, path) in inner {
            if of_field.full_name() == "google.protobuf.Any" {
                collect(inner, of_any(inner), pointer, path, found);
            } else if of_field.full_name().starts_with("envoy.") {
                collect(inner, of_field.clone(), pointer, path, found);
            }
        }
    }
}

fn of_any(value: &Value) -> MessageDescriptor {
    let type_url = value["@type"].as_str().unwrap();
    let (_, name) = type_url.rsplit_once('/').unwrap();
    proto::descriptors::pool()
        .get_message_by_name(name)
        .unwrap()
}

fn join(path: &str, field: &str) -> String {
    if path.is_empty() {
        field.to_owned()
    } else {
        format!("{path}.{field}")
    }
}
