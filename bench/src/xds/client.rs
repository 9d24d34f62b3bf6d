//! One simulated client: a connection, the xDS stream, and for one of ours the session. It says what the protocol asks for and
//! acknowledges everything; it reads no resource. Ends with an error only, for the server never ends a stream.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use h2::client::SendRequest;
use prost::Message;
use proto::session::Target;
use tokio::net::TcpSocket;
use xds::type_url::ResourceType;

use super::fleet::Fleet;
use super::frames::Frames;
use super::kind::Kind;
use super::probe::{self, Probe};
use super::scan::{Head, Scanner};
use super::session::Progress;
use super::speech;
use super::stream::Stream;
use super::traffic::{Counted, add};

/// Windows of a stream and of a connection, as our proxy's client (tonic's, hyper's) has them.
const WINDOWS: (u32, u32) = (2 * 1024 * 1024, 5 * 1024 * 1024);
/// The longest pause between two attempts, as our proxy's and Envoy's first.
const PAUSE: Duration = Duration::from_millis(500);
const ATTEMPTS: usize = 100;
/// So many addresses of 127.0.0.0/8 are connected from: each has ports of its own, also those that wait after a close.
const SOURCES: usize = 50;

/// A client on one connection.
struct Client<'f> {
    fleet: &'f Fleet,
    index: usize,
    id: String,
    connection: SendRequest<Bytes>,
    xds: Stream,
    scanner: Scanner,
    session: Option<Stream>,
    targets: Frames,
    progress: Progress,
    /// How many resources of each type came; `None` before the first answer.
    held: [Option<usize>; ResourceType::ALL.len()],
    is_ready: bool,
    /// The first client reads what it gets, for all the others that come back with the same.
    scout: Option<Frames>,
}

/// Follows the control plane. Whose connection breaks connects again, as proxies do, and it is counted and remembered why.
pub(crate) async fn run(fleet: Arc<Fleet>, index: usize) {
    for _ in 0..ATTEMPTS {
        let Err(error) = follow(&fleet, index).await;
        fleet.broken.note(fleet.ready.is_done(index), &error);
        tokio::time::sleep(PAUSE.mul_f64(fastrand::f64())).await;
    }
    fleet.fail(&format!(
        "client {index} was connected {ATTEMPTS} times; {}",
        fleet.broken.reasons()
    ));
}

async fn follow(fleet: &Fleet, index: usize) -> Result<std::convert::Infallible> {
    let socket = TcpSocket::new_v4()?;
    let source = Ipv4Addr::new(127, 0, 0, (2 + index % SOURCES) as u8);
    socket.bind((source, 0).into())?;
    let tcp = socket.connect(fleet.server).await.context("connecting")?;
    tcp.set_nodelay(true)?;
    let (connection, mut driver) = h2::client::Builder::new()
        .initial_window_size(WINDOWS.0)
        .initial_connection_window_size(WINDOWS.1)
        .handshake::<_, Bytes>(Counted::new(tcp, fleet.traffic.clone()))
        .await?;
    // Envoy does not probe unless it is told to.
    let pings = driver.ping_pong().filter(|_| fleet.kind().is_ours());
    let mut probe = pings.map(Probe::of);
    let mut client = Client::begin(fleet, index, connection)?;
    loop {
        tokio::select! {
            biased;
            ended = &mut driver => {
                ended.context("the connection broke")?;
                bail!("the server closed the connection");
            }
            bytes = client.xds.data() => client.discovery(&bytes.context("xDS")?)?,
            bytes = next(&mut client.session) => client.targets(&bytes.context("session")?)?,
            error = probe::failed(&mut probe) => return Err(error),
        }
    }
}

