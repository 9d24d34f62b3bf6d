//! One measurement: a control plane of its own, a fleet that connects, commits, and a fleet that comes back all at once.

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use e2e::client::Request;
use e2e::postgres::Postgres;
use e2e::programs::{ControlPlane, ControlPlaneSettings};
use serde_json::json;

use super::broken::Counts;
use super::config::Size;
use super::fleet::Running;
use super::kind::Kind;
use super::limits;
use super::traffic::Bytes;
use crate::usage;

/// How long all clients may take for one thing. Ten thousand that take the state of the world take minutes.
const WITHIN: Duration = Duration::from_mins(2);
/// How often it is looked whether a rollout has ended, and so how exact that time is.
const LOOK: Duration = Duration::from_millis(20);
/// How many pauses long the control plane is watched while nothing happens.
const IDLE_PAUSES: u32 = 3;

/// What is measured.
#[derive(Clone, Debug)]
pub(crate) struct Course {
    pub(crate) kind: Kind,
    pub(crate) clients: usize,
    pub(crate) resources: usize,
    pub(crate) commits: usize,
    /// By which strategy commits come to the clients.
    pub(crate) strategy: String,
    pub(crate) pause: Duration,
    pub(crate) new_streams_per_second: NonZeroU32,
    pub(crate) postgres: bool,
}

/// What came of it.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    pub(crate) course: Course,
    /// What else ran: the machine's load average of the minute before.
    pub(crate) load_before: f64,
    /// Resident memory of the control plane, in KiB: with the config and no client, and with all clients, at rest.
    pub(crate) empty_kib: u64,
    pub(crate) idle_kib: u64,
    pub(crate) connect: Phase,
    /// Of one second without news.
    pub(crate) idle: Cost,
    pub(crate) commits: Commits,
    pub(crate) come_back: Phase,
    /// When the clients that came back are at rest.
    pub(crate) settled_kib: u64,
}

/// All clients do one thing.
#[derive(Clone, Debug)]
pub(crate) struct Phase {
    /// By client, in order.
    pub(crate) times: Vec<Duration>,
    pub(crate) cost: Cost,
    /// The most resident memory of the control plane meanwhile.
    pub(crate) peak_kib: u64,
    pub(crate) bytes: Bytes,
    /// Connections that broke meanwhile.
    pub(crate) broken: Counts,
}

/// Processor time of both sides.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cost {
    pub(crate) control_plane: Duration,
    pub(crate) clients: Duration,
}

/// All commits together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Commits {
    /// From sending the change to its answer, by commit.
    pub(crate) api: Vec<Duration>,
    /// From sending the change to the end of its rollout, by commit.
    pub(crate) completed: Vec<Duration>,
    /// From sending the change to the ACK, by commit and client, in order.
    pub(crate) acknowledged: Vec<Duration>,
    /// The last ACK of each commit, in order.
    pub(crate) last: Vec<Duration>,
    /// As `acknowledged`, to the report that it is active; empty if the clients are not ours.
    pub(crate) active: Vec<Duration>,
    pub(crate) cost: Cost,
    pub(crate) bytes: Bytes,
    pub(crate) peak_kib: u64,
    /// Connections that broke since the fleet was there.
    pub(crate) broken: usize,
}

impl Course {
    pub(crate) async fn run(&self) -> Result<Outcome> {
        let postgres = if self.postgres {
            Some(Postgres::start().await?)
        } else {
            None
        };
        let database = postgres.as_ref().map(Postgres::database).transpose()?;
        let mut control_plane = self.start(database).await?;
        let outcome = self.measure(&mut control_plane).await;
        outcome.map_err(|error| control_plane.process().failure(&format!("{error:#}")))
    }

    async fn start(&self, database: Option<String>) -> Result<ControlPlane> {
        let mut settings = ControlPlaneSettings::default()
            .argument("--new-streams-per-second")
            .argument(self.new_streams_per_second.to_string());
        if let Some(url) = database {
            settings = settings.database(url);
        }
        let mut control_plane = settings.start().await?;
        limits::raise(std::process::id(), self.clients)?;
        limits::raise(control_plane.process().id(), self.clients)?;
        Ok(control_plane)
    }

