//! `export`: the whole config as one document, which `apply` reads again.

use clap::{Args, ValueEnum};
use http::{HeaderValue, header};

use super::client::{Client, Request};
use super::failure::Failure;
use super::output::Report;

/// The arguments of `export`.
#[derive(Args)]
pub struct Export {
    /// A revision; the newest if not given.
    #[arg(long, value_name = "N")]
    revision: Option<u64>,
    /// How it is written.
    #[arg(short, long, value_enum, default_value_t = Document::Yaml)]
    output: Document,
}

/// What a config can be written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Document {
    /// For people and programs.
    Yaml,
    /// For programs.
    Json,
}

impl Export {
    pub(super) async fn run(self, client: &Client) -> Result<Report, Failure> {
        let revision = self.revision.map(|revision| revision.to_string());
        let target = client
            .of_fleet(["config"])
            .with_some("revision", revision.as_deref());
        let accept = HeaderValue::from_static(match self.output {
            Document::Yaml => "application/yaml",
            Document::Json => "application/json",
        });
        let answer = client
            .send(Request::get(target).header(header::ACCEPT, accept))
            .await?;
        match self.output {
            Document::Yaml => Ok(Report::new(answer.text())),
            Document::Json => Report::document(
                super::output::Form::Json,
                &answer.read::<yaml_serde::Value>()?,
            ),
        }
    }
}
