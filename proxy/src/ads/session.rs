//! The session with our own control plane, on the connection of the xDS stream. In: targets. Out: reports. A control plane
//! that does not know the service is a foreign one.

use std::pin::Pin;
use std::time::Duration;

use proto::session::session_client::SessionClient;
use proto::session::{self, Status};
use tokio::sync::mpsc;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::{Code, Streaming};
use xds::node::Node;
use xds::problem::Problem;
use xds::sum::{RevisionSums, SetSum};

use crate::delivery::{Phase, Report, State, Target};

use super::credentials::Authorized;
use super::reports::Reports;

/// Longer leases are as long as this: there is a time that the clock can reach, and nobody waits for it.
const LEASE_MAX: Duration = Duration::from_hours(365 * 24);

/// What happens on a session.
#[derive(Debug)]
pub(super) enum Event {
    /// The control plane is ours.
    Ours,
    /// The control plane does not know sessions.
    Foreign,
    /// What to serve.
    Target(Target),
    /// The reports up to this one are taken; 0: those that will come are to be said to be. There is room for the next.
    Taken(u64),
    /// The session has ended; so has the use of the connection.
    Lost(String),
}

/// A session that is being opened, or is open.
pub(super) struct Link {
    node: Node,
    reports: mpsc::UnboundedSender<Message>,
    stage: Stage,
    reported: Option<Report>,
    /// The number of the process that reports.
    reporter: u64,
    /// Whether the control plane says which reports it takes, as soon as that is known.
    are_taken: Option<bool>,
}

/// What waits to be sent.
enum Message {
    Status(Status),
    /// The same with what became of requests until the connection has room for it, and whether the control plane says what it
    /// takes: else what was taken for a connection that breaks is lost.
    Traffic(Status, Reports, bool),
}

type Opening =
    Pin<Box<dyn Future<Output = Result<Streaming<session::Target>, tonic::Status>> + Send>>;

enum Stage {
    Opening(Opening),
    Open(Box<Streaming<session::Target>>),
    /// Nothing more will come.
    Ended,
}

impl Link {
    /// Begins a session with a first report. Requests are told of by `traffic`.
    pub(super) fn open(
        channel: Authorized,
        node: &Node,
        report: &Report,
        traffic: &Reports,
    ) -> Self {
        traffic.begin_session();
        // Bounded by what the control plane sends and the wire set's changes: a report each, a few hundred bytes.
        let (reports, queue) = mpsc::unbounded_channel();
        let mut client = SessionClient::new(channel);
        let statuses = UnboundedReceiverStream::new(queue).filter_map(Message::status);
        let opening = async move {
            let response = client.follow(statuses).await?;
            Ok(response.into_inner())
        };
        let stage = Stage::Opening(Box::pin(opening));
        let mut link = Self {
            node: node.clone(),
            reports,
            stage,
            reported: None,
            reporter: traffic.reporter(),
            are_taken: None,
        };
        link.report(report);
        link
    }

    /// The next thing that happens. Cancel-safe.
    pub(super) async fn next(&mut self) -> Event {
        match &mut self.stage {
            Stage::Opening(opening) => match opening.await {
                Ok(targets) => {
                    self.stage = Stage::Open(Box::new(targets));
                    Event::Ours
                }
                Err(error) => self.end(&error),
            },
            Stage::Open(targets) => match targets.message().await {
                Ok(Some(target)) => {
                    self.are_taken.get_or_insert(target.report_taken.is_some());
                    read(&target)
                }
                Ok(None) => Event::Lost("the control plane ended the session".into()),
                Err(error) => self.end(&error),
            },
            Stage::Ended => std::future::pending().await,
        }
    }

    fn end(&mut self, error: &tonic::Status) -> Event {
        self.stage = Stage::Ended;
        match error.code() {
            Code::Unimplemented => Event::Foreign,
            code => Event::Lost(format!("session: {code}: {}", error.message())),
        }
    }

    /// Tells the control plane, if it is news.
    pub(super) fn report(&mut self, report: &Report) {
        if self.reported.as_ref() != Some(report) {
            // The other end is gone if the connection broke; its end is seen by the reader.
            let mut status = self.status(report);
            if self.reported.is_none() {
                status.reporter = self.reporter;
                status.zone.clone_from(&self.node.zone);
                let labels = self.node.labels.iter();
                status.labels = labels
                    .map(|(key, value)| (key.clone(), value.clone()))
                    .collect();
            }
            let _ = self.reports.send(Message::Status(status));
            self.reported = Some(report.clone());
        }
    }

