//! Changes as people read them: which resources, which fields, what they were and are. In: what the API says of a plan or
//! of two revisions.

use std::fmt::Write as _;

use yaml_serde::Value;

use super::kind::{list, text};
use super::output::{Paint, printable};

/// The resources that change.
pub(super) fn names(document: &Value) -> Vec<String> {
    let changes = list(document, "changes").iter();
    changes.map(|change| text(change, "resource")).collect()
}

/// The changes of a document, field by field; empty if there are none.
pub(super) fn changes(paint: Paint, document: &Value) -> String {
    let mut out = String::new();
    for change in list(document, "changes") {
        let resource = printable(&text(change, "resource"));
        let head = match text(change, "change").as_str() {
            "created" => paint.green(&format!("+ {resource}")),
            "deleted" => paint.red(&format!("- {resource}")),
            _ => paint.yellow(&format!("~ {resource}")),
        };
        let _ = writeln!(out, "{head}");
        for field in list(change, "fields") {
            write_field(paint, field, &mut out);
        }
    }
    out
}

/// A plan: its changes, what is odd about them, who would be sent something.
pub(super) fn plan(paint: Paint, plan: &Value) -> String {
    let mut out = changes(paint, plan);
    if out.is_empty() {
        out.push_str("nothing to change\n");
    }
    let warnings = list(plan, "warnings").iter();
    let of_classes = list(plan, "classes").iter().flat_map(|class| {
        let warnings = list(class, "warnings").iter();
        warnings.map(move |warning| (text(class, "class"), warning))
    });
    for (class, warning) in warnings
        .map(|warning| (String::new(), warning))
        .chain(of_classes)
    {
        let mark = paint.yellow(format!("warning {class}").trim_end());
        let (resource, detail) = (text(warning, "resource"), text(warning, "detail"));
        let _ = writeln!(
            out,
            "{mark}: {}",
            printable(&format!("{resource}: {detail}"))
        );
    }
    for class in list(plan, "classes") {
        let types = list(class, "resources")
            .iter()
            .map(type_of_class)
            .collect::<Vec<_>>();
        let nodes = class
            .get("nodes_affected")
            .map(|nodes| text(nodes, "connected"));
        if !types.is_empty() {
            let (class, nodes) = (text(class, "class"), nodes.unwrap_or_default());
            let _ = writeln!(out, "{class}: {nodes} connected, {}", types.join(", "));
        }
    }
    out
}

/// `VirtualHost +1 ~2`
fn type_of_class(of_type: &Value) -> String {
    let mut told = text(of_type, "type");
    for (field, sign) in [("added", '+'), ("changed", '~'), ("removed", '-')] {
        match list(of_type, field).len() {
            0 => {}
            count => {
                let _ = write!(told, " {sign}{count}");
            }
        }
    }
    told
}

/// The whole resource if it comes or goes, else one field of it.
fn write_field(paint: Paint, field: &Value, out: &mut String) {
    let pointer = printable(&text(field, "pointer"));
    let value = |name: &str| {
        field
            .get(name)
            .map(|value| serde_json::to_string(value).unwrap_or_default())
    };
    let line = match (value("old"), value("new")) {
        (Some(old), Some(new)) => format!("{pointer}: {} → {}", paint.red(&old), paint.green(&new)),
        (Some(old), None) if pointer.is_empty() => paint.red(&old),
        (None, Some(new)) if pointer.is_empty() => paint.green(&new),
        (Some(old), None) => format!("{pointer}: {}", paint.red(&format!("- {old}"))),
        (None, Some(new)) => format!("{pointer}: {}", paint.green(&format!("+ {new}"))),
        (None, None) => pointer,
    };
    let _ = writeln!(out, "    {line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_field_is_told_with_what_it_was_and_is() {
        let document: Value = yaml_serde::from_str(
            "
            changes:
              - {resource: clusters/b, change: created, fields: [{pointer: '', new: {name: b}}]}
              - resource: routes/r
                change: updated
                fields:
                  - {pointer: /timeout, old: 5s}
                  - {pointer: /priority, old: 0, new: 1}
                  - {pointer: /hosts/1, new: x}
            warnings: [{resource: routes/r, detail: odd}]
            classes:
              - {class: envoy, warnings: [], resources: [{type: VirtualHost, added: [], changed: [a], removed: [b, c]}], nodes_affected: {connected: 2}}
              - {class: grpc, warnings: [{resource: routes/r, detail: no rewrite}], resources: []}",
        )
        .unwrap();
        assert_eq!(names(&document), ["clusters/b", "routes/r"]);
        let expected = "\
+ clusters/b
    {\"name\":\"b\"}
~ routes/r
    /timeout: - \"5s\"
    /priority: 0 → 1
    /hosts/1: + \"x\"
warning: routes/r: odd
warning grpc: routes/r: no rewrite
envoy: 2 connected, VirtualHost ~1 -2
";
        assert_eq!(plan(Paint::never(), &document), expected);
    }

    #[test]
    fn a_plan_without_changes_says_so() {
        assert_eq!(plan(Paint::never(), &Value::Null), "nothing to change\n");
        assert_eq!(changes(Paint::never(), &Value::Null), "");
    }
}
