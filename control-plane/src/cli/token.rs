//! `token`: who may ask a control plane, and which proxies may join it.

use clap::{Args, Subcommand};
use serde::Serialize;
use yaml_serde::Value;

use super::client::{Client, Request};
use super::failure::Failure;
use super::kind::{list, text};
use super::output::{Form, Report};
use super::table::Table;
use super::target::Target;

/// The arguments of `token`.
#[derive(Args)]
pub struct Token {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Make a token and write its secret, which is told this once.
    Create(Create),
    /// Show the tokens, without their secrets.
    List {
        /// How they are written.
        #[arg(short, long, value_enum, default_value_t = Form::Table)]
        output: Form,
    },
    /// Revoke tokens: they are refused everywhere within a second.
    Revoke {
        /// Their ids, as `token list` shows them.
        #[arg(required = true, value_name = "ID")]
        ids: Vec<String>,
    },
}

#[derive(Args)]
struct Create {
    /// Who its holder is: the author of what it writes.
    name: String,
    /// What its holder may do.
    #[arg(long, value_parser = ["reader", "editor", "operator", "admin"], required_unless_present = "join")]
    role: Option<String>,
    /// For which fleets it is good, with commas between them; all if not given.
    #[arg(
        long,
        value_name = "FLEET",
        value_delimiter = ',',
        conflicts_with = "join"
    )]
    fleets: Option<Vec<String>>,
    /// How long it is good, such as 720h; for ever if not given.
    #[arg(long, value_name = "TIME")]
    expires_in: Option<String>,
    /// A token with which proxies join the fleet that --fleet names.
    #[arg(long, conflicts_with = "role")]
    join: bool,
    /// How it is written; a table is the secret alone.
    #[arg(short, long, value_enum, default_value_t = Form::Table)]
    output: Form,
}

/// The token that is asked for, as the API has it.
#[derive(Serialize)]
struct Wanted {
    name: String,
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fleets: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_in: Option<String>,
}

impl Token {
    pub(super) async fn run(self, client: &Client) -> Result<Report, Failure> {
        match self.what {
            What::Create(create) => create.run(client).await,
            What::List { output } => show(output, &client.list(&Target::new(["tokens"])).await?),
            What::Revoke { ids } => {
                for id in &ids {
                    client
                        .send(Request::delete(Target::new(["tokens", id])))
                        .await?;
                }
                Ok(Report::lines(
                    ids.iter().map(|id| format!("revoked tokens/{id}")),
                ))
            }
        }
    }
}

impl Create {
    async fn run(self, client: &Client) -> Result<Report, Failure> {
        let wanted = Wanted {
            name: self.name,
            kind: if self.join { "join" } else { "api" },
            role: self.role,
            fleets: if self.join {
                Some(vec![client.fleet().to_owned()])
            } else {
                self.fleets
            },
            expires_in: self.expires_in,
        };
        let request = Request::post(Target::new(["tokens"]), &wanted)?;
        let made: Value = client.send(request).await?.read()?;
        match self.output {
            Form::Json | Form::Yaml => Report::document(self.output, &made),
            Form::Table => Ok(Report::new(text(&made, "secret"))),
            Form::Name => Ok(Report::lines(made.get("token").map(id))),
        }
    }
}

fn id(token: &Value) -> String {
    format!("tokens/{}", text(token, "id"))
}

fn show(form: Form, tokens: &[Value]) -> Result<Report, Failure> {
    match form {
        Form::Json | Form::Yaml => Report::document(form, &tokens),
        Form::Name => Ok(Report::lines(tokens.iter().map(id))),
        Form::Table => {
            let mut table =
                Table::new(&["ID", "NAME", "KIND", "ROLE", "FLEETS", "EXPIRES", "REVOKED"]);
            for token in tokens {
                let fleets = list(token, "fleets").iter().filter_map(Value::as_str);
                let fleets = match token.get("fleets") {
                    Some(_) => fleets.collect::<Vec<_>>().join(", "),
                    None => "all".to_owned(),
                };
                let [id, name, kind, role] =
                    ["id", "name", "kind", "role"].map(|field| text(token, field));
                let [expires, revoked] =
                    ["expires_at", "revoked_at"].map(|field| text(token, field));
                table.row([id, name, kind, role, fleets, expires, revoked]);
            }
            Ok(Report::new(table.to_string()))
        }
    }
}