    /// Tells the control plane what became of requests, if it is known to want it and how.
    pub(super) fn report_traffic(&self, report: &Report, reports: &Reports) {
        if matches!(self.stage, Stage::Open(_))
            && let Some(are_taken) = self.are_taken
        {
            let message = Message::Traffic(self.status(report), reports.clone(), are_taken);
            let _ = self.reports.send(message);
        }
    }

    fn status(&self, report: &Report) -> Status {
        let state = match report.state {
            State::None => session::State::Unspecified,
            State::Missing => session::State::Missing,
            State::Staged => session::State::Staged,
            State::Active => session::State::Active,
            State::Refused => session::State::Refused,
            State::Reverted => session::State::Reverted,
        };
        Status {
            fleet: self.node.fleet.clone(),
            node_id: self.node.id.clone(),
            assignment: report.assignment,
            state: state.into(),
            live_revision: report.live_revision,
            staged_revision: report.staged_revision,
            problems: report.problems.iter().map(problem).collect(),
            transient: report.transient,
            state_revision: report.state_revision,
            ..Status::default()
        }
    }
}

impl Message {
    /// The message as it is sent; `None` if it would say nothing.
    fn status(self) -> Option<Status> {
        match self {
            Self::Status(status) => Some(status),
            Self::Traffic(status, reports, are_taken) => Some(Status {
                traffic: Some(reports.next(are_taken)?),
                samples: reports.samples(),
                ..status
            }),
        }
    }
}

fn problem(problem: &Problem) -> session::Problem {
    let resource = problem.resource.as_ref();
    session::Problem {
        type_url: resource
            .map(|resource| resource.ty.type_url().to_owned())
            .unwrap_or_default(),
        name: resource
            .map(|resource| resource.name.to_string())
            .unwrap_or_default(),
        path: problem.path.clone(),
        code: problem.code.as_str().to_owned(),
        detail: problem.detail.clone(),
    }
}

fn read(message: &session::Target) -> Event {
    if let Some(taken) = &message.report_taken {
        return Event::Taken(taken.sequence);
    }
    match target(message) {
        Ok(target) => Event::Target(target),
        Err(reason) => Event::Lost(format!(
            "the session sent a target that cannot be read: {reason}"
        )),
    }
}

/// The target; an error names the field that says what cannot be.
fn target(target: &session::Target) -> Result<Target, &'static str> {
    let phase = match target.phase() {
        session::Phase::Stage => Phase::Stage,
        session::Phase::Activate => Phase::Activate,
        session::Phase::Unspecified => return Err("phase: it is none that is known"),
    };
    if phase == Phase::Stage && target.lease_ms > 0 {
        return Err("lease_ms: what is only staged has no lease");
    }
    let lease = Duration::from_millis(target.lease_ms).min(LEASE_MAX);
    let sums = target.sums.iter().map(|sum| {
        let set = SetSum::from_parts(sum.count, &sum.sum)?;
        Some((sum.type_url.as_str(), set))
    });
    let sums: Option<Vec<_>> = sums.collect();
    let sums = sums.ok_or("sums: one is not of 32 bytes")?;
    let of_type = |url: &str| sums.iter().find(|(of, _)| *of == url).map(|(_, sum)| *sum);
    Ok(Target {
        assignment: target.assignment,
        revision: target.revision,
        phase,
        lease: Some(lease).filter(|lease| !lease.is_zero()),
        sums: RevisionSums::new(|ty| of_type(ty.type_url()).unwrap_or_default()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn activate(lease_ms: u64) -> session::Target {
        session::Target {
            assignment: 5,
            revision: 2,
            phase: session::Phase::Activate.into(),
            lease_ms,
            ..session::Target::default()
        }
    }

    #[test]
    fn a_lease_of_zero_is_none_and_a_long_one_ends_some_day() {
        let lease = |lease_ms| target(&activate(lease_ms)).unwrap().lease;
        assert_eq!(lease(0), None);
        assert_eq!(lease(1500), Some(Duration::from_millis(1500)));
        assert_eq!(lease(u64::MAX), Some(LEASE_MAX));
    }

    #[test]
    fn a_target_that_cannot_be_read_ends_the_session_and_the_field_is_named() {
        let mut staged = activate(1);
        staged.set_phase(session::Phase::Stage);
        let mut phaseless = activate(0);
        phaseless.set_phase(session::Phase::Unspecified);
        let mut short = activate(0);
        short.sums.push(session::TypeSum::default());
        for (message, field) in [(staged, "lease_ms"), (phaseless, "phase"), (short, "sums")] {
            match read(&message) {
                Event::Lost(reason) => assert!(reason.contains(field), "{reason}"),
                other => panic!("{other:?}"),
            }
        }
    }
}
