//! One client and the control plane that speaks to it alone: tells it a step, asks it until it is as it must be.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;
use e2e::client::{self, Request};
use e2e::relay::Relay;
use tokio::time::{Instant, sleep, timeout};

use super::table::{Fault, Seen};
use super::wanted::{Expected, Said, Wanted};
use super::world::World;
use crate::fleet::outcome;
use crate::scripted::{PUSH_ORDER, Scripted};

/// How long a client may take for a step. Ours waits a second of it where parts are missing.
const STEP_WITHIN: Duration = Duration::from_secs(5);
/// A request that is not answered by then hangs.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(5);

pub(super) struct Side {
    world: World,
    scripted: Scripted,
    relay: Relay,
    /// What was right for each request until now.
    outcomes: HashMap<(usize, &'static str, &'static str), &'static str>,
}

impl Side {
    pub(super) async fn start(world: World) -> Result<Self> {
        let scripted = Scripted::start(&[]).await?;
        scripted.serve_entries(world.entries(), PUSH_ORDER);
        let relay = Relay::start(scripted.address).await?;
        Ok(Self {
            world,
            scripted,
            relay,
            outcomes: HashMap::new(),
        })
    }

    /// Where the client finds its control plane.
    pub(super) fn xds(&self) -> SocketAddr {
        self.relay.address()
    }

    /// Changes what its control plane says.
    pub(super) fn tell(&mut self, change: impl Fn(&mut World), order: [&'static str; 5]) {
        change(&mut self.world);
        self.scripted.forget_refusals();
        self.scripted.serve_entries(self.world.entries(), order);
    }

    pub(super) async fn cut(&mut self) {
        self.relay.cut().await;
    }

    pub(super) async fn restore(&mut self) -> Result<()> {
        self.relay.restore().await
    }

    /// Waits until the client is as it must be; what it did wrong on the way, or does wrong when the time is up.
    pub(super) async fn see(&mut self, wanted: &Wanted<'_>) -> Seen {
        let start = Instant::now();
        // Each once.
        let mut on_the_way = BTreeMap::new();
        let at_the_end = loop {
            let mut faults: Vec<Fault> = self.reply_fault(wanted.said).into_iter().collect();
            for expected in wanted.answers {
                let outcome = self.ask(expected).await;
                if outcome == expected.outcome {
                    continue;
                }
                let what = format!("{expected}: {outcome}");
                if self.is_wrong_on_the_way(expected, &outcome) {
                    let what = format!("{what} for a while");
                    on_the_way.insert(what.clone(), Fault::new(what));
                }
                faults.push(Fault::new(what));
            }
            if faults.is_empty() || start.elapsed() > STEP_WITHIN {
                break faults;
            }
            sleep(PAUSE).await;
        };
        let known = wanted.answers.iter();
        self.outcomes
            .extend(known.map(|expected| (expected.request(), expected.outcome)));
        let faults = if at_the_end.is_empty() {
            on_the_way.into_values().collect()
        } else {
            at_the_end
        };
        Seen {
            faults,
            took: start.elapsed(),
        }
    }

    /// Until the new answer comes there may be the old one, and nothing else.
    fn is_wrong_on_the_way(&self, expected: &Expected, outcome: &str) -> bool {
        let before = self.outcomes.get(&expected.request());
        before.is_some_and(|before| *before != outcome)
    }

    fn reply_fault(&self, said: Said) -> Option<Fault> {
        if said == Said::Nothing {
            return None;
        }
        if !self.scripted.is_settled() {
            return Some(Fault::new("neither ACK nor NACK"));
        }
        let refusals = self.scripted.refusals();
        let what = match said {
            Said::Nack(name) if refusals.is_empty() => format!("does not refuse {name}"),
            Said::Nack(name) if !refusals.iter().any(|text| text.contains(name)) => {
                format!("NACK that does not name {name}")
            }
            Said::Ack if !refusals.is_empty() => "NACK".to_owned(),
            _ => return None,
        };
        Some(Fault {
            what,
            words: refusals.join(" / ").replace('\n', " "),
        })
    }

    async fn ask(&self, expected: &Expected) -> String {
        let address = SocketAddr::from((self.world.ip, self.world.ports[expected.port]));
        let request = Request::get(expected.path).host(expected.host);
        match timeout(ANSWER_WITHIN, client::send(address, request)).await {
            Err(_) => "no answer".to_owned(),
            Ok(Ok(answer)) => outcome(&answer),
            Ok(Err(error)) => match error.root_cause().downcast_ref::<io::Error>() {
                Some(error) => error.kind().to_string(),
                None => "broken connection".to_owned(),
            },
        }
    }
}
