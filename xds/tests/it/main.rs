//! The crate from outside.
#![expect(clippy::unwrap_used, reason = "a test ends where it finds a fault")]

mod bytes;
mod corpus;
mod edits;
mod every_field;
mod explain;
mod golden;
mod scale;
mod tables;
mod unknown;
