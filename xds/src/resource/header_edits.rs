//! Header edits from `HeaderValueOption`s and names to remove.

use envoy_types::pb::envoy::config::core::v3::header_value_option::HeaderAppendAction;
use envoy_types::pb::envoy::config::core::v3::{HeaderValue, HeaderValueOption};
use envoy_types::pb::google::protobuf::BoolValue;

use crate::problem::{Check, Code, refuse_if_set};
use crate::route::{EditAction, HeaderEdit, HeaderEdits, LevelEdits};

use super::value;

/// The four fields by which a level says what it changes in heads; they have the same names everywhere.
pub(super) struct Fields {
    pub(super) request_headers_to_add: Vec<HeaderValueOption>,
    pub(super) request_headers_to_remove: Vec<String>,
    pub(super) response_headers_to_add: Vec<HeaderValueOption>,
    pub(super) response_headers_to_remove: Vec<String>,
}

pub(super) fn convert(check: &mut Check, fields: Fields) -> LevelEdits {
    LevelEdits {
        request_headers: head(
            check,
            ("request_headers_to_add", fields.request_headers_to_add),
            (
                "request_headers_to_remove",
                fields.request_headers_to_remove,
            ),
        ),
        response_headers: head(
            check,
            ("response_headers_to_add", fields.response_headers_to_add),
            (
                "response_headers_to_remove",
                fields.response_headers_to_remove,
            ),
        ),
    }
}

fn head(
    check: &mut Check,
    (add_field, add): (&'static str, Vec<HeaderValueOption>),
    (remove_field, remove): (&'static str, Vec<String>),
) -> HeaderEdits {
    let set = check.at(add_field, |check| {
        let edits = add.into_iter().enumerate();
        edits
            .filter_map(|(index, option)| check.at(index, |check| edit(check, option)))
            .collect()
    });
    let remove = remove.iter().filter_map(|name| {
        let name = value::header_name(check, remove_field, name)?;
        editable(check, remove_field, &name).then_some(name)
    });
    HeaderEdits {
        remove: remove.collect(),
        set,
    }
}

#[expect(deprecated, reason = "the older form is still sent by control planes")]
fn edit(check: &mut Check, option: HeaderValueOption) -> Option<HeaderEdit> {
    let HeaderValueOption {
        header,
        append,
        append_action,
        keep_empty_value,
    } = option;
    let action = action(check, append, append_action);
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
        // As documented: an edit with an empty value is left out unless it is to be kept.
        if value.is_empty() && !keep_empty_value {
            return None;
        }
        Some(HeaderEdit {
            name,
            value: value.into_bytes().into(),
            action: action?,
        })
    })
}

/// `append` is the older form: `true` is the default action, `false` is to overwrite; both forms at once contradict
/// each other.
fn action(check: &mut Check, append: Option<BoolValue>, action: i32) -> Option<EditAction> {
    let action = match HeaderAppendAction::try_from(action) {
        Ok(HeaderAppendAction::AppendIfExistsOrAdd) => EditAction::Append,
        Ok(HeaderAppendAction::AddIfAbsent) => EditAction::AddIfAbsent,
        Ok(HeaderAppendAction::OverwriteIfExistsOrAdd) => EditAction::Overwrite,
        Ok(HeaderAppendAction::OverwriteIfExists) => EditAction::OverwriteIfPresent,
        Err(_) => {
            check.problem_at(
                "append_action",
                Code::Invalid,
                format!("{action} is not an append action"),
            );
            return None;
        }
    };
    match append {
        None => Some(action),
        Some(_) if action != EditAction::Append => {
            check.problem_at(
                "append",
                Code::Invalid,
                "`append` and `append_action` must not both be set",
            );
            None
        }
        Some(append) if append.value => Some(EditAction::Append),
        Some(_) => Some(EditAction::Overwrite),
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
