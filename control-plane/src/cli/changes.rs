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

/// A plan: its changes, what is odd about them, who would be sent something, and what would become of requests.
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
    if !list(plan, "changes").is_empty() {
        write_consequences(paint, plan, &mut out);
    }
    out
}

/// What would be less strict, and what would become of requests.
fn write_consequences(paint: Paint, plan: &Value, out: &mut String) {
    for shadowed in list(plan, "newly_shadowed") {
        let mark = paint.red("newly shadowed");
        let _ = writeln!(out, "{mark}: {}", printable(&text(shadowed, "resource")));
    }
    for loosened in list(plan, "loosened") {
        let mark = paint.yellow("loosened");
        let place = format!(
            "{}{}",
            text(loosened, "resource"),
            text(loosened, "pointer")
        );
        let told = printable(&format!("{place}: {}", text(loosened, "detail")));
        let _ = writeln!(out, "{mark}: {told}");
    }
    let Some(impact) = plan.get("impact") else {
        return;
    };
    let number = |field: &str| {
        impact
            .get(field)
            .and_then(Value::as_u64)
            .unwrap_or_default()
    };
    if number("samples") == 0 {
        out.push_str("requests: no proxy has told of any\n");
        return;
    }
    let share = |of: &Value, field: &str| of.get(field).and_then(Value::as_f64).unwrap_or_default();
    let changed = format!(
        "{} of sampled requests change",
        percent(share(impact, "changed_share"))
    );
    let changed = if number("changed") > 0 {
        paint.red(&changed)
    } else {
        paint.green(&changed)
    };
    let _ = writeln!(
        out,
        "{changed}: {} of {}; not known of {}",
        number("changed"),
        number("requests"),
        number("not_known")
    );
    for group in list(impact, "groups") {
        let way: Vec<String> = ["before", "after"]
            .iter()
            .map(|field| text(group, field))
            .filter(|route| !route.is_empty())
            .collect();
        let way = match way.as_slice() {
            [before, after] if before == after => format!("route {before}"),
            [] => String::new(),
            way => format!("route {}", way.join(" → ")),
        };
        let way = if way.is_empty() {
            way
        } else {
            format!(" {way}:")
        };
        let told = format!(
            "{} ({}) {}:{way} {}",
            text(group, "requests"),
            percent(share(group, "share")),
            text(group, "kind"),
            text(group, "detail")
        );
        let _ = writeln!(out, "  {}", printable(&told));
        for example in list(group, "examples") {
            let [method, host, path] = ["method", "host", "path"].map(|field| text(example, field));
            let _ = writeln!(
                out,
                "      {}",
                printable(&format!("{method} {host}{path}"))
            );
        }
    }
    match number("more_groups") {
        0 => {}
        more => {
            let _ = writeln!(out, "  and {more} more groups");
        }
    }
}

/// `0.7 %`, and never nothing where there is something.
fn percent(share: f64) -> String {
    match share * 100.0 {
        none if none <= 0.0 => "0 %".to_owned(),
        little if little < 0.1 => "less than 0.1 %".to_owned(),
        percent => format!("{percent:.1} %"),
    }
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
              - {class: grpc, warnings: [{resource: routes/r, detail: no rewrite}], resources: []}
            newly_shadowed: [{resource: routes/s, detail: odd}]
            loosened: [{resource: routes/r, pointer: /timeout, detail: 15s instead of 5s}]
            impact:
              {samples: 3, requests: 1000, changed: 7, changed_share: 0.007, not_known: 2, more_groups: 1, groups: [
                {kind: no-route, before: r, detail: would be 404, requests: 7, share: 0.007,
                 examples: [{method: GET, host: x, path: /a}]},
                {kind: not-known, detail: depends on a value that is not kept, requests: 2, share: 0.0002, examples: []}]}",
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
newly shadowed: routes/s
loosened: routes/r/timeout: 15s instead of 5s
0.7 % of sampled requests change: 7 of 1000; not known of 2
  7 (0.7 %) no-route: route r: would be 404
      GET x/a
  2 (less than 0.1 %) not-known: depends on a value that is not kept
  and 1 more groups
";
        assert_eq!(plan(Paint::never(), &document), expected);
    }

    #[test]
    fn a_plan_without_changes_says_so() {
        assert_eq!(plan(Paint::never(), &Value::Null), "nothing to change\n");
        assert_eq!(changes(Paint::never(), &Value::Null), "");
    }
}
