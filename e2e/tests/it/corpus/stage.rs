//! What the corpus is played on: a proxy with one worker, told by our own control plane, a recorder behind it, and a client of
//! bare sockets in front. After each case the two readers judge what went over every connection.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use e2e::client::{self, Request};
use e2e::ports;
use e2e::programs::{ControlPlane, Proxy, ProxySettings};
use e2e::reading::h11::H11;
use e2e::reading::{End, Message, Reading, Shown, Start, strict};
use e2e::recorder::{self, PROBE, PROBE_BODY, Recorded, Recorder};
use tokio::runtime::Handle;

use super::case::Step;

/// A client that waits longer for an answer or for the end has failed. Only what fails waits so long.
const PATIENCE: Duration = Duration::from_secs(3);

/// By how much the proxy may grow at most, whatever is sent (promise D5).
const MOST_MEMORY: u64 = 8 * 1024;

/// What is sent last on a connection that should still be good.
pub(super) const LAST_WORD: &[u8] =
    b"GET /probe HTTP/1.1\r\nHost: probe.example\r\nConnection: close\r\n\r\n";

/// Everything that runs.
pub(super) struct Stage {
    pub(super) recorder: Recorder,
    pub(super) h11: H11,
    proxy: Proxy,
    listener: SocketAddr,
    pid: u32,
    /// Its largest size in KiB before the first case.
    size: u64,
    has_panicked: Arc<AtomicBool>,
    _control_plane: ControlPlane,
}

impl Stage {
    pub(super) async fn start() -> Result<Self> {
        let recorder = Recorder::start()?;
        let control_plane = ControlPlane::start().await?;
        let port = ports::free_port()?;
        let config = include_str!("config.yaml")
            .replace("LISTENER_PORT", &port.to_string())
            .replace("RECORDER_PORT", &recorder.port().to_string());
        control_plane.apply(&config).await?;
        let has_panicked = Arc::<AtomicBool>::default();
        let seen = has_panicked.clone();
        let mut proxy = ProxySettings::new("edge", control_plane.xds())
            .workers(1)
            .on_line(Arc::new(move |line: &str| {
                if line.contains("panicked at") {
                    seen.store(true, Ordering::Relaxed);
                }
            }))
            .start()
            .await?;
        proxy.wait_live().await?;
        let pid = proxy.process().id();
        Ok(Self {
            recorder,
            h11: H11::start()?,
            listener: proxy.listener(port),
            pid,
            size: peak(pid)?,
            proxy,
            has_panicked,
            _control_plane: control_plane,
        })
    }

    /// A connection to the proxy.
    pub(super) fn connect(&self) -> Result<Client> {
        Client::connect(self.listener)
    }

    /// The proxy is the same as ever, and answers.
    pub(super) fn check_alive(&mut self) -> Result<()> {
        ensure!(
            !self.has_panicked.load(Ordering::Relaxed),
            self.proxy.process().failure("has panicked")
        );
        self.proxy.process().check_running()?;
        ensure!(self.proxy.process().id() == self.pid);
        let grown = peak(self.pid)?.saturating_sub(self.size);
        println!("grown by {grown} KiB");
        ensure!(grown <= MOST_MEMORY, "the proxy has grown by {grown} KiB");
        self.ask_elsewhere()?;
        self.recorder.take().map(drop)
    }

    /// Another client gets its own answer.
    pub(super) fn ask_elsewhere(&self) -> Result<()> {
        let mut client = self.connect()?;
        client.write(LAST_WORD);
        client.read_to_end()?;
        let reading = self.responses(&client, &["GET"])?;
        let is_fine = reading.messages.len() == 1 && is_probes_answer(&reading.messages[0]);
        ensure!(is_fine, "the next client got {reading:?}");
        Ok(())
    }

    /// How many requests have failed for this cause.
    pub(super) fn failures(&self, cause: &str) -> Result<u64> {
        let target = Request::get("/metrics");
        let asked = client::send(self.proxy.admin(), target);
        let text = Handle::current().block_on(asked)?.success()?.text();
        let line = format!("signalbox_proxy_failures_total{{cause=\"{cause}\"}} ");
        let count = text.lines().find_map(|text| text.strip_prefix(&line));
        Ok(count.context("no such cause")?.parse()?)
    }

    /// What reached the upstream on each connection: read by both readers in the same way, or an error.
    pub(super) fn requests(&self, recorded: &[Recorded]) -> Result<Vec<Reading>> {
        let read = |recorded: &Recorded| {
            let ours = strict::requests(&recorded.bytes);
            let theirs = self.h11.requests(&recorded.bytes)?;
            agreed(&ours, &theirs)
                .with_context(|| format!("upstream got {}", Shown(&recorded.bytes)))?;
            Ok(ours)
        };
        recorded.iter().map(read).collect()
    }

