//! A server that keeps every byte that it receives, on bare sockets: what reached it is judged afterwards (`reading`), and it
//! answers as it is told, rightly or not. Each connection has a thread of its own.
//! In: what to answer. Out: the bytes of each connection, whole: [`Recorder::take`] waits until nothing more can come.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use socket2::SockRef;

use crate::reading::strict;
use crate::reading::{End, Message, Start};

/// Requests whose target begins with this are answered plainly, whatever else was said.
pub const PROBE: &str = "/probe";
/// The body of the answer to a probe.
pub const PROBE_BODY: &str = "probe";
/// The body of an answer that nobody has said anything of.
pub const BODY: &str = "ok";

/// How long a thread waits for the other side of a test.
const PATIENCE: Duration = Duration::from_secs(5);
/// One thing that is done in place of a plain answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// The first step of a script that is played as soon as the head of the request is there.
    Early,
    /// These bytes are written.
    Send(Vec<u8>),
    /// What comes next is written apart.
    Apart,
    /// Waits for [`Recorder::answered`].
    Answered,
    /// The connection is closed.
    Close,
    /// The connection is reset.
    Reset,
}

/// A running server; dropping it closes everything.
pub struct Recorder {
    address: SocketAddr,
    shared: Arc<Shared>,
}

/// What a connection has carried to the server.
#[derive(Clone, Debug, Default)]
pub struct Recorded {
    pub bytes: Vec<u8>,
    /// The other side has closed it.
    pub is_closed: bool,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    is_over: AtomicBool,
}

#[derive(Default)]
struct State {
    connections: Vec<Connection>,
    /// For the next request that is no probe.
    script: Option<Vec<Step>>,
    is_played: bool,
    is_answered: bool,
}

struct Connection {
    /// Gone when it was reset.
    stream: Option<Arc<TcpStream>>,
    peer: SocketAddr,
    recorded: Recorded,
    thread: Option<JoinHandle<()>>,
}

impl Recorder {
    /// A server on a free port of 127.0.0.1.
    pub fn start() -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).context("a port for the recorder")?;
        let address = listener.local_addr()?;
        let shared = Arc::<Shared>::default();
        let of_thread = shared.clone();
        thread::spawn(move || accept(&listener, &of_thread));
        Ok(Self { address, shared })
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Answers the next request that is no probe in this way.
    pub fn play(&self, script: Vec<Step>) {
        let mut state = self.shared.state();
        (state.is_played, state.is_answered) = (false, false);
        state.script = Some(script);
    }

    /// The client has what it will get before [`Step::Answered`].
    pub fn answered(&self) {
        self.shared.state().is_answered = true;
        self.shared.changed.notify_all();
    }

    /// Waits until the script has come to its end.
    pub fn played(&self) -> Result<()> {
        ensure!(
            self.shared.wait(|state| state.is_played),
            "the script was not asked for"
        );
        Ok(())
    }

    /// Waits until the other side has closed all connections that have carried half a request.
    pub fn abandoned(&self) -> Result<()> {
        let is_settled = |connection: &Connection| {
            let Recorded { bytes, is_closed } = &connection.recorded;
            *is_closed || strict::requests(bytes).end == End::Clean
        };
        ensure!(
            self.shared
                .wait(|state| state.connections.iter().all(is_settled)),
            "a connection stays open that should be closed"
        );
        Ok(())
    }

    /// Ends all connections and gives what they have carried, in the order in which they came.
    pub fn take(&self) -> Result<Vec<Recorded>> {
        // Connections are accepted in their order: when this one is, no earlier one is missing.
        let last = TcpStream::connect(self.address).context("the recorder's own connection")?;
        let last = last.local_addr()?;
        let is_last = |connection: &Connection| connection.peer == last;
        let has_last = |state: &State| state.connections.iter().any(is_last);
        ensure!(self.shared.wait(has_last), "the recorder does not accept");
        let threads: Vec<_> = {
            let mut state = self.shared.state();
            state.script = None;
            let end = |connection: &mut Connection| {
                // What has arrived can still be read.
                if let Some(stream) = &connection.stream {
                    let _ = stream.shutdown(Shutdown::Both);
                }
                connection.thread.take()
            };
            state.connections.iter_mut().filter_map(end).collect()
        };
        self.answered();
        for thread in threads {
            let _ = thread.join();
        }
        let mut connections = std::mem::take(&mut self.shared.state().connections);
        connections.retain(|connection| !is_last(connection));
        let recorded = connections
            .into_iter()
            .map(|connection| connection.recorded);
        Ok(recorded.collect())
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(self.address);
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait(&self, is_so: impl Fn(&State) -> bool) -> bool {
        let is_not = |state: &mut State| !is_so(state);
        let waited = self
            .changed
            .wait_timeout_while(self.state(), PATIENCE, is_not);
        waited.is_ok_and(|(_, timeout)| !timeout.timed_out())
    }

    fn has_early_script(&self) -> bool {
        let state = self.state();
        let script = state.script.as_ref();
        script.is_some_and(|script| script.first() == Some(&Step::Early))
    }

    /// Adds what a connection has read.
    fn record(&self, index: usize, bytes: &[u8]) -> Vec<u8> {
        let mut state = self.state();
        let Some(connection) = state.connections.get_mut(index) else {
            return Vec::new();
        };
        connection.recorded.bytes.extend_from_slice(bytes);
        connection.recorded.bytes.clone()
    }
}

