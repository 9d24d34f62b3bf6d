//! `fleet`: which fleets there are, and what is said of them. What a fleet serves is written with `apply`.

use clap::{Args, Subcommand};
use http::{HeaderValue, header};
use yaml_serde::{Mapping, Value};

use super::client::{Client, Request};
use super::delete;
use super::failure::Failure;
use super::get::{self, Found};
use super::kind::Kind;
use super::output::{Form, Report};

/// The arguments of `fleet`.
#[derive(Args)]
pub struct FleetCommand {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Create a fleet that is not there yet.
    Create {
        /// Its name.
        name: String,
        #[command(flatten)]
        told: Told,
    },
    /// Show fleets by their names.
    Get {
        /// Their names.
        #[arg(required = true, value_name = "NAME")]
        names: Vec<String>,
        /// How they are written.
        #[arg(short, long, value_enum, default_value_t = Form::Table)]
        output: Form,
    },
    /// Show all fleets.
    List {
        /// How they are written.
        #[arg(short, long, value_enum, default_value_t = Form::Table)]
        output: Form,
    },
    /// Change what is said of a fleet; what is not named stays.
    Set {
        /// Its name.
        name: String,
        #[command(flatten)]
        told: Told,
        /// Take away a label; may be given several times.
        #[arg(long, value_name = "KEY")]
        remove_label: Vec<String>,
    },
    /// Delete fleets that are empty.
    Delete {
        /// Their names.
        #[arg(required = true, value_name = "NAME")]
        names: Vec<String>,
    },
}

/// What is said of a fleet.
#[derive(Args)]
struct Told {
    /// A sentence for people.
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// A word to find it by; may be given several times.
    #[arg(long, value_name = "KEY=VALUE", value_parser = label)]
    label: Vec<(String, String)>,
}

impl FleetCommand {
    pub(super) async fn run(self, client: &Client) -> Result<Report, Failure> {
        match self.what {
            What::Create { name, told } => create(client, &name, &told).await,
            What::Get { names, output } => {
                let found = get::read_named(client, Kind::Fleets, &names).await?;
                get::show(output, &[found])
            }
            What::List { output } => {
                let items = client.list(&Kind::Fleets.all(client)).await?;
                get::show(output, &[Found::all(Kind::Fleets, items)])
            }
            What::Set {
                name,
                told,
                remove_label,
            } => set(client, &name, &told, &remove_label).await,
            What::Delete { names } => {
                let mut lines = Vec::new();
                for name in &names {
                    lines.push(delete::one(client, Kind::Fleets, name, None).await?);
                }
                Ok(Report::lines(lines))
            }
        }
    }
}

async fn create(client: &Client, name: &str, told: &Told) -> Result<Report, Failure> {
    let mut settings = Mapping::new();
    told.apply(&mut settings, &[]);
    let request = Request::put(Kind::Fleets.one(client, name), &settings)?;
    let if_none = HeaderValue::from_static("*");
    client
        .send(request.header(header::IF_NONE_MATCH, if_none))
        .await?;
    Ok(Report::new(format!("created fleets/{name}")))
}

/// Changes what was read, and only that: whoever was faster is not overwritten.
async fn set(
    client: &Client,
    name: &str,
    told: &Told,
    remove_label: &[String],
) -> Result<Report, Failure> {
    let answer = client
        .send(Request::get(Kind::Fleets.one(client, name)))
        .await?;
    let fleet: Value = answer.read()?;
    let mut settings = Mapping::new();
    for field in ["description", "labels", "rollout", "strategies"] {
        if let Some(value) = fleet.get(field) {
            settings.insert(field.into(), value.clone());
        }
    }
    let before = settings.clone();
    told.apply(&mut settings, remove_label);
    if settings == before {
        return Ok(Report::new(format!("nothing to change of fleets/{name}")));
    }
    let mut request = Request::put(Kind::Fleets.one(client, name), &settings)?;
    if let Some(tag) = answer.etag() {
        request = request.header(header::IF_MATCH, tag);
    }
    client.send(request).await?;
    Ok(Report::new(format!("updated fleets/{name}")))
}

impl Told {
    fn apply(&self, settings: &mut Mapping, remove_label: &[String]) {
        if let Some(description) = &self.description {
            settings.insert("description".into(), description.as_str().into());
        }
        let labels = settings
            .get("labels")
            .and_then(Value::as_mapping)
            .cloned()
            .unwrap_or_default();
        // In the order of their names, as the API has them.
        let mut labels: std::collections::BTreeMap<String, Value> = labels
            .into_iter()
            .filter_map(|(key, value)| Some((key.as_str()?.to_owned(), value)))
            .filter(|(key, _)| !remove_label.contains(key))
            .collect();
        for (key, value) in &self.label {
            labels.insert(key.clone(), value.as_str().into());
        }
        let labels = labels
            .into_iter()
            .map(|(key, value)| (Value::from(key), value));
        settings.insert("labels".into(), Value::Mapping(labels.collect()));
    }
}

fn label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("a label is KEY=VALUE".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_named_stays() {
        let mut settings: Mapping =
            yaml_serde::from_str("{description: old, labels: {a: '1', b: '2', c: '3'}}").unwrap();
        let told = Told {
            description: None,
            label: vec![label("b=4=5").unwrap(), label("aa=").unwrap()],
        };
        told.apply(&mut settings, &["c".to_owned(), "none".to_owned()]);
        let expected: Mapping =
            yaml_serde::from_str("{description: old, labels: {a: '1', aa: '', b: '4=5'}}").unwrap();
        assert_eq!(settings, expected);
        assert!(label("a").is_err() && label("=b").is_err());
    }
}
