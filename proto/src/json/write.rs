//! Message → JSON value. The rules are protobuf's (<https://protobuf.dev/programming-guides/json/>); well-known types with a
//! JSON form of their own are left to `prost-reflect`. Written out here because its serializer refuses a whole message
//! when one `Any` inside has an unknown type, and a config dump must show the rest.

use prost_reflect::{
    DynamicMessage, Kind, MapKey, MessageDescriptor, ReflectMessage as _, SerializeOptions,
    Value as Field, prost_types::Any,
};
use serde_json::{Map, Value, json};

use crate::descriptors::pool;

/// Messages inside messages inside `Any`s: deeper than real configs go, far below what a stack holds.
const DEPTH_LIMIT: usize = 64;

/// A packed message: expanded, or as base64 where that cannot be done.
pub(super) fn any(type_url: &str, bytes: &[u8]) -> Value {
    packed(type_url, bytes, 0)
}

fn packed(type_url: &str, bytes: &[u8], depth: usize) -> Value {
    let Some(message) = unpack(type_url, bytes).filter(|_| depth < DEPTH_LIMIT) else {
        return json!({"@type": type_url, "value": base64(bytes)});
    };
    match message_value(&message, depth + 1) {
        Value::Object(mut fields) if !has_own_form(&message.descriptor()) => {
            fields.insert("@type".to_owned(), type_url.into());
            Value::Object(fields)
        }
        value => json!({"@type": type_url, "value": value}),
    }
}

fn unpack(type_url: &str, bytes: &[u8]) -> Option<DynamicMessage> {
    let (_, name) = type_url.rsplit_once('/')?;
    DynamicMessage::decode(pool().get_message_by_name(name)?, bytes).ok()
}

fn message_value(message: &DynamicMessage, depth: usize) -> Value {
    let descriptor = message.descriptor();
    if descriptor.full_name() == "google.protobuf.Any" {
        // An `Any` that is itself broken has nothing to show.
        return message
            .transcode_to::<Any>()
            .map_or(Value::Null, |any| packed(&any.type_url, &any.value, depth));
    }
    if has_own_form(&descriptor) {
        return well_known(message);
    }
    let fields = message.fields().map(|(field, value)| {
        (
            field.name().to_owned(),
            field_value(value, &field.kind(), depth),
        )
    });
    Value::Object(fields.collect::<Map<_, _>>())
}

fn field_value(value: &Field, kind: &Kind, depth: usize) -> Value {
    match value {
        Field::Bool(value) => Value::Bool(*value),
        Field::I32(value) => Value::from(*value),
        Field::U32(value) => Value::from(*value),
        // 64-bit integers are strings, since JavaScript's numbers cannot hold them.
        Field::I64(value) => Value::String(value.to_string()),
        Field::U64(value) => Value::String(value.to_string()),
        Field::F32(value) => float(f64::from(*value)),
        Field::F64(value) => float(*value),
        Field::String(value) => Value::String(value.clone()),
        Field::Bytes(value) => base64(value),
        Field::EnumNumber(number) => enum_value(*number, kind),
        Field::Message(message) => message_value(message, depth),
        Field::List(values) => values
            .iter()
            .map(|value| field_value(value, kind, depth))
            .collect(),
        Field::Map(entries) => {
            let value_kind = kind
                .as_message()
                .map(|entry| entry.map_entry_value_field().kind());
            let value_kind = value_kind.as_ref().unwrap_or(kind);
            let entries = entries
                .iter()
                .map(|(key, value)| (map_key(key), field_value(value, value_kind, depth)));
            Value::Object(entries.collect::<Map<_, _>>())
        }
    }
}

fn float(value: f64) -> Value {
    match serde_json::Number::from_f64(value) {
        Some(number) => Value::Number(number),
        None if value.is_nan() => "NaN".into(),
        None if value > 0.0 => "Infinity".into(),
        None => "-Infinity".into(),
    }
}

fn enum_value(number: i32, kind: &Kind) -> Value {
    let known = kind
        .as_enum()
        .and_then(|descriptor| descriptor.get_value(number));
    known.map_or_else(|| number.into(), |value| value.name().into())
}

fn map_key(key: &MapKey) -> String {
    match key {
        MapKey::Bool(key) => key.to_string(),
        MapKey::I32(key) => key.to_string(),
        MapKey::I64(key) => key.to_string(),
        MapKey::U32(key) => key.to_string(),
        MapKey::U64(key) => key.to_string(),
        MapKey::String(key) => key.clone(),
    }
}

/// Whether the JSON of this type is not the object of its fields. `descriptor.proto`'s types, for one, have none.
fn has_own_form(descriptor: &MessageDescriptor) -> bool {
    descriptor.package_name() == "google.protobuf"
        && matches!(
            descriptor.name(),
            "Any"
                | "Timestamp"
                | "Duration"
                | "Struct"
                | "Value"
                | "ListValue"
                | "FieldMask"
                | "Empty"
                | "BoolValue"
                | "StringValue"
                | "BytesValue"
                | "FloatValue"
                | "DoubleValue"
                | "Int32Value"
                | "Int64Value"
                | "UInt32Value"
                | "UInt64Value"
        )
}

/// `null` for a value that has no JSON form (a duration out of range, say).
fn well_known(message: &DynamicMessage) -> Value {
    let options = SerializeOptions::new().use_proto_field_name(true);
    message
        .serialize_with_options(serde_json::value::Serializer, &options)
        .unwrap_or(Value::Null)
}

fn base64(bytes: &[u8]) -> Value {
    let wrapper = pool()
        .get_message_by_name("google.protobuf.BytesValue")
        .expect("the pool holds the well-known types");
    let mut message = DynamicMessage::new(wrapper);
    message.set_field_by_name("value", Field::Bytes(bytes.to_vec().into()));
    well_known(&message)
}
