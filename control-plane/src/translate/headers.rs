//! Header edits → `HeaderValueOption`s.

use envoy_types::pb::envoy::config::core::v3::header_value_option::HeaderAppendAction;
use envoy_types::pb::envoy::config::core::v3::{HeaderValue, HeaderValueOption};

use crate::model::route::{HeaderEdits, Respond};

/// The pointers of the values that `to_add` makes, in the same order.
pub(super) fn pointers(
    edits: &HeaderEdits,
    field: &'static str,
    respond: Option<&Respond>,
) -> Vec<[String; 3]> {
    let own = respond
        .into_iter()
        .flat_map(|respond| respond.headers.keys())
        .map(|name| ["respond", "headers", name]);
    let set = edits.set.keys().map(|name| [field, "set", name]);
    let append = edits.append.keys().map(|name| [field, "append", name]);
    own.chain(set)
        .chain(append)
        .map(|steps| steps.map(str::to_owned))
        .collect()
}

/// The fields that are added: those of a direct response, then those that are set, then those that are appended.
pub(super) fn to_add(edits: &HeaderEdits, respond: Option<&Respond>) -> Vec<HeaderValueOption> {
    let own = respond.into_iter().flat_map(|respond| &respond.headers);
    let set = own
        .chain(&edits.set)
        .map(|(name, value)| option(name, value, HeaderAppendAction::OverwriteIfExistsOrAdd));
    let append = edits
        .append
        .iter()
        .map(|(name, value)| option(name, value, HeaderAppendAction::AppendIfExistsOrAdd));
    set.chain(append).collect()
}

/// The fields that are removed.
pub(super) fn to_remove(edits: &HeaderEdits) -> Vec<String> {
    edits
        .remove
        .iter()
        .map(|name| name.to_ascii_lowercase())
        .collect()
}

/// Envoy reads `%NAME%` in a value as a command, and `%%` as a percent sign; the operator's value is meant literally.
fn option(name: &str, value: &str, action: HeaderAppendAction) -> HeaderValueOption {
    HeaderValueOption {
        header: Some(HeaderValue {
            key: name.to_ascii_lowercase(),
            value: value.replace('%', "%%"),
            ..Default::default()
        }),
        append_action: action as i32,
        ..Default::default()
    }
}
