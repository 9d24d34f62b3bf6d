//! HTTP as bytes: pure functions and values, no sockets, no async, no clock.
//!
//! ```text
//! client ─► h1 ─► canonical ─► head ─► (routing, filters) ─► h1 ─► upstream
//! client ◄─ h1 ◄───────────── head ◄─ (filters) ◄────────── h1 ◄─ upstream
//! ```
//!
//! - [`head`]: the compact head, the one type that routing, filters and the codec see;
//! - [`canonical`]: the one reading of a request's host and path;
//! - [`h1`]: HTTP/1 on both sides: heads and bodies in, heads out.
//!
//! The proxy's two sides use all of it; the control plane uses `canonical` to explain what a proxy would do.

// What may stand in a message.
mod octets;

// The message's head.
pub mod head;

// Meaning, then bytes on a connection.
pub mod canonical;
pub mod h1;
