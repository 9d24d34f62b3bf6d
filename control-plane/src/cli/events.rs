//! `events`: what happens to fleets, as it happens. In: server-sent events (WHATWG HTML, section 9.2). Out: a line for
//! each, until somebody ends it: a stream that breaks is opened again where it broke (`Last-Event-ID`).

use std::collections::HashMap;
use std::io;
use std::time::Duration;

use clap::{Args, ValueEnum};
use http::{HeaderName, HeaderValue};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use yaml_serde::Value;

use super::client::{Client, Request};
use super::failure::Failure;
use super::kind::text;
use super::output::{Report, printable};
use super::target::Target;

/// A server says that it lives every ten seconds.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// Longest event that is read.
const EVENT_MAX: usize = 1024 * 1024;
/// Between two tries to open a stream again; twice as long after each.
const PAUSE_MIN: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(5);

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// The kinds of events that are treated apart.
const COMMITTED: &str = "revision-committed";
const LOST: &str = "lost";

/// The arguments of `events`.
#[derive(Args)]
pub struct Events {
    /// Go on until interrupted, which is the only way that there is.
    #[arg(long, required = true)]
    follow: bool,
    /// Of every fleet, not of one.
    #[arg(long)]
    all_fleets: bool,
    /// How each is written.
    #[arg(short, long, value_enum, default_value_t = Line::Text)]
    output: Line,
}

/// How an event is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Line {
    /// For people.
    Text,
    /// For programs: one object a line.
    Json,
}

/// How a stream ended.
enum Ended {
    /// Nobody reads what is written.
    Unread,
    /// The server, or something on the way.
    Broken(Failure),
}

/// What was told so far: where the next stream begins, and what it need not tell again.
#[derive(Debug, Default)]
struct Told {
    last_id: Option<String>,
    /// The highest number of each fleet's revisions, and of the events of each rollout.
    numbers: HashMap<(String, String), u64>,
}

/// An event as it stands in a stream.
#[derive(Debug, Default, PartialEq)]
struct Received {
    id: Option<String>,
    kind: String,
    event: Value,
}

impl Events {
    pub(super) async fn run(self, client: &Client) -> Result<Report, Failure> {
        let mut told = Told::default();
        let mut body = self.open(client, &told).await?;
        loop {
            match self.read(client, body, &mut told).await? {
                Ended::Unread => return Ok(Report::new("")),
                Ended::Broken(failure) => {
                    super::remark(&format!("{failure}; trying again"));
                    body = self.again(client, &told).await?;
                }
            }
        }
    }

    async fn open(&self, client: &Client, told: &Told) -> Result<Incoming, Failure> {
        let fleet = Some(client.fleet()).filter(|_| self.follow && !self.all_fleets);
        let mut request = Request::get(Target::new(["events"]).with_some("fleet", fleet));
        let id = told.last_id.as_deref().map(HeaderValue::from_str);
        if let Some(Ok(id)) = id {
            request = request.header(LAST_EVENT_ID, id);
        }
        client.open(request).await
    }

    /// Tries until there is a stream, or somebody has decided that there is none.
    async fn again(&self, client: &Client, told: &Told) -> Result<Incoming, Failure> {
        let mut pause = PAUSE_MIN;
        loop {
            tokio::time::sleep(pause).await;
            match self.open(client, told).await {
                Err(failure) if failure.is_passing() => pause = (2 * pause).min(PAUSE_MAX),
                outcome => return outcome,
            }
        }
    }

    /// Writes what comes, until nothing more does.
    async fn read(
        &self,
        client: &Client,
        mut body: Incoming,
        told: &mut Told,
    ) -> Result<Ended, Failure> {
        let mut received = Vec::new();
        let broken = |cause: String| Ok(Ended::Broken(client.unreachable(cause)));
        loop {
            let frame = match tokio::time::timeout(SILENCE_MAX, body.frame()).await {
                Err(_) => return broken(format!("nothing for {SILENCE_MAX:?}")),
                Ok(None) => return broken("it has ended the stream".to_owned()),
                Ok(Some(Err(error))) => return broken(error.to_string()),
                Ok(Some(Ok(frame))) => frame,
            };
            received.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data));
            if received.len() > EVENT_MAX {
                return broken("it sends an event without end".to_owned());
            }
            for event in take_events(&mut received) {
                if !told.is_new(&event) {
                    continue;
                }
                match super::write(&self.output.line(&event.event)) {
                    Ok(()) => {}
                    Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                        return Ok(Ended::Unread);
                    }
                    Err(error) => {
                        return Err(Failure::Local(format!("cannot write to stdout: {error}")));
                    }
                }
            }
        }
    }
}

