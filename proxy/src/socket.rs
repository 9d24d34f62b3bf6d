//! Listening sockets: one for each worker, all on one address (`SO_REUSEPORT`), so that the kernel spreads connections
//! and no worker waits for another. Binding and listening are two steps: a config binds while it is prepared and
//! listens when it is live. Accepting is in `listener`.

use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

/// Connections that may wait for `accept`; the kernel caps it at `net.core.somaxconn`.
const BACKLOG: i32 = 1024;

/// The sockets of one address, bound but not yet listening.
#[derive(Debug)]
pub(crate) struct Bound {
    sockets: Vec<Socket>,
}

/// Whether another socket may stand on the address already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sharing {
    /// No: then binding fails, as it does without `SO_REUSEPORT`. Two proxies must not split a port by mistake.
    Refused,
    /// Yes: one of ours is about to close.
    Expected,
}

impl Bound {
    /// Binds `count` sockets.
    pub(crate) fn bind(address: SocketAddr, count: usize, sharing: Sharing) -> io::Result<Self> {
        if sharing == Sharing::Refused {
            new_socket(address)?.bind(&SockAddr::from(address))?;
        }
        let sockets = (0..count).map(|_| shared_socket(address));
        Ok(Self {
            sockets: sockets.collect::<io::Result<_>>()?,
        })
    }

    /// Begins to listen.
    pub(crate) fn listen(self) -> io::Result<Vec<TcpListener>> {
        for socket in &self.sockets {
            socket.listen(BACKLOG)?;
        }
        Ok(self.sockets.into_iter().map(TcpListener::from).collect())
    }
}

fn shared_socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = new_socket(address)?;
    socket.set_reuse_port(true)?;
    socket.bind(&SockAddr::from(address))?;
    Ok(socket)
}

fn new_socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    // Connections of a process before this one may still be in TIME_WAIT.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    if address.is_ipv6() {
        // As Envoy: `::` is IPv6 alone, so that `0.0.0.0` beside it is no conflict.
        socket.set_only_v6(true)?;
    }
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An address that is free, as far as one can know.
    fn free() -> SocketAddr {
        TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
    }

    #[test]
    fn all_sockets_of_an_address_listen_on_it() {
        let address = free();
        let listeners = Bound::bind(address, 3, Sharing::Refused)
            .unwrap()
            .listen()
            .unwrap();
        assert_eq!(listeners.len(), 3);
        for listener in &listeners {
            assert_eq!(listener.local_addr().unwrap(), address);
        }
    }

    #[test]
    fn a_port_that_somebody_listens_on_is_not_shared_by_mistake() {
        let address = free();
        let _listening = Bound::bind(address, 1, Sharing::Refused)
            .unwrap()
            .listen()
            .unwrap();
        let refused = Bound::bind(address, 1, Sharing::Refused).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::AddrInUse);
        assert!(Bound::bind(address, 1, Sharing::Expected).is_ok());
    }

    #[test]
    fn nobody_is_answered_before_listening() {
        let address = free();
        let _bound = Bound::bind(address, 1, Sharing::Refused).unwrap();
        let refused = std::net::TcpStream::connect(address).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    }
}
