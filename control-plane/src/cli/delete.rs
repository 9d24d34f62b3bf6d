//! `delete`: takes resources away, one request each.

use clap::Args;
use http::{HeaderValue, header};

use super::client::{Client, Request};
use super::failure::Failure;
use super::get::Which;
use super::kind::Kind;
use super::output::Report;

/// The arguments of `delete`.
#[derive(Args)]
pub struct Delete {
    #[command(flatten)]
    which: Which,
    /// What you say of the new revision.
    #[arg(short, long, value_name = "TEXT")]
    message: Option<String>,
}

impl Delete {
    pub(super) async fn run(self, client: &Client) -> Result<Report, Failure> {
        let chosen = self.which.chosen()?;
        if chosen.iter().any(|chosen| chosen.names.is_empty()) {
            let all =
                "name what is to be deleted; `apply --prune` deletes all that a file does not name";
            return Err(Failure::Local(all.to_owned()));
        }
        let mut lines = Vec::new();
        for chosen in chosen {
            for name in &chosen.names {
                lines.push(one(client, chosen.kind, name, self.message.as_deref()).await?);
            }
        }
        Ok(Report::lines(lines))
    }
}

/// Deletes one thing, whatever state it is in; says what was done.
pub(super) async fn one(
    client: &Client,
    kind: Kind,
    name: &str,
    message: Option<&str>,
) -> Result<String, Failure> {
    let mut target = kind.one(client, name);
    match kind {
        Kind::Listeners | Kind::Routes | Kind::Clusters => {
            target = target.with_some("message", message);
        }
        Kind::Endpoints | Kind::Fleets => {}
        Kind::Nodes | Kind::Revisions => {
            let never = format!(
                "{} are never deleted: they are what has happened",
                kind.plural()
            );
            return Err(Failure::Local(never));
        }
    }
    let any = HeaderValue::from_static("*");
    let answer = client
        .send(Request::delete(target).header(header::IF_MATCH, any))
        .await?;
    let id = format!("{}/{name}", kind.plural());
    Ok(match answer.revision() {
        Some(revision) if kind != Kind::Endpoints => {
            format!("deleted {id}, revision {revision}")
        }
        _ => format!("deleted {id}"),
    })
}
