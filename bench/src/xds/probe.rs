//! Keep-alive of a client's connection: a ping after a while, and the end of the connection if no answer comes. Never two pings at once,
//! which HTTP/2's library refuses and no client does.

use std::pin::Pin;
use std::time::Duration;

use anyhow::{Error, Result, anyhow};
use h2::{Ping, PingPong};
use tokio::time::{Instant, Sleep, sleep};

/// How often our proxy probes its connection, and how long an answer may take (`proxy/src/ads/stream.rs`).
const KEEP_ALIVE: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(5));

/// The probes of one connection.
#[derive(Debug)]
pub(crate) struct Probe {
    pings: PingPong,
    timer: Pin<Box<Sleep>>,
    is_asked: bool,
}

impl Probe {
    /// The first ping comes at some moment of the first interval, for proxies are not started together.
    pub(crate) fn of(pings: PingPong) -> Self {
        Self {
            pings,
            timer: Box::pin(sleep(KEEP_ALIVE.0.mul_f64(fastrand::f64()))),
            is_asked: false,
        }
    }

    /// Probes until the connection is dead. Cancel-safe.
    pub(crate) async fn failed(&mut self) -> Error {
        loop {
            if let Err(error) = self.step().await {
                return error;
            }
        }
    }

    async fn step(&mut self) -> Result<()> {
        if !self.is_asked {
            self.timer.as_mut().await;
            self.pings.send_ping(Ping::opaque())?;
            self.is_asked = true;
            self.timer.as_mut().reset(Instant::now() + KEEP_ALIVE.1);
        }
        tokio::select! {
            biased;
            pong = std::future::poll_fn(|context| self.pings.poll_pong(context)) => {
                pong?;
            }
            () = self.timer.as_mut() => {
                return Err(anyhow!("no answer to a ping within {:?}", KEEP_ALIVE.1));
            }
        }
        self.is_asked = false;
        self.timer.as_mut().reset(Instant::now() + KEEP_ALIVE.0);
        Ok(())
    }
}

/// As [`Probe::failed`]; who does not probe waits for ever.
pub(crate) async fn failed(probe: &mut Option<Probe>) -> Error {
    match probe {
        Some(probe) => probe.failed().await,
        None => std::future::pending().await,
    }
}
