//! Header edits from `HeaderValueOption`s and names to remove.

use envoy_types::pb::envoy::config::core::v3::header_value_option::HeaderAppendAction;
use envoy_types::pb::envoy::config::core::v3::{HeaderValue, HeaderValueOption};

use crate::problem::{Check, Code, refuse_if_set};
use crate::route::{EditAction, HeaderEdit, HeaderEdits};

use super::value;

/// The fields that carry a head's edits, and their names in the message.
pub(super) struct Fields {
    pub(super) add: (&'static str, Vec<HeaderValueOption>),
    pub(super) remove: (&'static str, Vec<String>),
}

pub(super) fn convert(check: &mut Check, fields: Fields) -> HeaderEdits {
    let (add_field, add) = fields.add;
    let set = check.at(add_field, |check| {
        let edits = add.into_iter().enumerate();
        edits
            .filter_map(|(index, option)| check.at(index, |check| edit(check, option)))
            .collect()
    });
    let (remove_field, remove) = fields.remove;
    let remove = remove.iter().filter_map(|name| {
        let name = value::header_name(check, remove_field, name)?;
        editable(check, remove_field, &name).then_some(name)
    });
    HeaderEdits {
        remove: remove.collect(),
        set,
    }
}

#[expect(
    deprecated,
    reason = "the whole message is read; the deprecated field is refused if set"
)]
fn edit(check: &mut Check, option: HeaderValueOption) -> Option<HeaderEdit> {
    let HeaderValueOption {
        header,
        append,
        append_action,
        keep_empty_value,
    } = option;
    refuse_if_set!(check, append);
    let Some(HeaderValue {
        key,
        value,
        raw_value,
    }) = header
    else {
        check.problem_at("header", Code::Required, "a header is needed");
        return None;
    };
    check.at("header", |check| {
        refuse_if_set!(check, raw_value);
        let name = value::header_name(check, "key", &key)?;
        if !editable(check, "key", &name) {
            return None;
        }
        let value = literal(check, &value)?;
        // Envoy leaves a field with an empty value out unless it is told to keep it.
        if value.is_empty() && !keep_empty_value {
            check.problem_at(
                "value",
                Code::Invalid,
                "an empty value needs `keep_empty_value: true`",
            );
            return None;
        }
        let action = action(check, append_action)?;
        Some(HeaderEdit {
            name,
            value: value.into_bytes().into(),
            action,
        })
    })
}

fn action(check: &mut Check, value: i32) -> Option<EditAction> {
    match HeaderAppendAction::try_from(value) {
        Ok(HeaderAppendAction::AppendIfExistsOrAdd) => Some(EditAction::Append),
        Ok(HeaderAppendAction::AddIfAbsent) => Some(EditAction::AddIfAbsent),
        Ok(HeaderAppendAction::OverwriteIfExistsOrAdd) => Some(EditAction::Overwrite),
        Ok(HeaderAppendAction::OverwriteIfExists) => Some(EditAction::OverwriteIfPresent),
        Err(_) => {
            check.problem(Code::Invalid, format!("{value} is not an append action"));
            None
        }
    }
}

/// `Host` and the fields that frame the message are not a matter of header edits (Envoy refuses `host` and pseudo
/// headers too; the framing fields would let a config desynchronise two hops).
fn editable(check: &mut Check, field: &'static str, name: &str) -> bool {
    let reserved = matches!(
        name,
        "host" | "content-length" | "transfer-encoding" | "connection" | "upgrade"
    );
    if reserved {
        check.problem_at(field, Code::Invalid, format!("{name:?} cannot be edited"));
    }
    !reserved
}

/// Envoy reads `%NAME%` as a command; only the escaped percent sign `%%` is supported.
fn literal(check: &mut Check, value: &str) -> Option<String> {
    if !value::is_header_value(value.as_bytes()) {
        check.problem_at(
            "value",
            Code::Invalid,
            "a header value must not hold control bytes",
        );
        return None;
    }
    let unescaped = value.replace("%%", "\0");
    if unescaped.contains('%') {
        check.problem_at(
            "value",
            Code::Unsupported,
            "substitution commands are not supported; write `%%` for a percent sign",
        );
        return None;
    }
    Some(unescaped.replace('\0', "%"))
}
