//! Free TCP ports for programs that must be told theirs.
//! A port given out is reserved until this process ends, among all processes that ask here: the UDP port of the same number
//! is held, which does not hinder TCP.

use std::net::{IpAddr, Ipv4Addr, TcpListener, UdpSocket};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU16, Ordering};

use anyhow::{Context as _, Result};

/// Below the range that Linux hands to outgoing connections (32768 and up), which could take a port before its program does.
const FIRST: u16 = 20_000;
const COUNT: u16 = 12_000;

static NEXT: AtomicU16 = AtomicU16::new(0);
static RESERVED: Mutex<Vec<UdpSocket>> = Mutex::new(Vec::new());

/// A port that nothing listens on at 127.0.0.1.
pub fn free_port() -> Result<u16> {
    free_port_on(&[IpAddr::V4(Ipv4Addr::LOCALHOST)])
}

/// A port that nothing listens on at any of the addresses: one listener of a config on several proxies.
pub fn free_port_on(addresses: &[IpAddr]) -> Result<u16> {
    // Processes start at different places, so that tests that run side by side seldom ask for the same port.
    let start = (std::process::id() % u32::from(COUNT)) as u16;
    (0..COUNT)
        .map(|_| FIRST + (start + NEXT.fetch_add(1, Ordering::Relaxed) % COUNT) % COUNT)
        .find(|port| reserve(*port, addresses))
        .context("no free port")
}

fn reserve(port: u16, addresses: &[IpAddr]) -> bool {
    let Ok(reservation) = UdpSocket::bind((Ipv4Addr::LOCALHOST, port)) else {
        return false;
    };
    let free = addresses
        .iter()
        .all(|address| TcpListener::bind((*address, port)).is_ok());
    if free {
        RESERVED
            .lock()
            .expect("nothing panics while it holds the lock")
            .push(reservation);
    }
    free
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_free_and_given_out_once() {
        let first = free_port().unwrap();
        let second = free_port_on(&[[127, 0, 0, 1].into(), [127, 0, 0, 11].into()]).unwrap();
        assert_ne!(first, second);
        TcpListener::bind((Ipv4Addr::LOCALHOST, first)).unwrap();
        assert!(
            !reserve(second, &[]),
            "another process cannot get it either"
        );
    }

    #[test]
    fn a_port_that_is_in_use_is_not_given_out() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        assert!(!reserve(
            taken.local_addr().unwrap().port(),
            &[Ipv4Addr::LOCALHOST.into()]
        ));
    }
}
