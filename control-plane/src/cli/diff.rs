//! `diff`: what applying files would change, told by the server, which validates them as if they were applied.

use clap::Args;
use yaml_serde::Value;

use super::apply::{Applying, put};
use super::changes;
use super::client::Client;
use super::failure::Failure;
use super::kind::list;
use super::output::{Form, Paint, Report};
use super::source::Files;

/// The arguments of `diff`.
#[derive(Args)]
pub struct Diff {
    #[command(flatten)]
    files: Files,
    /// As if what the files do not name were deleted.
    #[arg(long)]
    prune: bool,
    /// How differences are written.
    #[arg(short, long, value_enum, default_value_t = Form::Table)]
    output: Form,
}

impl Diff {
    pub(super) async fn run(self, client: &Client) -> Result<Report, Failure> {
        let applying = Applying {
            prune: self.prune,
            dry_run: true,
            message: None,
            not_before: None,
            if_revision: None,
        };
        let planned: Value = put(client, &self.files, &applying).await?.read()?;
        let plan = planned.get("plan").cloned().unwrap_or_default();
        let report = match self.output {
            Form::Json | Form::Yaml => Report::document(self.output, &list(&plan, "changes"))?,
            Form::Name => Report::lines(changes::names(&plan)),
            Form::Table => Report::new(changes::changes(Paint::stdout(), &plan)),
        };
        Ok(Report {
            differs: !list(&plan, "changes").is_empty(),
            ..report
        })
    }
}
