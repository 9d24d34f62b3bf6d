//! A thousand writes while the control plane and its database are killed again and again: what was acknowledged is there, what
//! was refused is not, and what nobody answered is there whole or not at all. Proxies serve on.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use e2e::client::{self, Connection, Request};
use e2e::postgres::Postgres;
use e2e::programs::{ControlPlane, ControlPlaneSettings};
use e2e::upstream::Upstream;
use e2e::wait;
use futures_util::future::try_join_all;
use tokio::time::timeout;

use crate::fleet::{Fleet, endpoints, hello_route};

const WRITES: usize = 1_000;
const WRITERS: usize = 4;
const KILLS_OF_THE_CONTROL_PLANE: usize = 20;
const KILLS_OF_POSTGRES: usize = 5;
/// Longer than the control plane lets a request take.
const ANSWERED_WITHIN: Duration = Duration::from_secs(15);
const BACK_WITHIN: Duration = Duration::from_secs(30);

/// What became of a write, as its writer saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// 2xx, with the revision that it made.
    Acknowledged(u64),
    /// 4xx.
    Refused,
    /// No answer, or one that says that the server could not know.
    Unanswered,
}

/// One write: the message of its revision, and what became of it.
#[derive(Debug)]
struct Write {
    writer: usize,
    number: usize,
    outcome: Outcome,
}

