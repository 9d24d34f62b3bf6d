//! `apply`: config files become one revision. What the fleet has and the files do not name stays, unless it is pruned.

use clap::Args;
use http::{HeaderValue, header};
use yaml_serde::Value;

use super::changes;
use super::client::{Answer, Client, Request};
use super::failure::Failure;
use super::kind::text;
use super::output::{Form, Paint, Report};
use super::rollout;
use super::source::Files;
use crate::model::timestamp::Timestamp;

/// The arguments of `apply`.
#[derive(Args)]
pub struct Apply {
    #[command(flatten)]
    files: Files,
    /// Delete what the files do not name.
    #[arg(long)]
    prune: bool,
    /// Store nothing; show what would change, and for whom.
    #[arg(long)]
    dry_run: bool,
    /// Show the waves of the rollout as they go, until it has ended: exit code 4 if it was rolled back.
    #[arg(long, conflicts_with = "dry_run")]
    wait: bool,
    /// The rollout that takes it to the nodes begins no wave before this time: 2026-01-31T09:30:00Z.
    #[arg(long, value_name = "TIME", conflicts_with_all = ["dry_run", "wait"])]
    not_before: Option<Timestamp>,
    /// What you say of the new revision.
    #[arg(short, long, value_name = "TEXT")]
    message: Option<String>,
    /// Refuse if the fleet is at another revision; if not given, whatever is there is changed.
    #[arg(long, value_name = "N")]
    if_revision: Option<u64>,
    /// How the outcome is written.
    #[arg(short, long, value_enum, default_value_t = Form::Table)]
    output: Form,
}

/// How a config is to be applied.
pub(super) struct Applying<'a> {
    pub(super) prune: bool,
    pub(super) dry_run: bool,
    pub(super) message: Option<&'a str>,
    pub(super) not_before: Option<Timestamp>,
    pub(super) if_revision: Option<u64>,
}

impl Apply {
    pub(super) async fn run(self, client: &Client) -> Result<Report, Failure> {
        let applying = Applying {
            prune: self.prune,
            dry_run: self.dry_run,
            message: self.message.as_deref(),
            not_before: self.not_before,
            if_revision: self.if_revision,
        };
        let answer = put(client, &self.files, &applying).await?;
        if self.dry_run {
            return planned(self.output, &answer);
        }
        let report = applied(self.output, client, &answer)?;
        if self.wait {
            return waited(client, report, &answer).await;
        }
        Ok(report)
    }
}

/// Says what was stored, and follows the rollout that takes it to the nodes.
async fn waited(client: &Client, stored: Report, answer: &Answer) -> Result<Report, Failure> {
    let applied: Value = answer.read()?;
    let delivery = applied.get("delivery").cloned().unwrap_or_default();
    let revision = applied.get("revision").and_then(Value::as_u64);
    let revision = revision.unwrap_or_default();
    match super::write(&stored.text) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            return Err(Failure::Local(format!("cannot write to stdout: {error}")));
        }
        _ => {}
    }
    match text(&delivery, "state").as_str() {
        // Nothing was stored, so nothing is to be waited for but what is under way.
        "" if revision == 0 => return Ok(Report::new("")),
        "held" => {
            let held = text(&delivery, "rollout");
            let why = format!(
                "the fleet is held since rollout {held} did not end well; revert, or begin a rollout by hand"
            );
            return Err(Failure::NotDelivered(why));
        }
        "manual" => {
            let why = "the fleet is moved by hand: `signalbox rollout start`";
            return Err(Failure::NotDelivered(why.to_owned()));
        }
        _ => {}
    }
    let id = rollout::of_revision(client, revision).await?;
    rollout::follow(client, &id).await?.report(Form::Table)
}

/// Sends files to be applied.
pub(super) async fn put(
    client: &Client,
    files: &Files,
    applying: &Applying<'_>,
) -> Result<Answer, Failure> {
    let source = files.read()?;
    let mut target = client
        .of_fleet(["config"])
        .with_some("message", applying.message);
    let not_before = applying.not_before.map(|at| at.to_string());
    target = target.with_some("not_before", not_before.as_deref());
    for (name, wanted) in [("prune", applying.prune), ("dry_run", applying.dry_run)] {
        target = target.with_some(name, wanted.then_some("true"));
    }
    let request = Request::put(target, &source.document())?;
    let request = on_condition(client, request, applying.if_revision).await?;
    let answer = client.send(request).await;
    answer.map_err(|failure| failure.map_faults(|faults| source.place(faults)))
}

/// A write says which revision it changes: this one, or whichever there is. Revision 0 does not exist yet.
pub(super) async fn on_condition(
    client: &Client,
    request: Request,
    revision: Option<u64>,
) -> Result<Request, Failure> {
    let is_first = match revision {
        Some(revision) => revision == 0,
        None => {
            let fleet = client.get(client.of_fleet([])).await?;
            fleet.get("revision").and_then(Value::as_u64) == Some(0)
        }
    };
    if is_first {
        return Ok(request.header(header::IF_NONE_MATCH, HeaderValue::from_static("*")));
    }
    let tag = match revision.map(|revision| HeaderValue::from_str(&format!("\"{revision}\""))) {
        Some(Ok(tag)) => tag,
        _ => HeaderValue::from_static("*"),
    };
    Ok(request.header(header::IF_MATCH, tag))
}

/// What was stored.
pub(super) fn applied(form: Form, client: &Client, answer: &Answer) -> Result<Report, Failure> {
    let applied: Value = answer.read()?;
    let paint = Paint::stdout();
    let names = |field: &str| {
        let names = applied.get(field).and_then(Value::as_sequence);
        let names = names.into_iter().flatten().filter_map(Value::as_str);
        names.map(str::to_owned).collect::<Vec<_>>()
    };
    let done = [
        ("created", paint.green("created")),
        ("updated", paint.yellow("updated")),
        ("deleted", paint.red("deleted")),
    ];
    match form {
        Form::Json | Form::Yaml => Report::document(form, &applied),
        Form::Name => Ok(Report::lines(
            done.iter().flat_map(|(field, _)| names(field)),
        )),
        Form::Table => {
            let done = done.iter().flat_map(|(field, word)| {
                names(field)
                    .into_iter()
                    .map(move |name| format!("{word} {name}"))
            });
            let mut lines: Vec<String> = done.collect();
            let (fleet, revision) = (client.fleet(), text(&applied, "revision"));
            lines.push(if lines.is_empty() {
                format!("nothing to change: fleet {fleet} is at revision {revision}")
            } else {
                format!("fleet {fleet} is at revision {revision}")
            });
            Ok(Report::lines(lines))
        }
    }
}

/// What would be stored.
pub(super) fn planned(form: Form, answer: &Answer) -> Result<Report, Failure> {
    let planned: Value = answer.read()?;
    let plan = planned.get("plan").cloned().unwrap_or_default();
    match form {
        Form::Json | Form::Yaml => Report::document(form, &plan),
        Form::Name => Ok(Report::lines(changes::names(&plan))),
        Form::Table => Ok(Report::new(changes::plan(Paint::stdout(), &plan))),
    }
}
