//! One connection to an endpoint: the socket, the timer that the exchanges on it share, and what is on its way in both
//! directions. It lies in one place from its first exchange to its last, so that an exchange is a pointer to it and moves
//! cheaply. Dropping it closes it.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};

use crate::receiving::Receiving;

use super::error::UpstreamError;
use super::sending::Sending;
use super::watch::Watch;

/// "Never", in the sense of tokio's own far future: a timer that nobody has set.
const FAR: Duration = Duration::from_hours(24 * 365 * 30);

/// A connection in use, or about to be kept.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) stream: TcpStream,
    /// Made once for each connection and moved by `watch`: an exchange that ends in time arms no timer of its own.
    pub(super) timer: Pin<Box<Sleep>>,
    /// What is on its way out.
    pub(super) sending: Sending,
    /// What has come in.
    pub(super) receiving: Receiving,
    /// The clock of the exchange.
    pub(super) watch: Watch,
}

impl Connection {
    /// Connects within `timeout` and before `deadline`.
    pub(super) async fn open(
        address: SocketAddr,
        timeout: Duration,
        deadline: Option<Instant>,
    ) -> Result<Box<Self>, UpstreamError> {
        let by = Instant::now() + timeout;
        let (by, late) = match deadline {
            Some(deadline) if deadline < by => (deadline, UpstreamError::Deadline),
            _ => (by, UpstreamError::ConnectTimeout),
        };
        let stream = match tokio::time::timeout_at(by, TcpStream::connect(address)).await {
            Ok(stream) => stream.map_err(UpstreamError::Connect)?,
            Err(_) => return Err(late),
        };
        // A head and the end of a body are sent as soon as they are there: waiting for more would cost a round trip.
        stream.set_nodelay(true).map_err(UpstreamError::Connect)?;
        let timer = Box::pin(tokio::time::sleep(FAR));
        Ok(Box::new(Self {
            stream,
            timer,
            sending: Sending::default(),
            receiving: Receiving::default(),
            watch: Watch::default(),
        }))
    }

    /// True if nothing has come in since the last response. An idle server has nothing to say but goodbye, so bytes are as
    /// bad as the end: they would be taken for the answer to a request that is not sent yet.
    ///
    /// No system call while the event loop has seen nothing on the socket.
    pub(super) fn is_quiet(&self) -> bool {
        match self.stream.try_read(&mut [0]) {
            Ok(_) => false,
            Err(error) => error.kind() == io::ErrorKind::WouldBlock,
        }
    }
}