impl Write {
    fn message(&self) -> String {
        message(self.writer, self.number)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_loses_no_acknowledged_write_with_sqlite() -> Result<()> {
    let control_plane = ControlPlane::start().await?;
    play(control_plane, None).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_loses_no_acknowledged_write_with_postgres() -> Result<()> {
    let postgres = Postgres::start().await?;
    let settings = ControlPlaneSettings::default().database(postgres.database()?);
    play(settings.start().await?, Some(postgres)).await
}

/// Writes, kills, and looks at what is left.
async fn play(mut control_plane: ControlPlane, mut postgres: Option<Postgres>) -> Result<()> {
    let upstream = Upstream::start("served").await?;
    let port = Fleet::port()?;
    control_plane
        .apply(&format!(
            "listeners: [{{name: web, address: 0.0.0.0, port: {port}}}]
clusters: [{{name: served, endpoints: {}}}]
routes: [{{name: served, forward: {{cluster: served}}, match: {{path: {{prefix: /}}}}}}]",
            endpoints(&[&upstream])
        ))
        .await?;
    let fleet = Fleet::start(port, &[control_plane.xds()]).await?;
    let ended = Arc::new(AtomicBool::new(false));
    let traffic = tokio::spawn(traffic(fleet.proxies[0].listener(port), ended.clone()));

    let answered = AtomicUsize::new(0);
    let admin = control_plane.admin();
    let writers = try_join_all((0..WRITERS).map(|writer| write_all(writer, admin, &answered)));
    let killer = kill_all(&mut control_plane, postgres.as_mut(), &answered);
    let (writes, killed) = tokio::try_join!(writers, killer)?;
    let writes: Vec<Write> = writes.into_iter().flatten().collect();
    let left = look(&control_plane, &writes).await?;

    // Who served through all of it also follows the next write.
    let hello = hello_route("the end").to_string();
    control_plane.apply(&format!("routes: [{hello}]")).await?;
    fleet.wait_for_hello(0, "the end", BACK_WITHIN).await?;
    ended.store(true, Ordering::Relaxed);
    let requests = traffic.await??;
    let acknowledged = count(&writes, |outcome| {
        matches!(outcome, Outcome::Acknowledged(_))
    });
    println!(
        "{} writes and {killed} kills: {acknowledged} acknowledged, {} refused, {} unanswered of which {left} are there; {requests} requests at the proxy, 0 failed",
        writes.len(),
        count(&writes, |outcome| outcome == Outcome::Refused),
        count(&writes, |outcome| outcome == Outcome::Unanswered),
    );
    ensure!(requests > 0 && acknowledged > WRITES / 2);
    Ok(())
}

fn count(writes: &[Write], which: impl Fn(Outcome) -> bool) -> usize {
    writes.iter().filter(|write| which(write.outcome)).count()
}

fn message(writer: usize, number: usize) -> String {
    format!("write {writer}/{number}")
}

/// One writer's share. Each write changes two routes at once, so that half of one would show.
async fn write_all(writer: usize, admin: SocketAddr, answered: &AtomicUsize) -> Result<Vec<Write>> {
    let mut writes = Vec::new();
    for number in 0..WRITES / WRITERS {
        let outcome = write(writer, number, admin).await?;
        writes.push(Write {
            writer,
            number,
            outcome,
        });
        answered.fetch_add(1, Ordering::Relaxed);
        if outcome == Outcome::Unanswered {
            wait_until_ready(admin).await?;
        }
    }
    Ok(writes)
}

async fn write(writer: usize, number: usize, admin: SocketAddr) -> Result<Outcome> {
    // Every tenth names a cluster that is not there, and has to be refused whole.
    let action = if number % 10 == 9 {
        "forward: {cluster: missing}".to_owned()
    } else {
        format!("respond: {{status: 200, body: \"{number}\"}}")
    };
    let body = format!(
        "routes:
- {{name: a-{writer}, match: {{path: {{exact: /a-{writer}}}}}, respond: {{status: 200, body: \"{number}\"}}}}
- {{name: b-{writer}, match: {{path: {{exact: /b-{writer}}}}}, {action}}}"
    );
    let target = format!(
        "/v1/fleets/default/config?message={}",
        message(writer, number).replace(' ', "%20")
    );
    let request = Request::put(target).yaml(&body).if_match_any();
    let Ok(Ok(answer)) = timeout(ANSWERED_WITHIN, client::send(admin, request)).await else {
        return Ok(Outcome::Unanswered);
    };
    if answer.status.is_success() {
        let revision = answer.json()?["revision"].as_u64();
        return Ok(Outcome::Acknowledged(revision.context("a revision")?));
    }
    if answer.status.is_server_error() {
        // It says so itself: the database went away, perhaps between the commit and its answer.
        ensure!(answer.status == 503, "{}: {}", answer.status, answer.text());
        return Ok(Outcome::Unanswered);
    }
    ensure!(
        answer.status == 422 && number % 10 == 9,
        "{}: {}",
        answer.status,
        answer.text()
    );
    Ok(Outcome::Refused)
}

async fn wait_until_ready(admin: SocketAddr) -> Result<()> {
    wait::until_true("the control plane is ready", BACK_WITHIN, async || {
        let answer = client::send(admin, Request::get("/readyz")).await;
        answer.is_ok_and(|answer| answer.status == 200)
    })
    .await
}

/// Kills evenly over the writes: whoever they are at that moment is hit in the middle.
async fn kill_all(
    control_plane: &mut ControlPlane,
    mut postgres: Option<&mut Postgres>,
    answered: &AtomicUsize,
) -> Result<usize> {
    let of_postgres = postgres.as_ref().map_or(0, |_| KILLS_OF_POSTGRES);
    let kills = KILLS_OF_THE_CONTROL_PLANE + of_postgres;
    for kill in 0..kills {
        let at = (kill + 1) * WRITES / (kills + 2);
        wait::until(
            "enough writes were answered",
            Duration::from_mins(2),
            async || {
                let answered = answered.load(Ordering::Relaxed);
                if answered >= at {
                    Ok(())
                } else {
                    Err(answered.to_string())
                }
            },
        )
        .await?;
        match &mut postgres {
            Some(postgres) if kill % 5 == 4 => {
                postgres.kill()?;
                postgres.restart().await?;
                wait_until_ready(control_plane.admin()).await?;
            }
            _ => control_plane.crash_and_restart().await?,
        }
    }
    Ok(kills)
}

/// Compares what is stored with what the writers saw. Returns how many unanswered writes are there.
async fn look(control_plane: &ControlPlane, writes: &[Write]) -> Result<usize> {
    let stored = stored(control_plane).await?;
    let messages: BTreeSet<&str> = stored.values().map(String::as_str).collect();
    ensure!(messages.len() == stored.len(), "a write made two revisions");
    let mut newest: BTreeMap<usize, usize> = BTreeMap::new();
    let mut left = 0;
    for write in writes {
        let there = messages.contains(write.message().as_str());
        match write.outcome {
            Outcome::Acknowledged(revision) => {
                let stored = stored.get(&revision).map(String::as_str);
                ensure!(
                    stored == Some(write.message().as_str()),
                    "revision {revision} is of {stored:?}, and was acknowledged to {write:?}"
                );
            }
            Outcome::Refused => ensure!(!there, "refused and stored: {write:?}"),
            Outcome::Unanswered => left += usize::from(there),
        }
        if there {
            newest
                .entry(write.writer)
                .and_modify(|newest| *newest = write.number.max(*newest))
                .or_insert(write.number);
        }
    }
    for (writer, number) in newest {
        for name in ["a", "b"] {
            let route = control_plane
                .get(&format!("/v1/fleets/default/routes/{name}-{writer}"))
                .await?;
            ensure!(
                route["respond"]["body"].as_str() == Some(number.to_string().as_str()),
                "half of a write: {route}, the newest is {number}"
            );
        }
    }
    Ok(left)
}

/// The messages of all revisions by number, but of the first, which set the stage. None may be missing in between.
async fn stored(control_plane: &ControlPlane) -> Result<BTreeMap<u64, String>> {
    let mut stored = BTreeMap::new();
    let mut token: Option<String> = None;
    loop {
        let page = control_plane
            .get(&format!(
                "/v1/fleets/default/revisions?limit=100{}",
                token.unwrap_or_default()
            ))
            .await?;
        for revision in page["items"].as_array().into_iter().flatten() {
            let number = revision["number"].as_u64().context("a number")?;
            let message = revision["message"].as_str().unwrap_or_default();
            stored.insert(number, message.to_owned());
        }
        match page["next_page_token"].as_str() {
            Some(next) => token = Some(format!("&page_token={next}")),
            None => break,
        }
    }
    let head = control_plane.get("/v1/fleets/default").await?["revision"]
        .as_u64()
        .context("a revision")?;
    ensure!(
        stored.keys().copied().eq(1..=head),
        "revisions {:?} of {head}",
        stored.keys()
    );
    stored.remove(&1);
    Ok(stored)
}

/// Sends one request after the other over one connection until told to end. Any failure is the test's.
async fn traffic(proxy: SocketAddr, ended: Arc<AtomicBool>) -> Result<usize> {
    let mut connection = Connection::open(proxy).await?;
    let mut requests = 0;
    let mut tick = tokio::time::interval(Duration::from_millis(5));
    while !ended.load(Ordering::Relaxed) {
        tick.tick().await;
        let asked = Instant::now();
        let answer = connection.send(Request::get("/")).await?;
        ensure!(
            answer.status == 200 && answer.header("x-upstream") == Some("served"),
            "request {requests}: {} after {:?}",
            answer.status,
            asked.elapsed()
        );
        requests += 1;
    }
    Ok(requests)
}
