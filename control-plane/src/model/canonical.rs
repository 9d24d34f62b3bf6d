//! The one way to write a resource down: JSON without spaces, keys sorted, defaults left out.
//! Equal content has equal bytes and one hash, whoever wrote it and in which order.

use serde::Serialize;
use serde_json::Value;

/// A BLAKE3 hash of canonical bytes.
pub type Hash = [u8; 32];

/// The canonical bytes of a value.
pub fn to_bytes<T: Serialize>(value: &T) -> Vec<u8> {
    let value = serde_json::to_value(value)
        .expect("the model holds only text keys and numbers that JSON can express");
    let mut bytes = Vec::new();
    write(&value, &mut bytes);
    bytes
}

/// The hash of bytes.
pub fn hash(bytes: &[u8]) -> Hash {
    *blake3::hash(bytes).as_bytes()
}

/// A hash as hexadecimal digits.
pub fn hex(hash: &Hash) -> String {
    blake3::Hash::from_bytes(*hash).to_hex().to_string()
}

/// Sorts keys itself: whether `serde_json`'s map does depends on a feature that any crate in the tree may switch.
fn write(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_unstable_by_key(|(key, _)| *key);
            list(b'{', b'}', &fields, out, |(key, value), out| {
                scalar(&Value::from(key.as_str()), out);
                out.push(b':');
                write(value, out);
            });
        }
        Value::Array(items) => list(b'[', b']', items, out, write),
        other => scalar(other, out),
    }
}

fn list<T>(open: u8, close: u8, items: &[T], out: &mut Vec<u8>, each: impl Fn(&T, &mut Vec<u8>)) {
    out.push(open);
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        each(item, out);
    }
    out.push(close);
}

fn scalar(value: &Value, out: &mut Vec<u8>) {
    out.extend_from_slice(value.to_string().as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn keys_are_sorted_at_every_depth_and_nothing_is_added() {
        let value = json!({"b": [{"z": 1, "a": "é\"\n"}], "a": null});
        assert_eq!(
            String::from_utf8(to_bytes(&value)).unwrap(),
            r#"{"a":null,"b":[{"a":"é\"\n","z":1}]}"#
        );
    }
}
