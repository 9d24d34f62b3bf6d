//! The listeners of one worker: takes sockets from the writer, accepts, hands connections on, closes and drains. The whole
//! life of a worker's thread is [`serve`].

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, spawn_local};

use crate::connection;
use crate::live::Handover;
use crate::worker::{Place, Worker};

/// Pause after an `accept` that failed for want of something that others may give back (file descriptors, memory).
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A socket that is accepted from.
struct Listening {
    close: oneshot::Sender<()>,
    accepting: JoinHandle<()>,
}

/// Carries traffic until it is told to stop, or has drained.
///
/// Connections drain before their socket is closed, so that whoever sees the closed port may count on the last responses
/// saying so; and once more after it, for those that were still waiting to be accepted.
pub(crate) async fn serve(worker: Rc<Worker>, mut handovers: UnboundedReceiver<Handover>) {
    let clock = worker.clone();
    spawn_local(async move { clock.keep_time().await });
    let mut open = HashMap::new();
    while let Some(handover) = handovers.recv().await {
        match handover {
            Handover::Refresh => worker.refresh(),
            Handover::Listen {
                address,
                socket,
                open: token,
            } => match listen(&worker, address, socket, token) {
                Ok(listening) => drop(open.insert(address, listening)),
                Err(error) => tracing::error!(%address, %error, "cannot accept"),
            },
            Handover::Close(address) => {
                worker.drain(&address);
                if let Some(listening) = open.remove(&address) {
                    listening.stop().await;
                }
                worker.drain(&address);
            }
            Handover::Drain => break,
            Handover::Stop => return,
        }
    }
    for address in open.keys() {
        worker.drain(address);
    }
    for (address, listening) in open {
        listening.stop().await;
        worker.drain(&address);
    }
    finish(&worker, handovers).await;
}

/// Ends when every connection has, or when it is told to stop.
async fn finish(worker: &Worker, mut handovers: UnboundedReceiver<Handover>) {
    let stopped = async {
        while let Some(handover) = handovers.recv().await {
            match handover {
                Handover::Stop => return,
                Handover::Refresh => worker.refresh(),
                Handover::Listen { .. } | Handover::Close(_) | Handover::Drain => {}
            }
        }
    };
    tokio::select! {
        () = worker.idle() => {}
        () = stopped => {}
    }
}

fn listen(
    worker: &Rc<Worker>,
    address: SocketAddr,
    socket: std::net::TcpListener,
    open: Arc<()>,
) -> io::Result<Listening> {
    let socket = TcpListener::from_std(socket)?;
    let (close, closed) = oneshot::channel();
    let place = worker.open_place(address);
    let accepting = accept(worker.clone(), place, socket, closed, open);
    Ok(Listening {
        close,
        accepting: spawn_local(accepting),
    })
}

impl Listening {
    /// Accepts what waits and closes the socket.
    async fn stop(self) {
        let _ = self.close.send(());
        if let Err(error) = self.accepting.await {
            tracing::error!(%error, "accepting ended badly");
        }
    }
}

async fn accept(
    worker: Rc<Worker>,
    place: Rc<Place>,
    socket: TcpListener,
    mut closed: oneshot::Receiver<()>,
    open: Arc<()>,
) {
    loop {
        let accepted = tokio::select! {
            biased;
            accepted = socket.accept() => accepted,
            _ = &mut closed => break,
        };
        match accepted {
            Ok((stream, peer)) => admit(&worker, &place, stream, peer),
            Err(error) => {
                worker.process_slot().accept_errors.inc();
                if !is_clients_fault(&error) {
                    tracing::warn!(address = %place.address, %error, "accept failed");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
    if let Err(error) = accept_waiting(&worker, &place, socket) {
        tracing::warn!(address = %place.address, %error, "connections that waited are lost");
    }
    drop(open);
}

/// Clients that are connected already, but not yet accepted, are served too.
fn accept_waiting(worker: &Rc<Worker>, place: &Rc<Place>, socket: TcpListener) -> io::Result<()> {
    let socket = socket.into_std()?;
    loop {
        match socket.accept() {
            Ok((stream, peer)) => {
                stream.set_nonblocking(true)?;
                admit(worker, place, TcpStream::from_std(stream)?, peer);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) if is_clients_fault(&error) => {}
            Err(error) => return Err(error),
        }
    }
}

/// The client went away while it waited (`accept(2)`): the next one may be fine.
fn is_clients_fault(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted
    )
}

fn admit(worker: &Rc<Worker>, place: &Rc<Place>, stream: TcpStream, peer: SocketAddr) {
    // Heads and bodies are written whole: waiting for more would only delay them. A socket that refuses is closed anyway.
    let _ = stream.set_nodelay(true);
    let downstream = worker.admit(place.clone(), peer);
    spawn_local(connection::serve(stream, downstream));
}
