//! A child process that cannot outlive its owner: dropped, it is killed; and should the owner itself be killed, a guard does it.
//! In: a command. Out: its last lines for failure messages, the line that says it is ready, signals, its exit.

mod guard;
mod output;

use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};

use self::guard::Guard;
pub use self::output::OnLine;
use self::output::Output;
use crate::wait;

/// Signals that a test sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// End in an orderly way.
    Term,
    /// PostgreSQL: end at once, without tidying up.
    Quit,
    /// End now.
    Kill,
    /// Freeze, as a machine that hangs does.
    Stop,
    /// Go on after [`Signal::Stop`].
    Cont,
    /// nginx: read the config again.
    Hup,
    /// HAProxy: read the config again.
    Usr2,
}

impl Signal {
    fn name(self) -> &'static str {
        match self {
            Self::Term => "TERM",
            Self::Quit => "QUIT",
            Self::Kill => "KILL",
            Self::Stop => "STOP",
            Self::Cont => "CONT",
            Self::Hup => "HUP",
            Self::Usr2 => "USR2",
        }
    }
}

/// What to start and how.
pub struct Spawn {
    name: String,
    command: Command,
    on_line: Option<OnLine>,
    last_signal: Signal,
}

impl Spawn {
    /// `name` stands in failure messages.
    pub fn new(name: impl Into<String>, command: Command) -> Self {
        Self {
            name: name.into(),
            command,
            on_line: None,
            last_signal: Signal::Kill,
        }
    }

    /// Calls back with every line that the child writes, from another thread.
    #[must_use]
    pub fn on_line(mut self, on_line: Option<OnLine>) -> Self {
        self.on_line = on_line;
        self
    }

    /// What ends the child when its owner is dropped or gone. Default: [`Signal::Kill`]. Others get 5 s.
    #[must_use]
    pub fn last_signal(mut self, signal: Signal) -> Self {
        self.last_signal = signal;
        self
    }

    /// Starts the child.
    pub fn start(mut self) -> Result<Process> {
        // A group of its own: Ctrl-C in a terminal then reaches the owner alone, which ends its children in order.
        self.command
            .process_group(0)
            // Plain text: what is read here is searched, or shown in a failure message.
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = self
            .command
            .spawn()
            .with_context(|| format!("starting {}: {:?}", self.name, self.command))?;
        let guard =
            Guard::over(child.id(), self.last_signal).inspect_err(|_| drop(child.kill()))?;
        let output = Output::of(&mut child, self.on_line);
        Ok(Process {
            name: self.name,
            child,
            guard,
            output,
            exit: None,
        })
    }
}

/// A running (or ended) child.
pub struct Process {
    name: String,
    child: Child,
    guard: Guard,
    output: Output,
    exit: Option<ExitStatus>,
}

impl Process {
    /// The process id, for `/proc`.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for the first line, of either stream, that `pick` turns into something.
    pub async fn line<T>(
        &mut self,
        what: &str,
        within: Duration,
        pick: impl Fn(&str) -> Option<T>,
    ) -> Result<T> {
        match tokio::time::timeout(within, self.output.find(pick)).await {
            Ok(Some(found)) => Ok(found),
            Ok(None) => {
                let status = self
                    .wait(Duration::from_secs(5))
                    .await
                    .map_or("still runs".to_owned(), |status| status.to_string());
                Err(self.failure(&format!("ended its output before {what} ({status})")))
            }
            Err(_) => Err(self.failure(&format!("{what}: not within {within:?}"))),
        }
    }

    /// Sends a signal.
    pub fn signal(&mut self, signal: Signal) -> Result<()> {
        self.guard
            .send(signal)
            .with_context(|| format!("sending {signal:?} to {}", self.name))
    }

    /// The exit status, if it has ended.
    pub fn try_wait(&mut self) -> Result<Option<ExitStatus>> {
        if self.exit.is_none() {
            self.exit = self.child.try_wait()?;
            if self.exit.is_some() {
                self.guard.stand_down();
            }
        }
        Ok(self.exit)
    }

    /// Waits for it to end by itself.
    pub async fn wait(&mut self, within: Duration) -> Result<ExitStatus> {
        let name = self.name.clone();
        wait::until(&format!("{name} ends"), within, async || {
            match self.try_wait() {
                Ok(Some(status)) => Ok(status),
                Ok(None) => Err("it runs".to_owned()),
                Err(error) => Err(error.to_string()),
            }
        })
        .await
    }

    /// SIGTERM, then waits for the end. Not ending in time is an error, and so is an exit status other than 0.
    pub async fn terminate(&mut self, within: Duration) -> Result<()> {
        self.signal(Signal::Term)?;
        match self.wait(within).await {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(self.failure(&format!("ended with {status} on SIGTERM"))),
            Err(error) => Err(self.failure(&format!("{error:#}"))),
        }
    }

    /// SIGKILL, and it is gone when this returns: the way to test a crash.
    pub fn kill(&mut self) -> Result<()> {
        if self.exit.is_none() {
            self.child.kill()?;
            self.exit = Some(self.child.wait()?);
            self.guard.stand_down();
        }
        Ok(())
    }

    /// An error if it has ended.
    pub fn check_running(&mut self) -> Result<()> {
        match self.try_wait()? {
            None => Ok(()),
            Some(status) => bail!(self.failure(&format!("ended with {status}"))),
        }
    }

    /// Its last lines.
    pub fn tail(&self) -> String {
        self.output.tail()
    }

    /// An error with its name and last lines.
    pub fn failure(&self, what: &str) -> anyhow::Error {
        anyhow!(
            "{} {what}\n--- its last lines ---\n{}",
            self.name,
            self.output.tail()
        )
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.exit.is_none() {
            self.guard.strike();
            let _ = self.child.wait();
            self.guard.stand_down();
        }
    }
}

#[cfg(test)]
mod tests;
