//! Upstreams: which endpoint, over which connection, and one HTTP/1.1 exchange on it.
//! Everything here belongs to one worker thread (`Rc`, no locks, nothing is `Send`). There is no task per connection: a
//! connection is driven by the request that uses it and rests in the [`Pool`] between requests.
//!
//! ```text
//! request ─► Exchange::begin ─► poll_response() ─► into_body() ─► ResponseBody ─► end: connection back to the Pool
//!              Pool: idle, or connect  │     Sending ║ Receiving             else: closed
//!                                      └─► 101: into_tunnel() ─► Tunnel
//! ```
//!
//! What a failure means for the client and whether to try again is decided in `request`.

pub(crate) mod balancer;

// What an exchange is made of, from the socket up.
mod error;

mod sending;
mod watch;

mod connection;

mod pool;

// After 101.
mod tunnel;

// The exchange.
mod transfer;

mod body;
mod exchange;

#[cfg(test)]
mod tests;

pub(crate) use body::ResponseBody;
pub(crate) use error::UpstreamError;
pub(crate) use exchange::{Exchange, Limits};
pub(crate) use pool::{Connecting, Pool};
pub(crate) use tunnel::{Side, Tunnel};
