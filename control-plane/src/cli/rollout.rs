//! `rollout`: how a fleet moves from one revision to another, wave by wave, and what an operator says to that.

mod follow;
mod show;

use clap::{Args, Subcommand};
use serde::Serialize;
use yaml_serde::Value;

use super::client::{Client, Request};
use super::failure::Failure;
use super::kind::{list, text};
use super::output::{Form, Report};
use super::source;
use super::table::Table;
use crate::model::timestamp::Timestamp;

pub(super) use self::follow::{follow, of_revision};

/// The arguments of `rollout`.
#[derive(Args)]
pub struct Rollout {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Begin a rollout.
    Start(Start),
    /// Show a rollout: its waves, its gates, its nodes.
    Status(Status),
    /// Stop a rollout where it is. What fails still goes back.
    Pause(Order),
    /// Go on with a paused rollout.
    Resume(Order),
    /// End the bake of the wave: neither time nor missing data is waited for.
    Promote(Order),
    /// Go on without the rest of the wave: nodes that have not settled are not waited for either. What fails still goes back.
    Skip(Order),
    /// Let the next wave begin.
    Approve(Order),
    /// Take all nodes back to the old revision.
    Abort(Order),
    /// Begin a rollout again that was rolled back or canceled: the same revision, the same strategy.
    Retry(Order),
    /// Show the rollouts of the fleet, the newest first.
    History {
        /// How many at most.
        #[arg(short = 'n', long, value_name = "COUNT", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
        /// How they are written.
        #[arg(short, long, value_enum, default_value_t = Form::Table)]
        output: Form,
    },
}

#[derive(Args)]
struct Start {
    /// The revision to go to; the newest if not given.
    #[arg(long, value_name = "N")]
    to: Option<u64>,
    /// The name of a strategy; the fleet's if not given.
    #[arg(long, value_name = "NAME", conflicts_with = "strategy_file")]
    strategy: Option<String>,
    /// A file that holds a strategy, as YAML or JSON.
    #[arg(long, value_name = "FILE")]
    strategy_file: Option<std::path::PathBuf>,
    /// Why.
    #[arg(short = 'm', long, value_name = "TEXT", default_value = "")]
    reason: String,
    /// End the rollout that is active, if one is, and go on with the nodes that it has chosen.
    #[arg(long)]
    supersede: bool,
    /// No wave begins before this time: 2026-01-31T09:30:00Z.
    #[arg(long, value_name = "TIME", conflicts_with = "urgent")]
    not_before: Option<Timestamp>,
    /// In a hurry: takes the place of the rollout that is active, and waits neither for bakes and requests nor for webhooks and
    /// freeze windows. Needs a reason.
    #[arg(long, requires = "reason")]
    urgent: bool,
    /// Show the waves as they go, until the rollout has ended.
    #[arg(long)]
    wait: bool,
    /// How it is written.
    #[arg(short, long, value_enum, default_value_t = Form::Table)]
    output: Form,
}

#[derive(Args)]
struct Status {
    /// The rollout; the newest if not given.
    #[arg(value_name = "ID", default_value = "latest")]
    id: String,
    /// Go on until the rollout has ended, a line for each thing that happens.
    #[arg(long)]
    watch: bool,
    /// How it is written.
    #[arg(short, long, value_enum, default_value_t = Form::Table)]
    output: Form,
}

#[derive(Args)]
struct Order {
    /// The rollout; the newest if not given.
    #[arg(value_name = "ID", default_value = "latest")]
    id: String,
    /// Why.
    #[arg(short = 'm', long, value_name = "TEXT")]
    reason: Option<String>,
    /// How the rollout is written then.
    #[arg(short, long, value_enum, default_value_t = Form::Table)]
    output: Form,
}

/// A rollout to be begun, as the API has it.
#[derive(Serialize)]
struct Beginning {
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    strategy: Option<serde_json::Value>,
    reason: String,
    supersede: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    not_before: Option<Timestamp>,
    urgent: bool,
}

impl Rollout {
    pub(super) async fn run(self, client: &Client) -> Result<Report, Failure> {
        match self.what {
            What::Start(start) => start.run(client).await,
            What::Status(status) => status.run(client).await,
            What::Pause(order) => order.run(client, "pause").await,
            What::Resume(order) => order.run(client, "resume").await,
            What::Promote(order) => order.run(client, "promote").await,
            What::Skip(order) => order.run(client, "skip").await,
            What::Approve(order) => order.run(client, "approve").await,
            What::Abort(order) => order.run(client, "abort").await,
            What::Retry(order) => order.run(client, "retry").await,
            What::History { limit, output } => history(client, limit, output).await,
        }
    }
}

impl Start {
    async fn run(self, client: &Client) -> Result<Report, Failure> {
        let strategy = match &self.strategy_file {
            Some(path) => Some(source::document(path)?),
            None => self.strategy.map(serde_json::Value::from),
        };
        let beginning = Beginning {
            to: self.to,
            strategy,
            reason: self.reason,
            supersede: self.supersede,
            not_before: self.not_before,
            urgent: self.urgent,
        };
        let request = Request::post(client.of_fleet(["rollouts"]), &beginning)?;
        let begun: Value = client.send(request).await?.read()?;
        if self.wait {
            return follow(client, &text(&begun, "id"))
                .await?
                .report(self.output);
        }
        show::one(self.output, &begun)
    }
}

impl Status {
    async fn run(self, client: &Client) -> Result<Report, Failure> {
        if self.watch {
            return follow(client, &self.id).await?.report(self.output);
        }
        let rollout = client.get(client.of_fleet(["rollouts", &self.id])).await?;
        show::one(self.output, &rollout)
    }
}

impl Order {
    async fn run(self, client: &Client, verb: &str) -> Result<Report, Failure> {
        let target = client
            .of_fleet(["rollouts", &format!("{}:{verb}", self.id)])
            .with_some("reason", self.reason.as_deref());
        let rollout: Value = client.send(Request::command(target)).await?.read()?;
        show::one(self.output, &rollout)
    }
}

async fn history(client: &Client, limit: u32, form: Form) -> Result<Report, Failure> {
    let target = client.of_fleet(["rollouts"]);
    let page = client.get(target.with("limit", &limit.to_string())).await?;
    let rollouts = list(&page, "items");
    match form {
        Form::Json | Form::Yaml => Report::document(form, &rollouts),
        Form::Name => {
            Ok(Report::lines(rollouts.iter().map(|rollout| {
                format!("rollouts/{}", text(rollout, "id"))
            })))
        }
        Form::Table => {
            let mut table = Table::new(&[
                "ID", "FROM", "TO", "STATE", "WAVE", "BY", "BEGAN", "REASON", "OUTCOME",
            ]);
            for rollout in rollouts {
                let [id, from, to, state] =
                    ["id", "from", "to", "state"].map(|field| text(rollout, field));
                let [by, began, reason, outcome] =
                    ["created_by", "created_at", "reason", "outcome"]
                        .map(|field| text(rollout, field));
                let wave = show::position(rollout);
                let reason = match rollout.get("urgent").and_then(Value::as_bool) {
                    Some(true) => format!("urgent: {reason}"),
                    _ => reason,
                };
                table.row([id, from, to, state, wave, by, began, reason, outcome]);
            }
            Ok(Report::new(table.to_string()))
        }
    }
}
