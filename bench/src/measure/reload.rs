//! One route more, while requests come at a fixed rate: how long until it answers, what it costs, who suffers.
//! One peer after the other, several changes each.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use e2e::client::{self, Request};
use tokio::time::sleep;

use super::{everybody, result, start_upstream};
use crate::exchange::Exchange;
use crate::load::Load;
use crate::peers::{Peer, Setup, Who};
use crate::results::{FLOOR, Measured, PeerResult};
use crate::statistics::middle;
use crate::table::Table;
use crate::tiny::load::{Arguments, Figures};

const WORKERS: usize = 2;
const RATE: u32 = 1_000;
const CONNECTIONS: usize = 32;
/// Before the change and, at least, after it.
const WINDOW: Duration = Duration::from_secs(2);
const CHANGES: usize = 3;
/// No further change of a peer that has taken longer than this for those so far.
const ENOUGH: Duration = Duration::from_secs(15);
const ANSWERS_WITHIN: Duration = Duration::from_mins(1);
/// Between two looks whether the new route is there.
const LOOK_INTERVAL: Duration = Duration::from_millis(1);

pub(super) async fn measure(name: &str, hosts: usize) -> Result<Measured> {
    let (upstream, _upstream) = start_upstream(Exchange::Small).await?;
    let setup = Setup {
        upstream,
        workers: WORKERS,
        table: Table::Hosts(hosts),
        exchange: Exchange::Small,
    };
    let (mut results, mut left_out) = (Vec::new(), Vec::new());
    let who = everybody(Table::One);
    for who in who.into_iter().filter(|who| who.name() != FLOOR) {
        eprintln!("  {}", who.name());
        match of(&who, setup).await {
            Ok(result) => results.push(result),
            Err(error) => left_out.push(format!("{} is left out: {error:#}", who.name())),
        }
    }
    Ok(Measured {
        name: name.to_owned(),
        peers: results,
        left_out,
    })
}

async fn of(who: &Who, setup: Setup) -> Result<PeerResult> {
    let mut peer = who.start(setup).await?;
    let mut result = result(&peer);
    result.put("start_kib", peer.memory_kib()? as f64);
    let mut changes = Vec::new();
    let start = Instant::now();
    while changes.is_empty() || changes.len() < CHANGES && start.elapsed() < ENOUGH {
        changes.push(change(&mut peer).await?);
    }
    let mut number = |name: &str, of: &dyn Fn(&Change) -> f64| {
        result.put(name, middle(changes.iter().map(of).collect()));
    };
    number("answers_ms", &|change| change.answers.as_secs_f64() * 1e3);
    number("told_ms", &|change| change.told.as_secs_f64() * 1e3);
    number("cpu_s", &|change| change.cpu_s);
    number("p99_before_us", &|change| change.before.p99_us);
    number("p99_after_us", &|change| change.after.p99_us);
    number("memory_peak_kib", &|change| change.memory_kib as f64);
    let sum =
        |of: &dyn Fn(&Figures) -> u64| changes.iter().map(|change| of(&change.after)).sum::<u64>();
    result.put("failed", sum(&|figures| figures.failed) as f64);
    result.put("reconnects", sum(&|figures| figures.reconnects) as f64);
    result.put("changes", changes.len() as f64);
    Ok(result)
}

struct Change {
    /// From the change to the first answer of the new route.
    answers: Duration,
    /// From the change until whoever is told says that it was: ours, that it is committed.
    told: Duration,
    /// Processor time beyond what the requests cost.
    cpu_s: f64,
    before: Figures,
    after: Figures,
    memory_kib: u64,
}

async fn change(peer: &mut Peer) -> Result<Change> {
    peer.prepare_change()?;
    let arguments = Arguments {
        target: peer.address,
        exchange: Exchange::Small,
        table: peer.table(),
        connections: CONNECTIONS,
        seconds: (WINDOW * 3 + ANSWERS_WITHIN).as_secs_f64(),
        rate: Some(RATE),
    };
    let mut load = Load::begin(&arguments, None).await?;
    sleep(WINDOW / 4).await;
    load.mark().await?;
    let (began, cpu_before) = (Instant::now(), peer.cpu_time()?);
    sleep(WINDOW).await;
    load.mark().await?;
    let (changed, cpu_at) = (Instant::now(), peer.cpu_time()?);
    let watch = Watch::of(peer);
    let telling = async {
        peer.change().await?;
        anyhow::Ok(changed.elapsed())
    };
    let (told, (answers, memory_kib)) = tokio::try_join!(telling, watch.until_it_answers(changed))?;
    sleep(WINDOW.saturating_sub(changed.elapsed())).await;
    let usual = (cpu_at.saturating_sub(cpu_before)).as_secs_f64() / (changed - began).as_secs_f64();
    let spent = peer.cpu_time()?.saturating_sub(cpu_at).as_secs_f64();
    let cpu_s = (spent - usual * changed.elapsed().as_secs_f64()).max(0.0);
    let figures: [Figures; 3] = load
        .end()
        .await?
        .try_into()
        .map_err(|_| anyhow::anyhow!("a load with two marks has three windows"))?;
    let [_, before, after] = figures;
    peer.has_changed();
    Ok(Change {
        answers,
        told,
        cpu_s,
        before,
        after,
        memory_kib,
    })
}

/// Looks for the new route, each time on a new connection: kept ones may belong to a worker of old.
struct Watch {
    address: std::net::SocketAddr,
    process: u32,
    request: Request,
}

impl Watch {
    fn of(peer: &Peer) -> Self {
        let target = peer.next_target();
        Self {
            address: peer.address,
            process: peer.process,
            request: Request::get(target.path).host(target.host),
        }
    }

    /// The time of its first good answer, and the most memory seen until then.
    async fn until_it_answers(&self, since: Instant) -> Result<(Duration, u64)> {
        let mut memory_kib = 0;
        loop {
            let answer = client::send(self.address, self.request.clone()).await;
            if answer.is_ok_and(|answer| answer.status == 200) {
                let answers = since.elapsed();
                let now = crate::usage::memory_kib(self.process).context("it runs")?;
                return Ok((answers, memory_kib.max(now)));
            }
            if since.elapsed() > ANSWERS_WITHIN {
                bail!("the new route does not answer within {ANSWERS_WITHIN:?}");
            }
            // A member of the family may end while it is looked at.
            memory_kib = memory_kib.max(crate::usage::memory_kib(self.process).unwrap_or(0));
            sleep(LOOK_INTERVAL).await;
        }
    }
}
