//! The proxy's side of xDS: an incremental ADS client, and the session with our own control plane on the same connection.
//! In: what the control plane sends. Out: the *wire set*, what the deltas have built so far. It is never taken for what is
//! live: that is for `delivery` to decide.
//!
//! - `addresses`: two listeners at one address, pure.
//! - `clusters`: route tables that must not name unknown clusters, pure.
//! - `response`: a response before its resources are read.
//! - `state`: requests and responses as a state machine, pure.
//! - `reports`: when what became of requests is collected and sent.
//! - `session`: targets and reports.
//! - `wire`: the stream in the variant that was chosen.
//! - `stream`: connects, backs off, reads and writes.

mod addresses;
mod clusters;
mod credentials;
mod reports;
mod response;
mod session;
mod state;
mod stream;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use xds::node::Node;
use xds::problem::Problem;
use xds::reuse::Tally;
use xds::snapshot::Snapshot;

pub use self::response::DeltaResponse;
pub use self::state::{ClientState, Reply};

use crate::bootstrap::XdsMode;
use crate::delivery::{Assigned, Held, Switch};
use crate::dns::Names;
use crate::outcomes::Ledger;
use crate::samples::Basket;

pub(crate) use self::credentials::Credentials;

/// What the client needs to know at its start.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    /// Where control planes serve xDS: the first that can be had is followed until it is lost.
    pub(crate) servers: Vec<Uri>,
    /// How they are known, and how we show who we are.
    pub(crate) credentials: Credentials,
    /// In which variant of the protocol.
    pub(crate) mode: XdsMode,
    /// Who we are.
    pub(crate) node: Node,
    /// How long a wire set whose parts do not fit together waits for what is missing.
    pub(crate) initial_fetch_timeout: Duration,
    /// What was live before a restart and is again or will be: the wire set begins with it.
    pub(crate) recalled: Option<Held>,
    /// What is not taken again: its lease had run out before a restart, or was running.
    pub(crate) left: Option<Assigned>,
    /// What became of requests, and how often it is reported; `None` if never.
    pub(crate) reports: Option<(Arc<Ledger>, Duration)>,
    /// What is told of single requests with each report.
    pub(crate) samples: Arc<Basket>,
}

/// What an operator may want to know of the client.
#[derive(Clone, Debug, Default)]
pub(crate) struct Status {
    /// Whether a stream stands, on which the server has answered.
    pub(crate) connected: bool,
    /// Why the last stream ended or none could be opened.
    pub(crate) last_error: Option<String>,
    /// What the control plane calls itself.
    pub(crate) control_plane: String,
    /// What the deltas have built.
    pub(crate) wire_set: Snapshot,
    /// What was refused last, of every type.
    pub(crate) refused: Vec<Problem>,
    /// What does not fit together in the wire set.
    pub(crate) unfit: Vec<Problem>,
    /// The virtual hosts that came.
    pub(crate) virtual_hosts: Tally,
    /// Which revisions are where.
    pub(crate) standing: Standing,
}

/// Which revisions are where. A number is 0 if there is none, or it has none.
#[derive(Clone, Debug, Default)]
pub(crate) struct Standing {
    /// The revision that requests are served by.
    pub(crate) live_revision: u64,
    /// The revision that can be switched to at once.
    pub(crate) staged_revision: u64,
    /// The revision that was last live without a lease: a restart serves it, and a lease that runs out goes back to it.
    pub(crate) confirmed_revision: u64,
    /// When the lease of what is live runs out, if it has one.
    pub(crate) lease_until: Option<Instant>,
    /// What is not taken again, until a higher assignment comes.
    pub(crate) left: Option<Assigned>,
    /// How often a lease ran out and the proxy went back, in this life of it.
    pub(crate) reverts: u64,
}

impl Standing {
    /// How long the lease of what is live has yet to run; zero if it has none.
    pub(crate) fn lease_left(&self, now: Instant) -> Duration {
        let until = self.lease_until;
        until.map_or(Duration::ZERO, |until| until.saturating_duration_since(now))
    }
}

impl Client {
    /// Follows the control plane until it is cancelled. What goes live goes through `switch`, with the addresses that
    /// `names` stand for; what an operator may want to know goes to `status`.
    pub(crate) async fn run(
        self,
        switch: impl Switch,
        names: Names,
        status: watch::Sender<Arc<Status>>,
        shutdown: CancellationToken,
    ) {
        let (reports, collecting) = reports::begin(self.reports.clone(), self.samples.clone());
        let following = stream::follow(self, switch, names, reports, status);
        shutdown
            .run_until_cancelled(async { tokio::join!(following, collecting) })
            .await;
    }
}
