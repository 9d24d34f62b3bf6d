//! `describe`: one resource whole, and what other resources make of it: who uses it, in which order it is asked.

use std::fmt::Write as _;

use clap::Args;
use yaml_serde::Value;

use super::changes;
use super::client::Client;
use super::failure::Failure;
use super::get::{self, Found, Which};
use super::kind::{Kind, list, text};
use super::output::{Form, Paint, Report};
use super::table::Table;

/// The arguments of `describe`.
#[derive(Args)]
pub struct Describe {
    #[command(flatten)]
    which: Which,
    /// How it is written: in words, or as `get` does.
    #[arg(short, long, value_enum, default_value_t = Form::Table)]
    output: Form,
}

impl Describe {
    pub(super) async fn run(self, client: &Client) -> Result<Report, Failure> {
        let found = get::read(client, &self.which.chosen()?).await?;
        if self.output != Form::Table {
            return get::show(self.output, &found);
        }
        let mut parts = Vec::new();
        for Found { kind, items, .. } in &found {
            for item in items {
                parts.push(describe(client, *kind, item).await?);
            }
        }
        Ok(Report::new(parts.join("\n")))
    }
}

async fn describe(client: &Client, kind: Kind, item: &Value) -> Result<String, Failure> {
    let document = Report::document(Form::Yaml, item)?;
    let title = Paint::stdout().green(&format!("{} {}", kind.singular(), kind.name(item)));
    let mut out = format!("{title}\n{}", document.text);
    let more = match kind {
        Kind::Routes => order(client, &kind.name(item)).await?,
        Kind::Listeners | Kind::Clusters => users(client, kind, item).await?,
        Kind::Revisions => what_changed(client, item).await?,
        Kind::Endpoints | Kind::Fleets | Kind::Nodes => String::new(),
    };
    if !more.is_empty() {
        let _ = write!(out, "\n{more}");
    }
    Ok(out)
}

/// Where a route stands among those of each of its hosts.
async fn order(client: &Client, route: &str) -> Result<String, Failure> {
    let order = client.get(client.of_fleet(["route-order"])).await?;
    let mut table = Table::new(&["LISTENER", "HOST", "ASKED"]);
    let mut served = false;
    for listener in list(&order, "listeners") {
        for host in list(listener, "hosts") {
            let routes = list(host, "routes");
            let own = |name: &Value| name.as_str() == Some(route);
            if let Some(position) = routes.iter().position(own) {
                served = true;
                let place = format!("{} of {}", position + 1, routes.len());
                table.row([text(listener, "listener"), text(host, "host"), place]);
            }
        }
    }
    Ok(if served {
        table.to_string()
    } else {
        "no listener serves it\n".to_owned()
    })
}

/// The routes that refer to it; of a cluster whose endpoints come by the fast lane, those too.
async fn users(client: &Client, kind: Kind, item: &Value) -> Result<String, Failure> {
    let name = kind.name(item);
    let routes = client.list(&Kind::Routes.all(client)).await?;
    let mut table = Table::new(Kind::Routes.head());
    let mut used = false;
    for route in routes.iter().filter(|route| uses(kind, &name, route)) {
        used = true;
        table.row(Kind::Routes.row(route));
    }
    let mut out = if used {
        table.to_string()
    } else {
        "no route uses it\n".to_owned()
    };
    if kind == Kind::Clusters && item.get("discovery").is_some() {
        match client.get(Kind::Endpoints.one(client, &name)).await {
            Ok(endpoints) => {
                let _ = write!(out, "\n{}", Report::document(Form::Yaml, &endpoints)?.text);
            }
            Err(failure) if failure.is_not_found() => out.push_str("\nno endpoints were put\n"),
            Err(failure) => return Err(failure),
        }
    }
    Ok(out)
}

/// A route without listeners is served on all of them.
fn uses(kind: Kind, name: &str, route: &Value) -> bool {
    let is_named = |value: &Value| value.as_str() == Some(name);
    if kind == Kind::Listeners {
        let listeners = list(route, "listeners");
        return listeners.is_empty() || listeners.iter().any(is_named);
    }
    route.get("forward").is_some_and(|forward| {
        forward.get("cluster").is_some_and(is_named)
            || list(forward, "clusters")
                .iter()
                .any(|target| text(target, "name") == name)
    })
}

/// What a revision changed of the one before.
async fn what_changed(client: &Client, revision: &Value) -> Result<String, Failure> {
    let number = revision
        .get("number")
        .and_then(Value::as_u64)
        .unwrap_or_default();
    let (before, number) = (number.saturating_sub(1).to_string(), number.to_string());
    let target = client.of_fleet(["revisions", &before, "diff", &number]);
    Ok(changes::changes(
        Paint::stdout(),
        &client.get(target).await?,
    ))
}
