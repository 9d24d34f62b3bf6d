//! `get` and `nodes`: resources as the API gives them.

use clap::Args;
use yaml_serde::Value;

use super::client::Client;
use super::failure::Failure;
use super::kind::{Choice, ChoiceParser, Chosen, Kind};
use super::output::{Form, Report};
use super::table::Table;

/// The arguments of `get`.
#[derive(Args)]
pub struct Get {
    #[command(flatten)]
    which: Which,
    /// How it is written.
    #[arg(short, long, value_enum, default_value_t = Form::Table)]
    output: Form,
}

/// The arguments of `nodes`.
#[derive(Args)]
pub struct Nodes {
    /// How they are written.
    #[arg(short, long, value_enum, default_value_t = Form::Table)]
    output: Form,
}

/// Which things are meant.
#[derive(Args)]
pub(super) struct Which {
    /// Their kind, or one of them as KIND/NAME.
    #[arg(value_name = "KIND", value_parser = ChoiceParser)]
    kind: Choice,
    /// Their names; all of the kind if none is given. Behind a KIND/NAME, more of that form.
    #[arg(value_name = "NAME")]
    names: Vec<String>,
}

/// What was read of one kind.
pub(super) struct Found {
    pub(super) kind: Kind,
    pub(super) items: Vec<Value>,
    /// Whether one was asked for by its name, so that the answer is no list.
    one: bool,
}

impl Get {
    pub(super) async fn run(self, client: &Client) -> Result<Report, Failure> {
        let found = read(client, &self.which.chosen()?).await?;
        show(self.output, &found)
    }
}

impl Nodes {
    pub(super) async fn run(self, client: &Client) -> Result<Report, Failure> {
        let all = Chosen {
            kind: Kind::Nodes,
            names: Vec::new(),
        };
        show(self.output, &read(client, &[all]).await?)
    }
}

impl Which {
    pub(super) fn chosen(&self) -> Result<Vec<Chosen>, Failure> {
        self.kind.with(&self.names).map_err(Failure::Local)
    }
}

impl Found {
    /// A list.
    pub(super) fn all(kind: Kind, items: Vec<Value>) -> Self {
        Self {
            kind,
            items,
            one: false,
        }
    }
}

/// Reads things of one kind by their names.
pub(super) async fn read_named(
    client: &Client,
    kind: Kind,
    names: &[String],
) -> Result<Found, Failure> {
    let mut items = Vec::new();
    for name in names {
        items.push(one(client, kind, name).await?);
    }
    Ok(Found {
        kind,
        items,
        one: names.len() == 1,
    })
}

/// Reads what was chosen.
pub(super) async fn read(client: &Client, chosen: &[Chosen]) -> Result<Vec<Found>, Failure> {
    let mut found = Vec::new();
    for Chosen { kind, names } in chosen {
        found.push(if names.is_empty() {
            Found::all(*kind, client.list(&kind.all(client)).await?)
        } else {
            read_named(client, *kind, names).await?
        });
    }
    Ok(found)
}

async fn one(client: &Client, kind: Kind, name: &str) -> Result<Value, Failure> {
    let item = client.get(kind.one(client, name)).await?;
    // In a list the endpoints say whose they are; alone the URL has said it.
    let (Kind::Endpoints, Value::Mapping(fields)) = (kind, &item) else {
        return Ok(item);
    };
    let mut whole = yaml_serde::Mapping::from_iter([("cluster".into(), name.into())]);
    whole.extend(fields.clone());
    Ok(whole.into())
}

/// Writes it down.
pub(super) fn show(form: Form, found: &[Found]) -> Result<Report, Failure> {
    let all = found
        .iter()
        .flat_map(|found| found.items.iter().map(|item| (found.kind, item)));
    match form {
        Form::Name => {
            Ok(Report::lines(all.map(|(kind, item)| {
                format!("{}/{}", kind.plural(), kind.name(item))
            })))
        }
        Form::Json | Form::Yaml => match found {
            [
                Found {
                    items, one: true, ..
                },
            ] => Report::document(form, &items[0]),
            _ => Report::document(form, &all.map(|(_, item)| item).collect::<Vec<_>>()),
        },
        Form::Table => Ok(Report::new(tables(found))),
    }
}

/// A table for each kind, in the order in which kinds were named.
fn tables(found: &[Found]) -> String {
    let mut tables: Vec<(Kind, Table)> = Vec::new();
    for Found { kind, items, .. } in found {
        let position = tables
            .iter()
            .position(|(known, _)| known == kind)
            .unwrap_or_else(|| {
                tables.push((*kind, Table::new(kind.head())));
                tables.len() - 1
            });
        for item in items {
            tables[position].1.row(kind.row(item));
        }
    }
    let tables: Vec<String> = tables.iter().map(|(_, table)| table.to_string()).collect();
    tables.join("\n")
}