impl<'f> Client<'f> {
    fn begin(fleet: &'f Fleet, index: usize, mut connection: SendRequest<Bytes>) -> Result<Self> {
        let method = format!(
            "envoy.service.discovery.v3.AggregatedDiscoveryService/{}",
            fleet.kind().method()
        );
        let xds = Stream::open(&mut connection, &method)?;
        let mut client = Self {
            fleet,
            index,
            id: format!("simulated-{index:05}"),
            connection,
            xds,
            scanner: Scanner::default(),
            session: None,
            targets: Frames::default(),
            progress: Progress::from(fleet.before.revision, fleet.before.assignment),
            held: [None; ResourceType::ALL.len()],
            is_ready: false,
            scout: (index == 0).then(Frames::default),
        };
        let types = if fleet.comes_back() {
            fleet.kind().types()
        } else {
            fleet.kind().asks_after(None)
        };
        for (nth, ty) in types.iter().enumerate() {
            client.ask(*ty, nth == 0)?;
        }
        Ok(client)
    }

    fn ask(&mut self, ty: ResourceType, introduces: bool) -> Result<()> {
        let node = introduces.then_some(self.id.as_str());
        for part in self.fleet.speech.ask(ty, node) {
            self.xds.send(part)?;
        }
        Ok(())
    }

    fn discovery(&mut self, bytes: &[u8]) -> Result<()> {
        if let Some(frames) = &mut self.scout {
            frames.push(bytes);
            while let Some(message) = frames.next() {
                self.fleet.learn(&message)?;
            }
        }
        for head in self.scanner.feed(bytes)? {
            self.response(&head)?;
        }
        Ok(())
    }

    fn response(&mut self, head: &Head) -> Result<()> {
        add(&self.fleet.traffic.responses, head.bytes);
        let ty = ResourceType::from_type_url(&head.type_url)
            .with_context(|| format!("a response of type {:?}", head.type_url))?;
        let kind = self.fleet.kind();
        self.xds
            .send(speech::acknowledge(kind, ty, &head.nonce, &head.version))?;
        let is_first = self.held[ty.index()].is_none();
        *self.held[ty.index()].get_or_insert(0) += head.resources;
        if is_first && !self.fleet.comes_back() {
            for ty in kind.asks_after(Some(ty)) {
                self.ask(*ty, false)?;
            }
        }
        if kind.is_ours() {
            self.progress.acknowledged(head.version.parse()?);
            if self.session.is_none() {
                self.session = Some(Stream::open(
                    &mut self.connection,
                    "signalbox.v1.Session/Follow",
                )?);
            }
            self.report()?;
        }
        if self.is_ready && ty == kind.changes() && head.resources > 0 {
            self.fleet.acknowledged.done(self.index);
        }
        self.look_whether_ready();
        Ok(())
    }

    fn targets(&mut self, bytes: &[u8]) -> Result<()> {
        self.targets.push(bytes);
        while let Some(message) = self.targets.next() {
            add(&self.fleet.traffic.targets, 5 + message.len());
            let target = Target::decode(message)?;
            self.fleet.told(target.assignment);
            self.progress.target(&target);
            self.report()?;
        }
        self.look_whether_ready();
        Ok(())
    }

    fn report(&mut self) -> Result<()> {
        let holds_all = self.holds_all();
        let report = self.progress.report(holds_all);
        if let (Some(report), Some(session)) = (report, &mut self.session) {
            session.send(speech::status(
                &self.id,
                report.state,
                report.assignment,
                report.live,
            ))?;
            if self.progress.is_active() {
                self.fleet.active.done(self.index);
            }
        }
        Ok(())
    }

    fn holds_all(&self) -> bool {
        let mut types = self.fleet.kind().types().iter();
        types.all(|ty| match self.held[ty.index()] {
            Some(held) => held >= self.fleet.expects(*ty),
            // A name whose newest version is held already is not answered; a wildcard always is.
            None => self.fleet.expects(*ty) == 0 && !Kind::names(*ty).is_empty(),
        })
    }

    fn look_whether_ready(&mut self) {
        let is_active = !self.fleet.kind().is_ours() || self.progress.is_active();
        if !self.is_ready && is_active && self.holds_all() {
            self.is_ready = true;
            self.fleet.ready.done(self.index);
        }
    }
}

async fn next(session: &mut Option<Stream>) -> Result<Bytes> {
    match session {
        Some(session) => session.data().await,
        None => std::future::pending().await,
    }
}