    async fn measure(&self, control_plane: &mut ControlPlane) -> Result<Outcome> {
        let (process, size) = (
            control_plane.process().id(),
            Size::of_resources(self.resources),
        );
        self.choose_strategy(control_plane).await?;
        let load_before = usage::load_average()?;
        control_plane.apply(&size.config().to_string()).await?;
        completed(control_plane, Instant::now()).await?;
        tokio::time::sleep(self.pause).await;
        let empty_kib = usage::resident_kib(process)?;

        let meter = Meter::start(process)?;
        let (xds, expected) = (control_plane.xds(), size.served(self.kind));
        let running = Running::start(self.kind, self.clients, xds, expected);
        let connect = meter.phase(&running).await;
        let connect = connect.context("connecting")?;
        tokio::time::sleep(self.pause).await;

        let meter = Meter::start(process)?;
        let idle = self.pause * IDLE_PAUSES;
        tokio::time::sleep(idle).await;
        let idle = meter.cost()?.divided(idle.as_secs_f64());
        let idle_kib = usage::resident_kib(process)?;

        let commits = self.commit(control_plane, size, &running).await?;

        let meter = Meter::start(process)?;
        let (running, broken) = running.come_back(self.clients).await;
        let come_back = meter.since(broken).phase(&running).await;
        let come_back = come_back.context("coming back")?;
        tokio::time::sleep(self.pause).await;
        Ok(Outcome {
            course: self.clone(),
            load_before,
            empty_kib,
            idle_kib,
            connect,
            idle,
            commits,
            come_back,
            settled_kib: usage::resident_kib(process)?,
        })
    }

    async fn choose_strategy(&self, control_plane: &ControlPlane) -> Result<()> {
        let settings = json!({"rollout": {"strategy": self.strategy}});
        let request = Request::put("/v1/fleets/default").json(&settings);
        let answer = control_plane.send(request.if_match_any()).await?;
        answer.success().context("--strategy")?;
        Ok(())
    }

    async fn commit(
        &self,
        control_plane: &mut ControlPlane,
        size: Size,
        running: &Running,
    ) -> Result<Commits> {
        let mut commits = Commits::default();
        let (fleet, process) = (&running.fleet, control_plane.process().id());
        let (meter, before) = (Meter::start(process)?, fleet.traffic.so_far());
        for number in 0..self.commits {
            let (route, change) = size.change(number);
            fleet.acknowledged.begin();
            fleet.active.begin();
            let start = Instant::now();
            control_plane.replace_route(&route, &change).await?;
            commits.api.push(start.elapsed());
            let times = fleet.acknowledged.all(start, WITHIN).await?;
            commits.last.extend(times.last());
            commits.acknowledged.extend(times);
            if self.kind.is_ours() {
                let times = fleet.active.all(start, WITHIN).await?;
                commits.active.extend(times);
            }
            commits
                .completed
                .push(completed(control_plane, start).await?);
            tokio::time::sleep(self.pause).await;
        }
        for times in [
            &mut commits.api,
            &mut commits.completed,
            &mut commits.acknowledged,
            &mut commits.last,
            &mut commits.active,
        ] {
            times.sort_unstable();
        }
        commits.cost = meter.cost()?;
        commits.peak_kib = usage::peak_kib(process)?;
        commits.bytes = fleet.traffic.since(before);
        commits.broken = fleet.broken.so_far().late;
        Ok(commits)
    }
}

/// How long after `start` the rollout of the newest revision had ended well. Looked at now and then, for looking costs the control
/// plane something, too.
async fn completed(control_plane: &ControlPlane, start: Instant) -> Result<Duration> {
    loop {
        let fleet = control_plane.get("/v1/fleets/default").await?;
        if fleet["stable_revision"] == fleet["revision"] {
            return Ok(start.elapsed());
        }
        ensure!(fleet["held_by"].is_null(), "the rollout was rolled back");
        ensure!(
            start.elapsed() < WITHIN,
            "the rollout goes on after {WITHIN:?}"
        );
        tokio::time::sleep(LOOK).await;
    }
}

/// What the control plane and this process have used since it was started.
struct Meter {
    process: u32,
    start: Instant,
    before: Cost,
}

impl Meter {
    fn start(process: u32) -> Result<Self> {
        usage::forget_peak(process)?;
        Ok(Self {
            process,
            start: Instant::now(),
            before: Cost::so_far(process)?,
        })
    }

    /// Times count from another moment.
    fn since(self, start: Instant) -> Self {
        Self { start, ..self }
    }

    fn cost(&self) -> Result<Cost> {
        let now = Cost::so_far(self.process)?;
        Ok(Cost {
            control_plane: now.control_plane.saturating_sub(self.before.control_plane),
            clients: now.clients.saturating_sub(self.before.clients),
        })
    }

    /// Until all clients are ready.
    async fn phase(self, running: &Running) -> Result<Phase> {
        let times = running.ready(self.start, WITHIN).await;
        let times = times.with_context(|| format!("broken: {}", running.fleet.broken.reasons()))?;
        Ok(Phase {
            times,
            cost: self.cost()?,
            peak_kib: usage::peak_kib(self.process)?,
            bytes: running.fleet.traffic.since(Bytes::default()),
            broken: running.fleet.broken.so_far(),
        })
    }
}

impl Cost {
    fn so_far(process: u32) -> Result<Self> {
        Ok(Self {
            control_plane: usage::cpu_time(process)?,
            clients: usage::cpu_time(std::process::id())?,
        })
    }

    pub(crate) fn divided(self, by: f64) -> Self {
        Self {
            control_plane: self.control_plane.div_f64(by),
            clients: self.clients.div_f64(by),
        }
    }
}
