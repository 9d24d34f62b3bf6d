//! Protobuf JSON of any message of Envoy's API, with the field names of the `.proto` files, as Envoy prints and reads it.
//! In: a type URL and bytes. Out: a JSON value whose `@type` names the type; and the way back.
//! A message whose type is unknown, or whose bytes do not fit its type, is shown as base64 and never lost.

#[cfg(test)]
mod tests;
mod write;

use prost::Message as _;
use prost_reflect::{DynamicMessage, prost_types::Any};
use serde_json::Value;

use crate::descriptors::pool;

/// The message as JSON. `google.protobuf.Any` fields are expanded where their type is known.
///
/// What cannot be expanded appears as `{"@type": type_url, "value": base64}`, at the top as well as inside.
pub fn to_json(type_url: &str, bytes: &[u8]) -> Value {
    write::any(type_url, bytes)
}

/// The type URL and the bytes of the message that a JSON value describes.
///
/// An error says what does not fit: no `@type` or an unknown one, an unknown field, a value of the wrong kind.
pub fn from_json(value: &Value) -> Result<(String, Vec<u8>), serde_json::Error> {
    let any = pool()
        .get_message_by_name("google.protobuf.Any")
        .expect("the pool holds the well-known types");
    let message = DynamicMessage::deserialize(any, value)?;
    let any = Any::decode(message.encode_to_vec().as_slice())
        .expect("a message of type Any decodes as Any");
    Ok((any.type_url, any.value))
}