/// Lets what was written arrive before what comes next is. Nothing depends on it: what comes of two pieces is the same if they
/// arrive as one.
#[expect(
    clippy::disallowed_methods,
    reason = "nobody outside of the kernel and the reader sees that a piece has arrived"
)]
pub fn apart() {
    thread::sleep(Duration::from_millis(2));
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    while let Ok((stream, peer)) = listener.accept() {
        if shared.is_over.load(Ordering::Relaxed) {
            return;
        }
        let _ = stream.set_nodelay(true);
        let stream = Arc::new(stream);
        let of_state = stream.clone();
        let mut state = shared.state();
        let index = state.connections.len();
        let of_thread = shared.clone();
        let thread = thread::spawn(move || serve(stream, index, &of_thread));
        state.connections.push(Connection {
            stream: Some(of_state),
            peer,
            recorded: Recorded::default(),
            thread: Some(thread),
        });
        drop(state);
        shared.changed.notify_all();
    }
}

fn serve(stream: Arc<TcpStream>, index: usize, shared: &Shared) {
    let mut buffer = vec![0; 64 * 1024];
    let mut answered = 0;
    'connection: while let Ok(read @ 1..) = (&*stream).read(&mut buffer) {
        let bytes = shared.record(index, &buffer[..read]);
        let messages = strict::requests(&bytes).messages;
        for message in messages.iter().skip(answered) {
            if answer(&stream, message, shared).is_break() {
                break 'connection;
            }
            answered += 1;
        }
        // The last bytes are those of a head or of a body: when the request is whole it has its answer already.
        if messages.len() == answered && shared.has_early_script() && has_head(&bytes) {
            let script = shared.state().script.take().unwrap_or_default();
            if play(&stream, script, shared).is_break() {
                break;
            }
            answered += 1;
        }
    }
    if let Some(connection) = shared.state().connections.get_mut(index) {
        connection.recorded.is_closed = true;
        connection.stream = None;
    }
    drop(stream);
    shared.changed.notify_all();
}

fn has_head(bytes: &[u8]) -> bool {
    bytes.windows(4).any(|window| window == b"\r\n\r\n")
}

/// A write that fails is the other side's doing, and shows in what comes of the case. Breaks when the connection is to be dropped.
fn answer(mut stream: &TcpStream, request: &Message, shared: &Shared) -> ControlFlow<()> {
    let Start::Request { method, target } = &request.start else {
        return ControlFlow::Continue(());
    };
    let is_probe = target.starts_with(PROBE);
    let script = if is_probe {
        None
    } else {
        shared.state().script.take()
    };
    let Some(script) = script else {
        let body = if is_probe { PROBE_BODY } else { BODY };
        let mut answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
        if method != "HEAD" {
            answer.push_str(body);
        }
        let _ = stream.write_all(answer.as_bytes());
        return ControlFlow::Continue(());
    };
    play(stream, script, shared)
}

fn play(mut stream: &TcpStream, script: Vec<Step>, shared: &Shared) -> ControlFlow<()> {
    let mut flow = ControlFlow::Continue(());
    for step in script {
        match step {
            Step::Early => {}
            Step::Send(bytes) => drop(stream.write_all(&bytes)),
            Step::Apart => apart(),
            Step::Answered => {
                shared.wait(|state| state.is_answered);
            }
            Step::Close => drop(stream.shutdown(Shutdown::Both)),
            Step::Reset => {
                let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
                flow = ControlFlow::Break(());
            }
        }
    }
    shared.state().is_played = true;
    shared.changed.notify_all();
    flow
}