impl Told {
    /// Takes an event in; whether it was not told before. Revisions and what happens in a rollout may come twice, and each has a
    /// higher number than the one before it.
    fn is_new(&mut self, received: &Received) -> bool {
        if let Some(id) = &received.id {
            self.last_id = Some(id.clone());
        }
        let number = |field| received.event.get(field).and_then(Value::as_u64);
        let (row, number) = match (number("seq"), received.kind.as_str()) {
            (Some(seq), _) => (text(&received.event, "rollout"), Some(seq)),
            (None, COMMITTED) => (String::new(), number("revision")),
            (None, _) => return true,
        };
        let Some(number) = number else {
            return true;
        };
        let last = self
            .numbers
            .entry((text(&received.event, "fleet"), row))
            .or_default();
        let is_new = number > *last;
        *last = number.max(*last);
        is_new
    }
}

impl Line {
    fn line(self, event: &Value) -> String {
        if self == Self::Json {
            return format!("{}\n", serde_json::to_string(event).unwrap_or_default());
        }
        let revision = match text(event, "revision") {
            number if number.is_empty() => number,
            number => format!("revision {number}"),
        };
        let fields = [
            text(event, "at"),
            text(event, "fleet"),
            text(event, "kind"),
            text(event, "node"),
            revision,
            text(event, "detail"),
        ];
        let known: Vec<_> = fields
            .iter()
            .filter(|field| !field.is_empty())
            .map(String::as_str)
            .collect();
        format!("{}\n", printable(&known.join("  ")))
    }
}

/// Takes whole events out of what was received: those whose data can be read. Comments keep the stream alive only.
fn take_events(received: &mut Vec<u8>) -> Vec<Received> {
    let mut events = Vec::new();
    while let Some(end) = received.windows(2).position(|pair| pair == b"\n\n") {
        let block: Vec<u8> = received.drain(..end + 2).collect();
        events.extend(event(&String::from_utf8_lossy(&block)));
    }
    events
}

fn event(block: &str) -> Option<Received> {
    let (mut received, mut data) = (Received::default(), Vec::new());
    for line in block.lines() {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "id" => received.id = Some(value.to_owned()),
            "event" => value.clone_into(&mut received.kind),
            "data" => data.push(value),
            _ => {}
        }
    }
    received.event = serde_json::from_str(&data.join("\n")).ok()?;
    // It says a number alone.
    if received.kind == LOST {
        let detail = format!("{} events were missed", text_of(&received.event));
        let fields = [("kind", LOST.to_owned()), ("detail", detail)];
        let fields = fields.map(|(field, value)| (Value::from(field), Value::from(value)));
        received.event = Value::Mapping(fields.into_iter().collect());
    }
    Some(received)
}

fn text_of(value: &Value) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_whole_however_they_arrive() {
        let stream = b": alive\n\nevent: node-refused\nid: 7\ndata: {\"kind\": \"node-refused\", \"at\": \"T\", \"fleet\": \"f\", \"revision\": 3, \"node\": \"a\\u0007\", \"detail\": \"no\"}\n\nevent";
        let (mut received, mut lines) = (Vec::new(), Vec::new());
        for byte in stream {
            received.push(*byte);
            lines.extend(
                take_events(&mut received)
                    .iter()
                    .map(|event| Line::Text.line(&event.event)),
            );
        }
        assert_eq!(lines, ["T  f  node-refused  a\\u{7}  revision 3  no\n"]);
        assert_eq!(received, b"event");
    }

    #[test]
    fn a_revision_is_told_once_and_what_was_missed_is_said() {
        let mut told = Told::default();
        let mut is_new = |id: &str, kind: &str, data: &str| {
            let block = format!("event: {kind}\n{id}data: {data}\n\n");
            told.is_new(&event(&block).unwrap())
        };
        let committed = r#"{"fleet": "a", "revision": 3}"#;
        assert!(is_new("id: 7\n", COMMITTED, committed));
        assert!(!is_new("id: 7\n", COMMITTED, committed));
        assert!(is_new("", "node-acknowledged", committed));
        assert!(is_new("", "node-acknowledged", committed));
        assert!(is_new(
            "id: 8\n",
            COMMITTED,
            r#"{"fleet": "b", "revision": 1}"#
        ));
        assert!(is_new(
            "id: 9\n",
            COMMITTED,
            r#"{"fleet": "a", "revision": 4}"#
        ));
        let of_rollout = |rollout: &str, seq: u64| {
            format!(r#"{{"fleet": "a", "revision": 4, "rollout": "{rollout}", "seq": {seq}}}"#)
        };
        assert!(is_new("id: 9\n", "rollout-started", &of_rollout("r", 1)));
        assert!(is_new("id: 9\n", "rollout-moved", &of_rollout("r", 2)));
        assert!(!is_new("id: 9\n", "rollout-started", &of_rollout("r", 1)));
        assert!(is_new("id: 9\n", "rollout-started", &of_rollout("s", 1)));
        assert_eq!(told.last_id.as_deref(), Some("9"));
        let lost = event("event: lost\ndata: 12\n").unwrap();
        assert_eq!(
            Line::Text.line(&lost.event),
            "lost  12 events were missed\n"
        );
    }
}
