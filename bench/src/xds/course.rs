//! One measurement: a control plane of its own, a fleet that connects, commits, and a fleet that comes back all at once.

use std::num::NonZeroU32;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use e2e::postgres::Postgres;
use e2e::programs::{ControlPlane, ControlPlaneSettings};

use super::config::Size;
use super::fleet::Running;
use super::kind::Kind;
use super::limits;
use super::traffic::Bytes;
use crate::usage;

/// How long all clients may take for one thing. Ten thousand that take the state of the world take minutes.
const WITHIN: Duration = Duration::from_mins(2);
/// How many pauses long the control plane is watched while nothing happens.
const IDLE_PAUSES: u32 = 3;

/// What is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Course {
    pub(crate) kind: Kind,
    pub(crate) clients: usize,
    pub(crate) resources: usize,
    pub(crate) commits: usize,
    pub(crate) pause: Duration,
    pub(crate) new_streams_per_second: NonZeroU32,
    pub(crate) postgres: bool,
}

/// What came of it.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    pub(crate) course: Course,
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
    /// Attempts that were in vain.
    pub(crate) refused: usize,
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
    /// From sending the change to the ACK, by commit and client, in order.
    pub(crate) acknowledged: Vec<Duration>,
    /// The last ACK of each commit, in order.
    pub(crate) last: Vec<Duration>,
    /// As `acknowledged`, to the report that it is active; empty if the clients are not ours.
    pub(crate) active: Vec<Duration>,
    pub(crate) cost: Cost,
    pub(crate) bytes: Bytes,
    pub(crate) peak_kib: u64,
}

impl Course {
    pub(crate) async fn run(&self) -> Result<Outcome> {
        let postgres = match self.postgres {
            true => Some(Postgres::start().await?),
            false => None,
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
        control_plane.apply(&size.config().to_string()).await?;
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
            course: *self,
            empty_kib,
            idle_kib,
            connect,
            idle,
            commits,
            come_back,
            settled_kib: usage::resident_kib(process)?,
        })
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
            tokio::time::sleep(self.pause).await;
        }
        for times in [
            &mut commits.api,
            &mut commits.acknowledged,
            &mut commits.last,
            &mut commits.active,
        ] {
            times.sort_unstable();
        }
        commits.cost = meter.cost()?;
        commits.peak_kib = usage::peak_kib(process)?;
        commits.bytes = fleet.traffic.since(before);
        Ok(commits)
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
        let times = running.ready(self.start, WITHIN).await?;
        Ok(Phase {
            times,
            cost: self.cost()?,
            peak_kib: usage::peak_kib(self.process)?,
            bytes: running.fleet.traffic.since(Bytes::default()),
            refused: running.fleet.refused.load(Ordering::Relaxed),
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
