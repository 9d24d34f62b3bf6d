//! `endpoints put`: the endpoints of a cluster by the fast lane. They are read and deleted as every kind is.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use http::{HeaderValue, header};
use yaml_serde::Value;

use super::client::{Client, Request};
use super::failure::Failure;
use super::kind::Kind;
use super::output::{Form, Report};
use super::source::Files;

/// The arguments of `endpoints`.
#[derive(Args)]
pub struct EndpointsCommand {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Set the endpoints of a cluster with `discovery: api`, which may be created later. They are sent at once.
    Put(Put),
}

#[derive(Args)]
struct Put {
    /// A file in YAML or JSON with a list `endpoints`, or `-` for stdin.
    #[arg(short = 'f', long = "file", value_name = "FILE|-", value_hint = clap::ValueHint::FilePath)]
    file: PathBuf,
    /// The cluster.
    cluster: String,
    /// How the outcome is written.
    #[arg(short, long, value_enum, default_value_t = Form::Table)]
    output: Form,
}

impl EndpointsCommand {
    pub(super) async fn run(self, client: &Client) -> Result<Report, Failure> {
        match self.what {
            What::Put(put) => put.run(client).await,
        }
    }
}

impl Put {
    async fn run(self, client: &Client) -> Result<Report, Failure> {
        let source = Files::one(self.file).read()?;
        let target = Kind::Endpoints.one(client, &self.cluster);
        let before = match client.get(target.clone()).await {
            Ok(before) => Some(before),
            Err(failure) if failure.is_not_found() => None,
            Err(failure) => return Err(failure),
        };
        // What was seen is what is replaced: created only if there was nothing.
        let condition = match before {
            Some(_) => header::IF_MATCH,
            None => header::IF_NONE_MATCH,
        };
        let request = Request::put(target, &source.document())?;
        let request = request.header(condition, HeaderValue::from_static("*"));
        let answer = client.send(request).await;
        let answer = answer.map_err(|failure| failure.map_faults(|faults| source.place(faults)))?;
        let after: Value = answer.read()?;
        let id = format!("endpoints/{}", self.cluster);
        let done = match before {
            None => "created",
            Some(before) if before == after => "unchanged",
            Some(_) => "updated",
        };
        match self.output {
            Form::Json | Form::Yaml => Report::document(self.output, &after),
            Form::Name => Ok(Report::new(id)),
            Form::Table => Ok(Report::new(format!("{done} {id}"))),
        }
    }
}
