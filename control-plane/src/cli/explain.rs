//! `explain`: which route a request gets, and why no other.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::str::FromStr;

use clap::Args;
use serde::Serialize;
use yaml_serde::Value;

use crate::model::timestamp::Timestamp;

use super::client::{Client, Request};
use super::failure::Failure;
use super::kind::{list, text};
use super::output::{Form, Paint, Report, printable};
use super::target::Target;

/// The arguments of `explain`.
#[derive(Args)]
pub struct Explain {
    /// What is asked for: http://shop.example/products?lang=en; the scheme may be left out.
    url: Url,
    /// The method.
    #[arg(short = 'X', long, value_name = "METHOD", default_value = "GET")]
    request: String,
    /// One more field of the request, as `NAME: VALUE`; may be given several times.
    #[arg(short = 'H', long, value_name = "HEADER", value_parser = header)]
    header: Vec<(String, String)>,
    /// The listener that it arrives at; may be left out if there is one only.
    #[arg(long, value_name = "NAME")]
    listener: Option<String>,
    /// The revision that is asked; the newest if not given.
    #[arg(long, value_name = "N")]
    revision: Option<u64>,
    /// The node whose revision is asked, instead: the one that it serves.
    #[arg(long, value_name = "ID", conflicts_with = "revision")]
    node: Option<String>,
    /// What that node served at this time instead of now: 2026-01-31T09:30:00Z.
    #[arg(long, value_name = "TIME", requires = "node")]
    at: Option<Timestamp>,
    /// How it is written; `name` writes the route.
    #[arg(short, long, value_enum, default_value_t = Form::Table)]
    output: Form,
}

/// A URL as it was written: what is odd about it is told by the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Url {
    scheme: Option<String>,
    host: String,
    path: String,
}

/// The question, as the API has it.
#[derive(Serialize)]
struct Question {
    method: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    scheme: Option<String>,
    host: String,
    path: String,
    headers: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    listener: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<Timestamp>,
}

impl Explain {
    pub(super) async fn run(self, client: &Client) -> Result<Report, Failure> {
        let output = self.output;
        let verb = format!("{}:explain", client.fleet());
        let request = Request::post(Target::new(["fleets", &verb]), &self.question())?;
        let explained: Value = client.send(request).await?.read()?;
        match output {
            Form::Json | Form::Yaml => Report::document(output, &explained),
            Form::Name => {
                let route = explained.get("route").filter(|route| !route.is_null());
                Ok(Report::lines(
                    route.map(|route| format!("routes/{}", text(route, "name"))),
                ))
            }
            Form::Table => Ok(Report::new(in_words(Paint::stdout(), &explained))),
        }
    }

    fn question(self) -> Question {
        let mut host = self.url.host;
        let mut headers: BTreeMap<String, String> = BTreeMap::new();
        for (name, value) in self.header {
            if name == "host" {
                host = value;
                continue;
            }
            // Fields of one name are one list (RFC 9110 section 5.3).
            let values = headers.entry(name).or_default();
            if !values.is_empty() {
                values.push_str(", ");
            }
            values.push_str(&value);
        }
        Question {
            method: self.request,
            scheme: self.url.scheme,
            host,
            path: self.url.path,
            headers,
            listener: self.listener,
            revision: self.revision,
            node: self.node,
            at: self.at,
        }
    }
}

impl FromStr for Url {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (scheme, rest) = match text.split_once("://") {
            Some((scheme, rest)) => (Some(scheme.to_ascii_lowercase()), rest),
            None => (None, text),
        };
        // What follows `#` stays with whoever asks.
        let rest = rest.split('#').next().unwrap_or_default();
        let (host, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        if host.is_empty()
            || scheme
                .as_deref()
                .is_some_and(|scheme| scheme != "http" && scheme != "https")
        {
            return Err("a URL is http://HOST/PATH, or HOST/PATH".to_owned());
        }
        let root = if path.starts_with('/') { "" } else { "/" };
        Ok(Self {
            scheme,
            host: host.to_owned(),
            path: format!("{root}{path}"),
        })
    }
}

fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("a header is NAME: VALUE")?;
    Ok((name.trim().to_ascii_lowercase(), value.trim().to_owned()))
}

