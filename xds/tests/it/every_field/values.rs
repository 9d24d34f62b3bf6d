//! Values for a field, made from its descriptor: none of them is its default.

use prost_reflect::{FieldDescriptor, Kind};
use serde_json::{Value, json};

/// Values for a field. A switch that may be unset gets both of its values.
pub(super) fn of(field: &FieldDescriptor) -> Vec<Value> {
    if field.is_map() {
        let Kind::Message(entry) = field.kind() else {
            unreachable!("a map is a list of entries");
        };
        let value = of_kind(&entry.map_entry_value_field().kind()).remove(0);
        let key = if entry.map_entry_key_field().kind() == Kind::String {
            "k"
        } else {
            "7"
        };
        return vec![json!({key: value})];
    }
    let values = match field.kind() {
        Kind::Bool if field.supports_presence() => vec![json!(true), json!(false)],
        kind => of_kind(&kind),
    };
    if field.is_list() {
        values.into_iter().map(|value| json!([value])).collect()
    } else {
        values
    }
}

/// The values of an enumeration that are not what the field holds already, each with its name; `None` if the field is none.
pub(super) fn of_enumeration(
    field: &FieldDescriptor,
    own: Option<&Value>,
) -> Option<Vec<(String, Value)>> {
    let Kind::Enum(enumeration) = field.kind() else {
        return None;
    };
    let default = enumeration.default_value().name().to_owned();
    let own = own.and_then(Value::as_str).map(ToOwned::to_owned);
    let held = own.or_else(|| (!field.supports_presence()).then_some(default));
    let others = enumeration
        .values()
        .map(|value| value.name().to_owned())
        .filter(|name| Some(name) != held.as_ref());
    let value_of = |name: &String| {
        if field.is_list() {
            json!([name])
        } else {
            json!(name)
        }
    };
    Some(others.map(|name| (name.clone(), value_of(&name))).collect())
}

/// The name of the message that a field holds, without the package.
pub(super) fn message_name(field: &FieldDescriptor) -> Option<String> {
    match field.kind() {
        Kind::Message(message) if !field.is_map() && message.full_name().starts_with("envoy.") => {
            Some(message.name().to_owned())
        }
        _ => None,
    }
}

fn of_kind(kind: &Kind) -> Vec<Value> {
    let value = match kind {
        Kind::Bool => json!(true),
        Kind::String => json!("x"),
        Kind::Bytes => json!("eA=="),
        Kind::Enum(enumeration) => {
            json!(
                enumeration
                    .values()
                    .last()
                    .map(|value| value.name().to_owned())
            )
        }
        Kind::Message(message) => return of_message(message.full_name()),
        _ => json!(7),
    };
    vec![value]
}

fn of_message(name: &str) -> Vec<Value> {
    let value = match name {
        "google.protobuf.BoolValue" => return vec![json!(true), json!(false)],
        "google.protobuf.Duration" => json!("7s"),
        "google.protobuf.Timestamp" => json!("2020-01-01T00:00:00Z"),
        "google.protobuf.StringValue" | "google.protobuf.Value" => json!("x"),
        "google.protobuf.BytesValue" => json!("eA=="),
        "google.protobuf.ListValue" => json!([]),
        "google.protobuf.Any" => {
            json!({"@type": "type.googleapis.com/google.protobuf.StringValue", "value": "x"})
        }
        _ if name.starts_with("google.protobuf.") && name.ends_with("Value") => json!(7),
        _ => json!({}),
    };
    vec![value]
}
