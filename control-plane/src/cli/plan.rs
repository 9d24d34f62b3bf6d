//! `plan`: what a change would do to resources, clients and requests. Of files it is what `apply --dry-run` shows; of a
//! revision, what it would do to serve that instead of another.

use std::path::PathBuf;

use clap::Args;

use super::apply::planned;
use super::client::{Client, Request};
use super::failure::Failure;
use super::output::{Form, Report};
use super::source::Files;
use super::target::Target;

/// The arguments of `plan`.
#[derive(Args)]
pub struct Plan {
    /// A config file in YAML or JSON, a folder of *.yaml, *.yml and *.json files, or `-` for stdin; may be given several
    /// times. All of them together are one config.
    #[arg(short = 'f', long = "file", required_unless_present = "revision", conflicts_with = "revision", value_name = "FILE|DIR|-", value_hint = clap::ValueHint::AnyPath)]
    file: Vec<PathBuf>,
    /// As if what the files do not name were deleted.
    #[arg(long, requires = "file")]
    prune: bool,
    /// The revision that would be served, instead of files.
    #[arg(long, value_name = "N")]
    revision: Option<u64>,
    /// The revision that it is compared with; if not given, the newest one for files and the stable one for a revision.
    #[arg(long, value_name = "N")]
    against: Option<u64>,
    /// How the plan is written.
    #[arg(short, long, value_enum, default_value_t = Form::Table)]
    output: Form,
}

impl Plan {
    pub(super) async fn run(self, client: &Client) -> Result<Report, Failure> {
        let verb = format!("{}:plan", client.fleet());
        let number = |number: Option<u64>| number.map(|number| number.to_string());
        let target = Target::new(["fleets", &verb])
            .with_some("revision", number(self.revision).as_deref())
            .with_some("against", number(self.against).as_deref())
            .with_some("prune", self.prune.then_some("true"));
        if self.revision.is_some() {
            let answer = client.send(Request::command(target)).await?;
            return planned(self.output, &answer);
        }
        let source = Files::new(self.file).read()?;
        let answer = client
            .send(Request::post(target, &source.document())?)
            .await
            .map_err(|failure| failure.map_faults(|faults| source.place(faults)))?;
        planned(self.output, &answer)
    }
}