fn in_words(paint: Paint, explained: &Value) -> String {
    let mut out = String::new();
    let mut line = |line: String| {
        let _ = writeln!(out, "{}", printable(&line));
    };
    line(format!(
        "listener {}, revision {}",
        text(explained, "listener"),
        text(explained, "revision")
    ));
    if let Some(served) = explained.get("served").filter(|served| !served.is_null()) {
        let until = match text(served, "until") {
            until if until.is_empty() => "until now".to_owned(),
            until => format!("until {until}"),
        };
        line(format!(
            "served by {} from {} {until}",
            text(served, "node"),
            text(served, "since")
        ));
    }
    if let Some(request) = explained
        .get("request")
        .filter(|request| !request.is_null())
    {
        line(format!(
            "host {}, path {}",
            text(request, "host"),
            text(request, "path")
        ));
    }
    let host = text(explained, "virtual_host");
    if !host.is_empty() {
        line(format!("virtual host {host}"));
    }
    for passed in list(explained, "passed_over") {
        let condition = format!("{} {}", text(passed, "failed"), text(passed, "name"));
        line(format!(
            "  not {}: {}",
            text(passed, "route"),
            condition.trim_end()
        ));
    }
    match text(explained, "omitted").as_str() {
        "" | "0" => {}
        count => line(format!("  nor {count} more: path")),
    }
    outcome(paint, explained, &mut out);
    out
}

/// What happens to the request in the end.
fn outcome(paint: Paint, explained: &Value, out: &mut String) {
    let status = text(explained, "status");
    let route = explained
        .get("route")
        .map(|route| text(route, "name"))
        .unwrap_or_default();
    let verdict = match text(explained, "outcome").as_str() {
        "refused" => paint.red(&format!(
            "refused, {status}: {}",
            text(explained, "refusal")
        )),
        "no_host" => paint.red(&format!("no route is for this host: {status}")),
        "no_route" => paint.red(&format!("no route takes it: {status}")),
        "forward" => paint.green(&format!("route {route} forwards it")),
        "redirect" => paint.green(&format!("route {route} redirects it, {status}")),
        "respond" => paint.green(&format!("route {route} answers it, {status}")),
        other => format!("{other} {route}"),
    };
    let _ = writeln!(out, "{verdict}");
    for share in list(explained, "clusters") {
        let endpoints = match text(share, "endpoints").as_str() {
            "1" => "1 endpoint".to_owned(),
            count => format!("{count} endpoints"),
        };
        let (weight, total) = (text(share, "weight"), text(share, "total"));
        let _ = writeln!(
            out,
            "  {} {weight} of {total}, {endpoints}",
            printable(&text(share, "cluster"))
        );
    }
    let timeout = text(explained, "timeout");
    if !timeout.is_empty() {
        let _ = writeln!(out, "  timeout {timeout}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_as_it_is_written() {
        let url = |text: &str| {
            let url: Url = text.parse().unwrap();
            format!(
                "{} {} {}",
                url.scheme.unwrap_or_default(),
                url.host,
                url.path
            )
        };
        assert_eq!(
            url("http://a.example:80/x/../y?q#f"),
            "http a.example:80 /x/../y?q"
        );
        assert_eq!(url("HTTPS://a"), "https a /");
        assert_eq!(url("a?b=/c"), " a /?b=/c");
        for wrong in ["", "/path", "ftp://a/"] {
            assert!(wrong.parse::<Url>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn words_say_which_route_and_why_no_other() {
        let explained: Value = yaml_serde::from_str(
            "
            {listener: web, revision: 3, outcome: forward, virtual_host: web/a, request: {host: a, path: /p},
             passed_over: [{position: 0, route: beta, failed: header, name: x-beta}], omitted: 2,
             route: {name: products}, clusters: [{cluster: c, weight: 9, total: 10, endpoints: 1}], timeout: 5s}",
        )
        .unwrap();
        let expected = "\
listener web, revision 3
host a, path /p
virtual host web/a
  not beta: header x-beta
  nor 2 more: path
route products forwards it
  c 9 of 10, 1 endpoint
  timeout 5s
";
        assert_eq!(in_words(Paint::never(), &explained), expected);
    }
}
