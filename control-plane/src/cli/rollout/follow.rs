//! Following a rollout to its end: a line for each thing that happens, as it happens. Every line comes from the rollout's own
//! events, so none is missed, whoever else was faster.

use std::io;
use std::time::Duration;

use yaml_serde::Value;

use super::show;
use crate::cli;
use crate::cli::client::Client;
use crate::cli::failure::Failure;
use crate::cli::kind::{list, text};
use crate::cli::output::{Form, Report, printable};

/// How long one question waits for something new.
const WAIT: &str = "20s";
/// How long a server that does not answer is asked again: a replica may be replaced meanwhile.
const PATIENCE: Duration = Duration::from_mins(1);
/// The pause before a server is asked again.
const PAUSE: Duration = Duration::from_secs(1);

/// How a rollout ended.
#[derive(Debug)]
pub(in crate::cli) struct Ending(Value);

impl Ending {
    /// The rollout, which is a failure if it was rolled back, canceled or superseded.
    pub(in crate::cli) fn report(self, form: Form) -> Result<Report, Failure> {
        let rollout = self.0;
        let state = text(&rollout, "state");
        if state == "completed" {
            return match form {
                Form::Table => Ok(Report::new(show::headline(&rollout))),
                form => show::one(form, &rollout),
            };
        }
        Err(Failure::RolledBack {
            state,
            outcome: text(&rollout, "outcome"),
        })
    }
}

/// Follows a rollout to its end.
pub(in crate::cli) async fn follow(client: &Client, id: &str) -> Result<Ending, Failure> {
    let mut rollout = client.get(client.of_fleet(["rollouts", id])).await?;
    // `latest` may be another one soon.
    let id = text(&rollout, "id");
    let mut told = 0;
    loop {
        told = tell(&rollout, told)?;
        if rollout.get("ended_at").is_some_and(|at| !at.is_null()) {
            return Ok(Ending(rollout));
        }
        let version = format!("version:{}", text(&rollout, "version"));
        let target = client.of_fleet(["rollouts", &id]);
        let target = target.with("wait", WAIT).with("until", &version);
        rollout = patiently(client, &target).await?;
    }
}

/// The rollout that takes a revision to the nodes, once there is one: a revision that waits is taken along by a later one.
pub(in crate::cli) async fn of_revision(client: &Client, revision: u64) -> Result<String, Failure> {
    let target = client.of_fleet(["rollouts", "latest"]);
    let mut until: Option<String> = None;
    loop {
        let target = match &until {
            Some(until) => target.clone().with("wait", WAIT).with("until", until),
            None => target.clone(),
        };
        let rollout = patiently(client, &target).await?;
        if rollout.get("to").and_then(Value::as_u64) >= Some(revision) {
            return Ok(text(&rollout, "id"));
        }
        if rollout.get("ended_at").is_some_and(|at| !at.is_null()) {
            // The next one begins with the end of this one, or nothing goes on by itself.
            let fleet = client.get(client.of_fleet([])).await?;
            let held = text(&fleet, "held_by");
            if !held.is_empty() {
                return Err(Failure::NotDelivered(format!(
                    "revision {revision} is stored, and waits: rollout {held} did not end well; revert, or begin a rollout by hand"
                )));
            }
            tokio::time::sleep(PAUSE).await;
        }
        until = Some(format!("version:{}", text(&rollout, "version")));
    }
}

/// Asks again while nothing answers: whatever happens meanwhile is told afterwards.
async fn patiently(client: &Client, target: &cli::target::Target) -> Result<Value, Failure> {
    let give_up = tokio::time::Instant::now() + PATIENCE;
    loop {
        match client.get(target.clone()).await {
            Err(failure) if failure.is_passing() && tokio::time::Instant::now() < give_up => {
                tokio::time::sleep(PAUSE).await;
            }
            answer => return answer,
        }
    }
}

/// Writes what has happened after the event `told`; the number of the last one.
fn tell(rollout: &Value, told: u64) -> Result<u64, Failure> {
    let mut last = told;
    let waves = text(rollout, "wave_count");
    for event in list(rollout, "events") {
        let number = |field| event.get(field).and_then(Value::as_u64).unwrap_or(0);
        if number("seq") <= told {
            continue;
        }
        last = number("seq");
        let [at, state, detail] = ["at", "state", "detail"].map(|field| text(event, field));
        let line = format!(
            "{at}  wave {}/{waves}  {state}  {detail}",
            number("wave") + 1
        );
        match cli::write(&format!("{}\n", printable(&line))) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
            Err(error) => {
                return Err(Failure::Local(format!("cannot write to stdout: {error}")));
            }
        }
    }
    Ok(last)
}
