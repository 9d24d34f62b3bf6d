//! `events`: what happens to fleets, as it happens. In: server-sent events (WHATWG HTML, section 9.2). Out: a line for
//! each, until somebody ends it.

use std::io;
use std::time::Duration;

use clap::{Args, ValueEnum};
use http_body_util::BodyExt as _;
use yaml_serde::Value;

use super::client::{Client, Request};
use super::failure::Failure;
use super::kind::text;
use super::output::{Report, printable};
use super::target::Target;

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

/// A server says that it lives every ten seconds.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// Longest event that is read.
const EVENT_MAX: usize = 1024 * 1024;

impl Events {
    pub(super) async fn run(self, client: &Client) -> Result<Report, Failure> {
        let fleet = Some(client.fleet()).filter(|_| self.follow && !self.all_fleets);
        let target = Target::new(["events"]).with_some("fleet", fleet);
        let mut body = client.open(Request::get(target)).await?;
        let mut received = Vec::new();
        loop {
            let frame = tokio::time::timeout(SILENCE_MAX, body.frame()).await;
            let frame =
                frame.map_err(|_| client.unreachable(format!("nothing for {SILENCE_MAX:?}")))?;
            let Some(frame) = frame else {
                return Err(client.unreachable("it has ended the stream".to_owned()));
            };
            let frame = frame.map_err(|error| client.unreachable(error.to_string()))?;
            received.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data));
            if received.len() > EVENT_MAX {
                return Err(client.unreachable("it sends an event without end".to_owned()));
            }
            for event in take_events(&mut received) {
                match super::write(&self.output.line(&event)) {
                    Ok(()) => {}
                    // Whoever read has enough.
                    Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                        return Ok(Report::new(""));
                    }
                    Err(error) => {
                        return Err(Failure::Local(format!("cannot write to stdout: {error}")));
                    }
                }
            }
        }
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
fn take_events(received: &mut Vec<u8>) -> Vec<Value> {
    let mut events = Vec::new();
    while let Some(end) = received.windows(2).position(|pair| pair == b"\n\n") {
        let block: Vec<u8> = received.drain(..end + 2).collect();
        let block = String::from_utf8_lossy(&block);
        let data: Vec<_> = block
            .lines()
            .filter_map(|line| line.strip_prefix("data:"))
            .collect();
        events.extend(serde_json::from_str(&data.join("\n")).ok());
    }
    events
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
                    .map(|event| Line::Text.line(event)),
            );
        }
        assert_eq!(lines, ["T  f  node-refused  a\\u{7}  revision 3  no\n"]);
        assert_eq!(received, b"event");
    }
}
