//! A rollout, as people read it.

use yaml_serde::Value;

use crate::cli::failure::Failure;
use crate::cli::kind::{list, text};
use crate::cli::output::{Form, Paint, Report, printable};
use crate::cli::table::Table;

/// One rollout.
pub(super) fn one(form: Form, rollout: &Value) -> Result<Report, Failure> {
    match form {
        Form::Json | Form::Yaml => Report::document(form, rollout),
        Form::Name => Ok(Report::lines([format!("rollouts/{}", text(rollout, "id"))])),
        Form::Table => Ok(Report::new(table(rollout))),
    }
}

/// The wave that it is in, counted from 1, and how many there are.
pub(super) fn position(rollout: &Value) -> String {
    let wave = rollout.get("wave").and_then(Value::as_u64).unwrap_or(0) + 1;
    format!("{wave}/{}", text(rollout, "wave_count"))
}

/// Where it stands, on one line.
pub(super) fn headline(rollout: &Value) -> String {
    let paint = Paint::stdout();
    let state = text(rollout, "state");
    let painted = match state.as_str() {
        "completed" => paint.green(&state),
        "rolling-back" | "rolled-back" | "canceled" => paint.red(&state),
        _ => paint.yellow(&state),
    };
    let outcome = match text(rollout, "outcome") {
        outcome if outcome.is_empty() => outcome,
        outcome => format!(": {}", printable(&outcome)),
    };
    format!(
        "revision {} → {}  {painted}  wave {}{outcome}",
        text(rollout, "from"),
        text(rollout, "to"),
        position(rollout),
    )
}

fn table(rollout: &Value) -> String {
    let mut parts = vec![format!(
        "rollout {}\n{}\n",
        text(rollout, "id"),
        headline(rollout)
    )];
    for (name, field) in [
        ("reason", "reason"),
        ("by", "created_by"),
        ("urgent", "urgent"),
        ("not before", "not_before"),
        ("until", "deadline"),
    ] {
        let value = text(rollout, field);
        if !value.is_empty() {
            parts.push(format!("{name}: {}\n", printable(&value)));
        }
    }
    parts.push(format!("\n{}", waves(rollout)));
    let verdicts = list(rollout, "verdicts");
    if !verdicts.is_empty() {
        let mut table = Table::new(&["GATE", "STANDS", "WHY"]);
        for verdict in verdicts {
            table.row(["gate", "outcome", "detail"].map(|field| text(verdict, field)));
        }
        parts.push(format!("\n{table}"));
    }
    let behind: Vec<_> = list(rollout, "nodes")
        .iter()
        .filter(|node| node.get("has") != node.get("wanted"))
        .collect();
    if !behind.is_empty() {
        let mut table = Table::new(&["NODE", "WAVE", "WANTED", "HAS", "CONNECTED", "REFUSED"]);
        for node in behind {
            let wave = node.get("wave").and_then(Value::as_u64);
            let wave = wave.map(|wave| (wave + 1).to_string()).unwrap_or_default();
            let [id, wanted, has, connected, refused] =
                ["id", "wanted", "has", "connected", "refused"].map(|field| text(node, field));
            table.row([id, wave, wanted, has, connected, refused]);
        }
        parts.push(format!("\n{table}"));
    }
    parts.concat()
}

fn waves(rollout: &Value) -> String {
    let mut table = Table::new(&[
        "WAVE", "TAKES", "PROGRESS", "WANTED", "STAGED", "ACKED", "LIVE", "REFUSED", "LOST",
    ]);
    for wave in list(rollout, "waves") {
        let index = wave.get("index").and_then(Value::as_u64).unwrap_or(0) + 1;
        let name = match text(wave, "name") {
            name if name.is_empty() => index.to_string(),
            name => format!("{index} {name}"),
        };
        let nodes = wave.get("nodes").cloned().unwrap_or_default();
        let [wanted, staged, acked, live, refused, lost] = [
            "wanted",
            "staged",
            "acknowledged",
            "live",
            "refused",
            "lost",
        ]
        .map(|field| text(&nodes, field));
        let [takes, progress] = ["takes", "progress"].map(|field| text(wave, field));
        table.row([
            name, takes, progress, wanted, staged, acked, live, refused, lost,
        ]);
    }
    table.to_string()
}
