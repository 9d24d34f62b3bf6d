//! Visitors: a few requests a second to every proxy, so that there is something to see and to judge by.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use e2e::client::{self, Request};
use tokio::task::JoinSet;

use super::{LISTENER_PORT, PROXIES};

/// Between two requests to one proxy.
const PAUSE: Duration = Duration::from_millis(50);
const PATHS: [&str; 2] = ["/products/7", "/hello"];

/// Sends visitors until the set is dropped. What they are answered is the proxies' business.
pub(super) fn send() -> JoinSet<()> {
    let mut visitors = JoinSet::new();
    for (_, address, _) in PROXIES {
        visitors.spawn(visit(address));
    }
    visitors
}

async fn visit(address: Ipv4Addr) {
    let peer = SocketAddr::from((address, LISTENER_PORT));
    for path in PATHS.iter().cycle() {
        let _ = client::send(peer, Request::get(*path)).await;
        tokio::time::sleep(PAUSE).await;
    }
}