    /// What the client received: read by both readers in the same way, or an error.
    pub(super) fn responses(&self, client: &Client, methods: &[&str]) -> Result<Reading> {
        let (received, is_closed) = (&client.received, client.is_closed);
        let ours = strict::responses(received, methods, is_closed);
        let theirs = self.h11.responses(received, methods, is_closed)?;
        agreed(&ours, &theirs).with_context(|| format!("client got {}", Shown(received)))?;
        Ok(ours)
    }

    /// Whether the client may go on with its connection, by what it was answered.
    pub(super) fn stays(&self, client: &Client, methods: &[&str]) -> Result<bool> {
        let reading = self.responses(client, methods)?;
        let last = reading.messages.last();
        let says_no = |message: &Message| {
            let mut options = message.all("connection");
            message.status() == Some(101)
                || options.any(|option| option.eq_ignore_ascii_case(b"close"))
        };
        Ok(!client.is_closed && reading.end == End::Clean && !last.is_none_or(says_no))
    }
}

/// The largest size of a process so far, in KiB.
fn peak(pid: u32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let size = line.and_then(|line| line.trim().strip_suffix(" kB"));
    Ok(size.context("no VmHWM")?.parse()?)
}

/// Two readings are one: the same messages, the same end, and nothing that is no message.
fn agreed(ours: &Reading, theirs: &Reading) -> Result<()> {
    ensure!(
        !matches!(ours.end, End::Malformed(_)),
        "malformed to the strict reader: {ours:?}"
    );
    ensure!(ours == theirs, "read in two ways: {ours:?} and {theirs:?}");
    Ok(())
}

/// Whether this is the answer to a probe, and to nothing else.
pub(super) fn is_probes_answer(message: &Message) -> bool {
    message.status() == Some(200) && message.body == PROBE_BODY.as_bytes()
}

/// Whether this is the probe itself.
pub(super) fn is_probe(message: &Message) -> bool {
    matches!(&message.start, Start::Request { method, target } if method == "GET" && target == PROBE)
}

/// A client's connection.
pub(super) struct Client {
    stream: TcpStream,
    pub(super) received: Vec<u8>,
    /// The proxy has closed it.
    pub(super) is_closed: bool,
}

impl Client {
    fn connect(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).context("connecting to the proxy")?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            received: Vec::new(),
            is_closed: false,
        })
    }

    /// Writes. A proxy that has closed by now is judged by what it said.
    pub(super) fn write(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    /// Does what the steps say. `methods` are those of the requests that will be answered.
    pub(super) fn play(&mut self, steps: &[Step], methods: &[&str]) -> Result<()> {
        let mut answers = 0;
        let mut waiting = Vec::new();
        for step in steps {
            if let Step::Write(bytes) = step {
                waiting.extend_from_slice(bytes);
                continue;
            }
            self.write(&std::mem::take(&mut waiting));
            match step {
                Step::Write(_) => {}
                Step::Apart => recorder::apart(),
                Step::Answered => {
                    answers += 1;
                    self.read_messages(methods, answers)?;
                }
                Step::HalfClose => self.stream.shutdown(Shutdown::Write)?,
                Step::Close => self.stream.shutdown(Shutdown::Both)?,
                Step::Early | Step::Reset => bail!("{step:?} is for upstreams"),
            }
        }
        self.write(&waiting);
        Ok(())
    }

    /// Reads until there are so many answers, interim ones among them, or the end.
    pub(super) fn read_messages(&mut self, methods: &[&str], count: usize) -> Result<()> {
        self.read_until(|received| {
            strict::responses(received, methods, false).messages.len() >= count
        })
    }

    /// Reads until each of the requests has its answer, or the end.
    pub(super) fn read_answers(&mut self, methods: &[&str]) -> Result<()> {
        self.read_until(|received| {
            let reading = strict::responses(received, methods, false);
            let answers = reading
                .messages
                .iter()
                .filter(|message| !message.is_interim());
            answers.count() == methods.len()
        })
    }

    pub(super) fn read_to_end(&mut self) -> Result<()> {
        self.read_until(|_| false)
    }

    fn read_until(&mut self, is_enough: impl Fn(&[u8]) -> bool) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        let mut buffer = [0; 16 * 1024];
        while !self.is_closed && !is_enough(&self.received) {
            let left = deadline.saturating_duration_since(Instant::now());
            ensure!(
                !left.is_zero(),
                "nothing more within {PATIENCE:?}, and not closed, after {}",
                Shown(&self.received)
            );
            self.stream.set_read_timeout(Some(left))?;
            match self.stream.read(&mut buffer) {
                Ok(0) => self.is_closed = true,
                Ok(read) => self.received.extend_from_slice(&buffer[..read]),
                Err(error) => match error.kind() {
                    // A reset: what we had sent was not read any more.
                    std::io::ErrorKind::ConnectionReset => self.is_closed = true,
                    std::io::ErrorKind::WouldBlock
                    | std::io::ErrorKind::TimedOut
                    | std::io::ErrorKind::Interrupted => {}
                    _ => return Err(error.into()),
                },
            }
        }
        Ok(())
    }
}
