//! `history` and `revert`: the revisions of a fleet, and the way back to one of them, which is a new revision.

use clap::Args;
use yaml_serde::Value;

use super::apply;
use super::client::{Client, Request};
use super::failure::Failure;
use super::get;
use super::kind::Kind;
use super::output::{Form, Report};

/// The arguments of `history`.
#[derive(Args)]
pub struct History {
    /// How many revisions at most.
    #[arg(short = 'n', long, value_name = "COUNT", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
    /// How they are written.
    #[arg(short, long, value_enum, default_value_t = Form::Table)]
    output: Form,
}

impl History {
    pub(super) async fn run(self, client: &Client) -> Result<Report, Failure> {
        let target = Kind::Revisions
            .all(client)
            .with("limit", &self.limit.to_string());
        let page = client.get(target).await?;
        let items = page
            .get("items")
            .and_then(Value::as_sequence)
            .cloned()
            .unwrap_or_default();
        get::show(self.output, &[get::Found::all(Kind::Revisions, items)])
    }
}

/// The arguments of `revert`.
#[derive(Args)]
pub struct Revert {
    /// The revision to go back to; 0 is empty.
    #[arg(value_name = "N", required_unless_present = "stable")]
    revision: Option<u64>,
    /// Go back to the revision that all nodes serve while no rollout is under way: after a rollback, the last good one.
    #[arg(long, conflicts_with = "revision")]
    stable: bool,
    /// Store nothing; show what would change, and for whom.
    #[arg(long)]
    dry_run: bool,
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

impl Revert {
    pub(super) async fn run(self, client: &Client) -> Result<Report, Failure> {
        let revision = match self.revision {
            Some(revision) => revision,
            None => {
                let fleet = client.get(client.of_fleet([])).await?;
                let stable = fleet.get("stable_revision").and_then(Value::as_u64);
                stable.ok_or_else(|| {
                    Failure::Local("this server does not tell the stable revision".to_owned())
                })?
            }
        };
        let verb = format!("{revision}:revert");
        let target = client
            .of_fleet(["revisions", &verb])
            .with_some("message", self.message.as_deref())
            .with_some("dry_run", self.dry_run.then_some("true"));
        let request =
            apply::on_condition(client, Request::command(target), self.if_revision).await?;
        let answer = client.send(request).await?;
        if self.dry_run {
            apply::planned(self.output, &answer)
        } else {
            apply::applied(self.output, client, &answer)
        }
    }
}
