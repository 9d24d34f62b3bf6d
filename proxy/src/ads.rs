//! The proxy's side of xDS: an incremental ADS client. In: what the control plane sends. Out: the *wire set*, what the
//! deltas have built so far, with the word whether its parts fit together. It says nothing of what is live.
//!
//! - `state`: requests and responses as a state machine, pure.
//! - `stream`: connects, backs off, reads and writes.
//! - `fit`: when a wire set may be activated, pure.

mod fit;
mod state;
mod stream;

use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use xds::config::Config;
use xds::node::Node;
use xds::problem::Problem;
use xds::snapshot::Snapshot;

/// What the client needs to know at its start.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    /// Where the control plane serves xDS.
    pub(crate) server: Uri,
    /// Who we are.
    pub(crate) node: Node,
    /// How long a wire set whose parts do not fit together waits for what is missing.
    pub(crate) initial_fetch_timeout: Duration,
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
}

impl Client {
    /// Follows the control plane until it is cancelled. Each config that may go live is given to `activate`; what an
    /// operator may want to know goes to `status`.
    pub(crate) async fn run(
        self,
        activate: impl FnMut(Config),
        status: watch::Sender<Arc<Status>>,
        shutdown: CancellationToken,
    ) {
        shutdown
            .run_until_cancelled(stream::follow(self, activate, status))
            .await;
    }
}
